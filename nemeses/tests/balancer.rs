//! The balancer by NAT: connections go to all nodes, its flow table can be lost and its ports used up, and both are proved and healed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests, though outside a #[test]")]

mod support;

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use squall_nemeses::balancer::{Balancer, BalancerProbe, BalancerTrouble, N_PORTS, Setup};
use squall_nemeses::links::Links;
use squall_nemeses::netlink::Netlink;
use squall_nemeses::netlink::wire::Message;
use squall_nemeses::{netns, program_folders};
use support::{Star, inside, skip};

const BOUND: Duration = Duration::from_secs(10);
const VIP: Ipv4Addr = Ipv4Addr::new(10, 9, 255, 2);
const NO_REFILL: fn() -> squall_nemeses::Result<()> = || Ok(());
const WELL: BalancerTrouble = BalancerTrouble {
    flushes: 0,
    no_ports: false,
};

fn balanced(test: &str, body: impl FnOnce(&Balancer, &BalancerProbe)) {
    balanced_star(test, |_, balancer, probe| body(balancer, probe));
}

/// A star of three nodes, the fourth arm of which stands for the clients.
fn balanced_star(test: &str, body: impl FnOnce(&Star, &Balancer, &BalancerProbe)) {
    inside(test, || {
        let star = Star::new(4);
        let (nodes, clients) = star.targets.split_at(3);
        let setup = Setup {
            router: star.router.try_clone().unwrap(),
            address: VIP,
            port: 7000,
            nodes: nodes.iter().map(|node| (node.id.clone(), node.address)).collect(),
        };
        match Balancer::open(setup, &program_folders()) {
            Err(error) => skip(test, &error.to_string()),
            Ok(balancer) => {
                let probe = BalancerProbe::open(clients[0].clone(), nodes, VIP).unwrap();
                body(&star, &balancer, &probe);
            }
        }
    });
}

#[test]
fn connections_that_are_over_give_their_ports_back() {
    balanced("connections_that_are_over_give_their_ports_back", |_, probe| {
        // More than there are ports, of all three nodes together.
        let n = 4 * usize::from(N_PORTS);
        for _ in 0..n {
            assert!(probe.prepare(BOUND).unwrap().is_some());
        }
    });
}

#[test]
fn connections_go_to_every_node_in_turn() {
    balanced("connections_go_to_every_node_in_turn", |_, probe| {
        assert_eq!(probe.spread(9, BOUND).unwrap(), 3);
    });
}

#[test]
fn a_flush_resets_what_stands_and_lets_new_connections_through() {
    balanced("a_flush_resets_what_stands_and_lets_new_connections_through", |balancer, probe| {
        let flushed = BalancerTrouble { flushes: 1, ..WELL };
        for (before, now) in [(WELL, flushed), (flushed, BalancerTrouble { flushes: 2, ..WELL })] {
            let standing = probe.prepare(BOUND).unwrap();
            assert!(standing.is_some());
            balancer.apply(now).unwrap();
            let seen = probe.prove((before, now), standing, BOUND, NO_REFILL).unwrap();
            assert!(seen.ok && seen.seen.len() == 2, "{seen:?}");
        }
        balancer.apply(WELL).unwrap();
        let standing = probe.prepare(BOUND).unwrap();
        let seen = probe.prove((flushed, WELL), standing, BOUND, NO_REFILL).unwrap();
        assert!(seen.ok, "{seen:?}");
    });
}

#[test]
fn without_ports_what_stands_goes_on_and_nothing_new_is_let_through_until_it_is_healed() {
    let test = "without_ports_what_stands_goes_on_and_nothing_new_is_let_through_until_it_is_healed";
    balanced(test, |balancer, probe| {
        let none_left = BalancerTrouble { no_ports: true, ..WELL };
        let standing = probe.prepare(BOUND).unwrap();
        assert!(standing.is_some());
        let done = balancer.apply(none_left).unwrap();
        assert_eq!(
            done.n_flows,
            3 * 2 * usize::from(N_PORTS) - 1,
            "every port of every node, for its clients and for probes, but the one in use"
        );
        let seen = probe.prove((WELL, none_left), standing, BOUND, NO_REFILL).unwrap();
        assert!(seen.ok && seen.seen.len() == 2, "{seen:?}");
        balancer.apply(WELL).unwrap();
        let seen = probe.prove((none_left, WELL), None, BOUND, NO_REFILL).unwrap();
        assert!(seen.ok, "{seen:?}");
    });
}

#[test]
fn a_flush_under_exhaustion_leaves_the_ports_used_up() {
    balanced("a_flush_under_exhaustion_leaves_the_ports_used_up", |balancer, probe| {
        let none_left = BalancerTrouble { no_ports: true, ..WELL };
        balancer.apply(none_left).unwrap();
        let both = BalancerTrouble {
            flushes: 1,
            no_ports: true,
        };
        balancer.apply(both).unwrap();
        assert!(probe.prove((none_left, both), None, BOUND, NO_REFILL).unwrap().ok);
    });
}

#[test]
fn a_port_that_comes_back_is_used_up_again() {
    balanced("a_port_that_comes_back_is_used_up_again", |balancer, probe| {
        let none_left = BalancerTrouble { no_ports: true, ..WELL };
        let n_refills = std::cell::Cell::new(0);
        let refill = || {
            n_refills.set(n_refills.get() + 1);
            balancer.apply(none_left).map(drop)
        };
        // All ports are there when the proof begins.
        let seen = probe.prove((none_left, none_left), None, BOUND, refill).unwrap();
        assert!(seen.ok, "{seen:?}");
        assert!(n_refills.get() > 0, "it saw a connection let through");
    });
}

#[test]
fn a_probe_does_not_believe_in_what_was_not_done() {
    balanced("a_probe_does_not_believe_in_what_was_not_done", |_, probe| {
        const SHORT: Duration = Duration::from_millis(400);
        let flushed = BalancerTrouble { flushes: 1, ..WELL };
        let none_left = BalancerTrouble { no_ports: true, ..WELL };
        for now in [flushed, none_left] {
            let standing = probe.prepare(BOUND).unwrap();
            let seen = probe.prove((WELL, now), standing, SHORT, NO_REFILL).unwrap();
            assert!(!seen.ok, "nothing was done: {seen:?}");
        }
    });
}

#[test]
fn a_probe_does_not_believe_in_a_heal_that_was_not_done() {
    // Where no connection was before: its port would come back.
    balanced("a_probe_does_not_believe_in_a_heal_that_was_not_done", |balancer, probe| {
        const SHORT: Duration = Duration::from_millis(400);
        let none_left = BalancerTrouble { no_ports: true, ..WELL };
        balancer.apply(none_left).unwrap();
        let seen = probe.prove((none_left, WELL), None, SHORT, NO_REFILL).unwrap();
        assert!(!seen.ok, "nothing was healed: {seen:?}");
    });
}

/// Cuts the clients from so many nodes.
fn cut_off(star: &Star, n: usize) -> Links {
    let links = Links::open(&star.router, None, &program_folders()).unwrap();
    let cuts = star.targets[..n].iter().map(|node| (star.targets[3].address, node.address));
    links.apply(&cuts.collect()).unwrap();
    links
}

#[test]
fn the_one_node_that_no_other_fault_cuts_off_is_enough_for_a_proof() {
    balanced_star(
        "the_one_node_that_no_other_fault_cuts_off_is_enough_for_a_proof",
        |star, balancer, probe| {
            let _links = cut_off(star, 2);
            let none_left = BalancerTrouble { no_ports: true, ..WELL };
            let flushed = BalancerTrouble { flushes: 1, ..WELL };
            let bound = probe.bound();
            let changes = [(WELL, flushed), (flushed, WELL), (WELL, none_left), (none_left, WELL)];
            // Whichever node has the first turn.
            for (before, now) in std::iter::repeat_n(changes, 3).flatten() {
                let standing = if before.no_ports { None } else { probe.prepare(bound).unwrap() };
                assert!(standing.is_some() || before.no_ports);
                balancer.apply(now).unwrap();
                let seen = probe.prove((before, now), standing, bound, NO_REFILL).unwrap();
                assert!(seen.ok, "{before:?} to {now:?}: {seen:?}");
            }
            for _ in 0..3 {
                assert!(!probe.prove_exhausted().unwrap().ok, "one node can be had");
            }
        },
    );
}

#[test]
fn where_every_node_is_cut_off_the_flow_table_says_whether_ports_are_used_up() {
    balanced_star(
        "where_every_node_is_cut_off_the_flow_table_says_whether_ports_are_used_up",
        |star, balancer, _| {
            let _links = cut_off(star, 3);
            let none_left = BalancerTrouble { no_ports: true, ..WELL };
            for (now, other) in [(WELL, none_left), (none_left, WELL), (WELL, none_left)] {
                balancer.apply(now).unwrap();
                let (is_so, is_other) = (balancer.look_up(now).unwrap(), balancer.look_up(other).unwrap());
                assert!(is_so.ok && !is_other.ok, "{now:?}: {is_so:?}, {is_other:?}");
            }
        },
    );
}

#[test]
fn ports_that_standing_connections_give_back_are_used_up_again_before_anybody_gets_them() {
    balanced(
        "ports_that_standing_connections_give_back_are_used_up_again_before_anybody_gets_them",
        |balancer, probe| {
            const N_STANDING: usize = 6;
            let standing: Vec<_> = (0..N_STANDING).map(|_| probe.prepare(BOUND).unwrap().unwrap()).collect();
            let none_left = BalancerTrouble { no_ports: true, ..WELL };
            let all = 3 * 2 * usize::from(N_PORTS);
            assert_eq!(balancer.apply(none_left).unwrap().n_flows, all - standing.len());
            assert!(probe.prove_exhausted().unwrap().ok);
            assert_eq!(balancer.refill().unwrap(), 0, "they are in use");
            drop(standing);
            let deadline = Instant::now() + BOUND;
            let mut n_back = 0;
            while n_back < N_STANDING {
                assert!(Instant::now() < deadline, "only {n_back} came back");
                n_back += balancer.refill().unwrap();
            }
            assert!(balancer.look_up(none_left).unwrap().ok);
            for probe in [Some(probe), None] {
                let still = balancer.prove_still_exhausted(probe).unwrap();
                assert!(still.ok && still.seen.last().unwrap().seen == N_STANDING as u64, "{still:?}");
            }
            balancer.apply(WELL).unwrap();
            balancer.refill().unwrap();
            assert!(balancer.look_up(WELL).unwrap().ok, "nothing is used up after the heal");
        },
    );
}

#[test]
fn a_fault_whose_used_up_ports_were_all_free_is_seen_to_have_ceased() {
    balanced_star(
        "a_fault_whose_used_up_ports_were_all_free_is_seen_to_have_ceased",
        |star, balancer, probe| {
            let none_left = BalancerTrouble { no_ports: true, ..WELL };
            for probe in [Some(probe), None] {
                balancer.apply(none_left).unwrap();
                assert!(balancer.prove_still_exhausted(probe).unwrap().ok);
                // IPCTNL_MSG_CT_DELETE of everything: somebody else flushes the table.
                let flush = Message::new((1 << 8) | 2, 0).fixed(&[2, 0, 0, 0]);
                let flushed = netns::in_namespace(&star.router, || Netlink::open_netfilter()?.request("flush the flow table", flush));
                flushed.unwrap().unwrap();
                let still = balancer.prove_still_exhausted(probe).unwrap();
                assert!(!still.ok, "{still:?}");
                balancer.apply(WELL).unwrap();
            }
        },
    );
}
