//! The faults there are: what a plan says, and what it comes to at run time.
//!
//! A [`Fault`] is drawn when the plan is, with everything left to chance decided then: who comes first in an order, which shape. What is left open is
//! only who plays a role, and [`Fault::resolve`] settles that without chance.
//!
//! **A family of faults is one file here.** It holds a type per kind, which is what a plan says of it, its `FaultInfo`, and the trait
//! `Family`. This file knows of it by a variant of [`Fault`], an arm of [`Fault::family`] and a line of [`FAULTS`]. What a kind asks for is a part of the
//! [`State`] of the world, called its [`Mechanism`]: kinds of the same mechanism are applied, proved and healed by the same code.

pub mod balancer;
pub mod clock;
mod dice;
pub mod disk;
pub mod domain;
mod family;
pub mod limits;
pub mod links;
pub mod member;
pub mod partition;
pub mod process;
mod resolved;
pub mod spare;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::balancer::{LbFlush, LbPorts};
use self::clock::Clock;
pub use self::dice::Dice;
use self::disk::damage::{BitRot, MisdirectedWrite};
use self::disk::power::{Power, Torn};
use self::disk::resources::{DiskFull, DiskRate, ReadOnly};
use self::disk::{Eio, Enospc, Fsync, LyingFsync, SlowDisk};
use self::domain::{RackDown, RegionSlow, SpineCut};
use self::family::Family;
pub use self::family::{Asks, Ground, Scene, Site};
use self::limits::{Cpu, Fd, Memory};
use self::links::{
    BlackHole, ClientCut, Corrupt, CorruptPastChecksum, Delay, Duplicate, Flapping, LinkFault, Loss, Narrow, Reordering, Reset,
    SlowReceiver, Swizzle,
};
use self::member::{Membership, Shrink, Transfer};
use self::partition::Partition;
use self::process::{Kill, Pause, RestartStorm, Stutter};
pub use self::resolved::{Pulse, Resolved};
use self::spare::{Grow, Replace};
use crate::capability::Capability;
use crate::target::{Roles, Skipped};
use crate::world::State;

/// What is known of a kind of fault.
#[derive(Clone, Copy, Debug)]
pub struct FaultInfo {
    /// The name that flags and plans use.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What the system must be able to do.
    pub needs: &'static [Capability],
    /// Fewest nodes of a cluster that it can be done to.
    pub nodes_min: u32,
    /// Which part of the world it asks something of.
    pub mechanism: Mechanism,
    /// Draws one, using roles only if the system can name who plays them.
    pub draw: fn(&mut Dice<'_>) -> Fault,
}

/// A part of the world, and with it how something asked of it is applied, proved and healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mechanism {
    /// [`State::cuts`]: proved by datagrams over every pair of nodes.
    Cuts,
    /// [`State::links`]: proved by what links do to datagrams and connections of ours.
    Links,
    /// [`State::down`]: proved by the end of the node's processes, and by their return.
    Life,
    /// [`State::paused`]: proved by the states of the node's threads.
    Motion,
    /// [`State::clocks`]: proved by what the node's wall clock shows.
    Clocks,
    /// [`State::limits`]: proved by what a process of ours can get in the node's group, and by what the kernel shows.
    Limits,
    /// [`State::disks`]: proved by the bytes of a probe file, and by what its operations come to.
    Disks,
    /// [`State::balancer`]: proved by connections of ours through it.
    Balancer,
    /// [`State::removed`], [`State::joined`] and [`State::led_by`]: asked of the system itself, which may refuse; proved by what its leader shows.
    System,
}

impl Mechanism {
    /// Whether it is seen node by node, so that a fault of several nodes is to be seen on each of them; else on the links, or by what the system says.
    #[must_use]
    pub fn is_of_nodes(self) -> bool {
        match self {
            Mechanism::Life | Mechanism::Motion | Mechanism::Clocks | Mechanism::Limits | Mechanism::Disks => true,
            Mechanism::Cuts | Mechanism::Links | Mechanism::Balancer | Mechanism::System => false,
        }
    }
}

/// Every kind of fault.
pub const FAULTS: &[FaultInfo] = &[
    partition::PARTITION,
    process::KILL,
    process::PAUSE,
    clock::CLOCK,
    member::TRANSFER,
    member::MEMBERSHIP,
    process::RESTART_STORM,
    process::STUTTER,
    limits::CPU,
    limits::MEMORY,
    limits::FD,
    disk::power::POWER,
    disk::power::TORN,
    disk::FSYNC,
    disk::EIO,
    disk::ENOSPC,
    disk::SLOW_DISK,
    disk::LYING_FSYNC,
    links::DELAY,
    links::LOSS,
    links::DUPLICATE,
    links::REORDER,
    links::CORRUPT,
    links::CORRUPT_PAST_CHECKSUM,
    links::RATE,
    links::RESET,
    links::MTU,
    links::SLOW_RECEIVER,
    links::FLAPPING,
    links::SWIZZLE,
    links::CLIENT_CUT,
    disk::resources::DISK_FULL,
    disk::resources::READ_ONLY,
    disk::resources::DISK_RATE,
    disk::damage::BIT_ROT,
    disk::damage::MISDIRECTED_WRITE,
    member::SHRINK,
    domain::RACK_DOWN,
    domain::SPINE_CUT,
    domain::REGION_SLOW,
    balancer::LB_FLUSH,
    balancer::LB_PORTS,
    spare::GROW,
    spare::REPLACE,
];

/// One fault, as a plan has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Cut links between nodes, silently.
    Partition(Partition),
    /// Kill a node's processes.
    Kill(Kill),
    /// Stop a node's processes.
    Pause(Pause),
    /// Move a node's wall clock.
    Clock(Clock),
    /// Hand the leadership over.
    Transfer(Transfer),
    /// Take a node out of the members.
    Membership(Membership),
    /// Kill a node's processes again and again.
    RestartStorm(RestartStorm),
    /// Stop a node's processes again and again.
    Stutter(Stutter),
    /// Limit a node's processor time.
    Cpu(Cpu),
    /// Take a node's memory.
    Memory(Memory),
    /// Limit a node's file descriptors.
    Fd(Fd),
    /// Cut the power of nodes.
    Power(Power),
    /// Cut the power of nodes in the midst of writes.
    Torn(Torn),
    /// Let a node's fsyncs fail.
    Fsync(Fsync),
    /// Let operations of a node's disk fail.
    Eio(Eio),
    /// Leave no room on a node's disk.
    Enospc(Enospc),
    /// Slow a node's disk down.
    SlowDisk(SlowDisk),
    /// Let a node's fsyncs succeed without doing anything.
    LyingFsync(LyingFsync),
    /// Make links slow.
    Delay(LinkFault<Delay>),
    /// Lose packets.
    Loss(LinkFault<Loss>),
    /// Deliver packets twice.
    Duplicate(LinkFault<Duplicate>),
    /// Let packets overtake others.
    #[serde(rename = "reorder")]
    Reordering(LinkFault<Reordering>),
    /// Damage packets on the wire.
    Corrupt(LinkFault<Corrupt>),
    /// Damage payloads so that no checksum sees it.
    CorruptPastChecksum(LinkFault<CorruptPastChecksum>),
    /// Make links narrow.
    #[serde(rename = "rate")]
    Narrow(LinkFault<Narrow>),
    /// Reset connections.
    Reset(LinkFault<Reset>),
    /// Swallow large packets.
    #[serde(rename = "mtu")]
    BlackHole(LinkFault<BlackHole>),
    /// Hold what a node gets and deliver it in gulps.
    SlowReceiver(LinkFault<SlowReceiver>),
    /// Cut links and heal them by turns.
    Flapping(LinkFault<Flapping>),
    /// Cut links one by one and heal them in another order.
    Swizzle(Swizzle),
    /// Cut the clients from a node.
    ClientCut(LinkFault<ClientCut>),
    /// Let a node's disk hold no more.
    DiskFull(DiskFull),
    /// Let a node's disk only be read.
    ReadOnly(ReadOnly),
    /// Let a node's disk move few bytes a second.
    DiskRate(DiskRate),
    /// Flip bits of what a node has on its disk.
    BitRot(BitRot),
    /// Let writes of a node land elsewhere on its disk.
    MisdirectedWrite(MisdirectedWrite),
    /// Take several nodes out of the members at once.
    Shrink(Shrink),
    /// Lose the leaves of a failure domain.
    RackDown(RackDown),
    /// Lose a spine.
    SpineCut(SpineCut),
    /// Make the links between a failure domain and all others slow.
    RegionSlow(RegionSlow),
    /// Flush the balancer's flow table.
    LbFlush(LbFlush),
    /// Use the balancer's ports up.
    LbPorts(LbPorts),
    /// Let spare nodes join.
    Grow(Grow),
    /// Put a spare node in a member's place.
    Replace(Replace),
}

impl FaultInfo {
    /// Whether no honest system claims to survive it, so that it is injected only where it is asked for by its name: a disk that lies about
    /// fsync or damages what it was given, a network whose damage passes every checksum.
    #[must_use]
    pub fn is_beyond_promises(&self) -> bool {
        let beyond = [
            disk::LYING_FSYNC,
            links::CORRUPT_PAST_CHECKSUM,
            disk::damage::BIT_ROT,
            disk::damage::MISDIRECTED_WRITE,
        ];
        beyond.iter().any(|info| info.name == self.name)
    }

    /// Whether it hits failure domains, and so needs a topology.
    #[must_use]
    pub fn is_by_domain(&self) -> bool {
        [domain::RACK_DOWN.name, domain::SPINE_CUT.name, domain::REGION_SLOW.name].contains(&self.name)
    }

    /// Whether it is one of the balancer in front of the nodes.
    #[must_use]
    pub fn is_of_balancer(&self) -> bool {
        self.mechanism == Mechanism::Balancer
    }

    /// Why it cannot be done to nodes that stand so; `None` if it can.
    #[must_use]
    pub fn impossible_on(&self, site: Site<'_>) -> Option<String> {
        if self.is_by_domain() {
            return domain::impossible(self.name, site.topology);
        }
        if self.needs_spares() && !site.spares {
            return Some("it needs spare nodes; give the cluster some by `--spares 2`".into());
        }
        let missing = self.is_of_balancer() && !site.balancer;
        missing.then(|| "it needs a balancer; put one in front of the nodes by `--lb`".into())
    }

    /// Whether it takes nodes that were no members at first.
    #[must_use]
    pub fn needs_spares(&self) -> bool {
        self.needs.contains(&Capability::Grow)
    }
}

/// A fault as what every kind can do.
macro_rules! as_family {
    ($fault:expr) => {
        match $fault {
            Fault::Partition(fault) => fault,
            Fault::Kill(fault) => fault,
            Fault::Pause(fault) => fault,
            Fault::Clock(fault) => fault,
            Fault::Transfer(fault) => fault,
            Fault::Membership(fault) => fault,
            Fault::RestartStorm(fault) => fault,
            Fault::Stutter(fault) => fault,
            Fault::Cpu(fault) => fault,
            Fault::Memory(fault) => fault,
            Fault::Fd(fault) => fault,
            Fault::Power(fault) => fault,
            Fault::Torn(fault) => fault,
            Fault::Fsync(fault) => fault,
            Fault::Eio(fault) => fault,
            Fault::Enospc(fault) => fault,
            Fault::SlowDisk(fault) => fault,
            Fault::LyingFsync(fault) => fault,
            Fault::Delay(fault) => fault,
            Fault::Loss(fault) => fault,
            Fault::Duplicate(fault) => fault,
            Fault::Reordering(fault) => fault,
            Fault::Corrupt(fault) => fault,
            Fault::CorruptPastChecksum(fault) => fault,
            Fault::Narrow(fault) => fault,
            Fault::Reset(fault) => fault,
            Fault::BlackHole(fault) => fault,
            Fault::SlowReceiver(fault) => fault,
            Fault::Flapping(fault) => fault,
            Fault::Swizzle(fault) => fault,
            Fault::ClientCut(fault) => fault,
            Fault::DiskFull(fault) => fault,
            Fault::ReadOnly(fault) => fault,
            Fault::DiskRate(fault) => fault,
            Fault::BitRot(fault) => fault,
            Fault::MisdirectedWrite(fault) => fault,
            Fault::Shrink(fault) => fault,
            Fault::RackDown(fault) => fault,
            Fault::SpineCut(fault) => fault,
            Fault::RegionSlow(fault) => fault,
            Fault::LbFlush(fault) => fault,
            Fault::LbPorts(fault) => fault,
            Fault::Grow(fault) => fault,
            Fault::Replace(fault) => fault,
        }
    };
}

impl Fault {
    /// Draws a fault of a kind of [`FAULTS`].
    ///
    /// # Panics
    /// If there is no such kind: look it up first.
    pub fn draw(kind: &str, dice: &mut Dice<'_>) -> Fault {
        let info = FAULTS.iter().find(|info| info.name == kind);
        (info.unwrap_or_else(|| panic!("`{kind}` is no kind of fault")).draw)(dice)
    }

    fn family(&self) -> &dyn Family {
        as_family!(self)
    }

    fn family_mut(&mut self) -> &mut dyn Family {
        as_family!(self)
    }

    /// What is known of its kind, one of [`FAULTS`].
    #[must_use]
    pub fn info(&self) -> &'static FaultInfo {
        self.family().info()
    }

    /// Its kind's name.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.info().name
    }

    /// Which part of the world it asks something of.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.info().mechanism
    }

    /// Of so many members, how many it is sure to take away for as long as it is in force: they do not run, reach nobody, or can write nothing.
    #[must_use]
    pub fn n_taken_away(&self, n_members: usize) -> usize {
        let is_steady = matches!(self.mechanism(), Mechanism::Life | Mechanism::Motion | Mechanism::Cuts) && self.pulse().is_none();
        match self {
            Fault::Power(Power { hits }) | Fault::Torn(Torn { hits, .. }) => hits.n_hit(n_members),
            _ if is_steady || matches!(self, Fault::Memory(_) | Fault::DiskFull(_) | Fault::ReadOnly(_)) => {
                self.family().target().map_or(0, |target| target.n_hit(n_members))
            }
            _ => 0,
        }
    }

    /// Whether it is over when it is injected, so that it needs no duration.
    #[must_use]
    pub fn is_momentary(&self) -> bool {
        matches!(self, Fault::Transfer(_) | Fault::LbFlush(_))
    }

    /// The order of all nodes in which it looks for those it hits, if a plan left that out: to be drawn.
    pub fn open_order(&mut self) -> Option<&mut Vec<String>> {
        self.family_mut().order_mut().filter(|order| order.is_empty())
    }

    /// Makes it take no more spare nodes than there are.
    pub fn limit_spares(&mut self, spares: u32) {
        if let Fault::Grow(fault) = self {
            fault.by = fault.by.min(spares);
        }
    }

    /// How many spare nodes it takes.
    #[must_use]
    pub fn takes_spares(&self) -> u32 {
        match self {
            Fault::Grow(fault) => fault.by,
            Fault::Replace(_) => 1,
            _ => 0,
        }
    }

    /// The failure domain that is away as a whole for as long as it is in force, if one is.
    #[must_use]
    pub fn takes_away(&self) -> Option<&str> {
        match self {
            Fault::RackDown(fault) => Some(&fault.domain),
            _ => None,
        }
    }

    /// Its beat, if it comes and goes while it is in force.
    #[must_use]
    pub fn pulse(&self) -> Option<Pulse> {
        self.family().pulse()
    }

    /// What it asks of the links that it hits, if it hits any.
    #[must_use]
    pub fn quality(&self) -> Option<crate::link::Quality> {
        self.family().quality()
    }

    /// Checks a fault that a person wrote.
    ///
    /// # Errors
    /// Names the word at fault.
    pub fn validate<'a>(&self, ground: impl Into<Ground<'a>>) -> Result<(), String> {
        self.family().validate_on(ground.into())
    }

    /// What must be known before it can be resolved.
    #[must_use]
    pub fn asks(&self) -> Asks {
        self.family().asks()
    }

    /// What must be known before whoever it struck in an earlier run is struck again: only where it is no fault to do so.
    #[must_use]
    pub fn asks_again(&self) -> Asks {
        match self {
            Fault::Transfer(_) => Asks::LEADER,
            _ => Asks::default(),
        }
    }

    /// Settles who is hit. `now` is the state of the world, with nodes that are down for other reasons added; `roles` answers [`Fault::asks`], or
    /// says who was struck before, and answers [`Fault::asks_again`].
    ///
    /// # Errors
    /// If nobody can be hit now.
    pub fn resolve<'a>(&self, ground: impl Into<Ground<'a>>, now: &State, roles: &Roles) -> Result<Resolved, Skipped> {
        let Ground { nodes, spares, topology } = ground.into();
        let again = roles.struck.as_ref().map(|struck| struck.spares.as_slice()).unwrap_or_default();
        if let Some(spare) = again.iter().find(|spare| !spares.contains(spare)) {
            return Err(Skipped(format!("the spare node {spare} is not free")));
        }
        let spares = if again.is_empty() { spares } else { again };
        self.family().resolve(&Scene {
            nodes,
            spares,
            topology,
            now,
            roles,
        })
    }
}
