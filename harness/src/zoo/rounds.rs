//! Which run comes next: the budget spread over bugs and controls.
//!
//! A bug that was not found yet comes before one that was, and among equals the one with the fewest runs: what is found at once costs
//! little, and what is hard gets the time. Every sixth run is a control's, so that "no false alarm" rests on a number; every fourth of the
//! others goes to a bug that was found already, so that its rate gets an interval. Runs of one bug take turns between the faults that it
//! is known to need and the default storm.

use serde::Serialize;

/// Of so many runs one is a control's.
const RUNS_PER_CONTROL: u32 = 6;

/// Of so many runs of bugs one goes to a bug that was found already.
const RUNS_PER_FOUND: u32 = 4;

/// Under which faults a run is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Faults {
    /// Those that the bug needs at least.
    Expected,
    /// All that the store claims to survive.
    Storm,
}

/// How one subject, a bug or a control, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// Runs that were begun.
    pub(super) begun: u32,
    /// Whether one reported something.
    pub(super) found: bool,
    /// Whether it is one of the controls, in which nothing is to be found.
    pub(super) control: bool,
}

/// The subject that is run next, and how. `None` if there is none.
pub(super) fn next(standings: &[Standing]) -> Option<(usize, Faults)> {
    let total: u32 = standings.iter().map(|standing| standing.begun).sum();
    let of_controls: u32 = standings
        .iter()
        .filter(|standing| standing.control)
        .map(|standing| standing.begun)
        .sum();
    let of_bugs = total - of_controls;
    let fewest = |wanted: &dyn Fn(&Standing) -> bool| {
        let fitting = standings.iter().enumerate().filter(|(_, standing)| wanted(standing));
        fitting
            .min_by_key(|(number, standing)| (standing.begun, *number))
            .map(|(number, _)| number)
    };
    let control = || fewest(&|standing| standing.control);
    let hidden = || fewest(&|standing| !standing.control && !standing.found);
    let found = || fewest(&|standing| !standing.control && standing.found);
    let number = if total % RUNS_PER_CONTROL == RUNS_PER_CONTROL - 1 {
        control().or_else(hidden).or_else(found)
    } else if of_bugs % RUNS_PER_FOUND == RUNS_PER_FOUND - 1 {
        found().or_else(hidden).or_else(control)
    } else {
        hidden().or_else(found).or_else(control)
    }?;
    let standing = standings[number];
    let faults = if standing.begun.is_multiple_of(2) && !standing.control {
        Faults::Expected
    } else {
        Faults::Storm
    };
    Some((number, faults))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `runs` runs of bugs, of which bug i is found in run `found_in[i]`, and of `controls` controls.
    fn play(found_in: &[u32], controls: usize, runs: u32) -> Vec<Standing> {
        let control = Standing {
            control: true,
            ..Standing::default()
        };
        let mut standings = vec![Standing::default(); found_in.len()];
        standings.extend(vec![control; controls]);
        for _ in 0..runs {
            let (number, _) = next(&standings).expect("there is always a subject");
            standings[number].begun += 1;
            standings[number].found = found_in.get(number).is_some_and(|found_in| standings[number].begun >= *found_in);
        }
        standings
    }

    #[test]
    fn a_sixth_of_the_runs_are_controls() {
        let standings = play(&[1, 2, 1000, 3], 2, 600);
        let of_controls: u32 = standings[4..].iter().map(|standing| standing.begun).sum();
        assert_eq!(of_controls, 100);
        assert_eq!(standings[4].begun, standings[5].begun);
    }

    #[test]
    fn what_is_hidden_gets_the_time_and_what_is_found_some_of_it() {
        let standings = play(&[1, 1, 1, 1000, 1000], 0, 400);
        assert!(standings[3].begun >= 140 && standings[4].begun >= 140, "{standings:?}");
        assert!(standings[..3].iter().all(|standing| standing.begun >= 20), "{standings:?}");
    }

    #[test]
    fn every_subject_is_run_before_any_is_run_often() {
        let standings = play(&[1000; 36], 3, 60);
        assert!(standings[..36].iter().all(|standing| standing.begun >= 1), "{standings:?}");
    }

    #[test]
    fn takes_turns_between_expected_faults_and_the_storm() {
        let mut standings = [Standing::default()];
        let mut faults = Vec::new();
        for _ in 0..4 {
            let (_, how) = next(&standings).expect("there is a bug");
            faults.push(how);
            standings[0].begun += 1;
        }
        assert_eq!(faults, [Faults::Expected, Faults::Storm, Faults::Expected, Faults::Storm]);
        assert_eq!(next(&[]), None);
    }
}
