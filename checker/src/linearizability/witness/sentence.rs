//! The violation as a sentence that a person can follow: who returned before whom, and what was seen nevertheless.

use super::{Certificate, Place, SHOWN_CHARS_MAX, value_json};
use crate::escape::visible;
use crate::history::History;
use crate::history::operation::{Function, Operation};
use crate::seconds::{fewest_digits, with_digits};

/// The words of one certificate.
pub(super) struct Words<'a> {
    pub(super) history: &'a History,
    pub(super) digits: usize,
}

/// "`first` returned before `then` began".
#[derive(Clone, Copy)]
struct Edge {
    first: Place,
    then: usize,
}

/// The fewest digits behind the point, of 3, 6 and 9, that tell the compared times apart.
pub(super) fn digits(history: &History, certificate: &Certificate) -> usize {
    let compared_ns = compared_ns(history, certificate);
    fewest_digits(|unit_ns| compared_ns.iter().all(|(first_ns, then_ns)| first_ns / unit_ns < then_ns / unit_ns))
}

/// The pairs of times that the proof rests on: the earlier, the later.
fn compared_ns(history: &History, certificate: &Certificate) -> Vec<(u64, u64)> {
    let edges = match *certificate {
        Certificate::PhantomRead { .. }
        | Certificate::RefusedWriteRead { .. }
        | Certificate::ReplacedTwice { .. }
        | Certificate::Circle { .. }
        | Certificate::Window(_) => vec![],
        Certificate::AgainstChain { first, then } => edge(then, first).into_iter().collect(),
        Certificate::FailedAlthoughEqual {
            cas,
            returned_first,
            began_last,
            ..
        } => [edge(returned_first, cas), edge(cas, began_last)].into_iter().flatten().collect(),
        Certificate::ReadFromTheFuture { read, write } => edge(read, write).into_iter().collect(),
        Certificate::Overlap { .. } => edges(history, certificate),
    };
    let returned_ns = |place: Place| place.operation().and_then(|place| history.operations[place].returned_ns());
    edges
        .into_iter()
        .filter_map(|edge| Some((returned_ns(edge.first)?, history.operations[edge.then].invoked_ns)))
        .collect()
}

fn edge(first: Place, then: Place) -> Option<Edge> {
    then.operation().map(|then| Edge { first, then })
}

/// The two edges of an overlap; last the one that ends in the latest read, which is where a person sees the fault. One of them ends in
/// a read: if both ended in writes, each write would have begun after the other's value was in use.
fn edges(history: &History, certificate: &Certificate) -> Vec<Edge> {
    let Certificate::Overlap { one, other } = *certificate else {
        return vec![];
    };
    let mut edges: Vec<Edge> = [
        edge(one.returned_first, other.began_last),
        edge(other.returned_first, one.began_last),
    ]
    .into_iter()
    .flatten()
    .collect();
    edges.sort_by_key(|edge| {
        let then = &history.operations[edge.then];
        (edge.first != Place::INITIAL, then.f == Function::Read, then.invoked_ns, edge.then)
    });
    edges
}

impl Words<'_> {
    pub(super) fn sentence(&self, certificate: &Certificate) -> String {
        let (read, write) = match *certificate {
            Certificate::Window(ref window) => {
                let held = match window.anchor {
                    Place::INITIAL => "null at the beginning".to_owned(),
                    anchor => format!("what {} left or found", self.of(anchor)),
                };
                return format!(
                    "no order of these operations explains {}, from {held} on",
                    self.of(window.unplaceable)
                );
            }
            Certificate::PhantomRead { read } => return format!("{}, which nobody wrote", self.read_of(read)),
            Certificate::RefusedWriteRead { read, write } | Certificate::ReadFromTheFuture { read, write } => (read, write),
            Certificate::AgainstChain { first, then } => {
                let backwards = edge(then, first).map(|edge| self.order(edge, "saw")).unwrap_or_default();
                return format!("{backwards}, although the former comes of the latter");
            }
            Certificate::ReplacedTwice { one, other } => {
                return format!(
                    "{} and {} continue from one value, which was written once",
                    self.of(one),
                    self.of(other)
                );
            }
            Certificate::Circle { operation } => {
                return format!("{} comes of compare-and-sets that go round in a circle", self.of(operation));
            }
            Certificate::FailedAlthoughEqual {
                cas,
                returned_first,
                began_last,
                ..
            } => {
                let since = self.of(returned_first);
                return format!(
                    "{} failed, although what it expected was there: {since} before, {} after",
                    self.of(cas),
                    self.of(began_last)
                );
            }
            Certificate::Overlap { .. } => {
                return edges(self.history, certificate)
                    .last()
                    .map(|&edge| self.order(edge, "still saw"))
                    .unwrap_or_default();
            }
        };
        let writer = self.operation(write).map_or(0, |write| write.process);
        let read_of = self.read_of(read);
        match *certificate {
            Certificate::RefusedWriteRead { .. } => {
                format!(
                    "{read_of}, although that write by process {writer} was refused at {}",
                    self.returned(write)
                )
            }
            _ => format!("{read_of}, before process {writer} began to write it at {}", self.invoked(write)),
        }
    }

    pub(super) fn because(&self, certificate: &Certificate) -> Vec<String> {
        let mut because = Vec::new();
        if let [earlier, main] = edges(self.history, certificate)[..] {
            let old = &self.history.operations[main.then];
            let value = self.value(old);
            if earlier.first == Place::INITIAL {
                because.push(format!("{value} is the value before any write"));
            } else {
                because.push(format!("{value} came first: {}", self.order(earlier, "saw")));
            }
        }
        let clock_error_ns = self.history.clock_error_ns();
        if clock_error_ns > 0 {
            because.push(format!("the clocks of two processes differ by at most {clock_error_ns} ns"));
        }
        because
    }

    /// "write 17 by process 3 returned at 1.203 s, before process 5 began the read at 1.207 s that still saw 16".
    fn order(&self, Edge { first, then }: Edge, saw: &str) -> String {
        let first = match self.operation(first) {
            None => "nothing was written at first,".to_owned(),
            Some(write) if write.f == Function::Write => {
                format!(
                    "write {} by process {} returned at {},",
                    self.value(write),
                    write.process,
                    self.returned(first)
                )
            }
            Some(cas) if cas.f == Function::Cas => {
                format!(
                    "cas {} by process {} returned at {},",
                    self.value(cas),
                    cas.process,
                    self.returned(first)
                )
            }
            Some(read) => format!(
                "the read of {} by process {} returned at {},",
                self.value(read),
                read.process,
                self.returned(first)
            ),
        };
        let then = &self.history.operations[then];
        let (process, at, value) = (then.process, with_digits(then.invoked_ns, self.digits), self.value(then));
        match then.f {
            Function::Write => format!("{first} before process {process} began write {value} at {at}"),
            Function::Cas => format!("{first} before process {process} began cas {value} at {at}"),
            _ => format!("{first} before process {process} began the read at {at} that {saw} {value}"),
        }
    }

    /// "cas [1,2] by process 3 (1.203 s to 1.207 s)".
    fn of(&self, place: Place) -> String {
        let Some(operation) = self.operation(place) else {
            return "null at the beginning".to_owned();
        };
        let what = match operation.f {
            Function::Write => "write",
            Function::Cas => "cas",
            _ => "the read of",
        };
        let until = operation
            .returned_ns()
            .map_or_else(|| "unknown".to_owned(), |ns| with_digits(ns, self.digits));
        let (value, process) = (self.value(operation), operation.process);
        format!("{what} {value} by process {process} ({} to {until})", self.invoked(place))
    }

    fn read_of(&self, read: Place) -> String {
        let Some(operation) = self.operation(read) else {
            return String::new();
        };
        format!(
            "process {} {} {} at {}",
            operation.process,
            if operation.f == Function::Cas {
                "found the value expected by cas"
            } else {
                "read"
            },
            self.value(operation),
            self.returned(read)
        )
    }

    fn operation(&self, place: Place) -> Option<&Operation> {
        place.operation().map(|place| &self.history.operations[place])
    }

    fn value(&self, operation: &Operation) -> String {
        visible(&value_json(self.history, operation), SHOWN_CHARS_MAX)
    }

    fn returned(&self, place: Place) -> String {
        self.operation(place)
            .and_then(Operation::returned_ns)
            .map_or_else(String::new, |time_ns| with_digits(time_ns, self.digits))
    }

    fn invoked(&self, place: Place) -> String {
        self.operation(place)
            .map_or_else(String::new, |operation| with_digits(operation.invoked_ns, self.digits))
    }
}
