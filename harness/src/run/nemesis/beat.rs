//! Faults that come and go while they are in force: restart storms, stutter.
//!
//! A beat is nothing new to the world: the fault asks for its state, then for nothing, then for its state again, under the same number. So it
//! composes with every other fault, and its heal is the heal of its mechanism.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use squall_nemeses::{Pulse, State};
use tokio::time::{Instant, sleep_until};

use super::Nemesis;

/// How often a fault came, the first time included, and how often it was then seen to bite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Beats {
    came: u64,
    bit: u64,
}

impl Nemesis {
    /// Goes on with a fault that was just injected, until it is to be healed, or has been healed with all others.
    pub(super) async fn beat(&self, id: u64, state: &State, pulse: Pulse, until: Instant) -> Result<Beats> {
        let mut beats = Beats { came: 1, bit: 1 };
        loop {
            if !sleep_ms(pulse.on_ms, until).await || self.ask_for(id, State::default()).await?.is_none() {
                return Ok(beats);
            }
            if !sleep_ms(pulse.off_ms, until).await {
                return Ok(beats);
            }
            let Some(bit) = self.ask_for(id, state.clone()).await? else {
                return Ok(beats);
            };
            beats.came += 1;
            beats.bit += u64::from(bit);
        }
    }

    /// Has a fault ask for another state than before. `None` if it is in force no more, else whether something changed and all that was seen of
    /// it is as it should be.
    async fn ask_for(&self, id: u64, state: State) -> Result<Option<bool>> {
        let mut world = self.world.lock().await;
        if !world.active().any(|active| active == id) {
            return Ok(None);
        }
        let before = world.desired();
        world.inject(id, state);
        let after = world.desired();
        let proofs = self.apply(&after.change_from(&before), &after).await?.proofs;
        Ok(Some(!proofs.is_empty() && proofs.iter().all(|proof| proof.ok)))
    }
}

/// Sleeps so long; `false` if `until` comes first, to which it then has slept.
async fn sleep_ms(ms: u64, until: Instant) -> bool {
    let end = Instant::now() + Duration::from_millis(ms);
    sleep_until(end.min(until)).await;
    end < until
}
