//! Topologies from words and tables, their subnets, and the ways through them.

use std::collections::{BTreeMap, BTreeSet};

use super::subnets::{AddressPlan, Cidr};
use super::*;
use crate::link::{CLIENTS, Pair, Quality};

fn of(shape: &str) -> Topology {
    shape.parse::<Shape>().unwrap().into()
}

fn read(json: &str) -> Result<Topology, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

#[test]
fn a_shape_names_its_largest_domains_first_and_numbers_nodes_rack_by_rack() {
    let two = of("3x2");
    assert_eq!(two.racks[1].nodes, ["n3", "n4"]);
    assert_eq!(
        (two.domains(Tier::Rack), two.domains(Tier::Zone)),
        (vec!["rack1", "rack2", "rack3"], vec!["zone1"])
    );
    assert_eq!(two.outermost(), Some(Tier::Rack));
    let four = of("2x2x3x1");
    assert_eq!(
        (four.n_nodes(), four.domains(Tier::Zone).len(), four.domains(Tier::Region).len()),
        (12, 4, 2)
    );
    assert_eq!(
        four.domain("zone2"),
        Some((Tier::Zone, ["n4", "n5", "n6"].map(String::from).to_vec()))
    );
    assert_eq!(four.domain_of("n7", Tier::Region), Some("region2"));
    assert_eq!((four.domain("rack13"), of("1x3").outermost()), (None, None));
    for shape in ["3x2", "1x1", "2x3x2", "2x1x3x2"] {
        assert_eq!(shape.parse::<Shape>().unwrap().to_string(), shape);
    }
    assert_eq!(of("2x2x3x1").to_string(), "12 racks in 4 zones in 2 regions, 2 spines");
}

#[test]
fn what_is_no_shape_is_refused_with_the_form() {
    for rubbish in [
        "",
        "3",
        "3x",
        "x3",
        "3xx2",
        "3x2x",
        "-1x2",
        "3x2.5",
        "axb",
        "3 x 2",
        "3X2",
        "1x1x1x1x1",
        "+3x2",
        "３x2",
    ] {
        let error = rubbish.parse::<Shape>().unwrap_err();
        assert!(
            error.starts_with(&format!("`{rubbish}` is no topology; write RACKSxNODES")),
            "{error}"
        );
    }
    for (shape, expected) in [
        ("0x2", "`0x2`: a topology has at least one of each, and this one has 0 of something"),
        ("3x0", "`3x0`: a topology has at least one of each, and this one has 0 of something"),
        ("10x11", "`10x11` has 110 nodes; a cluster has 1 to 100"),
        ("33x1", "`33x1` has more than 32 racks, which is the most a topology has"),
        (
            "99999999999999999999x2",
            "`99999999999999999999x2` has more than 32 racks, which is the most a topology has",
        ),
    ] {
        assert_eq!(shape.parse::<Shape>().unwrap_err(), expected);
    }
}

#[test]
fn a_table_is_read_as_it_is_written_and_a_word_stands_for_one() {
    let word = read(r#""3x2""#).unwrap();
    assert_eq!(word, of("3x2"));
    let text = serde_json::to_string(&word).unwrap();
    assert!(
        text.starts_with(r#"{"cidr":"10.77.0.0/16","spines":2,"racks":[{"name":"rack1""#),
        "{text}"
    );
    assert_eq!(read(&text).unwrap(), word);
    let far = read(r#"{"shape":"2x1x2","latency_us":{"zones":500},"spines":3}"#).unwrap();
    assert_eq!((far.spines, far.latency.zones, far.racks.clone()), (3, 500, of("2x1x2").racks));
    assert_eq!(read(&serde_json::to_string(&far).unwrap()).unwrap(), far);
    let short = read(r#"{"racks":[{"name":"a","nodes":["n1"]},{"name":"b","nodes":["n2"]}]}"#).unwrap();
    assert_eq!(
        (short.domains(Tier::Zone), short.domains(Tier::Region)),
        (vec!["zone1"], vec!["region1"])
    );
}

#[test]
fn a_table_that_makes_no_sense_is_refused_by_the_word_at_fault() {
    let racks = |racks: &str| format!(r#"{{"racks":[{racks}]}}"#);
    let check = |json: &str, expected: &str| {
        let error = read(json).unwrap_err();
        assert!(error.contains(expected), "{json}: {error}");
    };
    check("{}", "a topology needs `racks`");
    check("7", "a shape such as \"3x2\", or a table");
    check(r#"{"shape":"3x2","rack":[]}"#, "unknown field `rack`");
    check(
        r#"{"shape":"3x2","racks":[{"name":"a","nodes":["n1"]}]}"#,
        "`shape` or `racks`, not both",
    );
    check(r#"{"shape":"3x2","spines":0}"#, "`spines` is 0; a topology has 1 to 8");
    check(r#"{"shape":"3x2","latency_us":{"regions":10000001}}"#, "10000001 between regions");
    for (shape, tier, which) in [
        ("3x2", "zones", "no two zones of one region"),
        ("1x3", "racks", "no two racks of one zone"),
        ("3x1x2", "racks", "no two racks of one zone"),
        ("2x1x2x2", "zones", "no two zones of one region"),
        ("2x2x2", "regions", "no two regions"),
    ] {
        let table = format!(r#"{{"shape":"{shape}","latency_us":{{"{tier}":5000}}}}"#);
        check(
            &table,
            &format!("`latency_us`: 5000 between {tier}, and there are {which} in this topology"),
        );
    }
    for (shape, tier) in [("3x2", "racks"), ("2x1x2", "zones"), ("2x1x1x2", "regions"), ("2x2x2x2", "racks")] {
        let table = format!(r#"{{"shape":"{shape}","latency_us":{{"{tier}":5000}}}}"#);
        assert!(read(&table).is_ok(), "{table}");
    }
    check(&racks(r#"{"name":"a","nodes":[]}"#), "rack `a` has no `nodes`");
    check(&racks(r#"{"name":"a","nodes":["n1","n1"]}"#), "node `n1` stands in two places");
    check(
        &racks(r#"{"name":"a","nodes":["n1"]},{"name":"a","nodes":["n2"]}"#),
        "two racks are called `a`",
    );
    check(&racks(r#"{"name":"a","zone":"a","nodes":["n1"]}"#), "`a` is a rack and a zone");
    check(
        &racks(r#"{"name":"a","region":"x","nodes":["n1"]},{"name":"b","region":"y","nodes":["n2"]}"#),
        "zone `zone1` is in region `x` and in region `y`",
    );
    check(&racks(r#"{"name":"a b","nodes":["n1"]}"#), "`a b` is no name of a domain");
    check(&racks(r#"{"name":"clients","nodes":["n1"]}"#), "not `clients`");
}

fn nodes(n: usize) -> Vec<String> {
    (1..=n).map(|number| format!("n{number}")).collect()
}

#[test]
fn a_topology_has_exactly_the_nodes_of_its_cluster() {
    assert_eq!(of("3x2").check_cluster(&nodes(6)), Ok(()));
    assert_eq!(
        of("3x2").check_cluster(&nodes(7)).unwrap_err(),
        "the topology has no place for node `n7`"
    );
    assert_eq!(
        of("3x2").check_cluster(&nodes(5)).unwrap_err(),
        "the topology has a node `n6`, and the cluster has 5 nodes: n1 to n5"
    );
}

#[test]
fn more_nodes_go_into_the_racks_by_turns() {
    let mut topology = of("2x2");
    topology.place_more(&nodes(7)[4..]);
    assert_eq!(topology.check_cluster(&nodes(7)), Ok(()));
    assert_eq!(topology.racks[0].nodes, ["n1", "n2", "n5", "n7"]);
    assert_eq!(topology.racks[1].nodes, ["n3", "n4", "n6"]);
}

#[test]
fn networks_are_read_and_rubbish_is_refused() {
    assert_eq!("10.77.0.0/16".parse(), Ok(Cidr::default()));
    for (text, expected) in [
        ("", "is no network"),
        ("10.77.0.0", "is no network"),
        ("10.77.0.0/", "is no network"),
        ("10.77.0/16", "is no network"),
        ("10.77.0.0/+9", "is no network"),
        ("10.77.0.0/016", "is no network"),
        ("10.77.0.0/33", "has /8 to /30"),
        ("10.77.0.0/7", "has /8 to /30"),
        ("10.77.0.1/16", "its network is 10.77.0.0/16"),
        ("127.0.0.0/8", "is not for hosts"),
        ("224.0.0.0/8", "is not for hosts"),
        ("0.0.0.0/8", "is not for hosts"),
        ("240.0.0.0/8", "is not for hosts"),
    ] {
        let error = text.parse::<Cidr>().unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn subnets_are_equal_do_not_overlap_and_hold_everybody_once() {
    for shape in ["1x1", "3x2", "7x3", "2x2x3x2", "8x12", "32x3"] {
        let topology = of(shape);
        let plan = AddressPlan::carve(&topology).unwrap();
        let subnets: Vec<Cidr> = plan.racks.iter().chain([&plan.border]).copied().collect();
        let size = 1u32 << (32 - plan.border.bits());
        let firsts: BTreeSet<u32> = subnets.iter().map(|subnet| subnet.network().to_bits()).collect();
        assert_eq!(firsts.len(), subnets.len());
        let (least, most) = (*firsts.first().unwrap(), *firsts.last().unwrap());
        assert!(firsts.iter().all(|first| (first - least) % size == 0), "{shape}");
        assert!(
            least == topology.cidr.network().to_bits() && most + size - least <= 1 << 16,
            "{shape}"
        );
        let is_in = |subnet: Cidr, address: std::net::Ipv4Addr| {
            let place = address.to_bits() - subnet.network().to_bits();
            (1..size - 1).contains(&place)
        };
        for (rack, subnet) in topology.racks.iter().zip(&plan.racks) {
            assert!(rack.nodes.iter().all(|node| is_in(*subnet, plan.ends[node])), "{shape}");
        }
        assert!(is_in(plan.border, plan.ends[CLIENTS]));
        let routers = subnets.iter().map(|subnet| subnet.gateway());
        let all: Vec<_> = plan
            .ends
            .values()
            .copied()
            .chain(plan.spines.clone())
            .chain(routers)
            .chain([plan.balancer])
            .collect();
        assert!(is_in(plan.border, plan.balancer) && plan.spines.iter().all(|spine| is_in(plan.border, *spine)));
        assert_eq!(
            all.iter().collect::<BTreeSet<_>>().len(),
            all.len(),
            "{shape}: an address is used twice"
        );
    }
}

#[test]
fn a_network_that_is_too_small_is_refused_by_who_finds_no_room() {
    let carve = |shape: &str, cidr: &str| {
        let topology = Topology {
            cidr: cidr.parse().unwrap(),
            ..of(shape)
        };
        topology.check()
    };
    // Four subnets of /29 have room for six hosts each: a leaf and five nodes.
    assert_eq!(carve("3x5", "192.168.0.0/27"), Ok(()));
    assert_eq!(
        carve("3x6", "192.168.0.0/27").unwrap_err(),
        "`cidr` 192.168.0.0/27 is too small: of its 4 subnets of /29 none has room for 7 hosts, as rack `rack1` needs"
    );
    assert!(
        carve("3x1", "192.168.0.0/28")
            .unwrap_err()
            .contains("5 hosts, as the border with the spines needs")
    );
    for (shape, cidr) in [("3x1", "10.0.0.0/30"), ("32x1", "10.0.0.0/28"), ("4x1", "10.0.0.0/30")] {
        assert!(carve(shape, cidr).unwrap_err().contains("is too small"), "{shape} in {cidr}");
    }
}

/// The links of a topology by brute force.
fn every_link(topology: &Topology) -> Vec<Pair> {
    let ends: Vec<String> = (1..=topology.n_nodes()).map(|n| format!("n{n}")).chain([CLIENTS.into()]).collect();
    let pairs = ends.iter().flat_map(|from| ends.iter().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| from != to)
        .map(|(from, to)| Pair::new(from, to))
        .collect()
}

#[test]
fn every_link_between_racks_goes_by_one_spine_and_every_spine_carries_some() {
    for shape in ["2x1", "3x2", "5x1", "2x2x3x2"] {
        let topology = of(shape);
        let mut by_spine: BTreeMap<Option<u32>, usize> = BTreeMap::new();
        for pair in every_link(&topology) {
            *by_spine.entry(topology.spine_of(&pair)).or_default() += 1;
            let same_leaf = topology.rack_of(&pair.from) == topology.rack_of(&pair.to);
            assert_eq!(topology.spine_of(&pair).is_none(), same_leaf, "{pair}");
        }
        for spine in 0..topology.spines {
            assert_eq!(by_spine[&Some(spine)], topology.links_by_spine(spine).len());
            assert!(!topology.links_by_spine(spine).is_empty(), "{shape}: spine {spine} is idle");
        }
    }
    assert_eq!(of("3x2").spine_of(&Pair::new("n9", "n1")), None);
}

#[test]
fn a_lost_rack_takes_every_link_of_its_nodes_and_no_other() {
    let topology = of("2x2x2");
    let check = |domain: &str, inside: &[&str]| {
        let touches = |pair: &&Pair| inside.contains(&pair.from.as_str()) || inside.contains(&pair.to.as_str());
        let expected: Vec<Pair> = every_link(&topology).iter().filter(touches).cloned().collect();
        assert_eq!(topology.links_of_domain(domain), expected, "{domain}");
        let across = topology.links_across(domain);
        let crosses = |pair: &&Pair| {
            let (from, to) = (inside.contains(&pair.from.as_str()), inside.contains(&pair.to.as_str()));
            from != to && pair.from != CLIENTS && pair.to != CLIENTS
        };
        assert_eq!(across, every_link(&topology).iter().filter(crosses).cloned().collect::<Vec<_>>());
    };
    check("rack2", &["n3", "n4"]);
    check("zone2", &["n5", "n6", "n7", "n8"]);
    assert!(topology.links_of_domain("rack9").is_empty());
}

#[test]
fn the_largest_tier_that_divides_two_nodes_says_how_far_apart_they_are() {
    let topology = Topology {
        latency: Latency {
            racks: 1,
            zones: 20,
            regions: 300,
        },
        ..of("2x2x2x2")
    };
    let base = topology.base();
    let delay = |from: &str, to: &str| base.get(&Pair::new(from, to)).map_or(0, |quality: &Quality| quality.delay_us);
    assert_eq!(
        [delay("n1", "n2"), delay("n1", "n3"), delay("n1", "n5"), delay("n9", "n1")],
        [0, 1, 20, 300]
    );
    assert_eq!((delay(CLIENTS, "n1"), delay("n16", CLIENTS)), (0, 0));
    assert!(base.keys().all(|pair| base[pair] == base[&pair.back()]));
    assert!(of("2x2x2x2").base().is_empty());
}
