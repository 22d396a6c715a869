//! When clients were served again: the first success after a moment, and the share of successes between two.

use std::collections::BTreeMap;

use serde::Serialize;
use squall_checker::history::operation::{Operation, Outcome};

/// Operations of some clients, ready to be asked about any moment in the time it takes to search a sorted list.
#[derive(Debug, Default)]
struct Series {
    /// When each operation was invoked, ascending.
    invoked_ns: Vec<u64>,
    /// Successes among the operations before this place; one more entry than operations.
    ok_before: Vec<u64>,
    /// The earliest return of a success at or after this place.
    first_return_from: Vec<u64>,
}

impl Series {
    /// `operations` by invocation.
    fn of<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> Series {
        let mut series = Series {
            ok_before: vec![0],
            ..Series::default()
        };
        let mut ok = 0;
        for operation in operations {
            let returned_ns = operation.returned_ns().filter(|_| operation.outcome == Outcome::Ok);
            ok += u64::from(returned_ns.is_some());
            series.invoked_ns.push(operation.invoked_ns);
            series.ok_before.push(ok);
            series.first_return_from.push(returned_ns.unwrap_or(u64::MAX));
        }
        let mut earliest = u64::MAX;
        for returned_ns in series.first_return_from.iter_mut().rev() {
            earliest = earliest.min(*returned_ns);
            *returned_ns = earliest;
        }
        series
    }

    fn place(&self, time_ns: u64) -> usize {
        self.invoked_ns.partition_point(|invoked_ns| *invoked_ns < time_ns)
    }

    fn share(&self, from_ns: u64, to_ns: u64) -> Share {
        let from = self.place(from_ns);
        let to = self.place(to_ns).max(from);
        Share {
            ok: self.ok_before[to] - self.ok_before[from],
            attempted: (to - from) as u64,
        }
    }

    fn first_success(&self, time_ns: u64) -> FirstSuccess {
        match self.first_return_from.get(self.place(time_ns)) {
            None => FirstSuccess::NothingTried,
            Some(&u64::MAX) => FirstSuccess::Never,
            Some(returned_ns) => FirstSuccess::AfterMs(returned_ns.saturating_sub(time_ns).div_ceil(1_000_000)),
        }
    }
}

/// Successes among attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Share {
    /// Successes.
    pub ok: u64,
    /// Attempts.
    pub attempted: u64,
}

/// How long after some moment an operation, itself begun after that moment, first succeeded. Ordered by how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FirstSuccess {
    /// Nobody tried.
    NothingTried,
    /// So many milliseconds, rounded up.
    AfterMs(u64),
    /// Somebody tried, and nothing succeeded to the end of the history.
    Never,
}

/// All operations of a history, together and by client.
#[derive(Debug)]
pub(super) struct Successes {
    all: Series,
    by_client: BTreeMap<u64, Series>,
}

impl Successes {
    /// `client_of` names the client behind a process, or none if its operations shall count only in the whole.
    pub(super) fn of(operations: &[Operation], client_of: impl Fn(u64) -> Option<u64>) -> Successes {
        let mut by_invocation: Vec<&Operation> = operations.iter().collect();
        by_invocation.sort_by_key(|operation| operation.invoked_ns);
        let mut of_client: BTreeMap<u64, Vec<&Operation>> = BTreeMap::new();
        for operation in &by_invocation {
            if let Some(client) = client_of(operation.process) {
                of_client.entry(client).or_default().push(operation);
            }
        }
        let by_client = of_client
            .into_iter()
            .map(|(client, operations)| (client, Series::of(operations)))
            .collect();
        Successes {
            all: Series::of(by_invocation),
            by_client,
        }
    }

    /// Operations invoked from `from_ns` on and before `to_ns`.
    pub(super) fn share(&self, from_ns: u64, to_ns: u64) -> Share {
        self.all.share(from_ns, to_ns)
    }

    /// Any client's first success.
    pub(super) fn first(&self, time_ns: u64) -> FirstSuccess {
        self.all.first_success(time_ns)
    }

    /// The first success of the client that waited longest; [`FirstSuccess::NothingTried`] where clients cannot be told apart.
    pub(super) fn worst_client(&self, time_ns: u64) -> FirstSuccess {
        self.by_client
            .values()
            .map(|series| series.first_success(time_ns))
            .max()
            .unwrap_or(FirstSuccess::NothingTried)
    }
}
