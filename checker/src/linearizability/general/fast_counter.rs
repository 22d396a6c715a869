//! Counters that only grow: every read lies between what was certainly added before it and what may have been added by then.
//!
//! It only refutes. Within the bounds some sums may be out of reach (with one pending addition of 5 nobody reads 3; Jepsen's `counter`
//! checker, which stops here, accepts that), so the search has the last word.

use super::fast::Fast;
use super::problem::Problem;
use crate::model::CounterOp;

pub(super) fn decide(problem: &Problem<CounterOp>) -> Fast {
    let mut begun: Vec<(i64, i128)> = Vec::new();
    let mut done: Vec<(i64, i128)> = Vec::new();
    let mut reads = Vec::new();
    for (number, item) in (0..).zip(&problem.items) {
        match *problem.op(number) {
            CounterOp::Add(amount) if amount < 0 => return Fast::Open,
            CounterOp::Add(amount) => {
                begun.push((item.invoked_ns, amount.into()));
                if item.is_required() {
                    done.push((item.returned_ns, amount.into()));
                }
            }
            CounterOp::Read(seen) if item.is_required() => reads.push((number, seen)),
            CounterOp::Read(_) => {}
        }
    }
    let (begun, done) = (Sums::of(begun), Sums::of(done));
    for (read, seen) in reads {
        let item = problem.items[read as usize];
        if seen >= done.before(item.invoked_ns) && seen <= begun.until(item.returned_ns) {
            continue;
        }
        let concerned = |number: &u32| {
            let of = problem.items[*number as usize];
            *number == read || (matches!(problem.op(*number), CounterOp::Add(_)) && of.invoked_ns <= item.returned_ns)
        };
        return Fast::Refuted {
            items: (0..problem.items.len() as u32).filter(concerned).collect(),
            values: Vec::new(),
        };
    }
    Fast::Open
}

/// Running sums over time.
struct Sums(Vec<(i64, i128)>);

impl Sums {
    fn of(mut amounts: Vec<(i64, i128)>) -> Sums {
        amounts.sort_unstable();
        let mut sum = 0;
        for (_, amount) in &mut amounts {
            sum += *amount;
            *amount = sum;
        }
        Sums(amounts)
    }

    fn first(&self, count: usize) -> i128 {
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }

    fn before(&self, time_ns: i64) -> i128 {
        self.first(self.0.partition_point(|&(at_ns, _)| at_ns < time_ns))
    }

    fn until(&self, time_ns: i64) -> i128 {
        self.first(self.0.partition_point(|&(at_ns, _)| at_ns <= time_ns))
    }
}
