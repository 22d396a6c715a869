//! Committed entries: applied in order, answered where they were asked for, and summed up in snapshots.

use super::core::{RaftCore, Step};
use super::describe::origin_of_session;
use super::entry::Command;
use crate::bugs::Bug;
use crate::trace::RaftEvent;

impl RaftCore {
    /// The commit index grows.
    pub(super) fn advance_commit(&mut self, step: &mut Step<'_>, to: u64, by: &'static str) {
        self.commit = to;
        step.trace(RaftEvent::Commit {
            to,
            term_at: self.log.term_at(to).unwrap_or(0),
            by,
            term: self.hard.term,
        });
        self.apply_what_is_committed(step);
        self.serve_what_is_applied(step);
        if self.applied.saturating_sub(self.snapshot.last.0) >= self.config.snapshot_every {
            self.take_snapshot(step);
        }
    }

    fn apply_what_is_committed(&mut self, step: &mut Step<'_>) {
        while self.applied < self.commit {
            let Some(entry) = self.log.entry(self.applied + 1).cloned() else {
                return;
            };
            let applied = if self.has(Bug::R20) {
                self.machine.apply_again(&entry)
            } else {
                self.machine.apply(&entry)
            };
            self.applied = entry.index();
            let origin = entry.command().origin();
            step.trace(RaftEvent::Apply {
                index: entry.index(),
                term_at: entry.term(),
                digest: entry.digest(),
                state_hash: self.machine.hash(),
                origin: origin_of_session(origin),
                effect: applied.effect,
            });
            match entry.command() {
                Command::Noop { births } => self.learn_births(step, births),
                Command::Config(membership) => self.trace_config_committed(step, entry.index(), membership),
                Command::Open { .. } | Command::Write { .. } => self.answer(step, &entry, &applied),
            }
        }
    }
}
