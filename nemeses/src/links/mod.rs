//! Cutting links: which directed pairs of addresses the router lets no packet pass between.
//!
//! All traffic between nodes crosses the router's FORWARD path, so one place holds every cut, and a back end changes *all* of them in one
//! atomic step: no node sees a half-made partition. Every back end takes the whole desired set, never a difference, so that applying is
//! idempotent and healing is applying the empty set.
//!
//! | back end | how the change is atomic | needs | counts drops |
//! |---|---|---|---|
//! | `iptables-legacy`, `iptables-nft` | one `iptables-restore --noflush` commit refills our own chain | the program | yes |
//! | `nftables` | one nfnetlink batch | nf_tables in the kernel | yes |
//! | `policy-rules` | one `goto` rule switches between two banks of `blackhole` rules | policy routing in the kernel | no |
//!
//! All three drop silently: a peer sees a stall, never a reset or an ICMP error.
//!
//! What else can be wrong with a link is done by [`Shaping`]: netem, or what stands in for it.
//!
//! - `choose`: which back ends work here, found by doing
//! - `router`: the thread that lives in the router's namespace
//! - `shaping`: who does what to a bad link; `shape`: by the kernel's queues; `rules`: by the packet filter; `queue`: by us

mod choose;
mod iptables;
mod nftables;
mod policy_rules;
mod queue;
mod router;
mod rules;
mod shape;
mod shaping;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

pub use choose::{Detected, detect};
pub use router::Links;
pub use shape::{AddressPair, Arm};
pub use shaping::{Abilities, Shaping};

use crate::{Error, Result};
use rules::Rule;

/// Directed pairs (from, to) between which no packet may pass.
pub type AddressCuts = BTreeSet<(Ipv4Addr, Ipv4Addr)>;

/// The cuts that stand in the kernel, with the packets dropped since they were applied; `None` where the back end does not count.
pub type Standing = BTreeMap<(Ipv4Addr, Ipv4Addr), Option<u64>>;

/// A way to make links bad. The order is that of preference; the switch is another network altogether ([`crate::Network`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackEnd {
    /// The iptables program over the kernel's own x_tables.
    IptablesLegacy,
    /// The iptables program over nf_tables.
    IptablesNft,
    /// nf_tables by netlink, no program.
    Nftables,
    /// Policy routing rules by netlink, no program, no netfilter.
    PolicyRules,
    /// The network in user space ([`crate::switch`]), which is no router's.
    Switch,
}

impl BackEnd {
    /// Those of the kernel's router, best first.
    pub const OF_ROUTER: [BackEnd; 4] = [
        BackEnd::IptablesLegacy,
        BackEnd::IptablesNft,
        BackEnd::Nftables,
        BackEnd::PolicyRules,
    ];

    /// The name that plans, flags and receipts use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            BackEnd::IptablesLegacy => "iptables-legacy",
            BackEnd::IptablesNft => "iptables-nft",
            BackEnd::Nftables => "nftables",
            BackEnd::PolicyRules => "policy-rules",
            BackEnd::Switch => "switch",
        }
    }
}

impl fmt::Display for BackEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What one change of the links took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// What made the change.
    pub back_end: BackEnd,
    /// What makes links bad in other ways, on the kernel's network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shaping: Option<Shaping>,
    /// How many directed pairs are cut now.
    pub n_cuts: usize,
    /// How many others are bad in another way.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_bad: usize,
    /// Connections that the change reset.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_reset: u32,
    /// The seed of what is left to chance on the links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// From the command to its return, in the thread that makes the change.
    pub duration_us: u64,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One way to cut links, opened in the router's namespace by the thread that uses it.
trait LinkBackEnd {
    /// Makes `cuts` the whole set of cuts, in one atomic step.
    fn apply(&mut self, cuts: &AddressCuts) -> Result<()>;

    /// Makes these cuts, and these rules behind them, all that there is, in one atomic step.
    fn apply_all(&mut self, cuts: &AddressCuts, rules: &[Rule]) -> Result<()> {
        if rules.is_empty() {
            return self.apply(cuts);
        }
        Err(Error::Unusable("this packet filter only cuts links; iptables does more".into()))
    }

    /// Asks the kernel what stands.
    fn standing(&mut self) -> Result<Standing>;

    /// Takes away everything this back end ever made. Errors do not matter: what was never made cannot be removed.
    fn remove(&mut self);
}
