//! How closely configurations are compared in what they have used up of operations of unknown outcome.

/// What is compared. Comparing more keeps more configurations, and none that is needed is lost where everything is.
#[derive(Debug, Clone)]
pub(super) struct Compared {
    /// From which event to which: how much was used up in all. Disjoint and sorted.
    totals: Vec<(u32, u32)>,
    /// Per class: whether always how much of it was used up.
    pub(super) classes: Vec<bool>,
}

/// How many events before the one where a search ended totals are compared at first, and how much further at each further attempt.
const EVENTS_MIN: u32 = 256;
const EVENTS_FACTOR: u32 = 4;

impl Compared {
    pub(super) fn nothing(classes: usize) -> Compared {
        Compared {
            totals: Vec::new(),
            classes: vec![false; classes],
        }
    }

    pub(super) fn compares_totals_at(&self, event: u32) -> bool {
        let next = self.totals.partition_point(|&(_, to)| to < event);
        self.totals.get(next).is_some_and(|&(from, _)| from <= event)
    }

    /// Compares more, after a search ended at `event` for want of a class: totals before it, further back where they were compared
    /// already; and where that was from the beginning, the classes that were wanting when they last were (per class the event, 0 for
    /// never).
    pub(super) fn more(&mut self, event: u32, blocked: &[u32]) {
        let known = self.totals.iter().copied().find(|&(from, to)| from <= event && event <= to);
        let (from, to) = match known {
            Some((0, _)) => {
                let last = blocked.iter().max().copied().unwrap_or(0);
                let wanting = self.classes.iter_mut().zip(blocked).filter(|(_, blocked)| **blocked == last);
                wanting.for_each(|(compared, _)| *compared = true);
                return;
            }
            Some((from, to)) => (from.saturating_sub((EVENTS_FACTOR - 1) * (to - from)), to),
            None => (event.saturating_sub(EVENTS_MIN), event.saturating_add(EVENTS_MIN)),
        };
        let touches = |&(other_from, other_to): &(u32, u32)| other_from <= to && from <= other_to;
        let (touching, mut apart): (Vec<_>, Vec<_>) = self.totals.iter().copied().partition(touches);
        apart.push(
            touching
                .into_iter()
                .fold((from, to), |one, other| (one.0.min(other.0), one.1.max(other.1))),
        );
        apart.sort_unstable();
        self.totals = apart;
    }
}

#[cfg(test)]
mod tests {
    use super::Compared;

    #[test]
    fn more_is_compared_around_the_end_then_further_back_then_by_class() {
        let mut compared = Compared::nothing(2);
        assert!(!compared.compares_totals_at(1_000));
        compared.more(1_000, &[7, 9]);
        let at = |compared: &Compared| [0, 100, 744, 1_256, 1_257].map(|event| compared.compares_totals_at(event));
        assert_eq!(at(&compared), [false, false, true, true, false]);
        compared.more(1_000, &[7, 9]);
        assert_eq!(at(&compared), [true, true, true, true, false]);
        assert_eq!(compared.classes, [false, false]);
        compared.more(1_000, &[7, 9]);
        assert_eq!(compared.classes, [false, true]);
    }

    #[test]
    fn stretches_that_touch_become_one() {
        let mut compared = Compared::nothing(0);
        compared.more(1_000, &[]);
        compared.more(5_000, &[]);
        compared.more(1_400, &[]);
        assert_eq!(compared.totals, [(744, 1_656), (4_744, 5_256)]);
    }
}
