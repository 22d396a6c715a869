//! The kernel's leaf–spine: a router for each rack, and the cuts of each in its own namespace.
//!
//! Every packet to an end crosses that end's leaf, wherever it comes from, so a directed link is cut at its destination's leaf. A change is applied at
//! all leaves at once, each in one atomic step of its own; between the first and the last there is the time of one such step. What one leaf refuses is
//! taken back at the others.
//!
//! - `build`: the namespaces and their routes
//!
//! Unlike on the star, the clients' links can be cut too: they have a leaf of their own, the border.

mod build;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::link::{CLIENTS, Pair, Quality};
use crate::links::{AddressCuts, Applied, BackEnd, Links, Shaping};
use crate::network::{Network, NetworkKind};
use crate::{Error, Result};

pub use self::build::{Built, FabricEnd, build, make_router};

/// A leaf as the fabric takes it over.
#[derive(Debug)]
pub struct Leaf {
    /// Its namespace.
    pub namespace: OwnedFd,
    /// Who is behind it.
    pub ends: BTreeSet<String>,
}

/// The kernel's network of leaves and spines.
#[derive(Debug)]
pub struct Fabric {
    leaves: Vec<(Links, BTreeSet<String>)>,
    addresses: BTreeMap<String, Ipv4Addr>,
    /// From where the balancer sends what clients send to it, if there is one.
    balancer: Option<Ipv4Addr>,
    /// What was applied last.
    applied: Mutex<Vec<AddressCuts>>,
}

impl Fabric {
    /// Opens the cuts of every leaf, all by the back end that is the best at the first. `addresses` are those of all ends, by name.
    ///
    /// # Errors
    /// If no back end works.
    pub fn open(leaves: Vec<Leaf>, addresses: BTreeMap<String, Ipv4Addr>, folders: &[PathBuf]) -> Result<Fabric> {
        let n_ends = u8::try_from(addresses.len()).map_err(|_| Error::Unusable("too many nodes".into()))?;
        let mut leaves = leaves.into_iter();
        let first = leaves
            .next()
            .ok_or_else(|| Error::Unusable("a fabric has at least one leaf".into()))?;
        let links = Links::open_for(n_ends, &first.namespace, None, folders)?;
        let choice = Some(links.back_end());
        let rest: Vec<Leaf> = leaves.collect();
        // Each try takes programs' starts: all at once.
        let open = |leaf: &Leaf| Links::open_for(n_ends, &leaf.namespace, choice, folders);
        let others = at_once(&rest, open).into_iter().collect::<Result<Vec<Links>>>()?;
        let ends = rest.into_iter().map(|leaf| leaf.ends);
        let leaves: Vec<_> = std::iter::once((links, first.ends)).chain(others.into_iter().zip(ends)).collect();
        Ok(Fabric {
            applied: Mutex::new(vec![AddressCuts::new(); leaves.len()]),
            leaves,
            addresses,
            balancer: None,
        })
    }

    /// From now on the clients' links are those by way of the balancer as well.
    #[must_use]
    pub fn with_balancer(self, address: Ipv4Addr) -> Fabric {
        Fabric {
            balancer: Some(address),
            ..self
        }
    }

    /// The better back ends that do not work here, with their reasons.
    #[must_use]
    pub fn refused(&self) -> &[(BackEnd, String)] {
        self.leaves[0].0.refused()
    }

    fn address(&self, id: &str) -> Result<Ipv4Addr> {
        let found = self.addresses.get(id).copied();
        found.ok_or_else(|| Error::Unusable(format!("no node is called `{id}`")))
    }

    /// The cuts of each leaf: of the links that lead to who is behind it.
    fn by_leaf(&self, links: &BTreeMap<Pair, Quality>) -> Result<Vec<AddressCuts>> {
        let mut cuts = vec![AddressCuts::new(); self.leaves.len()];
        for pair in links.iter().filter(|(_, quality)| quality.cut).map(|(pair, _)| pair) {
            let leaf = self.leaves.iter().position(|(_, ends)| ends.contains(&pair.to));
            let leaf = leaf.ok_or_else(|| Error::Unusable(format!("`{}` is behind no leaf", pair.to)))?;
            let (from, to) = (self.address(&pair.from)?, self.address(&pair.to)?);
            let balanced = self.balancer.filter(|_| pair.from == CLIENTS);
            cuts[leaf].extend([from].into_iter().chain(balanced).map(|from| (from, to)));
        }
        Ok(cuts)
    }

    /// Applies at all leaves at once; says what each answered.
    fn apply_all(&self, cuts: &[AddressCuts]) -> Vec<Result<Applied>> {
        at_once(self.leaves.iter().zip(cuts), |((links, _), cuts)| links.apply(cuts))
    }
}

/// Does the work of all of them at the same time, each on a thread of its own, and gives what it came to in their order. A panic goes on here.
fn at_once<T: Send, R: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, R>| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        threads.into_iter().map(join).collect()
    })
}

impl Network for Fabric {
    fn kind(&self) -> NetworkKind {
        NetworkKind::Kernel
    }

    fn back_end(&self) -> BackEnd {
        self.leaves[0].0.back_end()
    }

    fn shaping(&self) -> Option<Shaping> {
        None
    }

    fn refuses(&self, pair: &Pair, quality: &Quality) -> Option<String> {
        let is_cut = quality.is_healthy() || quality.is_plain_cut();
        (!is_cut).then(|| format!("leaves of the kernel's network cut links, and do nothing else to link {pair}"))
    }

    fn apply(&self, links: &BTreeMap<Pair, Quality>) -> Result<Applied> {
        if let Some(why) = links.iter().find_map(|(pair, quality)| self.refuses(pair, quality)) {
            return Err(Error::Unusable(why));
        }
        let began = Instant::now();
        let cuts = self.by_leaf(links)?;
        let mut applied = self.applied.lock().expect("no holder of this lock panics");
        if let Some(error) = self.apply_all(&cuts).into_iter().find_map(Result::err) {
            // A leaf that does not take back what it took is not healed by silence: the next change, or its probe, shows it.
            drop(self.apply_all(&applied));
            return Err(error);
        }
        let n_cuts = links.values().filter(|quality| quality.cut).count();
        *applied = cuts;
        Ok(Applied {
            back_end: self.back_end(),
            shaping: None,
            n_cuts,
            n_bad: 0,
            n_reset: 0,
            seed: None,
            duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    fn dropped(&self) -> Result<Option<BTreeMap<Pair, u64>>> {
        if self.back_end() == BackEnd::PolicyRules {
            return Ok(None);
        }
        let balanced = |address: Ipv4Addr| {
            self.balancer
                .filter(|own| *own == address)
                .and(self.addresses.get(CLIENTS).copied())
        };
        let name = |address: Ipv4Addr| {
            let address = balanced(address).unwrap_or(address);
            self.addresses.iter().find(|(_, known)| **known == address).map(|(id, _)| id)
        };
        let mut dropped: BTreeMap<Pair, u64> = BTreeMap::new();
        for (links, _) in &self.leaves {
            for ((from, to), packets) in links.standing()? {
                if let (Some(from), Some(to), Some(packets)) = (name(from), name(to), packets) {
                    *dropped.entry(Pair::new(from, to)).or_default() += packets;
                }
            }
        }
        Ok(Some(dropped))
    }

    fn forgets(&self) -> bool {
        true
    }
}
