//! A plan, played in the simulator: the same clients, schedule and judge as with real processes, in one thread and in virtual time.
//!
//! What a plan says is translated, not drawn anew: each client has the generator, the binding and the waits of `run`, each fault is
//! resolved by the same rules against what the simulated cluster shows, and what happened is a [`History`] with the same marks, judged by
//! the same rules. So a plan that breaks a store here can be given to real processes, and the other way round.
//!
//! **The main decision: nothing is rendered.** Operations and Raft traces go to the judge as values; text costs ten times the simulation. Not
//! taken: running the async clients on a paused clock. It would share one more file with `run`, and the order of their tasks would be
//! the runtime's.
//!
//! Faults that nothing here can suffer (limits, beats, what waits for an event) are left out, as on a machine that cannot do them.
//!
//! What is harsher than on one machine: a kill takes the power away as well, so unsynced writes may be lost or torn; a one-way cut stays
//! one-way; messages overtake each other. What is absent: sockets, and with them bounded buffers; a core is never held back.

mod book;
mod client;
mod members;
mod nemesis;
mod play;
mod store;
#[cfg(test)]
mod tests;
mod traces;

use std::collections::BTreeMap;

use squall_checker::history::History;
use squall_checker::judge::{Judgement, Traces, judge};
use squall_checker::trace::NodeTraces;
pub use squall_node::sim::{Counts, Delay, TraceLog, World};

use self::play::{Played, play};
use self::store::{Quorum, Raft};
use crate::plan::Plan;
use crate::systems::SystemPlan;

/// How to simulate.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How the world treats the cluster. Its traces are kept whatever it says, unless nothing is judged.
    pub world: World,
    /// What is done with what happened.
    pub judging: Judging,
}

/// What is done with what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Judging {
    /// Every rule that applies, as `squall check` does.
    #[default]
    Full,
    /// Nothing, and no trace is kept: for the speed of the simulation itself, and to compare digests.
    Nothing,
}

/// What came of a simulated run.
#[derive(Debug)]
pub struct SimReport {
    /// What the clients saw, what was done to the cluster, what was found.
    pub history: History,
    /// The nodes' traces as the rules read them; empty if nothing was judged.
    pub traces: NodeTraces,
    /// The nodes' traces as they told them; empty if nothing was judged.
    pub logs: Vec<TraceLog>,
    /// What it is worth, if it was judged.
    pub judgement: Option<Judgement>,
    /// One number for all that happened: every event, trace line and outcome in order.
    pub trace_hash: u64,
    /// How much was done.
    pub counts: Counts,
}

/// Plays a plan. A pure function: the same plan and options give the same report.
///
/// # Errors
/// One sentence, if the plan is not valid or its system has no core to simulate.
pub fn simulate(plan: &Plan, options: &Options) -> Result<SimReport, String> {
    plan.validate()?;
    let plan = &simulated(plan);
    let world = World {
        keeps_traces: options.judging == Judging::Full,
        ..options.world.clone()
    };
    let played = match &plan.system {
        SystemPlan::Quorum(settings) => play(plan, &Quorum::new(settings)?, world)?,
        SystemPlan::Raft(settings) => play(plan, &Raft::new(settings)?, world)?,
        other => {
            return Err(format!(
                "`{}` cannot be simulated: its nodes are somebody else's program",
                other.name()
            ));
        }
    };
    Ok(report(played, options.judging))
}

/// The plan without the faults that cannot be simulated.
fn simulated(plan: &Plan) -> Plan {
    let not = plan.schedule.iter().filter(|injection| !nemesis::is_simulated(injection));
    let kinds: BTreeMap<&str, ()> = not.map(|injection| (injection.fault.kind(), ())).collect();
    let mut simulated = plan.clone();
    simulated.leave_out(&kinds);
    simulated
}

fn report(played: Played, judging: Judging) -> SimReport {
    let Played {
        history,
        logs,
        trace_hash,
        counts,
    } = played;
    let (traces, judgement) = match judging {
        Judging::Nothing => (NodeTraces::default(), None),
        Judging::Full => {
            let traces = traces::read(&logs);
            let judgement = judge(&history, Traces::AtHand(&traces));
            (traces, Some(judgement))
        }
    };
    SimReport {
        history,
        traces,
        logs,
        judgement,
        trace_hash,
        counts,
    }
}
