//! What the zoo runs: each planted bug, and the controls in which nothing is to be found.

use serde::Serialize;
use squall_node::bugs::{BUGS, Bug, BugInfo, Store};

use super::rounds::Faults;

/// One bug or control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Subject {
    /// A planted bug.
    Bug(Bug),
    /// The store as it is released.
    Unmodified(Store),
    /// A change that does no harm: what it leaves out, something else does too.
    Harmless,
}

/// How long one run lasts.
const RUN_TIME: &str = "9s";

impl Subject {
    /// All bugs that can be found with the faults there are, and all controls.
    pub(super) fn all() -> Vec<Subject> {
        let bugs = BUGS
            .iter()
            .filter(|info| info.waits_for.is_none())
            .map(|info| Subject::Bug(info.bug));
        let controls = [
            Subject::Unmodified(Store::Raft),
            Subject::Unmodified(Store::Quorum),
            Subject::Harmless,
        ];
        bugs.chain(controls).collect()
    }

    /// Whether nothing is to be found.
    pub(super) fn is_control(self) -> bool {
        !matches!(self, Subject::Bug(_))
    }

    /// Its short name.
    pub(super) fn id(self) -> &'static str {
        match self {
            Subject::Bug(bug) => bug.id(),
            Subject::Unmodified(Store::Raft) => "C2 raft",
            Subject::Unmodified(Store::Quorum) => "C2 quorum",
            Subject::Harmless => Bug::C1.id(),
        }
    }

    /// What it is, in a line.
    pub(super) fn what(self) -> &'static str {
        match self {
            Subject::Bug(bug) => BugInfo::of(bug).what,
            Subject::Unmodified(_) => "the store as it is released",
            Subject::Harmless => squall_node::bugs::HARMLESS.what,
        }
    }

    fn store(self) -> Store {
        match self {
            Subject::Bug(bug) => bug.store(),
            Subject::Unmodified(store) => store,
            Subject::Harmless => Store::Raft,
        }
    }

    /// The arguments of `squall run` for one run of it.
    pub(super) fn arguments(self, faults: Faults, seed: u64) -> Vec<String> {
        let store = match self.store() {
            Store::Raft => "raft",
            Store::Quorum => "quorum",
        };
        let mut arguments = vec![
            store.to_owned(),
            "--time".into(),
            RUN_TIME.into(),
            "--seed".into(),
            seed.to_string(),
        ];
        let bug = match self {
            Subject::Bug(bug) => Some(bug),
            Subject::Unmodified(_) => None,
            Subject::Harmless => Some(Bug::C1),
        };
        if let Some(bug) = bug {
            arguments.extend(["--bug".into(), bug.id().into()]);
        }
        if let Subject::Bug(bug) = self {
            let info = BugInfo::of(bug);
            arguments.extend(info.settings.iter().map(|setting| (*setting).to_owned()));
            if faults == Faults::Expected {
                arguments.extend(["--faults".into(), info.faults.join(",")]);
                arguments.extend(info.schedule.iter().map(|option| (*option).to_owned()));
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_runs_with_its_settings_and_its_faults() {
        let arguments = Subject::Bug(Bug::R17).arguments(Faults::Expected, 7).join(" ");
        assert_eq!(
            arguments,
            "raft --time 9s --seed 7 --bug R17 --read-mode lease --faults partition --fault-every 700ms..1s --fault-for 400ms..600ms"
        );
        let storm = Subject::Bug(Bug::R17).arguments(Faults::Storm, 7).join(" ");
        assert_eq!(storm, "raft --time 9s --seed 7 --bug R17 --read-mode lease");
        let control = Subject::Unmodified(Store::Quorum).arguments(Faults::Storm, 7).join(" ");
        assert_eq!(control, "quorum --time 9s --seed 7");
    }

    #[test]
    fn no_bug_hides_among_the_controls() {
        let all = Subject::all();
        assert_eq!(all.iter().filter(|subject| subject.is_control()).count(), 3);
        assert!(!all.contains(&Subject::Bug(Bug::C1)), "C1 is a control");
    }
}
