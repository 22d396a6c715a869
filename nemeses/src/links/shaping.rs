//! What makes the kernel's links bad in other ways than by cuts, and what it can do here: found by doing.
//!
//! | | `netem` | `emulated` |
//! |---|---|---|
//! | late, jitter, kept back, damaged | netem | queued to us ([`super::queue`]) |
//! | lost, each by itself / in bursts | netem / netem | the packet filter (statistic) / queued to us |
//! | paced | token bucket | token bucket |
//! | ports, large packets, resets | the packet filter | the packet filter |
//! | twice, flapping, stalled, forged | refused | queued to us |
//!
//! The two are never mixed: where there is netem nothing is queued to us, so that a run that names `netem` is one.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::queue::{self, Queue};
use super::rules::{Rule, Rulebook, Share};
use super::shape::{Arm, Shaper};
use super::{AddressCuts, AddressPair, LinkBackEnd};
use crate::Result;
use crate::link::Quality;

/// What makes links bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shaping {
    /// The kernel's network emulator.
    Netem,
    /// Token buckets, the packet filter, and a thread of ours behind a queue of packets.
    Emulated,
}

impl Shaping {
    /// The better one first.
    pub const ALL: [Shaping; 2] = [Shaping::Netem, Shaping::Emulated];

    /// The name that receipts use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Shaping::Netem => "netem",
            Shaping::Emulated => "emulated",
        }
    }

    /// What it is made of, for people.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Shaping::Netem => "netem",
            Shaping::Emulated => "emulated: htb+statistic+nfqueue",
        }
    }
}

impl fmt::Display for Shaping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a shaping can do here: each part that it lacks, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abilities {
    /// Which one it is.
    pub shaping: Shaping,
    /// Why there is no netem, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_netem: Option<String>,
    /// Why there are no token buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_buckets: Option<String>,
    /// Why the packet filter cuts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_filters: Option<String>,
    /// Why nothing can be queued to us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_queue: Option<String>,
}

impl Abilities {
    /// All that a shaping can do anywhere.
    #[must_use]
    pub fn of(shaping: Shaping) -> Abilities {
        Abilities {
            shaping,
            no_netem: None,
            no_buckets: None,
            no_filters: None,
            no_queue: None,
        }
    }

    /// What is left without packets that are queued to us: what the kernel does by itself.
    #[must_use]
    pub fn without_us(&self) -> Abilities {
        Abilities {
            no_queue: Some("packets are not to be queued to us".to_owned()),
            ..self.clone()
        }
    }

    /// Why a link cannot be given such a quality; `None` if it can.
    #[must_use]
    pub fn refuses(&self, quality: &Quality) -> Option<String> {
        let lacking = |(asked, lack, what): (bool, Option<String>, &str)| lack.filter(|_| asked).map(|why| format!("{what}: {why}"));
        self.needs(quality).into_iter().find_map(lacking)
    }

    /// What a quality asks for, what is lacking for that, and its name.
    fn needs(&self, quality: &Quality) -> [(bool, Option<String>, &'static str); 6] {
        let Quality {
            cut,
            cut_ports,
            flap,
            resets,
            refuse,
            mtu,
            loss_ppm,
            burst,
            rate,
            delay_us,
            jitter_us,
            stall,
            reorder,
            duplicate_ppm,
            corrupt_ppm,
            corrupt_past_checksum_ppm,
        } = quality;
        let netem = self.shaping == Shaping::Netem;
        let queue = || match self.shaping {
            Shaping::Netem => Some("netem has no such thing".to_owned()),
            Shaping::Emulated => self.no_queue.clone(),
        };
        let emulator = if netem { None } else { self.no_queue.clone() };
        let filters = *cut || !cut_ports.is_empty() || *refuse || *resets > 0 || mtu.is_some();
        let by_netem = *delay_us > 0 || *jitter_us > 0 || reorder.is_some() || burst.is_some() || *corrupt_ppm > 0;
        let by_queue = flap.is_some() || stall.is_some() || *duplicate_ppm > 0;
        [
            // Any back end cuts.
            (filters && !quality.is_plain_cut(), self.no_filters.clone(), "the packet filter"),
            (rate.is_some(), self.no_buckets.clone(), "token buckets"),
            (*loss_ppm > 0 && !netem, self.no_filters.clone(), "losses by the packet filter"),
            (by_netem, emulator, "packets queued to us"),
            (by_queue, queue(), "gates and duplicates"),
            (*corrupt_past_checksum_ppm > 0, queue(), "forgeries"),
        ]
    }
}

/// A shaping at work, in the thread that owns the packet filter.
pub(super) struct Shaped {
    pub(super) abilities: Abilities,
    shaper: Option<Shaper>,
    queue: Option<Queue>,
    book: Rulebook,
    wanted: BTreeMap<AddressPair, Quality>,
}

impl Shaped {
    /// Opens one shaping, or the better one that works. `filter` is tried with every rule that there is.
    pub(super) fn open(arms: &[Arm], choice: Option<Shaping>, seed: u64, filter: &mut dyn LinkBackEnd) -> Result<Shaped> {
        let mut abilities = Abilities::of(Shaping::Netem);
        abilities.no_filters = said(try_rules(filter, every_rule()));
        if choice != Some(Shaping::Emulated) {
            match Shaper::open(arms, true) {
                Ok(shaper) => {
                    return Ok(Shaped {
                        abilities,
                        shaper: Some(shaper),
                        queue: None,
                        book: Rulebook::default(),
                        wanted: BTreeMap::new(),
                    });
                }
                Err(error) if choice == Some(Shaping::Netem) => return Err(error),
                Err(error) => abilities.no_netem = Some(error.to_string()),
            }
        }
        abilities.shaping = Shaping::Emulated;
        let shaper = kept(Shaper::open(arms, false), &mut abilities.no_buckets);
        let queued = try_rules(filter, vec![Rule::Queue(nobody(), queue::NUMBER)]).and_then(|()| Queue::open(seed));
        let queue = kept(queued, &mut abilities.no_queue);
        Ok(Shaped {
            abilities,
            shaper,
            queue,
            book: Rulebook::default(),
            wanted: BTreeMap::new(),
        })
    }

    /// Makes these the qualities of all links. If that fails, the links are what they were, as far as the kernel lets us.
    pub(super) fn apply(&mut self, links: &BTreeMap<AddressPair, Quality>, filter: &mut dyn LinkBackEnd) -> Result<()> {
        let outcome = self.change(links, filter);
        if outcome.is_err() {
            let before = self.wanted.clone();
            // The first error is the one to tell.
            let _ = self.change(&before, filter);
        } else {
            self.wanted.clone_from(links);
        }
        outcome
    }

    /// The packet filter is last: its change is one step, and nothing is queued before we know why.
    fn change(&mut self, links: &BTreeMap<AddressPair, Quality>, filter: &mut dyn LinkBackEnd) -> Result<()> {
        if let Some(shaper) = &mut self.shaper {
            shaper.apply(links)?;
        }
        if let Some(queue) = &self.queue {
            let queued = links.iter().map(|(pair, quality)| (*pair, by_queue(quality)));
            queue.apply(&queued.filter(|(_, quality)| !quality.is_healthy()).collect())?;
        }
        let share = Share {
            losses: self.abilities.shaping == Shaping::Emulated,
            queue: self.queue.as_ref().map(|_| queue::NUMBER),
        };
        let mut book = self.book.clone();
        let rules = book.rules(links, share, |quality| !by_queue(quality).is_healthy());
        let cuts: AddressCuts = links.iter().filter(|(_, quality)| quality.cut).map(|(pair, _)| *pair).collect();
        filter.apply_all(&cuts, &rules)?;
        self.book = book;
        Ok(())
    }
}

/// The part of a quality that is ours to do in user space, and the cut, which loses what we hold; healthy if there is none.
fn by_queue(quality: &Quality) -> Quality {
    let part = Quality {
        flap: quality.flap,
        burst: quality.burst,
        delay_us: quality.delay_us,
        jitter_us: quality.jitter_us,
        stall: quality.stall,
        reorder: quality.reorder,
        duplicate_ppm: quality.duplicate_ppm,
        corrupt_ppm: quality.corrupt_ppm,
        corrupt_past_checksum_ppm: quality.corrupt_past_checksum_ppm,
        ..Quality::default()
    };
    let cut = quality.cut && !part.is_healthy();
    Quality { cut, ..part }
}

/// Addresses that belong to nobody: the network for benchmarks (RFC 2544, appendix C.2.2).
fn nobody() -> AddressPair {
    let address = |number| std::net::Ipv4Addr::new(198, 18, 0, number);
    (address(1), address(2))
}

fn every_rule() -> Vec<Rule> {
    let pair = nobody();
    vec![
        Rule::Ports(pair, [80].into()),
        Rule::Refuse(pair),
        Rule::Reset(pair, 1),
        Rule::TooLarge(pair, 1200),
        Rule::Lose(pair, 100_000),
    ]
}

fn try_rules(filter: &mut dyn LinkBackEnd, rules: Vec<Rule>) -> Result<()> {
    let outcome = filter.apply_all(&AddressCuts::new(), &rules);
    filter.apply(&AddressCuts::new())?;
    outcome
}

fn said(outcome: Result<()>) -> Option<String> {
    outcome.err().map(|error| error.to_string())
}

/// What was opened; else nothing, and the reason in its place.
fn kept<T>(outcome: Result<T>, reason: &mut Option<String>) -> Option<T> {
    match outcome {
        Ok(opened) => Some(opened),
        Err(error) => {
            *reason = Some(error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Gate, Rate};

    fn slow() -> Quality {
        Quality {
            delay_us: 5000,
            ..Quality::default()
        }
    }

    #[test]
    fn netem_queues_nothing_to_us_and_says_what_it_cannot_do() {
        let netem = Abilities {
            no_queue: Some("nobody asked".into()),
            ..Abilities::of(Shaping::Netem)
        };
        assert_eq!(netem.refuses(&slow()), None);
        let twice = Quality {
            duplicate_ppm: 5,
            ..slow()
        };
        assert_eq!(
            netem.refuses(&twice).as_deref(),
            Some("gates and duplicates: netem has no such thing")
        );
        assert_eq!(Abilities::of(Shaping::Emulated).refuses(&twice), None);
    }

    #[test]
    fn what_a_machine_lacks_is_refused_with_its_reason_and_nothing_else_is() {
        let poor = Abilities {
            no_filters: Some("no iptables".into()),
            no_queue: Some("no queue".into()),
            ..Abilities::of(Shaping::Emulated)
        };
        let narrow = Quality {
            rate: Some(Rate {
                kbit_per_s: 100,
                queue_us: 5,
            }),
            ..Quality::default()
        };
        assert_eq!((poor.refuses(&narrow), poor.refuses(&Quality::cut())), (None, None));
        assert_eq!(poor.refuses(&slow()).as_deref(), Some("packets queued to us: no queue"));
        let lossy = Quality {
            loss_ppm: 5,
            ..Quality::default()
        };
        assert_eq!(poor.refuses(&lossy).as_deref(), Some("losses by the packet filter: no iptables"));
        assert!(poor.refuses(&lossy.with(&Quality::cut())).is_some());
    }

    #[test]
    fn only_what_nothing_else_does_is_queued() {
        let filtered = Quality {
            loss_ppm: 5,
            mtu: Some(1000),
            ..Quality::cut()
        };
        assert!(by_queue(&filtered).is_healthy());
        let gate = Gate {
            first_us: 0,
            closed_us: 1,
            open_us: 1,
        };
        let both = Quality {
            flap: Some(gate),
            ..filtered
        };
        let queued = Quality {
            flap: Some(gate),
            ..Quality::cut()
        };
        assert_eq!(by_queue(&both), queued);
    }
}
