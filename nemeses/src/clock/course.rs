//! How a clock goes on when faults come and go: what drifts, turns or stands is not begun anew because an offset changes.

use super::skew::Skew;
use super::slot::Slot;

/// A node's clock over time. By default it is right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    skew: Skew,
    slot: Slot,
}

impl Course {
    /// What it is like now.
    #[must_use]
    pub fn skew(&self) -> &Skew {
        &self.skew
    }

    /// What it shows, at any true time until it is set again.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The course after the clock is set at the true time `now_ns`, in ns since 1970. What drifted, turned or stood and still does goes on where it
    /// is; whatever is changed in how it runs begins anew.
    #[must_use]
    pub fn set(&self, skew: &Skew, now_ns: i64) -> Course {
        let base_ns = if skew.runs_as(&self.skew) { self.slot.base_ns } else { now_ns };
        Course {
            skew: skew.clone(),
            slot: Slot::new(skew, base_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_fault_does_not_set_back_what_has_drifted() {
        let drift = |drift_ppm, offset_ms| Skew {
            drift_ppm,
            offset_ms,
            ..Skew::default()
        };
        let begun = Course::default().set(&drift(100_000, 0), 1_000_000_000);
        assert_eq!(begun.slot().shows(2_000_000_000), 2_099_999_999, "a tenth, cut down");
        let jumped = begun.set(&drift(100_000, 50), 2_000_000_000);
        assert_eq!(jumped.slot().shows(2_000_000_000), 2_149_999_999);
        let faster = jumped.set(&drift(200_000, 50), 2_000_000_000);
        assert_eq!(faster.slot().shows(2_000_000_000), 2_050_000_000, "another drift begins anew");
        assert_eq!(
            faster.set(&Skew::default(), 9_000_000_000).slot().shows(9_000_000_000),
            9_000_000_000
        );
    }
}
