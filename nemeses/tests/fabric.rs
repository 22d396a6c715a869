//! The leaf–spine of namespaces: who reaches whom, by which spine, and what a lost rack or spine takes away.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests, though outside a #[test]")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use squall_nemeses::fabric::{Built, build};
use squall_nemeses::fault::domain::{RackDown, SpineCut};
use squall_nemeses::link::{CLIENTS, Pair, Quality};
use squall_nemeses::partition::Cuts;
use squall_nemeses::probe::Prober;
use squall_nemeses::topology::{Shape, Topology};
use squall_nemeses::{Fabric, Fault, Ground, Network, Roles, State, Target, netns, program_folders};
use support::inside;

/// Patience with a loaded machine.
const BOUND: Duration = Duration::from_secs(10);

struct Laid {
    topology: Topology,
    targets: Vec<Target>,
    spines: Vec<OwnedFd>,
    fabric: Fabric,
}

impl Laid {
    fn new(shape: &str) -> Laid {
        let topology: Topology = shape.parse::<Shape>().unwrap().into();
        let Built { leaves, spines, ends, .. } = build(&topology).unwrap();
        std::fs::create_dir_all("/run/netns").unwrap();
        let target = |end: &squall_nemeses::fabric::FabricEnd| {
            let path = PathBuf::from(format!("/run/netns/{}", end.id));
            netns::bind(&end.namespace, &path).unwrap();
            Target {
                id: end.id.clone(),
                address: end.address,
                namespace: path,
                interface: end.interface.clone(),
                init_pid: None,
                data: PathBuf::from("/run"),
            }
        };
        let targets: Vec<Target> = ends.iter().map(target).collect();
        let addresses = targets.iter().map(|target| (target.id.clone(), target.address)).collect();
        Laid {
            topology,
            targets,
            spines,
            fabric: Fabric::open(leaves, addresses, &program_folders()).unwrap(),
        }
    }

    fn nodes(&self) -> Vec<String> {
        let ids = self.targets.iter().map(|target| target.id.clone());
        ids.filter(|id| id != CLIENTS).collect()
    }

    fn state(&self, fault: &Fault) -> State {
        let nodes = self.nodes();
        let ground = Ground {
            nodes: &nodes,
            spares: &[],
            topology: Some(&self.topology),
        };
        fault.resolve(ground, &State::default(), &Roles::default()).unwrap().state
    }

    /// Packets that each spine has taken in from leaves.
    fn taken_in(&self) -> Vec<u64> {
        let count = |spine: &OwnedFd| -> u64 {
            let table = netns::in_namespace(spine, || std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
            let links = table
                .lines()
                .filter_map(|line| line.trim().split_once(':'))
                .filter(|(name, _)| name.starts_with("down"));
            links
                .map(|(_, figures)| figures.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap())
                .sum()
        };
        self.spines.iter().map(count).collect()
    }

    fn target(&self, id: &str) -> &Target {
        self.targets.iter().find(|target| target.id == id).unwrap()
    }
}

#[test]
fn every_packet_between_racks_goes_by_the_spine_that_the_topology_names() {
    inside("every_packet_between_racks_goes_by_the_spine_that_the_topology_names", || {
        const N: u64 = 500;
        let laid = Laid::new("3x2");
        let mut prober = Prober::open(&laid.targets).unwrap();
        assert!(prober.prove(&Cuts::new(), BOUND).unwrap().ok, "everybody reaches everybody");
        for (from, to) in [
            ("n1", "n3"),
            ("n3", "n1"),
            ("n2", "n6"),
            ("n1", "n2"),
            (CLIENTS, "n4"),
            ("n5", CLIENTS),
        ] {
            let before = laid.taken_in();
            let (source, target) = (laid.target(from), laid.target(to));
            let socket = netns::in_namespace(netns::open(&source.namespace).unwrap(), || {
                UdpSocket::bind((source.address, 0)).unwrap()
            })
            .unwrap();
            for _ in 0..N {
                // Nobody listens: what comes back are ICMP errors, at most one a millisecond and destination.
                let _ = socket.send_to(b"x", (target.address, 9));
            }
            let went: Vec<u64> = laid.taken_in().iter().zip(before).map(|(now, before)| now - before).collect();
            let named = laid.topology.spine_of(&Pair::new(from, to));
            for (spine, went) in (0..).zip(&went) {
                let expected = named == Some(spine);
                assert_eq!(*went >= N, expected, "{from}>{to} by {named:?}: {went} packets at spine {spine}");
            }
        }
    });
}

#[test]
fn a_lost_rack_or_spine_cuts_exactly_its_links_clients_and_all_and_heals() {
    inside("a_lost_rack_or_spine_cuts_exactly_its_links_clients_and_all_and_heals", || {
        let laid = Laid::new("3x2");
        let mut prober = Prober::open(&laid.targets).unwrap();
        let rack = Fault::RackDown(RackDown { domain: "rack2".into() });
        for fault in [rack, Fault::SpineCut(SpineCut { spine: 1 }), Fault::SpineCut(SpineCut { spine: 2 })] {
            let links = laid.state(&fault).network();
            let applied = laid.fabric.apply(&links).unwrap();
            assert_eq!((applied.back_end, applied.n_cuts), (laid.fabric.back_end(), links.len()));
            let cuts: Cuts = links.keys().map(|pair| (pair.from.clone(), pair.to.clone())).collect();
            let seen = prober.prove(&cuts, BOUND).unwrap();
            assert!(seen.ok, "{fault:?}: {seen:?}");
            let dropped = laid.fabric.dropped().unwrap();
            let dropped: Option<BTreeSet<Pair>> =
                dropped.map(|dropped| dropped.into_iter().filter(|(_, n)| *n > 0).map(|(pair, _)| pair).collect());
            assert!(
                dropped.is_none_or(|dropped| dropped == links.keys().cloned().collect()),
                "{fault:?}"
            );
            laid.fabric.apply(&BTreeMap::new()).unwrap();
            assert!(prober.prove(&Cuts::new(), BOUND).unwrap().ok, "healed of {fault:?}");
        }
    });
}

#[test]
fn what_a_leaf_cannot_do_is_refused_and_leaves_the_links_as_they_were() {
    inside("what_a_leaf_cannot_do_is_refused_and_leaves_the_links_as_they_were", || {
        let laid = Laid::new("2x1");
        let mut prober = Prober::open(&laid.targets).unwrap();
        let cut = BTreeMap::from([(Pair::new("n1", "n2"), Quality::cut())]);
        laid.fabric.apply(&cut).unwrap();
        let slow = Quality {
            delay_us: 50_000,
            ..Quality::default()
        };
        let error = laid.fabric.apply(&BTreeMap::from([(Pair::new("n2", "n1"), slow)])).unwrap_err();
        assert!(error.to_string().contains("n2>n1"), "{error}");
        assert!(
            laid.fabric
                .apply(&BTreeMap::from([(Pair::new("n1", "n9"), Quality::cut())]))
                .is_err()
        );
        assert!(prober.prove(&Cuts::from([("n1".into(), "n2".into())]), BOUND).unwrap().ok);
    });
}
