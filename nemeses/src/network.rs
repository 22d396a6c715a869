//! The network as faults see it: one interface, two networks behind it, and a suite of tests that both must pass
//! (`nemeses/tests/network_conformance.rs`).
//!
//! | network | what it is | links can be |
//! |---|---|---|
//! | `kernel` | veth pairs and a router, cuts by netfilter or policy rules ([`crate::links`]) | cut; bad by netem, or what stands in for it ([`Shaping`]) |
//! | `switch` | TUN devices and our own thread ([`crate::switch`]) | anything of [`Quality`] |
//!
//! A back end that does less than it is asked for would make a run prove nothing: so each says beforehand what it refuses, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::link::{Pair, Quality};
use crate::links::{Abilities, AddressPair, Applied, Arm, BackEnd, Links, Shaping};
use crate::switch::{Cause, Switch};
use crate::{Error, Result, Target};

/// Which network a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// The kernel's own: veth pairs and a router.
    Kernel,
    /// Ours, in user space.
    Switch,
}

impl NetworkKind {
    /// The name that flags, plans and receipts use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NetworkKind::Kernel => "kernel",
            NetworkKind::Switch => "switch",
        }
    }
}

impl fmt::Display for NetworkKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for NetworkKind {
    type Err = String;

    fn from_str(text: &str) -> Result<NetworkKind, String> {
        [NetworkKind::Kernel, NetworkKind::Switch]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("`{text}` is no network; there are kernel and switch"))
    }
}

/// A network whose links can be made bad.
pub trait Network: fmt::Debug + Send + Sync {
    /// Which one it is.
    fn kind(&self) -> NetworkKind;

    /// What makes its changes.
    fn back_end(&self) -> BackEnd;

    /// What makes its links bad in other ways than by cuts, if that is not the back end itself.
    fn shaping(&self) -> Option<Shaping>;

    /// Why this network cannot give a link such a quality; `None` if it can.
    fn refuses(&self, pair: &Pair, quality: &Quality) -> Option<String>;

    /// Makes these the qualities of all links, in one step; links that are not named are healthy.
    ///
    /// # Errors
    /// If it cannot do one of them, or fails; then the links are as they were.
    fn apply(&self, links: &BTreeMap<Pair, Quality>) -> Result<Applied>;

    /// Packets that cuts dropped, by link: in all since the network began, or since the cuts that stand were applied
    /// ([`Network::forgets`]). `None` if it does not count.
    ///
    /// # Errors
    /// If it does not answer.
    fn dropped(&self) -> Result<Option<BTreeMap<Pair, u64>>>;

    /// Whether each change of the cuts sets the count back to 0.
    fn forgets(&self) -> bool;
}

impl Network for Switch {
    fn kind(&self) -> NetworkKind {
        NetworkKind::Switch
    }

    fn back_end(&self) -> BackEnd {
        BackEnd::Switch
    }

    fn shaping(&self) -> Option<Shaping> {
        None
    }

    fn refuses(&self, _pair: &Pair, _quality: &Quality) -> Option<String> {
        None
    }

    fn apply(&self, links: &BTreeMap<Pair, Quality>) -> Result<Applied> {
        let turned = Switch::apply(self, links)?;
        let n_cuts = links.values().filter(|quality| quality.cut).count();
        let n_bad = links.values().filter(|quality| !quality.cut && !quality.is_healthy()).count();
        Ok(Applied {
            back_end: BackEnd::Switch,
            shaping: None,
            n_cuts,
            n_bad,
            n_reset: turned.n_reset,
            seed: Some(self.seed()),
            duration_us: u64::try_from(turned.took.as_micros()).unwrap_or(u64::MAX),
        })
    }

    fn dropped(&self) -> Result<Option<BTreeMap<Pair, u64>>> {
        let by_cuts = |(pair, counts): (Pair, crate::switch::LinkCounts)| Some((pair, *counts.lost.get(&Cause::Cut)?));
        Ok(Some(self.counts()?.into_iter().filter_map(by_cuts).collect()))
    }

    fn forgets(&self) -> bool {
        false
    }
}

/// The kernel's star: the router's links, by the names of their ends.
#[derive(Debug)]
pub struct KernelNetwork {
    links: Links,
    addresses: BTreeMap<String, Ipv4Addr>,
}

impl KernelNetwork {
    /// Takes a router's links, and the addresses of its ends by name. Links can be cut.
    #[must_use]
    pub fn new(links: Links, addresses: BTreeMap<String, Ipv4Addr>) -> KernelNetwork {
        KernelNetwork { links, addresses }
    }

    /// Takes a router's links and its ends, and gets ready to make links bad in other ways, too: by `choice`, or the best that works.
    ///
    /// # Errors
    /// If what was chosen does not work here.
    pub fn shaped(mut links: Links, ends: &[Target], choice: Option<Shaping>, seed: u64) -> Result<KernelNetwork> {
        let arm = |end: &Target| Arm {
            address: end.address,
            interface: end.interface.clone(),
            namespace: end.namespace.clone(),
        };
        links.shape(&ends.iter().map(arm).collect::<Vec<_>>(), choice, seed)?;
        let addresses = ends.iter().map(|end| (end.id.clone(), end.address)).collect();
        Ok(KernelNetwork { links, addresses })
    }

    /// What can be done to links beside cuts.
    #[must_use]
    pub fn abilities(&self) -> Option<&Abilities> {
        self.links.abilities()
    }

    /// The better back ends that do not work here, with their reasons.
    #[must_use]
    pub fn refused(&self) -> &[(BackEnd, String)] {
        self.links.refused()
    }

    fn address(&self, id: &str) -> Result<Ipv4Addr> {
        let found = self.addresses.get(id).copied();
        found.ok_or_else(|| Error::Unusable(format!("no node is called `{id}`")))
    }

    fn name(&self, address: Ipv4Addr) -> Option<&String> {
        self.addresses.iter().find(|(_, known)| **known == address).map(|(id, _)| id)
    }
}

impl Network for KernelNetwork {
    fn kind(&self) -> NetworkKind {
        NetworkKind::Kernel
    }

    fn back_end(&self) -> BackEnd {
        self.links.back_end()
    }

    fn shaping(&self) -> Option<Shaping> {
        self.links.abilities().map(|abilities| abilities.shaping)
    }

    fn refuses(&self, pair: &Pair, quality: &Quality) -> Option<String> {
        if quality.is_healthy() || quality.is_plain_cut() {
            return None;
        }
        let why = match self.links.abilities() {
            Some(abilities) => abilities.refuses(quality)?,
            None => "it cuts links, and no more".to_owned(),
        };
        Some(format!("the kernel's network cannot do this to link {pair}: {why}"))
    }

    fn apply(&self, links: &BTreeMap<Pair, Quality>) -> Result<Applied> {
        if let Some(why) = links.iter().find_map(|(pair, quality)| self.refuses(pair, quality)) {
            return Err(Error::Unusable(why));
        }
        let bad = links.iter().filter(|(_, quality)| !quality.is_healthy());
        let links: BTreeMap<AddressPair, Quality> = bad
            .map(|(pair, quality)| Ok(((self.address(&pair.from)?, self.address(&pair.to)?), quality.clone())))
            .collect::<Result<_>>()?;
        self.links.apply_links(links)
    }

    fn dropped(&self) -> Result<Option<BTreeMap<Pair, u64>>> {
        let standing = self.links.standing()?;
        let by_pair = |((from, to), packets): ((Ipv4Addr, Ipv4Addr), Option<u64>)| {
            let pair = Pair::new(self.name(from)?, self.name(to)?);
            packets.map(|packets| (pair, packets))
        };
        let counts = self.links.back_end() != BackEnd::PolicyRules;
        Ok(counts.then(|| standing.into_iter().filter_map(by_pair).collect()))
    }

    fn forgets(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_a_name_for_flags() {
        for kind in [NetworkKind::Kernel, NetworkKind::Switch] {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!(
            "netem".parse::<NetworkKind>().unwrap_err(),
            "`netem` is no network; there are kernel and switch"
        );
    }
}
