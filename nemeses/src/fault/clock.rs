//! A node's wall clock: set off, drifting, strobing, standing still.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dice::Dice;
use super::family::{Family, Scene, hits_target};
use super::{Fault, FaultInfo, Mechanism, Resolved};
use crate::clock::{Skew, Strobe};
use crate::target::{Skipped, TargetChoice, unless_down};
use crate::world::State;

pub(super) const CLOCK: FaultInfo = FaultInfo {
    name: "clock",
    about: "move a node's wall clock: a jump, a drift, a strobe, a freeze; the heal sets it right; monotonic clocks are never moved",
    needs: &[],
    nodes_min: 1,
    mechanism: Mechanism::Clocks,
    draw: |dice| {
        Fault::Clock(Clock {
            target: dice.target(),
            shape: draw_shape(dice),
        })
    },
};

/// From what two machines of one rack differ by after a bad day to a time zone taken for another, in ms.
const JUMPS_MS: [i64; 6] = [100, 500, 2_500, 10_000, 60_000, 3_600_000];
/// A real crystal is off by up to some hundred; but a fault of a second must show in that second.
const DRIFTS_PPM: [i64; 3] = [10_000, 50_000, 200_000];
/// How far a strobe goes, in ms.
const STROBES_MS: [i64; 3] = [200, 5_000, 60_000];
/// Longer than a request, about as long as one, shorter, in ms.
const PERIODS_MS: [u32; 3] = [200, 50, 5];

/// Moves a node's wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Whose.
    pub target: TargetChoice,
    /// How.
    pub shape: ClockShape,
}

/// What happens to the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ClockShape {
    /// It is off by so much, at once.
    Jump {
        /// Ahead, or behind, in ms.
        offset_ms: i64,
    },
    /// It gains, or loses.
    Drift {
        /// Microseconds in each true second.
        ppm: i64,
    },
    /// It jumps to and fro.
    Strobe(Strobe),
    /// It stands still.
    Freeze,
}

impl ClockShape {
    /// What a clock of this shape is like.
    #[must_use]
    pub fn skew(&self) -> Skew {
        let right = Skew::default();
        match *self {
            ClockShape::Jump { offset_ms } => Skew { offset_ms, ..right },
            ClockShape::Drift { ppm } => Skew { drift_ppm: ppm, ..right },
            ClockShape::Strobe(strobe) => Skew {
                strobe: Some(strobe),
                ..right
            },
            ClockShape::Freeze => Skew { frozen: true, ..right },
        }
    }
}

/// A jump is what happens most in practice (an administrator, a first answer of NTP), so it gets two cards of five.
fn draw_shape(dice: &mut Dice<'_>) -> ClockShape {
    let sign = if dice.card(2) == 0 { 1 } else { -1 };
    match dice.card(5) {
        0 => ClockShape::Drift {
            ppm: sign * by_intensity(dice, &DRIFTS_PPM),
        },
        1 => ClockShape::Strobe(Strobe {
            offset_ms: sign * by_intensity(dice, &STROBES_MS),
            period_ms: by_intensity(dice, &PERIODS_MS),
        }),
        2 => ClockShape::Freeze,
        _ => ClockShape::Jump {
            offset_ms: sign * by_intensity(dice, &JUMPS_MS),
        },
    }
}

/// One of these, which begin with the mildest.
fn by_intensity<T: Copy>(dice: &mut Dice<'_>, figures: &[T]) -> T {
    let last = u32::try_from(figures.len() - 1).expect("a few figures");
    figures[dice.between(0, last) as usize]
}

impl Family for Clock {
    fn info(&self) -> &'static FaultInfo {
        &CLOCK
    }

    hits_target!();

    fn check(&self) -> Result<(), String> {
        self.shape.skew().validate()
    }

    fn resolve(&self, scene: &Scene<'_>) -> Result<Resolved, Skipped> {
        let nodes = self.target.settle(scene, unless_down(scene.now))?;
        let state = State {
            clocks: nodes.iter().map(|node| (node.clone(), self.shape.skew())).collect(),
            ..State::default()
        };
        Ok(Resolved {
            nodes,
            key: self.target.key(scene.roles),
            state,
        })
    }
}
