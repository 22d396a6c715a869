//! What becomes of queued packets: numbers and moments in, verdicts out.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::Result;
use crate::link::Quality;
use crate::links::AddressPair;
use crate::switch::line::{Fate, Line, Passage};
use crate::switch::packet::{VNET, layout, renew_checksum};

/// Who gets the verdicts.
pub(super) trait Answer {
    /// The packet goes on, changed or as it was.
    fn pass(&mut self, id: u32, changed: Option<&[u8]>) -> Result<()>;
    /// It does not.
    fn drop(&mut self, id: u32) -> Result<()>;
    /// One more of it goes on.
    fn copy(&mut self, packet: &[u8]) -> Result<()>;
}

/// The links, and the packets that wait.
#[derive(Debug)]
pub(super) struct Desk {
    seed: u64,
    links: BTreeMap<AddressPair, Quality>,
    lines: BTreeMap<AddressPair, Line>,
    waiting: BinaryHeap<Reverse<Held>>,
    number: u64,
    frame: Vec<u8>,
}

/// A packet that waits; of two that are due at once the one that came first goes first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    due_ns: u64,
    number: u64,
    pair: AddressPair,
    id: u32,
    outcome: Outcome,
}

/// What is to be handed over when it is due.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    /// Its bytes, where the kernel's are not enough.
    packet: Option<Vec<u8>>,
    changed: bool,
    twice: bool,
}

impl Desk {
    pub(super) fn new(seed: u64) -> Desk {
        Desk {
            seed,
            links: BTreeMap::new(),
            lines: BTreeMap::new(),
            waiting: BinaryHeap::new(),
            number: 0,
            frame: Vec::new(),
        }
    }

    /// When the next packet is due.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        self.waiting.peek().map(|held| held.0.due_ns)
    }

    /// Puts other qualities in force. What waits on a link that delays less now is brought forward, in order.
    pub(super) fn turn(&mut self, links: BTreeMap<AddressPair, Quality>, now_ns: u64) {
        let before = std::mem::replace(&mut self.links, links);
        let healthy = Quality::default();
        let pairs: Vec<AddressPair> = before.keys().chain(self.links.keys()).copied().collect();
        for pair in pairs {
            let (old, new) = (before.get(&pair).unwrap_or(&healthy), self.links.get(&pair).unwrap_or(&healthy));
            if old != new {
                line(&mut self.lines, self.seed, pair).turn(old, new, now_ns);
            }
        }
        let held = std::mem::take(&mut self.waiting).into_vec();
        let (links, lines) = (&self.links, &self.lines);
        let forward = held.into_iter().map(|Reverse(held)| {
            let quality = links.get(&held.pair).unwrap_or(&healthy);
            let latest_ns = lines.get(&held.pair).map_or(now_ns, |line| line.latest_due_ns(quality, now_ns));
            Reverse(Held {
                due_ns: held.due_ns.min(latest_ns),
                ..held
            })
        });
        self.waiting = forward.collect();
    }

    /// Takes a packet.
    pub(super) fn take(&mut self, id: u32, packet: &[u8], now_ns: u64, out: &mut impl Answer) -> Result<()> {
        self.frame.clear();
        self.frame.resize(VNET, 0);
        self.frame.extend_from_slice(packet);
        let Some(found) = layout(&self.frame) else {
            return out.pass(id, None);
        };
        let pair = (found.source, found.destination);
        let Some(quality) = self.links.get(&pair) else {
            return out.pass(id, None);
        };
        match line(&mut self.lines, self.seed, pair).offer(quality, packet.len() as u64, now_ns) {
            Fate::Lost(_) => out.drop(id),
            Fate::Passes(passage) => {
                let changed = self.damage(passage);
                let outcome = Outcome {
                    packet: (changed || passage.twice).then(|| self.frame[VNET..].to_vec()),
                    changed,
                    twice: passage.twice,
                };
                if passage.due_ns <= now_ns {
                    return hand_over(id, &outcome, out);
                }
                self.number += 1;
                self.waiting.push(Reverse(Held {
                    due_ns: passage.due_ns,
                    number: self.number,
                    pair,
                    id,
                    outcome,
                }));
                Ok(())
            }
        }
    }

    /// Hands over what is due. A cable that is cut loses what is in it.
    pub(super) fn deliver_due(&mut self, now_ns: u64, out: &mut impl Answer) -> Result<()> {
        while self.next_due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
            let Some(Reverse(held)) = self.waiting.pop() else { break };
            let line = line(&mut self.lines, self.seed, held.pair);
            if self.links.get(&held.pair).is_some_and(|quality| line.is_shut(quality, now_ns)) {
                out.drop(held.id)?;
            } else {
                hand_over(held.id, &held.outcome, out)?;
            }
        }
        Ok(())
    }

    /// Turns the bits of the frame that are to be turned; says whether any was.
    fn damage(&mut self, passage: Passage) -> bool {
        let payload = layout(&self.frame).and_then(|found| Some((found, found.payload?)));
        let forgery = passage.forgery.zip(payload).filter(|(_, (_, payload))| *payload < self.frame.len());
        if let Some((bit, (found, payload))) = forgery {
            turn_bit(&mut self.frame[payload..], bit);
            renew_checksum(&mut self.frame, &found);
        }
        if let Some(bit) = passage.damage {
            turn_bit(&mut self.frame[VNET..], bit);
        }
        forgery.is_some() || passage.damage.is_some()
    }
}

fn hand_over(id: u32, outcome: &Outcome, out: &mut impl Answer) -> Result<()> {
    out.pass(id, outcome.packet.as_deref().filter(|_| outcome.changed))?;
    match &outcome.packet {
        Some(packet) if outcome.twice => out.copy(packet),
        _ => Ok(()),
    }
}

fn line(lines: &mut BTreeMap<AddressPair, Line>, seed: u64, pair: AddressPair) -> &mut Line {
    lines.entry(pair).or_insert_with(|| Line::new(seed, pair.0, pair.1))
}

fn turn_bit(bytes: &mut [u8], bit: u32) {
    let place = bit as usize % (bytes.len() * 8);
    bytes[place / 8] ^= 1 << (place % 8);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const MS: u64 = 1_000_000;
    const PAIR: AddressPair = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));

    /// The verdicts in order: a number, and whether it passed; a copy has the number 0.
    #[derive(Default)]
    struct Verdicts(Vec<(u32, bool)>, Vec<Vec<u8>>);

    impl Answer for Verdicts {
        fn pass(&mut self, id: u32, changed: Option<&[u8]>) -> Result<()> {
            self.0.push((id, true));
            self.1.extend(changed.map(<[u8]>::to_vec));
            Ok(())
        }

        fn drop(&mut self, id: u32) -> Result<()> {
            self.0.push((id, false));
            Ok(())
        }

        fn copy(&mut self, packet: &[u8]) -> Result<()> {
            self.0.push((0, true));
            self.1.push(packet.to_vec());
            Ok(())
        }
    }

    fn packet() -> Vec<u8> {
        let mut packet = vec![0; 48];
        (packet[0], packet[3], packet[9]) = (0x45, 48, 17);
        packet[12..16].copy_from_slice(&PAIR.0.octets());
        packet[16..20].copy_from_slice(&PAIR.1.octets());
        packet[25] = 28;
        packet
    }

    fn desk(quality: Quality) -> Desk {
        let mut desk = Desk::new(7);
        desk.turn(BTreeMap::from([(PAIR, quality)]), 0);
        desk
    }

    fn slow() -> Quality {
        Quality {
            delay_us: 50_000,
            ..Quality::default()
        }
    }

    #[test]
    fn a_packet_waits_as_long_as_its_link_delays() {
        let (mut desk, mut out) = (desk(slow()), Verdicts::default());
        for id in 1..=3 {
            desk.take(id, &packet(), MS * u64::from(id), &mut out).unwrap();
        }
        desk.deliver_due(51 * MS - 1, &mut out).unwrap();
        assert_eq!((out.0.len(), desk.next_due_ns()), (0, Some(51 * MS)));
        desk.deliver_due(52 * MS, &mut out).unwrap();
        assert_eq!(out.0, [(1, true), (2, true)]);
    }

    #[test]
    fn a_heal_brings_forward_and_a_cut_loses_what_is_on_its_way() {
        let (mut healed, mut cut) = (desk(slow()), desk(slow()));
        let mut out = Verdicts::default();
        for id in 1..=2 {
            healed.take(id, &packet(), MS, &mut out).unwrap();
            cut.take(id, &packet(), MS, &mut out).unwrap();
        }
        healed.turn(BTreeMap::new(), 2 * MS);
        healed.deliver_due(2 * MS, &mut out).unwrap();
        assert_eq!(std::mem::take(&mut out.0), [(1, true), (2, true)]);
        cut.turn(BTreeMap::from([(PAIR, slow().with(&Quality::cut()))]), 2 * MS);
        cut.deliver_due(60 * MS, &mut out).unwrap();
        assert_eq!(out.0, [(1, false), (2, false)]);
    }

    #[test]
    fn what_is_damaged_or_doubled_carries_its_bytes() {
        let quality = Quality {
            duplicate_ppm: 1_000_000,
            corrupt_ppm: 1_000_000,
            ..Quality::default()
        };
        let (mut desk, mut out) = (desk(quality), Verdicts::default());
        desk.take(1, &packet(), MS, &mut out).unwrap();
        assert_eq!(out.0, [(1, true), (0, true)]);
        assert_eq!(out.1[0], out.1[1]);
        let n_turned: u32 = out.1[0].iter().zip(packet()).map(|(is, was)| (is ^ was).count_ones()).sum();
        assert_eq!(n_turned, 1);
    }

    #[test]
    fn strangers_pass_at_once() {
        let (mut desk, mut out) = (desk(slow()), Verdicts::default());
        let mut other = packet();
        other[19] = 9;
        desk.take(1, &other, MS, &mut out).unwrap();
        desk.take(2, &[1, 2, 3], MS, &mut out).unwrap();
        assert_eq!(out.0, [(1, true), (2, true)]);
    }
}
