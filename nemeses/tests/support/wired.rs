//! Nodes on a network whose links can be made bad: the kernel's, and the switch.

use std::collections::BTreeMap;
use std::time::Instant;

use squall_nemeses::link::{Pair, Quality};
use squall_nemeses::links::{Links, Shaping};
use squall_nemeses::{KernelNetwork, Network, NetworkKind, program_folders};

use super::{Star, inside, skip};

const SEED: u64 = 7;

/// A network of nodes and its parts.
pub(crate) struct Wired {
    pub(crate) star: Star,
    pub(crate) network: Box<dyn Network>,
}

/// Runs a test on each network; with [`netem_only`] on the kernel's alone.
pub(crate) fn each_network(test: &str, n: u8, body: impl Fn(&Wired)) {
    inside(test, || {
        let kinds = [NetworkKind::Kernel, NetworkKind::Switch];
        for kind in kinds.into_iter().filter(|kind| *kind == NetworkKind::Kernel || !netem_only()) {
            if let Some(wired) = Wired::new(test, kind, n) {
                body(&wired);
            }
        }
    });
}

/// Whether the kernel's network must have netem, and no other network counts.
pub(crate) fn netem_only() -> bool {
    std::env::var_os("SQUALL_NETEM_ONLY").is_some()
}

impl Wired {
    pub(crate) fn new(test: &str, kind: NetworkKind, n: u8) -> Option<Wired> {
        match kind {
            NetworkKind::Kernel => {
                let star = Star::with_clients(n);
                let links = Links::open(&star.router, None, &program_folders()).unwrap();
                let choice = netem_only().then_some(Shaping::Netem);
                let start = Instant::now();
                let network = KernelNetwork::shaped(links, &star.targets, choice, SEED).unwrap();
                let by = network.shaping().unwrap().describe();
                println!("measured on {by}, ready in {} us", start.elapsed().as_micros());
                Some(Wired {
                    star,
                    network: Box::new(network),
                })
            }
            NetworkKind::Switch => {
                if let Err(error) = squall_nemeses::switch::can_open() {
                    skip(test, &error.to_string());
                    return None;
                }
                let (star, switch) = Star::switched(n, SEED).unwrap();
                Some(Wired {
                    star,
                    network: Box::new(switch),
                })
            }
        }
    }

    pub(crate) fn nodes(&self) -> Vec<String> {
        self.star.ids().into_iter().filter(|id| id != "clients").collect()
    }

    /// Makes these the qualities of the links, and all others healthy.
    pub(crate) fn apply(&self, links: &[(&str, &str, &Quality)]) {
        let links = links.iter().map(|(from, to, quality)| (Pair::new(*from, *to), (*quality).clone()));
        self.network.apply(&links.collect()).unwrap();
    }

    /// Whether the network can give the link from n1 to n2 this quality. One that cannot must say so, and leave the link alone.
    pub(crate) fn takes(&self, quality: &Quality) -> bool {
        let there = Pair::new("n1", "n2");
        let Some(why) = self.network.refuses(&there, quality) else {
            return true;
        };
        let error = self.network.apply(&BTreeMap::from([(there, quality.clone())])).unwrap_err();
        assert_eq!(error.to_string(), why);
        false
    }
}
