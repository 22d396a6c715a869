//! The proof of a change of links: each link is measured for what was changed about it, and judged by [`Bound`]s.
//!
//! What is measured follows from both qualities, before and after, so that an injection and a heal are proved by the same code. A probe that fails
//! is repeated until the time is up: a link that becomes bad late is proved late, one that never does is reported.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::bound::{Bound, adds_losses, adds_waits, binomial, burst_variance, delay, flow_length};
use super::connections::{Connection, Opening, target};
use super::meter::{Flow, Meter};
use super::ports;
use super::seen::Seen;
use crate::link::{Gate, Pair, Quality};
use crate::{Result, Target};

/// The smallest datagram of a flow, as an IP packet.
const SMALL: usize = 52;
/// The largest packet that an ordinary link passes.
const LARGE: usize = 1500;
/// Datagrams that show a size or a delay.
const FEW: u32 = 41;
/// Datagrams that show a pace.
const PACED: u32 = 200;
/// Between two datagrams of a flow, at least.
const SPACING: Duration = Duration::from_micros(100);
/// Time for one datagram, so that a flow over many links does not overrun a slow machine.
const PER_LINK: Duration = Duration::from_micros(15);
/// How long datagrams on their way are waited for, beside their delay.
const PATIENCE: Duration = Duration::from_millis(50);

/// A link's quality before a change and after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Before.
    pub before: Quality,
    /// After.
    pub now: Quality,
}

/// What the probes of a change saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectReport {
    /// Whether every bound held on every link, all in one and the same try.
    pub ok: bool,
    /// What was seen of each link, in the last try.
    pub links: BTreeMap<Pair, Vec<Bound>>,
    /// Tries it took.
    pub tries: u32,
    /// From the first datagram to the last, in microseconds.
    pub took_us: u64,
}

impl EffectReport {
    /// Whether no link could be looked at: a cut hides all of them, or no connection could be made. That refutes nothing, and proves nothing.
    #[must_use]
    pub fn saw_nothing(&self) -> bool {
        self.links.values().all(Vec::is_empty)
    }
}

/// Measures links.
#[derive(Debug)]
pub struct LinkProber {
    ends: Vec<Target>,
    meter: Meter,
}

/// Connections over the links that a change will reset.
#[derive(Debug, Default)]
pub struct Prepared {
    connections: BTreeMap<Pair, Connection>,
}

/// The bounds that were looked at, by link.
type Found = BTreeMap<Pair, Vec<Bound>>;

impl LinkProber {
    /// Opens sockets at every end.
    ///
    /// # Errors
    /// If a namespace cannot be entered, or an end's address is not in it.
    pub fn open(ends: &[Target]) -> Result<LinkProber> {
        Ok(LinkProber {
            ends: ends.to_vec(),
            meter: Meter::open(ends)?,
        })
    }

    /// What must be there before the change is made: a connection over each link whose connections it resets.
    ///
    /// # Errors
    /// If a link has no such end.
    pub fn prepare(&self, turns: &BTreeMap<Pair, Turn>) -> Result<Prepared> {
        let mut connections = BTreeMap::new();
        for (pair, turn) in turns {
            // The other direction's connection shows it too.
            let known = connections.contains_key(&pair.back());
            let resets = turn.now.resets > turn.before.resets || turn.now.refuse != turn.before.refuse;
            if resets
                && !known
                && !turn.before.refuse
                && let Opening::Open(connection) = Connection::open(&self.ends, pair)?
            {
                connections.insert(pair.clone(), connection);
            }
        }
        Ok(Prepared { connections })
    }

    /// Proves that links did change so, or says within `bound` what differs. Links that are cut show nothing and are left out.
    ///
    /// # Errors
    /// If a link has no such end, or a socket fails.
    pub fn prove(&mut self, turns: &BTreeMap<Pair, Turn>, prepared: &mut Prepared, bound: Duration) -> Result<EffectReport> {
        let start = Instant::now();
        let visible = turns.iter().filter(|(_, turn)| !turn.now.cut || turn.now.cut != turn.before.cut);
        let turns: BTreeMap<Pair, Turn> = visible.map(|(pair, turn)| (pair.clone(), turn.clone())).collect();
        let resets = self.resets(&turns, prepared, bound)?;
        for tries in 1.. {
            let mut links = resets.clone();
            for (pair, bounds) in self.look(&turns)? {
                links.entry(pair).or_default().extend(bounds);
            }
            let ok = links.values().flatten().all(Bound::holds);
            if ok || start.elapsed() >= bound {
                let took_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                return Ok(EffectReport {
                    ok: ok && links.values().any(|bounds| !bounds.is_empty()),
                    links,
                    tries,
                    took_us,
                });
            }
        }
        unreachable!("every try sends datagrams, so the time is up before four billion tries")
    }

    fn look(&mut self, turns: &BTreeMap<Pair, Turn>) -> Result<Found> {
        let mut found = Found::new();
        let mut add = |more: Found| {
            more.into_iter()
                .for_each(|(pair, bounds)| found.entry(pair).or_default().extend(bounds))
        };
        add(self.small(turns)?);
        add(self.large(turns)?);
        add(self.pace(turns)?);
        add(self.gates(turns)?);
        add(self.ports(turns)?);
        Ok(found)
    }

    /// Loss, duplicates, order, damage and delay, by small datagrams on all links at once; and whether anything passes at all.
    fn small(&mut self, turns: &BTreeMap<Pair, Turn>) -> Result<Found> {
        let of = |turn: &Turn| Small::of(turn).filter(|small| small.n > 0);
        let wanted: BTreeMap<&Pair, Small> = turns.iter().filter_map(|(pair, turn)| Some((pair, of(turn)?))).collect();
        let flow = Flow {
            n: wanted.values().map(|small| small.n).max().unwrap_or(0),
            bytes: SMALL,
            spacing: wanted
                .values()
                .map(|small| small.spacing)
                .max()
                .unwrap_or(SPACING)
                .max(PER_LINK * wanted.len() as u32),
            patience: wanted.values().map(|small| small.patience).max().unwrap_or(PATIENCE),
        };
        let seen = self.meter.measure(wanted.keys().copied().cloned(), flow)?;
        Ok(seen
            .into_iter()
            .map(|(pair, seen)| (pair.clone(), Small::judge(&turns[&pair], &seen)))
            .collect())
    }

    /// Black holes, by packets that are too large for them.
    fn large(&mut self, turns: &BTreeMap<Pair, Turn>) -> Result<Found> {
        let of = |turn: &Turn| turn.now.mtu != turn.before.mtu && !turn.now.cut;
        let links: Vec<Pair> = turns.iter().filter(|(_, turn)| of(turn)).map(|(pair, _)| pair.clone()).collect();
        let flow = Flow {
            n: FEW,
            bytes: LARGE,
            spacing: SPACING,
            patience: links.iter().map(|pair| longest(&turns[pair].now)).max().unwrap_or(PATIENCE),
        };
        let seen = self.meter.measure(links, flow)?;
        let judge = |(pair, seen): (Pair, Seen)| {
            let swallows = turns[&pair].now.mtu.is_some_and(|mtu| usize::from(mtu) < LARGE);
            let expected = if swallows { (0, Some(0)) } else { (1, None) };
            let bound = Bound::new(&format!("packets of {LARGE} bytes that arrived"), seen.arrived().into(), expected);
            (pair, vec![bound])
        };
        Ok(seen.into_iter().map(judge).collect())
    }

    /// Bottlenecks, by more than they pass: all at once, and one link after another where none is left, so that each gets all the machine has.
    fn pace(&mut self, turns: &BTreeMap<Pair, Turn>) -> Result<Found> {
        let changed = turns.iter().filter(|(_, turn)| turn.now.rate != turn.before.rate && !turn.now.cut);
        let (narrow, wide): (Vec<_>, Vec<_>) = changed.partition(|(_, turn)| turn.now.rate.is_some());
        let mut found = Found::new();
        for links in std::iter::once(narrow).chain(wide.into_iter().map(|link| vec![link])) {
            let mtu = links.iter().filter_map(|(_, turn)| turn.now.mtu).map(usize::from).min();
            let flow = Flow {
                n: PACED,
                bytes: mtu.unwrap_or(LARGE).min(LARGE),
                spacing: Duration::ZERO,
                patience: links.iter().map(|(_, turn)| longest(&turn.now)).max().unwrap_or(PATIENCE),
            };
            let seen = self.meter.measure(links.iter().map(|(pair, _)| (*pair).clone()), flow)?;
            for (pair, turn) in links {
                let pace = seen[pair].kbit_per_s(flow.bytes).unwrap_or(0);
                found.insert(pair.clone(), vec![Bound::new("kbit/s of a flood", pace, paces(turn))]);
            }
        }
        Ok(found)
    }

    /// Gates, by the longest silence in a steady flow; those that lose what comes while they are shut by what was lost in a row, as a machine that
    /// halts makes silence and loses nothing.
    fn gates(&mut self, turns: &BTreeMap<Pair, Turn>) -> Result<Found> {
        let of = |turn: &Turn| (!turn.now.cut).then(|| Silence::of(turn)).flatten();
        let silences: BTreeMap<&Pair, Silence> = turns.iter().filter_map(|(pair, turn)| Some((pair, of(turn)?))).collect();
        let Some(spacing) = silences.values().map(|silence| silence.closed / 20).min() else {
            return Ok(Found::new());
        };
        let spacing = spacing.clamp(Duration::from_micros(500), Duration::from_millis(20));
        let length = silences.values().map(|silence| silence.length).max().unwrap_or_default();
        let flow = Flow {
            n: u32::try_from(length.as_nanos() / spacing.as_nanos().max(1)).unwrap_or(FEW).max(FEW),
            bytes: SMALL,
            spacing,
            patience: turns.values().map(|turn| longest(&turn.now)).max().unwrap_or(PATIENCE),
        };
        let seen = self.meter.measure(silences.keys().copied().cloned(), flow)?;
        let judge = |(pair, seen): (Pair, Seen)| {
            let silence = &silences[&pair];
            let (what, seen_us) = if silence.loses {
                ("us of the longest loss", seen.longest_loss_us())
            } else {
                ("us of the longest silence", seen.longest_silence_us())
            };
            let bound = Bound::new(what, seen_us, silence.expected);
            (pair, vec![bound])
        };
        Ok(seen.into_iter().map(judge).collect())
    }

    /// Ports that are cut, or no more.
    fn ports(&self, turns: &BTreeMap<Pair, Turn>) -> Result<Found> {
        let mut found = Found::new();
        for (pair, Turn { before, now }) in turns.iter().filter(|(_, turn)| !turn.now.cut) {
            let (from, to) = (target(&self.ends, &pair.from)?, target(&self.ends, &pair.to)?);
            for port in before.cut_ports.symmetric_difference(&now.cut_ports) {
                let expected = if now.cut_ports.contains(port) { (0, Some(0)) } else { (1, Some(1)) };
                let passes = ports::passes(from, to, *port, longest(now))?;
                let bound = passes.map(|passes| Bound::new(&format!("datagrams of port {port} pass"), passes.into(), expected));
                found.entry(pair.clone()).or_default().extend(bound);
            }
        }
        Ok(found)
    }

    /// Resets, by the connections opened before.
    fn resets(&self, turns: &BTreeMap<Pair, Turn>, prepared: &mut Prepared, bound: Duration) -> Result<Found> {
        let mut found = Found::new();
        for (pair, connection) in &mut prepared.connections {
            let Some(turn) = turns.get(pair) else { continue };
            let is_reset = connection.is_reset(bound);
            let mut bounds = vec![Bound::new("connections reset at both ends", is_reset.into(), (1, Some(1)))];
            let refused = connection.is_refused(&self.ends, pair)?;
            let expected = if turn.now.refuse { (1, Some(1)) } else { (0, Some(0)) };
            bounds.extend(refused.map(|refused| Bound::new("new connections refused", refused.into(), expected)));
            found.insert(pair.clone(), bounds);
        }
        let ends_resets = |turn: &Turn| turn.now.resets < turn.before.resets || (turn.before.refuse && !turn.now.refuse);
        for (pair, _) in turns.iter().filter(|(_, turn)| ends_resets(turn) && !turn.now.refuse) {
            found.insert(pair.clone(), self.opens(pair, bound)?);
        }
        Ok(found)
    }

    /// Whether new connections are let through again. One that is merely late proves nothing: other faults delay and lose, and a cut of the way back
    /// keeps every connection from being made.
    fn opens(&self, pair: &Pair, bound: Duration) -> Result<Vec<Bound>> {
        let is_alive = match Connection::open(&self.ends, pair)? {
            Opening::Late => return Ok(Vec::new()),
            Opening::Open(mut connection) => connection.is_alive(bound),
            Opening::Refused => false,
        };
        Ok(vec![Bound::new("new connections that live", is_alive.into(), (1, Some(1)))])
    }
}

/// The flow of small datagrams that a change wants.
struct Small {
    n: u32,
    spacing: Duration,
    patience: Duration,
}

impl Small {
    fn of(turn: &Turn) -> Option<Small> {
        let Turn { before, now } = turn;
        let changed = shares(before).into_iter().zip(shares(now)).filter(|(was, is)| was != is);
        let shares: Vec<(u32, f64)> = changed.flat_map(|(was, is)| [was, is]).collect();
        let few = before.delay_us != now.delay_us || before.cut != now.cut;
        let n = flow_length(&shares).max(if few { FEW } else { 0 });
        let kept = now.reorder.map(|reorder| Duration::from_micros(reorder.by_us / 4));
        // Twice as slow as a bottleneck, which has other customers.
        let paced = now
            .rate
            .map(|rate| Duration::from_micros(2 * SMALL as u64 * 8 * 1000 / rate.kbit_per_s.max(1)));
        let spacing = SPACING.min(kept.unwrap_or(SPACING)).max(paced.unwrap_or_default());
        (n > 0).then(|| Small {
            n,
            spacing,
            patience: longest(now),
        })
    }

    fn judge(turn: &Turn, seen: &Seen) -> Vec<Bound> {
        let Turn { before, now } = turn;
        let n = seen.sent();
        if now.cut || before.cut {
            let expected = if now.cut { (0, Some(0)) } else { (1, None) };
            return vec![Bound::new("datagrams that arrived", seen.arrived().into(), expected)];
        }
        let mut bounds = Vec::new();
        let mut add = |what: &str, seen: u64, changed: bool, expected| {
            bounds.extend(changed.then(|| Bound::new(&format!("{what} of {n}"), seen, expected)));
        };
        let [loss, twice, forged, kept] = shares(now);
        let [was_loss, was_twice, was_forged, was_kept] = shares(before);
        let (least, most) = binomial(n, loss.0, loss.1);
        // Where packets are missing for other reasons too, only so much can be said.
        add(
            "lost",
            seen.lost().into(),
            loss != was_loss,
            (least, most.filter(|_| !adds_waits(now))),
        );
        // Only what arrives can arrive twice, damaged or late.
        let arrived = seen.arrived() + seen.n_damaged;
        add(
            "duplicated",
            seen.duplicated().into(),
            twice != was_twice,
            binomial(arrived, twice.0, 1.0),
        );
        add(
            "damaged",
            seen.n_damaged.into(),
            forged != was_forged,
            binomial(arrived, forged.0, 1.0),
        );
        let (least, most) = binomial(arrived, kept.0, 1.0);
        // Those of a slow sender are too far apart for all of them to be overtaken.
        add("overtaken", seen.overtaken().into(), kept != was_kept, (least / 2, most));
        let delayed = before.delay_us != now.delay_us;
        add("us one way, the median", seen.median_us().unwrap_or(0), delayed, delay(before, now));
        bounds
    }
}

/// What a flow shows of a gate.
struct Silence {
    /// Whether what comes meanwhile is lost, and not only late.
    loses: bool,
    closed: Duration,
    length: Duration,
    expected: (u64, Option<u64>),
}

impl Silence {
    fn of(turn: &Turn) -> Option<Silence> {
        let changed = |of: fn(&Quality) -> Option<Gate>| {
            let (before, now) = (of(&turn.before), of(&turn.now));
            (before != now).then_some((before, now))
        };
        let flaps = changed(|quality| quality.flap);
        let loses = flaps.is_some();
        let (before, now) = flaps.or_else(|| changed(|quality| quality.stall))?;
        let gate = now.or(before)?;
        let us = Duration::from_micros;
        // Twice around, so that a whole closing is seen, whenever the flow begins.
        let around = if gate.open_us == 0 {
            gate.closed_us
        } else {
            2 * (gate.closed_us + gate.open_us)
        };
        let expected = match (now, before) {
            (Some(now), _) => (now.closed_us * 7 / 10, None),
            // Another fault on the link may make silence and lose packets, too.
            (None, Some(_)) if adds_waits(&turn.now) || adds_losses(&turn.now) => (0, None),
            (None, Some(before)) => (0, Some(turn.now.delay_us + 4 * turn.now.jitter_us + before.closed_us / 2)),
            (None, None) => (0, None),
        };
        Some(Silence {
            loses,
            closed: us(gate.closed_us),
            length: us(if now.is_some() { gate.first_us + around } else { around }),
            expected,
        })
    }
}

/// Where the pace of a flood must lie.
fn paces(turn: &Turn) -> (u64, Option<u64>) {
    match (turn.now.rate, turn.before.rate) {
        // A fifth more: the first arrival is stamped late where the machine is.
        (Some(now), _) => (1, Some(now.kbit_per_s + now.kbit_per_s / 5)),
        (None, before) => (before.map_or(0, |before| before.kbit_per_s * 3 / 2), None),
    }
}

/// The shares of packets that chance hits, each with its variance factor.
fn shares(quality: &Quality) -> [(u32, f64); 4] {
    [
        (quality.mean_loss_ppm(), burst_variance(quality.burst)),
        (quality.duplicate_ppm, 1.0),
        (quality.corrupt_past_checksum_ppm, 1.0),
        (quality.reorder.map_or(0, |reorder| reorder.share_ppm), 1.0),
    ]
}

/// How long a packet may be on its way.
fn longest(quality: &Quality) -> Duration {
    let queue_us = quality.rate.map_or(0, |rate| rate.queue_us);
    let kept_us = quality.reorder.map_or(0, |reorder| reorder.by_us);
    let held_us = quality.stall.map_or(0, |stall| stall.closed_us);
    PATIENCE + Duration::from_micros(quality.delay_us + 3 * quality.jitter_us + queue_us + kept_us + held_us)
}
