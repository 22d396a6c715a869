//! What the kernel's own queues do to links: one tree of queueing disciplines on the router's end of every arm.
//!
//! ```text
//!  v-n2 ── htb 1: ─┬─ whatever no filter names: passes at once
//!                  ├─ class 1:1  from n1 ── netem (late, lost, damaged) ── netem (kept back) ── tbf (pace)
//!                  └─ class 1:2  from n3 ── tbf (pace)
//! ```
//!
//! A filter by source sends a directed link's packets to its class; a stage stands only where a quality asks for it. A heal takes the filter away
//! and lets what waits in the class go when it is due. A change of parameters keeps what is queued.
//!
//! **Jitter** is netem's: a draw for each packet, even around the delay with the standard deviation that is asked for. Packets keep their order
//! because netem is given a pace, so at many packets a second the mean moves towards the late side. **Kept-back packets** are a second
//! netem whose delay is one of two values, which has none of the surprises of its option `reorder` (which turns a batch around).
//!
//! **Damage** is netem's, too: a bit anywhere in the frame. Where it falls on the sender's Ethernet address, which nobody looks at, the packet arrives:
//! one in twenty of small ones, one in two hundred and fifty of full ones.
//!
//! **Duplicates** are refused: netem sends a copy to the root of the tree, past the other stages, and kernels since 2025 refuse it beside other
//! netems (`check_netem_in_tree`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::link::{CERTAIN_PPM, Quality, Reorder};
use crate::netlink::Netlink;
use crate::netlink::traffic::{Bucket, Handle, Loss, Netem, Qdisc};
use crate::{Error, Result, netns};

const TREE: Handle = Handle::new(1, 0);
/// Stages that a class has at most.
const STAGES: u16 = 3;
/// The end of an arm that a node sends on.
const OWN_END: &str = "eth0";
/// Multiples of a netem's spread are in 8192ths (`NETEM_DIST_SCALE`).
const ONE_SPREAD: i16 = 8192;
/// Entries of a table of delays (at most `NETEM_DIST_MAX`, 16384): a share is exact to a hundredth of a percent.
const TABLE: u32 = 10_000;
/// An even spread of s to both sides has a standard deviation of s / √3.
const SQUARE_ROOT_OF_3: f64 = 1.732_050_807_568_877_2;

/// A directed link, by the addresses of its ends.
pub type AddressPair = (Ipv4Addr, Ipv4Addr);

/// An arm of the star, as the router sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arm {
    /// The address at its other end.
    pub address: Ipv4Addr,
    /// The router's end.
    pub interface: String,
    /// The namespace at its other end.
    pub namespace: PathBuf,
}

/// The trees on all arms.
pub(super) struct Shaper {
    netlink: Netlink,
    netem: bool,
    arms: BTreeMap<Ipv4Addr, Trunk>,
    classes: BTreeMap<AddressPair, Class>,
}

/// One arm at work.
struct Trunk {
    link: u32,
    n_classes: u16,
    sender: Netlink,
    own_end: u32,
    large_sends: bool,
}

/// One directed link that was bad before.
struct Class {
    number: u16,
    stages: Vec<Qdisc>,
    filtered: bool,
}

impl Shaper {
    /// Plants a tree on every arm. The calling thread must be in the router's namespace.
    pub(super) fn open(arms: &[Arm], netem: bool) -> Result<Shaper> {
        netns::in_namespace(netns::new_namespace()?, || try_out(netem))??;
        let mut netlink = Netlink::open()?;
        let mut opened = BTreeMap::new();
        for arm in arms {
            let link = netlink.index(&arm.interface)?;
            // What a former owner left; there is none to delete as a rule.
            let _ = netlink.delete_qdisc(link, Handle::ROOT);
            netlink.set_qdisc(link, Handle::ROOT, TREE, &Qdisc::Htb)?;
            let (sender, own_end) = netns::in_namespace(netns::open(&arm.namespace)?, || -> Result<(Netlink, u32)> {
                let mut sender = Netlink::open()?;
                let own_end = sender.index(OWN_END)?;
                Ok((sender, own_end))
            })??;
            let trunk = Trunk {
                link,
                n_classes: 0,
                sender,
                own_end,
                large_sends: true,
            };
            opened.insert(arm.address, trunk);
        }
        Ok(Shaper {
            netlink,
            netem,
            arms: opened,
            classes: BTreeMap::new(),
        })
    }

    /// Makes these the qualities of all links, as far as queues can; the rest is for others. If it fails, a part may be done.
    pub(super) fn apply(&mut self, links: &BTreeMap<AddressPair, Quality>) -> Result<()> {
        self.set_large_sends(links)?;
        for (pair, class) in &mut self.classes {
            let is_bad = links.get(pair).is_some_and(|quality| !stages(quality, self.netem).is_empty());
            if class.filtered && !is_bad {
                let link = trunk(&mut self.arms, pair.1)?.link;
                self.netlink.delete_filter(link, TREE, class.number)?;
                class.filtered = false;
            }
        }
        for (pair, quality) in links {
            let stages = stages(quality, self.netem);
            if !stages.is_empty() {
                self.shape(*pair, stages)?;
            }
        }
        Ok(())
    }

    fn shape(&mut self, pair: AddressPair, stages: Vec<Qdisc>) -> Result<()> {
        let trunk = trunk(&mut self.arms, pair.1)?;
        let link = trunk.link;
        if let std::collections::btree_map::Entry::Vacant(place) = self.classes.entry(pair) {
            let number = trunk.n_classes + 1;
            self.netlink.add_class(link, TREE, Handle::new(1, number))?;
            trunk.n_classes = number;
            place.insert(Class {
                number,
                stages: Vec::new(),
                filtered: false,
            });
        }
        let Some(class) = self.classes.get_mut(&pair) else {
            return Ok(());
        };
        if class.stages != stages {
            let alike = class.stages.iter().map(Qdisc::kind).eq(stages.iter().map(Qdisc::kind));
            if !alike && !class.stages.is_empty() {
                self.netlink.delete_qdisc(link, Handle::new(1, class.number))?;
                class.stages.clear();
            }
            for (place, qdisc) in (0..).zip(&stages) {
                let (parent, handle) = chain(class.number, place);
                self.netlink.set_qdisc(link, parent, handle, qdisc)?;
            }
            class.stages = stages;
        }
        if !class.filtered {
            let (number, source) = (class.number, pair.0);
            self.netlink.add_source_filter(link, TREE, number, source, Handle::new(1, number))?;
            class.filtered = true;
        }
        Ok(())
    }

    /// Where each packet has a fate of its own, a sender hands over single packets, not large sends of many.
    fn set_large_sends(&mut self, links: &BTreeMap<AddressPair, Quality>) -> Result<()> {
        for (address, trunk) in &mut self.arms {
            let from_it = links.iter().filter(|((from, _), _)| from == address);
            let large_sends = !from_it.into_iter().any(|(_, quality)| quality.acts_on_single_packets());
            if trunk.large_sends != large_sends {
                trunk.sender.set_large_sends(trunk.own_end, large_sends)?;
                trunk.large_sends = large_sends;
            }
        }
        Ok(())
    }
}

fn trunk(arms: &mut BTreeMap<Ipv4Addr, Trunk>, address: Ipv4Addr) -> Result<&mut Trunk> {
    arms.get_mut(&address)
        .ok_or_else(|| Error::Unusable(format!("no arm of the star leads to {address}")))
}

/// Parent and handle of a stage: the first one is below its class, each other one below the one before, whose only class is 1.
fn chain(class: u16, place: u16) -> (Handle, Handle) {
    let major = |place: u16| 2 + (class - 1) * STAGES + place;
    let parent = match place.checked_sub(1) {
        None => Handle::new(1, class),
        Some(before) => Handle::new(major(before), 1),
    };
    (parent, Handle::new(major(place), 0))
}

/// The queues that a quality asks for, from the first that a packet meets to the last.
fn stages(quality: &Quality, netem: bool) -> Vec<Qdisc> {
    let first = Netem {
        delay_ns: nanoseconds(quality.delay_us),
        spread_ns: (quality.jitter_us as f64 * 1000.0 * SQUARE_ROOT_OF_3) as i64,
        table: Vec::new(),
        in_order: quality.jitter_us > 0,
        loss: loss(quality),
        corrupt: share(quality.corrupt_ppm),
    };
    let pace = quality.rate.map(|rate| Bucket {
        bytes_per_s: (rate.kbit_per_s * 1000 / 8).max(1),
        queue_bytes: u32::try_from(u128::from(rate.kbit_per_s) * u128::from(rate.queue_us) / 8000).unwrap_or(u32::MAX),
    });
    let first = (netem && first != Netem::default()).then_some(Qdisc::Netem(first));
    let second = quality.reorder.filter(|_| netem).map(|reorder| Qdisc::Netem(kept_back(reorder)));
    first.into_iter().chain(second).chain(pace.map(Qdisc::Tbf)).collect()
}

/// Some packets are late by one spread, and all others by nothing.
fn kept_back(reorder: Reorder) -> Netem {
    let n_late = u64::from(reorder.share_ppm) * u64::from(TABLE) / u64::from(CERTAIN_PPM);
    let late = |entry: u32| if u64::from(entry) < n_late { ONE_SPREAD } else { 0 };
    Netem {
        spread_ns: nanoseconds(reorder.by_us),
        table: (0..TABLE).map(late).collect(),
        ..Netem::default()
    }
}

/// Independent losses and bursts are one model of netem's: on a good link the former, on a bad one whichever comes first.
fn loss(quality: &Quality) -> Loss {
    let Some(burst) = quality.burst else {
        return Loss::Random(share(quality.loss_ppm));
    };
    let passes = |ppm: u32| u64::from(CERTAIN_PPM - ppm.min(CERTAIN_PPM));
    let bad_passes = passes(burst.loss_ppm) * passes(quality.loss_ppm) / u64::from(CERTAIN_PPM);
    Loss::Bursts {
        enter: share(burst.enter_ppm),
        leave: share(burst.leave_ppm),
        bad_passes: share(u32::try_from(bad_passes).unwrap_or(CERTAIN_PPM)),
        good_loses: share(quality.loss_ppm),
    }
}

/// Parts of a million as parts of 2^32.
fn share(ppm: u32) -> u32 {
    u32::try_from((u64::from(ppm) << 32) / u64::from(CERTAIN_PPM)).unwrap_or(u32::MAX)
}

fn nanoseconds(us: u64) -> i64 {
    i64::try_from(us.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// Makes one of everything on a loopback of its own.
fn try_out(netem: bool) -> Result<()> {
    let mut netlink = Netlink::open()?;
    let link = netlink.index("lo")?;
    let everything = Quality {
        delay_us: 1000,
        reorder: Some(Reorder {
            share_ppm: 100_000,
            by_us: 1000,
        }),
        rate: Some(crate::link::Rate {
            kbit_per_s: 1000,
            queue_us: 100_000,
        }),
        ..Quality::default()
    };
    netlink.set_qdisc(link, Handle::ROOT, TREE, &Qdisc::Htb)?;
    netlink.add_class(link, TREE, Handle::new(1, 1))?;
    for (place, qdisc) in (0..).zip(stages(&everything, netem)) {
        let (parent, handle) = chain(1, place);
        netlink.set_qdisc(link, parent, handle, &qdisc)?;
    }
    netlink.add_source_filter(link, TREE, 1, Ipv4Addr::LOCALHOST, Handle::new(1, 1))?;
    netlink.delete_filter(link, TREE, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Burst, Rate};

    fn kinds(quality: &Quality, netem: bool) -> Vec<&'static str> {
        stages(quality, netem).iter().map(Qdisc::kind).collect()
    }

    #[test]
    fn a_stage_stands_only_where_it_is_asked_for() {
        let rate = Some(Rate {
            kbit_per_s: 8000,
            queue_us: 100_000,
        });
        let narrow = Quality {
            rate,
            ..Quality::default()
        };
        let reorder = Some(Reorder {
            share_ppm: 100_000,
            by_us: 2000,
        });
        let all = Quality {
            delay_us: 5,
            reorder,
            ..narrow.clone()
        };
        assert!(kinds(&Quality::cut(), true).is_empty());
        assert_eq!(kinds(&narrow, true), ["tbf"]);
        assert_eq!(
            (kinds(&all, true), kinds(&all, false)),
            (vec!["netem", "netem", "tbf"], vec!["tbf"])
        );
        let bucket = Bucket {
            bytes_per_s: 1_000_000,
            queue_bytes: 100_000,
        };
        assert_eq!(stages(&narrow, false), [Qdisc::Tbf(bucket)]);
    }

    #[test]
    fn a_share_of_the_delays_is_one_spread_and_all_others_none() {
        let netem = kept_back(Reorder {
            share_ppm: 123_400,
            by_us: 7,
        });
        let late = netem.table.iter().filter(|entry| **entry == ONE_SPREAD).count();
        assert_eq!((late, netem.table.len(), netem.spread_ns), (1234, 10_000, 7000));
        assert!(netem.table.iter().all(|entry| [0, ONE_SPREAD].contains(entry)));
    }

    #[test]
    fn independent_losses_go_on_in_bursts() {
        let burst = Burst {
            enter_ppm: 250_000,
            leave_ppm: 500_000,
            loss_ppm: 500_000,
        };
        let quality = Quality {
            loss_ppm: 500_000,
            burst: Some(burst),
            ..Quality::default()
        };
        let expected = Loss::Bursts {
            enter: 1 << 30,
            leave: 1 << 31,
            bad_passes: 1 << 30,
            good_loses: 1 << 31,
        };
        assert_eq!(loss(&quality), expected);
        assert_eq!((share(CERTAIN_PPM), share(0)), (u32::MAX, 0));
    }

    #[test]
    fn each_stage_hangs_below_the_one_before() {
        assert_eq!(chain(1, 0), (Handle::new(1, 1), Handle::new(2, 0)));
        assert_eq!(chain(1, 1), (Handle::new(2, 1), Handle::new(3, 0)));
        assert_eq!(chain(2, 0), (Handle::new(1, 2), Handle::new(5, 0)));
    }
}
