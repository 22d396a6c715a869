//! The switch without its devices and its clock: frames and moments in, deliveries out.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::flows::{Flows, Reset};
use super::gate::{Asker, Gate, Released, Stream};
use super::held::Waiting;
use super::line::{Cause, Fate, Line, Passage};
use super::log::{Log, Logged};
use super::packet::{self, Layout, VNET};
use super::pcap::Capture;
use super::segments::{each_packet, wire_size};
use super::table::{LinkCounts, Table};
use crate::link::Quality;

/// Where frames go.
pub(super) trait Deliver {
    /// Hands a frame to an end; false if its device does not take it.
    fn deliver(&mut self, to: usize, frame: &[u8]) -> bool;
}

/// Everything that the switch knows.
#[derive(Debug)]
pub(super) struct Engine {
    seed: u64,
    addresses: Vec<Ipv4Addr>,
    places: BTreeMap<Ipv4Addr, usize>,
    table: Arc<Table>,
    lines: Vec<Option<Box<Line>>>,
    counts: Vec<LinkCounts>,
    waiting: Waiting,
    gate: Gate,
    flows: Flows,
    log: Log,
    capture: Option<Capture>,
}

/// A frame between two known ends.
#[derive(Clone, Copy)]
struct Way {
    from: usize,
    to: usize,
    now_ns: u64,
}

impl Engine {
    pub(super) fn new(seed: u64, addresses: Vec<Ipv4Addr>) -> Engine {
        let n = addresses.len();
        Engine {
            seed,
            places: addresses.iter().enumerate().map(|(place, address)| (*address, place)).collect(),
            addresses,
            table: Arc::new(Table::new(n)),
            lines: (0..n * n).map(|_| None).collect(),
            counts: vec![LinkCounts::default(); n * n],
            waiting: Waiting::default(),
            gate: Gate::default(),
            flows: Flows::default(),
            log: Log::default(),
            capture: None,
        }
    }

    pub(super) fn counts(&self) -> &[LinkCounts] {
        &self.counts
    }

    pub(super) fn packets(&self) -> Vec<Logged> {
        self.log.packets()
    }

    /// Writes packets with another writer, or none, and returns the one before.
    pub(super) fn capture(&mut self, capture: Option<Capture>) -> Option<Capture> {
        std::mem::replace(&mut self.capture, capture)
    }

    pub(super) fn next_due_ns(&self) -> Option<u64> {
        self.waiting.next_due_ns().into_iter().chain(self.gate.next_end_ns()).min()
    }

    /// Has every packet with a payload that is about to enter a link asked about from now on; none is held longer than `bound_ns`.
    pub(super) fn ask(&mut self, asker: Asker, bound_ns: u64) {
        self.gate.ask(asker, bound_ns);
    }

    /// Lets a held packet go, and those behind it, in order; `None` if it is not held any more.
    pub(super) fn release(&mut self, number: u64, now_ns: u64, out: &mut impl Deliver) -> Option<Released> {
        let hold = self.gate.end(number)?;
        let way = Way {
            from: hold.stream.from,
            to: hold.stream.to,
            now_ns,
        };
        let n_behind = hold.frames.len() as u64 - 1;
        let lost_before = self.count(way).lost.clone();
        let mut lost = None;
        for (place, mut frame) in (0..).zip(hold.frames) {
            let Some(layout) = packet::layout(&frame) else { continue };
            if place == 0 {
                self.enter(way, &mut frame, &layout, None, out);
                let is_new = |(cause, n): &(&Cause, &u64)| lost_before.get(cause) != Some(n);
                lost = self.count(way).lost.iter().find(is_new).map(|(cause, _)| *cause);
            } else {
                // As if they came now: they may be waited for, too.
                self.come(way, &mut frame, &layout, out);
            }
        }
        Some(Released {
            held_us: now_ns.saturating_sub(hold.since_ns) / 1000,
            n_behind,
            lost,
        })
    }

    /// Puts a new table in force, at once and for all links. What waits on a link that delays less now is brought forward, in order. Returns how many
    /// connections were reset.
    pub(super) fn turn(&mut self, table: Arc<Table>, now_ns: u64, out: &mut impl Deliver) -> u32 {
        let before = std::mem::replace(&mut self.table, table);
        let n = self.addresses.len();
        let mut n_reset = 0;
        let healthy = Quality::default();
        for (from, to) in (0..n).flat_map(|from| (0..n).map(move |to| (from, to))) {
            let table = Arc::clone(&self.table);
            let (old, new) = (before.get(from, to).unwrap_or(&healthy), table.get(from, to).unwrap_or(&healthy));
            if old == new {
                continue;
            }
            self.line(from, to).turn(old, new, now_ns);
            if new.resets > old.resets || (new.refuse && !old.refuse) {
                let (n_doomed, resets) = self.flows.doom(self.addresses[from], self.addresses[to]);
                n_reset += n_doomed;
                self.send_resets(&resets, now_ns, out);
            }
        }
        let (table, lines) = (&self.table, &self.lines);
        self.waiting.bring_forward(|from, to| {
            let line = lines[from * n + to].as_ref();
            let quality = table.get(from, to).unwrap_or(&healthy);
            line.map_or(now_ns, |line| line.latest_due_ns(quality, now_ns))
        });
        n_reset
    }

    /// Takes a frame that the end at place `from` sent.
    pub(super) fn take(&mut self, from: usize, frame: &mut [u8], now_ns: u64, out: &mut impl Deliver) {
        // What is no IPv4 has no route here, as in the kernel's star: solicitations of IPv6 routers, mostly.
        let Some(layout) = packet::layout(frame) else { return };
        if let Some(capture) = &mut self.capture {
            capture.add(from, now_ns, frame);
        }
        let Some(&to) = self.places.get(&layout.destination) else {
            let (_, bytes) = wire_size(frame, &layout);
            return self.log.add(now_ns, &layout, bytes, Err(Cause::NoRoute));
        };
        self.come(Way { from, to, now_ns }, frame, &layout, out);
    }

    /// A packet comes to the gate: it is held there, or enters its link.
    fn come(&mut self, way: Way, frame: &mut [u8], layout: &Layout, out: &mut impl Deliver) {
        let stream = match self.gate.is_idle() {
            true => None,
            false => Stream::of(way.from, way.to, layout),
        };
        match stream.and_then(|stream| self.gate.put_behind(stream, frame)) {
            None => self.enter(way, frame, layout, stream, out),
            Some(true) => {}
            Some(false) => self.lose(way, layout, wire_size(frame, layout), Cause::Overflow),
        }
    }

    /// A packet enters its link, unless somebody waits for it who asks for packets of its stream. What would not pass is waited for by nobody.
    fn enter(&mut self, way: Way, frame: &mut [u8], layout: &Layout, asked: Option<Stream>, out: &mut impl Deliver) {
        let size = wire_size(frame, layout);
        let table = Arc::clone(&self.table);
        let quality = table.get(way.from, way.to);
        if quality.is_some_and(|quality| self.is_cut(quality, way, layout.ports)) {
            return self.lose(way, layout, size, Cause::Cut);
        }
        if let Some(resets) = self.flows.meet(frame, layout, quality.is_some_and(|quality| quality.refuse)) {
            self.lose(way, layout, size, Cause::Reset);
            return self.send_resets(&resets, way.now_ns, out);
        }
        let bytes = layout.payload.map_or(0, |payload| frame.len() - payload) as u64;
        if bytes > 0 && asked.is_some_and(|stream| self.gate.stops(stream, bytes, frame, way.now_ns)) {
            return;
        }
        match quality {
            None => {
                self.log.add(way.now_ns, layout, size.1, Ok(way.now_ns));
                self.hand_over(way, frame, size, out);
            }
            Some(quality) if quality.acts_on_single_packets() => each_packet(frame, layout, |packet, layout| {
                let bytes = (packet.len() - VNET) as u64;
                self.meet_link(way, quality, packet, layout, (1, bytes), out);
            }),
            Some(quality) => self.meet_link(way, quality, frame, layout, size, out),
        }
    }

    /// Delivers what is due.
    pub(super) fn deliver_due(&mut self, now_ns: u64, out: &mut impl Deliver) {
        while let Some(number) = self.gate.overdue(now_ns) {
            self.release(number, now_ns, out);
        }
        while let Some(held) = self.waiting.take_due(now_ns) {
            let way = Way {
                from: held.from,
                to: held.to,
                now_ns,
            };
            // Damage may have left no packet to read.
            let layout = packet::layout(&held.frame);
            let size = layout.map_or((1, (held.frame.len() - VNET) as u64), |layout| wire_size(&held.frame, &layout));
            let ports = layout.and_then(|layout| layout.ports);
            let table = Arc::clone(&self.table);
            // A cable that is cut loses what is in it.
            let cut = table
                .get(held.from, held.to)
                .is_some_and(|quality| self.is_cut(quality, way, ports));
            if cut {
                self.count(way).lose(Cause::Cut, size.0);
            } else {
                self.hand_over(way, &held.frame, size, out);
            }
        }
    }

    fn is_cut(&mut self, quality: &Quality, way: Way, ports: Option<(u16, u16)>) -> bool {
        let cut_port = |port: u16| quality.cut_ports.contains(&port);
        let by_port = ports.is_some_and(|(from, to)| cut_port(from) || cut_port(to));
        by_port || self.line(way.from, way.to).is_shut(quality, way.now_ns)
    }

    fn meet_link(&mut self, way: Way, quality: &Quality, frame: &mut [u8], layout: &Layout, size: (u64, u64), out: &mut impl Deliver) {
        match self.line(way.from, way.to).offer(quality, size.1, way.now_ns) {
            Fate::Lost(cause) => self.lose(way, layout, size, cause),
            Fate::Passes(passage) => {
                self.log.add(way.now_ns, layout, size.1, Ok(passage.due_ns));
                self.damage(way, passage, frame, layout);
                self.count(way).kept_back += u64::from(passage.kept_back);
                for _ in 0..=usize::from(passage.twice) {
                    self.send_off(way, passage.due_ns, frame, size, out);
                }
                self.count(way).duplicated += u64::from(passage.twice);
            }
        }
    }

    fn send_off(&mut self, way: Way, due_ns: u64, frame: &[u8], size: (u64, u64), out: &mut impl Deliver) {
        if due_ns <= way.now_ns {
            self.hand_over(way, frame, size, out);
        } else if !self.waiting.hold(due_ns, way.from, way.to, frame) {
            self.count(way).lose(Cause::Overflow, size.0);
        }
    }

    fn damage(&mut self, way: Way, passage: Passage, frame: &mut [u8], layout: &Layout) {
        if let (Some(bit), Some(payload)) = (passage.forgery, layout.payload.filter(|payload| *payload < frame.len())) {
            turn_bit(&mut frame[payload..], bit);
            packet::renew_checksum(frame, layout);
            self.count(way).damaged += 1;
        }
        if let Some(bit) = passage.damage {
            turn_bit(&mut frame[VNET..], bit);
            self.count(way).damaged += 1;
        }
    }

    fn hand_over(&mut self, way: Way, frame: &[u8], (n_packets, bytes): (u64, u64), out: &mut impl Deliver) {
        if !out.deliver(way.to, frame) {
            return self.count(way).lose(Cause::Device, n_packets);
        }
        if let Some(capture) = &mut self.capture {
            capture.add(way.to, way.now_ns, frame);
        }
        let counts = self.count(way);
        counts.delivered += n_packets;
        counts.bytes += bytes;
    }

    fn lose(&mut self, way: Way, layout: &Layout, (n_packets, bytes): (u64, u64), cause: Cause) {
        self.log.add(way.now_ns, layout, bytes, Err(cause));
        self.count(way).lose(cause, n_packets);
    }

    fn send_resets(&mut self, resets: &[Reset], now_ns: u64, out: &mut impl Deliver) {
        for reset in resets {
            let Some(&to) = self.places.get(&reset.to) else { continue };
            // A device that does not take it belongs to an end that is gone.
            if out.deliver(to, &reset.frame)
                && let Some(capture) = &mut self.capture
            {
                capture.add(to, now_ns, &reset.frame);
            }
        }
    }

    fn count(&mut self, way: Way) -> &mut LinkCounts {
        &mut self.counts[way.from * self.addresses.len() + way.to]
    }

    fn line(&mut self, from: usize, to: usize) -> &mut Line {
        let (seed, one, other) = (self.seed, self.addresses[from], self.addresses[to]);
        self.lines[from * self.addresses.len() + to].get_or_insert_with(|| Box::new(Line::new(seed, one, other)))
    }
}

fn turn_bit(bytes: &mut [u8], bit: u32) {
    let place = bit as usize % (bytes.len() * 8);
    bytes[place / 8] ^= 1 << (place % 8);
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
