//! How good one directed link is. The default is a healthy link.
//!
//! A packet meets the parts in this order: cut, closed gate, reset, too large, lost, rate, delay, stall, and last what happens to the one that
//! arrives: twice, late, damaged. Chance is counted per packet as it would be on a wire: where it matters a segment of the kernel's
//! large-send offload is cut into the packets it stands for.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A share of everything, in parts per million.
pub const CERTAIN_PPM: u32 = 1_000_000;

/// What is wrong with one directed link; by default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quality {
    /// Nothing passes. Silent: no reset, no ICMP.
    #[serde(skip_serializing_if = "is_default")]
    pub cut: bool,
    /// TCP and UDP packets from or to these ports do not pass. Of a datagram in fragments only the first one has ports; without it the others
    /// are worth nothing.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub cut_ports: BTreeSet<u16>,
    /// Nothing passes while this gate is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flap: Option<Gate>,
    /// How many resets were asked for. Each time the number rises, every TCP connection then known between the two ends is reset: both sides get an
    /// RST. New connections are let through.
    #[serde(skip_serializing_if = "is_default")]
    pub resets: u32,
    /// Every TCP segment is answered by an RST to both ends instead of passing: old connections are reset, new ones refused.
    #[serde(skip_serializing_if = "is_default")]
    pub refuse: bool,
    /// Largest IP packet that passes, in bytes. Larger ones vanish without an ICMP answer: a path MTU black hole (RFC 2923, section 2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Packets lost, each independently.
    #[serde(skip_serializing_if = "is_default")]
    pub loss_ppm: u32,
    /// Packets lost in bursts, beside those of `loss_ppm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// A bottleneck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Time on the way, in microseconds.
    #[serde(skip_serializing_if = "is_default")]
    pub delay_us: u64,
    /// Standard deviation of the time on the way, in microseconds. The order of packets is kept: jitter is a slow process of the link (see
    /// `jitter` in [`crate::switch`]), not a draw for each packet.
    #[serde(skip_serializing_if = "is_default")]
    pub jitter_us: u64,
    /// What arrives while this gate is closed is held, in order, and delivered when it opens: a receiver that takes its packets in gulps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stall: Option<Gate>,
    /// Packets that others overtake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Packets that arrive twice.
    #[serde(skip_serializing_if = "is_default")]
    pub duplicate_ppm: u32,
    /// Packets of which a bit is turned after their checksums were made. The receiver's kernel notices and drops them: what a bad wire does.
    #[serde(skip_serializing_if = "is_default")]
    pub corrupt_ppm: u32,
    /// Packets with a payload (of TCP, of UDP, of an ICMP echo) of which a bit of the payload is turned before the checksums are made: nobody but the
    /// program can notice.
    #[serde(skip_serializing_if = "is_default")]
    pub corrupt_past_checksum_ppm: u32,
}

/// Loss in bursts: the link is good or bad, and may change with every packet (Gilbert 1960, Elliott 1963). The mean loss is
/// `enter / (enter + leave) * loss`, the mean length of a bad stretch `1 / leave` packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Burst {
    /// From good to bad, at each packet.
    pub enter_ppm: u32,
    /// From bad to good, at each packet.
    pub leave_ppm: u32,
    /// Packets lost while it is bad.
    pub loss_ppm: u32,
}

/// Packets that others overtake: kept back while those behind them go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// How many.
    pub share_ppm: u32,
    /// For how long they are kept back, in microseconds.
    pub by_us: u64,
}

/// A bottleneck: a token bucket of one full packet (1500 bytes), and a queue before it that drops at its tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Bits of IP packets that pass, in thousands a second.
    pub kbit_per_s: u64,
    /// The longest a packet may have to wait in the queue, in microseconds. One that would have to wait longer is dropped.
    pub queue_us: u64,
}

/// A gate that opens and closes by the clock, from the moment when it was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// How long it is open at first, in microseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub first_us: u64,
    /// Then it is closed for so long.
    pub closed_us: u64,
    /// Then open for so long, then closed again, and so on; 0: it stays open for good.
    pub open_us: u64,
}

impl Quality {
    /// A link over which nothing passes.
    #[must_use]
    pub fn cut() -> Quality {
        Quality {
            cut: true,
            ..Quality::default()
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        *self == Quality::default()
    }

    /// Whether nothing but a cut of everything is asked for, which every back end can do.
    #[must_use]
    pub fn is_plain_cut(&self) -> bool {
        *self == Quality::cut()
    }

    /// Whether each packet of a wire has a fate of its own, so that those of a large-send offload must be told apart.
    #[must_use]
    pub fn acts_on_single_packets(&self) -> bool {
        let Quality {
            mtu,
            loss_ppm,
            burst,
            rate,
            reorder,
            duplicate_ppm,
            corrupt_ppm,
            corrupt_past_checksum_ppm,
            ..
        } = self;
        mtu.is_some()
            || burst.is_some()
            || rate.is_some()
            || reorder.is_some()
            || [*loss_ppm, *duplicate_ppm, *corrupt_ppm, *corrupt_past_checksum_ppm] != [0; 4]
    }

    /// The share of packets that do not arrive intact by chance alone, in parts per million.
    #[must_use]
    pub fn mean_loss_ppm(&self) -> u32 {
        let bursts = self.burst.map_or(0, |burst| burst.mean_loss_ppm());
        [bursts, self.corrupt_ppm].into_iter().fold(self.loss_ppm, either_ppm)
    }
}

impl Burst {
    /// Packets lost in the long run, in parts per million.
    #[must_use]
    pub fn mean_loss_ppm(self) -> u32 {
        let (enter, leave) = (u64::from(self.enter_ppm), u64::from(self.leave_ppm));
        let bad_ppm = (enter * u64::from(CERTAIN_PPM)).checked_div(enter + leave).unwrap_or(0);
        u32::try_from(bad_ppm * u64::from(self.loss_ppm) / u64::from(CERTAIN_PPM)).unwrap_or(CERTAIN_PPM)
    }
}

impl Gate {
    /// When it opens next, if it is closed `since_us` after it was set up; `None` while it is open.
    #[must_use]
    pub fn opens_at_us(self, since_us: u64) -> Option<u64> {
        let into = since_us.checked_sub(self.first_us)?;
        let into = if self.open_us == 0 {
            into
        } else {
            into % (self.closed_us.saturating_add(self.open_us))
        };
        (into < self.closed_us).then(|| since_us - into + self.closed_us)
    }

    /// The share of the time, in the long run, in which it is closed; one that closes once counts as closed for its first closing.
    pub(crate) fn closed_ppm(self) -> u64 {
        let cycle = u128::from(self.closed_us) + u128::from(self.open_us);
        let closed = u128::from(self.closed_us) * u128::from(CERTAIN_PPM);
        u64::try_from(closed.checked_div(cycle).unwrap_or(0)).unwrap_or(u64::from(CERTAIN_PPM))
    }
}

/// One of two independent chances.
pub(super) fn either_ppm(one: u32, other: u32) -> u32 {
    let (one, other, certain) = (u64::from(one), u64::from(other), u64::from(CERTAIN_PPM));
    // Both are at most 1, so what is taken away is at most what was added.
    u32::try_from(one + other - one * other / certain).unwrap_or(CERTAIN_PPM)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_link_is_written_as_nothing() {
        assert_eq!(serde_json::to_string(&Quality::default()).unwrap(), "{}");
        let bad = Quality {
            loss_ppm: 100_000,
            flap: Some(Gate {
                first_us: 0,
                closed_us: 5,
                open_us: 6,
            }),
            ..Quality::default()
        };
        let text = serde_json::to_string(&bad).unwrap();
        assert_eq!(text, r#"{"flap":{"closed_us":5,"open_us":6},"loss_ppm":100000}"#);
        assert_eq!(serde_json::from_str::<Quality>(&text).unwrap(), bad);
        assert!(serde_json::from_str::<Quality>(r#"{"los_ppm":1}"#).is_err());
    }

    #[test]
    fn a_gate_tells_when_it_opens() {
        let check = |gate: Gate, expected: &[(u64, Option<u64>)]| {
            for &(since_us, opens_at) in expected {
                assert_eq!(gate.opens_at_us(since_us), opens_at, "{gate:?} at {since_us}");
            }
        };
        let again = Gate {
            first_us: 10,
            closed_us: 5,
            open_us: 3,
        };
        check(
            again,
            &[
                (0, None),
                (9, None),
                (10, Some(15)),
                (14, Some(15)),
                (15, None),
                (17, None),
                (18, Some(23)),
                (23, None),
            ],
        );
        let once = Gate { open_us: 0, ..again };
        check(once, &[(9, None), (10, Some(15)), (15, None), (18, None), (u64::MAX, None)]);
        let never = Gate { closed_us: 0, ..again };
        check(never, &[(0, None), (10, None), (13, None)]);
    }

    #[test]
    fn bursts_have_the_mean_of_the_chain() {
        let burst = Burst {
            enter_ppm: 10_000,
            leave_ppm: 90_000,
            loss_ppm: 500_000,
        };
        assert_eq!(burst.mean_loss_ppm(), 50_000);
        let quality = Quality {
            loss_ppm: 500_000,
            burst: Some(burst),
            ..Quality::default()
        };
        assert_eq!(quality.mean_loss_ppm(), 525_000);
    }
}
