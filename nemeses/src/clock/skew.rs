//! What should be wrong with the wall clock of one node: plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::world::Compose;

/// Ten years: beyond it a clock says nothing new, and sums of some faults stay within 64 bits of nanoseconds.
const OFFSET_MS_MAX: i64 = 10 * 365 * 24 * 3_600_000;
/// A clock that runs twice as fast, or (just not) stands: more than any real one is off.
const DRIFT_PPM_MAX: i64 = 1_000_000;
/// An hour: a strobe that turns more rarely is a jump.
const PERIOD_MS_MAX: u32 = 3_600_000;

/// How a node's wall clock differs from the true one; by default not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Skew {
    /// Ahead (or, negative, behind) by so much, in ms.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset_ms: i64,
    /// Gains (or loses) so many microseconds in each true second, from the moment it is set.
    #[serde(skip_serializing_if = "is_zero")]
    pub drift_ppm: i64,
    /// Jumps to and fro.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strobe: Option<Strobe>,
    /// Stands still from the moment it is set. Nothing drifts then, but a strobe goes on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

/// A clock that jumps to and fro: right for a period, off for the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Strobe {
    /// By how much it is off in every second period, in ms.
    pub offset_ms: i64,
    /// How long a period is, in ms; at least 1.
    pub period_ms: u32,
}

/// Offsets and drifts add up, within their limits; a clock that one of them freezes stands; and of two strobes the later one has it.
impl Compose for Skew {
    fn and(&mut self, other: &Skew) {
        self.offset_ms = self.offset_ms.saturating_add(other.offset_ms).clamp(-OFFSET_MS_MAX, OFFSET_MS_MAX);
        self.drift_ppm = self
            .drift_ppm
            .saturating_add(other.drift_ppm)
            .clamp(1 - DRIFT_PPM_MAX, DRIFT_PPM_MAX);
        self.strobe = other.strobe.or(self.strobe);
        self.frozen |= other.frozen;
    }
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl Skew {
    /// Whether the clock is right.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Skew::default()
    }

    /// Checks a skew that a person wrote.
    ///
    /// # Errors
    /// Names the value at fault.
    pub fn validate(&self) -> Result<(), String> {
        let strobe = self.strobe.unwrap_or(Strobe {
            offset_ms: 1,
            period_ms: 1,
        });
        let offset = [self.offset_ms, strobe.offset_ms]
            .into_iter()
            .find(|offset| !(-OFFSET_MS_MAX..=OFFSET_MS_MAX).contains(offset));
        match offset {
            Some(offset) => Err(format!("`offset_ms` is {offset}; at most {OFFSET_MS_MAX} (ten years), either way")),
            None if !(1 - DRIFT_PPM_MAX..=DRIFT_PPM_MAX).contains(&self.drift_ppm) => Err(format!(
                "`drift_ppm` is {}; from {} to {DRIFT_PPM_MAX}, and `frozen` for a clock that stands",
                self.drift_ppm,
                1 - DRIFT_PPM_MAX
            )),
            None if !(1..=PERIOD_MS_MAX).contains(&strobe.period_ms) => {
                Err(format!("`period_ms` is {}; from 1 to {PERIOD_MS_MAX}", strobe.period_ms))
            }
            None if strobe.offset_ms == 0 => Err("a strobe of `offset_ms` 0 does nothing".into()),
            None if self.is_none() => Err("this skew leaves the clock right".into()),
            None => Ok(()),
        }
    }

    /// Whether two skews run alike but for a fixed offset, so that what has drifted, or stands, need not begin anew.
    pub(super) fn runs_as(&self, other: &Skew) -> bool {
        (self.drift_ppm, self.strobe, self.frozen) == (other.drift_ppm, other.strobe, other.frozen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(offset_ms: i64) -> Skew {
        Skew {
            offset_ms,
            ..Skew::default()
        }
    }

    #[test]
    fn two_faults_add_up_and_a_frozen_clock_stays_frozen() {
        let mut sum = offset(300);
        sum.and(&Skew {
            offset_ms: -100,
            drift_ppm: 50,
            strobe: None,
            frozen: true,
        });
        let strobe = Strobe {
            offset_ms: 9,
            period_ms: 4,
        };
        sum.and(&Skew {
            drift_ppm: -70,
            strobe: Some(strobe),
            ..Skew::default()
        });
        let expected = Skew {
            offset_ms: 200,
            drift_ppm: -20,
            strobe: Some(strobe),
            frozen: true,
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn sums_stay_within_what_a_page_can_hold() {
        let mut sum = Skew {
            offset_ms: OFFSET_MS_MAX,
            drift_ppm: -900_000,
            ..Skew::default()
        };
        sum.and(&sum.clone());
        assert_eq!((sum.offset_ms, sum.drift_ppm), (OFFSET_MS_MAX, -999_999));
        sum.validate().unwrap();
    }

    #[test]
    fn names_the_value_that_is_wrong() {
        let check = |skew: &str, expected: &str| {
            let skew: Skew = serde_json::from_str(skew).unwrap();
            let said = skew.validate().unwrap_err();
            assert!(said.contains(expected), "{said}");
        };
        check(r#"{"offset_ms":-900000000000}"#, "`offset_ms` is -900000000000");
        check(r#"{"drift_ppm":-1000000}"#, "`drift_ppm` is -1000000");
        check(r#"{"strobe":{"offset_ms":5,"period_ms":0}}"#, "`period_ms` is 0");
        check(r#"{"strobe":{"offset_ms":0,"period_ms":5}}"#, "does nothing");
        check("{}", "leaves the clock right");
        assert!(serde_json::from_str::<Skew>(r#"{"offset":5}"#).is_err());
        assert_eq!(offset(-5).validate(), Ok(()));
    }

    #[test]
    fn is_stored_without_what_is_right() {
        assert_eq!(serde_json::to_string(&offset(-5)).unwrap(), r#"{"offset_ms":-5}"#);
        assert_eq!(serde_json::to_string(&Skew::default()).unwrap(), "{}");
    }
}
