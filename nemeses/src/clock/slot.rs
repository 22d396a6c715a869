//! One set of parameters as the redirected processes read it, and what a clock shows under it.
//!
//! `redirect/routine.s` does in machine code what [`Slot::shows`] says; a test holds them together.

use super::seen::{Look, Reading};
use super::skew::Skew;

/// Bytes between two slots of a page.
pub(super) const SLOT_BYTES: usize = 64;

/// The course of a clock: `true + offset + drift since base`, with a second offset for the odd phases of a strobe. By default it is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The true time at which drift and strobe began, in ns since 1970.
    pub(super) base_ns: i64,
    /// Offset in even phases, in ns.
    pub(super) offset_ns: i64,
    /// Offset in odd phases, in ns.
    pub(super) offset_odd_ns: i64,
    /// Nanoseconds gained in each, with 32 bits after the point; exactly -1 for a clock that stands.
    pub(super) drift_q32: i64,
    /// Strobe phases in a nanosecond, with 64 bits after the point; 0 without a strobe.
    pub(super) phases_q64: u64,
}

impl Slot {
    /// The parameters of a skew that drifts, turns or stands since the true time `base_ns`.
    #[must_use]
    pub fn new(skew: &Skew, base_ns: i64) -> Slot {
        let offset_ns = skew.offset_ms.saturating_mul(1_000_000);
        let strobe_ns = skew.strobe.map_or(0, |strobe| strobe.offset_ms.saturating_mul(1_000_000));
        let drift_q32 = (i128::from(skew.drift_ppm) << 32) / 1_000_000;
        Slot {
            base_ns,
            offset_ns,
            offset_odd_ns: offset_ns.saturating_add(strobe_ns),
            drift_q32: if skew.frozen {
                -(1 << 32)
            } else {
                i64::try_from(drift_q32).expect("a drift of at most 1 has 33 bits")
            },
            // Odd, so that a coarse clock, which may show a time just before the base, counts as before the first phase: phase 2^64-1 or
            // so, times an odd number, is even above the point.
            phases_q64: skew
                .strobe
                .map_or(0, |strobe| (u64::MAX / (u64::from(strobe.period_ms) * 1_000_000)) | 1),
        }
    }

    /// What a clock shows at the true time `true_ns`, in ns since 1970, as the routine computes it.
    #[must_use]
    pub fn shows(&self, true_ns: i64) -> i64 {
        let since = true_ns.wrapping_sub(self.base_ns).cast_unsigned();
        let phase = (u128::from(since) * u128::from(self.phases_q64)) >> 64;
        let offset_ns = if phase % 2 == 1 { self.offset_odd_ns } else { self.offset_ns };
        self.shows_with(offset_ns, true_ns)
    }

    /// What it shows in a phase with this offset. Never less at a later time.
    fn shows_with(&self, offset_ns: i64, true_ns: i64) -> i64 {
        let since = true_ns.wrapping_sub(self.base_ns);
        let drifted = (i128::from(since) * i128::from(self.drift_q32)) >> 32;
        let drifted = i64::try_from(drifted).unwrap_or(0);
        true_ns.wrapping_add(offset_ns).wrapping_add(drifted).max(0)
    }

    /// Whether it is off by the same at all times, so that waiting shows nothing new.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.drift_q32 == 0 && self.phases_q64 == 0
    }

    /// What a reading of the clock proves.
    #[must_use]
    pub fn look(&self, reading: &Reading) -> Look {
        let (first, last) = (reading.not_before_ns, reading.not_after_ns);
        let may_show = |offset_ns: &i64| {
            let least = self.shows_with(*offset_ns, first) - reading.grain_ns;
            (least..=self.shows_with(*offset_ns, last)).contains(&reading.shown_ns)
        };
        let offsets = [self.offset_ns, self.offset_odd_ns];
        let n_offsets = if self.phases_q64 == 0 { 1 } else { 2 };
        if !offsets.iter().take(n_offsets).any(may_show) {
            Look::Unlike
        } else if (first - reading.grain_ns..=last).contains(&reading.shown_ns) {
            Look::PerhapsRight
        } else {
            Look::Wrong
        }
    }

    /// As it lies in the page.
    pub(super) fn bytes(&self) -> [u8; SLOT_BYTES] {
        let mut bytes = [0; SLOT_BYTES];
        let fields = [
            self.base_ns.cast_unsigned(),
            self.offset_ns.cast_unsigned(),
            self.offset_odd_ns.cast_unsigned(),
            self.drift_q32.cast_unsigned(),
            self.phases_q64,
        ];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    /// What lies in a page.
    #[cfg(test)]
    pub(super) fn parse(bytes: &[u8; SLOT_BYTES]) -> Slot {
        let field = |place: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[place * 8..place * 8 + 8]);
            u64::from_le_bytes(field)
        };
        Slot {
            base_ns: field(0).cast_signed(),
            offset_ns: field(1).cast_signed(),
            offset_odd_ns: field(2).cast_signed(),
            drift_q32: field(3).cast_signed(),
            phases_q64: field(4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::skew::Strobe;
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const BASE: i64 = 1_700_000_000 * SECOND;

    fn shows(skew: &Skew, after_ns: i64) -> i64 {
        Slot::new(skew, BASE).shows(BASE + after_ns) - BASE
    }

    #[test]
    fn a_healthy_clock_shows_the_truth() {
        for true_ns in [0, 1, BASE, BASE + 1, i64::MAX / 2] {
            assert_eq!(Slot::default().shows(true_ns), true_ns);
            assert_eq!(Slot::new(&Skew::default(), BASE).shows(true_ns), true_ns);
        }
    }

    #[test]
    fn a_clock_jumps_drifts_and_stands() {
        let jump = Skew {
            offset_ms: -2500,
            ..Skew::default()
        };
        assert_eq!(shows(&jump, SECOND), SECOND - 2_500_000_000);
        let drift = |drift_ppm| Skew {
            drift_ppm,
            ..Skew::default()
        };
        assert_eq!((shows(&drift(50_000), 2 * SECOND) - 2_100_000_000).abs() / 10, 0);
        assert_eq!((shows(&drift(-50_000), 2 * SECOND) - 1_900_000_000).abs() / 10, 0);
        let frozen = Skew {
            frozen: true,
            offset_ms: 7,
            drift_ppm: 99,
            ..Skew::default()
        };
        for after in [-4_000_000, 0, 1, SECOND, 3_600 * SECOND] {
            assert_eq!(shows(&frozen, after), 7_000_000, "after {after} ns");
        }
    }

    #[test]
    fn a_strobe_is_right_and_wrong_by_turns() {
        for period_ms in [1, 3, 20, 1000, 3_600_000] {
            let strobe = Skew {
                strobe: Some(Strobe { offset_ms: 200, period_ms }),
                ..Skew::default()
            };
            let period = i64::from(period_ms) * 1_000_000;
            for phase in [0, 1, 2, 3, 998, 999] {
                // After a thousand turns the edges may be off by a thousandth of a period.
                for part in [period / 1_000 + 1, period / 2, period - period / 1_000 - 1] {
                    let after = phase * period + part;
                    let off = if phase % 2 == 1 { 200_000_000 } else { 0 };
                    assert_eq!(shows(&strobe, after), after + off, "period {period_ms} ms, after {after} ns");
                }
            }
            assert_eq!(shows(&strobe, -1), -1, "before the first phase the clock is right");
        }
    }

    #[test]
    fn a_clock_set_to_before_1970_shows_1970() {
        let skew = Skew {
            offset_ms: -1000,
            ..Skew::default()
        };
        assert_eq!(Slot::new(&skew, 0).shows(5), 0);
    }

    #[test]
    fn a_reading_proves_as_much_as_its_width_allows() {
        let look = |skew: &Skew, since_ms: i64, off_ms: i64, grain_ms: i64| {
            let true_ns = BASE + since_ms * 1_000_000;
            Slot::new(skew, BASE).look(&Reading {
                shown_ns: true_ns + off_ms * 1_000_000,
                not_before_ns: true_ns - 2_000_000,
                not_after_ns: true_ns + 2_000_000,
                grain_ns: grain_ms * 1_000_000,
            })
        };
        let jump = |offset_ms| Skew {
            offset_ms,
            ..Skew::default()
        };
        assert_eq!(look(&jump(500), 9, 500, 0), Look::Wrong);
        assert_eq!(look(&jump(500), 9, 0, 0), Look::Unlike, "a clock that stayed right");
        assert_eq!(look(&jump(0), 9, 500, 0), Look::Unlike, "a clock that was not healed");
        assert_eq!(look(&jump(0), 9, 1, 0), Look::PerhapsRight);
        assert_eq!(
            look(&jump(-500), 9, -900, 1_000),
            Look::PerhapsRight,
            "whole seconds tell nothing of half a one"
        );
        assert_eq!(look(&jump(-2_500), 9, -3_400, 1_000), Look::Wrong);
        let drift = Skew {
            drift_ppm: 10_000,
            ..Skew::default()
        };
        assert_eq!(look(&drift, 100, 1, 0), Look::PerhapsRight, "too early");
        assert_eq!(look(&drift, 1_000, 10, 0), Look::Wrong);
        let frozen = Skew {
            frozen: true,
            ..Skew::default()
        };
        assert_eq!((look(&frozen, 50, -50, 0), look(&frozen, 50, 0, 0)), (Look::Wrong, Look::Unlike));
        let strobe = Strobe {
            offset_ms: 200,
            period_ms: 5,
        };
        let strobe = Skew {
            strobe: Some(strobe),
            ..Skew::default()
        };
        assert_eq!(
            (look(&strobe, 50, 0, 0), look(&strobe, 50, 200, 0)),
            (Look::PerhapsRight, Look::Wrong)
        );
        assert_eq!(look(&strobe, 50, 100, 0), Look::Unlike);
    }

    #[test]
    fn lies_in_the_page_as_the_routine_reads_it() {
        let skew = Skew {
            offset_ms: 1,
            drift_ppm: 500_000,
            strobe: Some(Strobe {
                offset_ms: 2,
                period_ms: 1,
            }),
            frozen: false,
        };
        let slot = Slot::new(&skew, 0x0102);
        let bytes = slot.bytes();
        assert_eq!(bytes[..10], [2, 1, 0, 0, 0, 0, 0, 0, 0x40, 0x42]);
        assert_eq!(bytes[16..24], 3_000_000u64.to_le_bytes());
        assert_eq!(bytes[24..32], (1u64 << 31).to_le_bytes());
        assert_eq!(Slot::parse(&bytes), slot);
    }
}
