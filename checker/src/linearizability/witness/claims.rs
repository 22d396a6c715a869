//! The claim as a sentence that a person can follow: who did what when, and why that cannot be.

use super::{SHOWN_CHARS_MAX, described, model};
use crate::escape::visible;
use crate::history::History;
use crate::history::operation::{Operation, Outcome};
use crate::linearizability::general::{Claim, Refusal};
use crate::model::{Call, Counter, CounterOp, Model, Value};
use crate::seconds::{digits_of, with_digits};

/// The words for one refused object.
pub(super) struct Words<'a> {
    pub(super) history: &'a History,
    places: &'a [u32],
    pub(super) refusal: &'a Refusal,
    pub(super) claim: Option<&'a Claim>,
    /// Digits behind the point in which times are shown.
    pub(super) digits: usize,
}

/// Most values of a chain that a sentence names.
const CHAIN_SHOWN_MAX: usize = 5;

impl<'a> Words<'a> {
    pub(super) fn of(history: &'a History, places: &'a [u32], refusal: &'a Refusal, claim: Option<&'a Claim>) -> Words<'a> {
        let mut words = Words {
            history,
            places,
            refusal,
            claim,
            digits: 9,
        };
        words.digits = words.digits();
        words
    }

    /// The places of the operations that show the claim to be true.
    pub(super) fn operations(&self, claim: &Claim) -> Vec<usize> {
        let mut places = claim.operations();
        match claim {
            Claim::DequeuedTooOften { dequeues } => {
                let value = self.seen(dequeues[0]);
                places.extend(self.with("enqueue", &value));
            }
            Claim::OutOfOrder { first, .. } => places.extend(self.dequeue_of(*first)),
            Claim::NotEmpty { there, .. } => places.extend(there.iter().filter_map(|&enqueue| self.dequeue_of(enqueue))),
            Claim::NeverAdded { value, .. } => places.extend(self.with("add", &Value::of_json(value)).first()),
            Claim::Missing { value, .. } => places.extend(self.first_add(value)),
            Claim::Overtaken { saw, .. } => places.extend(self.first_add(saw)),
            Claim::Forked { only_one, only_other, .. } => {
                places.extend([only_one, only_other].into_iter().filter_map(|value| self.first_add(value)));
            }
            Claim::Unbalanced { first, last } => places.extend(self.balance(*first, *last)),
            Claim::ListedTwice { .. } | Claim::OutOfBounds { .. } => {}
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    pub(super) fn sentence(&self) -> String {
        match self.claim {
            Some(claim) => self.of_claim(claim),
            None => self.of_window(),
        }
    }

    fn of_claim(&self, claim: &Claim) -> String {
        match *claim {
            Claim::DequeuedTooOften { ref dequeues } => self.dequeued_too_often(dequeues),
            Claim::OutOfOrder { first, second, taken } => {
                let (x, y) = (self.asked(first), self.asked(second));
                format!(
                    "enqueue {x} by process {} returned at {}, before process {} began enqueue {y} at {}, but {y} was dequeued first, by process {} at {}",
                    self.process(first),
                    self.returned(first),
                    self.process(second),
                    self.invoked(second),
                    self.process(taken),
                    self.returned(taken)
                )
            }
            Claim::NotEmpty { empty, ref there } => {
                let found = format!(
                    "process {} found the queue empty ({} to {})",
                    self.process(empty),
                    self.invoked(empty),
                    self.returned(empty)
                );
                match there[..] {
                    [enqueue] => format!(
                        "{found}, although {} was in it since {}",
                        self.asked(enqueue),
                        self.returned(enqueue)
                    ),
                    _ => format!("{found}, although at every moment of that one of {} was in it", self.values(there)),
                }
            }
            Claim::Unbalanced { first, last } => self.unbalanced(first, last),
            Claim::OutOfBounds { read } => self.out_of_bounds(read),
            _ => self.of_set(claim),
        }
    }

    fn of_set(&self, claim: &Claim) -> String {
        match claim {
            Claim::NeverAdded { read, value } => {
                let holds = self.says(*read, ["holds", "found"], value);
                match self.with("add", &Value::of_json(value)).first() {
                    Some(&add) if self.operation(add).outcome == Outcome::Fail => {
                        format!(
                            "{holds}, although that add by process {} was refused at {}",
                            self.process(add),
                            self.returned(add)
                        )
                    }
                    Some(&add) => format!(
                        "{holds}, before process {} began to add it at {}",
                        self.process(add),
                        self.invoked(add)
                    ),
                    None => format!("{holds}, which nobody added"),
                }
            }
            Claim::Missing { read, known, value } => {
                let (lacks, value) = (self.lacks(*read, value), shown(value));
                match self.history.function(self.operation(*known)) {
                    "add" => format!(
                        "{lacks}, whose add by process {} had returned at {}",
                        self.process(*known),
                        self.returned(*known)
                    ),
                    _ => format!(
                        "{lacks}, but process {} had seen {value} there before, at {}",
                        self.process(*known),
                        self.returned(*known)
                    ),
                }
            }
            Claim::Overtaken { read, first, lacks, saw } => format!(
                "{}, but holds {}, whose add began after add {} by process {} had returned at {}",
                self.lacks(*read, lacks),
                shown(saw),
                shown(lacks),
                self.process(*first),
                self.returned(*first)
            ),
            Claim::Forked {
                one,
                other,
                only_one,
                only_other,
            } => {
                let (a, b) = (shown(only_one), shown(only_other));
                format!(
                    "{} holds {a} and lacks {b}, {} holds {b} and lacks {a}, and nobody removed either",
                    self.read_of(*one),
                    self.read_of(*other)
                )
            }
            Claim::ListedTwice { read, value } => format!("{} holds {} twice", self.read_of(*read), shown(value)),
            _ => String::new(),
        }
    }

    fn dequeued_too_often(&self, dequeues: &[usize]) -> String {
        let value = self.seen(dequeues[0]);
        let enqueues = self.with("enqueue", &value);
        let value = shown(&value.to_string());
        let done = |place: &usize| self.operation(*place).outcome != Outcome::Fail;
        if let [dequeue] = *dequeues {
            let dequeued = format!("process {} dequeued {value} at {}", self.process(dequeue), self.returned(dequeue));
            return match (enqueues.iter().find(|place| done(place)), enqueues.first()) {
                (Some(&enqueue), _) => format!(
                    "{dequeued}, before process {} began to enqueue it at {}",
                    self.process(enqueue),
                    self.invoked(enqueue)
                ),
                (None, Some(&enqueue)) => format!(
                    "{dequeued}, although that enqueue by process {} was refused at {}",
                    self.process(enqueue),
                    self.returned(enqueue)
                ),
                (None, None) => format!("{dequeued}, which nobody enqueued"),
            };
        }
        let by: Vec<String> = dequeues
            .iter()
            .take(CHAIN_SHOWN_MAX)
            .map(|&dequeue| format!("by process {} at {}", self.process(dequeue), self.returned(dequeue)))
            .collect();
        let until_ns = dequeues.iter().filter_map(|&place| self.operation(place).returned_ns()).max();
        let begun = |place: &&usize| done(place) && Some(self.operation(**place).invoked_ns) <= until_ns;
        let count = enqueues.iter().filter(begun).count();
        format!(
            "{value} was dequeued {}: {}, but by then enqueued {}",
            times(dequeues.len()),
            by.join(", "),
            times(count)
        )
    }

    fn unbalanced(&self, first: Option<usize>, last: usize) -> String {
        let (many, others) = self.sides(first, last);
        let process = self.process(last);
        let acquires = self.f(last) == "acquire";
        match (acquires, &many[..], others.len()) {
            (true, &[holder, _], 0) => format!(
                "process {process} acquired the lock at {}, while process {} held it: it had acquired it at {}, and no release had begun",
                self.returned(last),
                self.process(holder),
                self.returned(holder)
            ),
            (false, _, 0) if first.is_none() => {
                format!(
                    "process {process} released the lock at {}, which nobody had acquired",
                    self.returned(last)
                )
            }
            _ => {
                let (one, other) = if acquires {
                    ("acquired", "release")
                } else {
                    ("released", "acquire")
                };
                let since = first.map_or_else(|| "the beginning".to_owned(), |first| self.invoked(first));
                let under_way = match others.len() {
                    0 => format!("no {other} was under way"),
                    1 => format!("only 1 {other} was under way"),
                    n => format!("only {n} {other}s were under way"),
                };
                format!(
                    "the lock was {one} {} between {since} and {}, last by process {process}, but {under_way} in that time",
                    times(many.len()),
                    self.returned(last)
                )
            }
        }
    }

    /// The operations of `last`'s kind within the stretch, and the others that touch it.
    pub(super) fn sides(&self, first: Option<usize>, last: usize) -> (Vec<usize>, Vec<usize>) {
        let from_ns = first.map_or(0, |first| self.operation(first).invoked_ns);
        let until_ns = self.ended_ns(last);
        let own = self.f(last);
        let (mut many, mut others) = (Vec::new(), Vec::new());
        for place in self.own().filter(|&place| self.operation(place).outcome != Outcome::Fail) {
            let (begun_ns, ended_ns) = (self.operation(place).invoked_ns, self.ended_ns(place));
            if self.f(place) == own {
                many.extend((begun_ns >= from_ns && ended_ns <= until_ns).then_some(place));
            } else {
                others.extend((ended_ns >= from_ns && begun_ns <= until_ns).then_some(place));
            }
        }
        many.sort_by_key(|&place| (self.ended_ns(place), place));
        (many, others)
    }

    fn balance(&self, first: Option<usize>, last: usize) -> Vec<usize> {
        let (many, others) = self.sides(first, last);
        [many, others].concat()
    }

    /// What a read of a counter can have seen at least and at most, and whether amounts that need not count make the least less.
    fn bounds(&self, read: usize) -> (i128, i128, bool) {
        let (mut certain, mut less, mut more) = (0_i128, 0_i128, 0_i128);
        for place in self.own().filter(|&place| self.operation(place).outcome != Outcome::Fail) {
            let operation = self.operation(place);
            let op = Counter.read(&Call::of(self.history, operation)).ok().flatten();
            let Some(CounterOp::Add(amount)) = op.filter(|_| operation.invoked_ns <= self.ended_ns(read)) else {
                continue;
            };
            match amount {
                _ if self.ended_ns(place) < self.operation(read).invoked_ns => certain += i128::from(amount),
                ..0 => less += i128::from(amount),
                _ => more += i128::from(amount),
            }
        }
        (certain + less, certain + more, less != 0)
    }

    fn is_low(&self, read: usize, least: i128) -> bool {
        self.seen(read).integer().is_some_and(|seen| i128::from(seen) < least)
    }

    fn out_of_bounds(&self, read: usize) -> String {
        let (least, most, uncertain) = self.bounds(read);
        let saw = format!("process {} read {} at {}", self.process(read), self.seen(read), self.returned(read));
        match (self.is_low(read, least), uncertain) {
            (true, false) => format!("{saw}, although {least} had been added before it began at {}", self.invoked(read)),
            (true, true) => format!("{saw}, although it cannot have been below {least} since {}", self.invoked(read)),
            (false, _) => format!("{saw}, although no more than {most} had been added by then"),
        }
    }

    /// The bound that a read of a counter broke.
    pub(super) fn bound(&self, read: usize) -> String {
        let (least, most, _) = self.bounds(read);
        if self.is_low(read, least) {
            format!("it was at least {least}")
        } else {
            format!("it was at most {most}")
        }
    }

    fn of_window(&self) -> String {
        let stuck = self.refusal.stuck;
        let what = described::operation(&model::of_general(self.history, stuck, self.refusal.values.as_deref()));
        format!(
            "no order of these operations explains {what} by process {} ({} to {})",
            self.process(stuck),
            self.invoked(stuck),
            self.returned(stuck)
        )
    }

    pub(super) fn because(&self) -> Vec<String> {
        let mut because = Vec::new();
        match self.claim {
            Some(Claim::OutOfOrder { first, .. }) => {
                let value = self.asked(*first);
                because.push(match self.dequeue_of(*first) {
                    Some(dequeue) => format!(
                        "the dequeue of {value} by process {} began only at {}",
                        self.process(dequeue),
                        self.invoked(dequeue)
                    ),
                    None => format!("{value} was never dequeued"),
                });
            }
            Some(Claim::NotEmpty { there, .. }) => {
                for &enqueue in there.iter().take(CHAIN_SHOWN_MAX) {
                    let value = self.asked(enqueue);
                    because.push(match self.dequeue_of(enqueue) {
                        Some(dequeue) => format!(
                            "{value} was enqueued at {} and its dequeue began at {}",
                            self.returned(enqueue),
                            self.invoked(dequeue)
                        ),
                        None => format!("{value} was enqueued at {} and never dequeued", self.returned(enqueue)),
                    });
                }
            }
            _ => {}
        }
        let clock_error_ns = self.history.clock_error_ns();
        if clock_error_ns > 0 {
            because.push(format!("the clocks of two processes differ by at most {clock_error_ns} ns"));
        }
        because
    }

    /// The fewest digits behind the point, of 3, 6 and 9, that tell the times of the claim's operations apart.
    fn digits(&self) -> usize {
        let Some(claim) = self.claim else { return 3 };
        let places = match claim {
            Claim::OutOfBounds { .. } => claim.operations(),
            _ => self.operations(claim),
        };
        let times_ns: Vec<u64> = places
            .into_iter()
            .flat_map(|place| [Some(self.operation(place).invoked_ns), self.operation(place).returned_ns()])
            .flatten()
            .collect();
        digits_of(&times_ns)
    }

    fn own(&self) -> impl Iterator<Item = usize> {
        self.places.iter().map(|&place| place as usize)
    }

    /// The operations with this function and argument, those that happened first, by their beginning.
    pub(super) fn with(&self, f: &str, value: &Value) -> Vec<usize> {
        let is_it = |place: &usize| self.f(*place) == f && Value::of(self.history, self.operation(*place).argument) == *value;
        let mut places: Vec<usize> = self.own().filter(is_it).collect();
        places.sort_by_key(|&place| {
            let operation = self.operation(place);
            (operation.outcome == Outcome::Fail, operation.invoked_ns, place)
        });
        places
    }

    fn first_add(&self, value: &str) -> Option<usize> {
        self.with("add", &Value::of_json(value)).first().copied()
    }

    /// The first known dequeue of what `enqueue` enqueued.
    fn dequeue_of(&self, enqueue: usize) -> Option<usize> {
        let value = Value::of(self.history, self.operation(enqueue).argument);
        let is_it =
            |place: &usize| self.f(*place) == "dequeue" && self.operation(*place).outcome == Outcome::Ok && self.seen(*place) == value;
        self.own()
            .filter(is_it)
            .min_by_key(|&place| (self.operation(place).invoked_ns, place))
    }

    fn values(&self, enqueues: &[usize]) -> String {
        let mut values: Vec<String> = enqueues.iter().take(CHAIN_SHOWN_MAX).map(|&place| self.asked(place)).collect();
        if enqueues.len() > values.len() {
            values.push(format!("{} more", enqueues.len() - values.len()));
        }
        values.join(", ")
    }

    /// "the read by process 3 (1.203 s to 1.207 s)".
    fn read_of(&self, read: usize) -> String {
        let f = visible(self.f(read), SHOWN_CHARS_MAX);
        format!(
            "the {f} by process {} ({} to {})",
            self.process(read),
            self.invoked(read),
            self.returned(read)
        )
    }

    fn lacks(&self, read: usize, value: &str) -> String {
        self.says(read, ["lacks", "did not find"], value)
    }

    /// What a read of the whole holds, a question about one value finds.
    fn says(&self, read: usize, [whole, one]: [&str; 2], value: &str) -> String {
        let verb = if self.f(read) == "contains" { one } else { whole };
        format!("{} {verb} {}", self.read_of(read), shown(value))
    }

    pub(super) fn operation(&self, place: usize) -> &Operation {
        &self.history.operations[place]
    }

    pub(super) fn f(&self, place: usize) -> &str {
        self.history.function(self.operation(place))
    }

    pub(super) fn process(&self, place: usize) -> u64 {
        self.operation(place).process
    }

    pub(super) fn seen(&self, place: usize) -> Value {
        let seen = self.operation(place).observed();
        seen.map_or(Value::Null, |seen| Value::of(self.history, seen))
    }

    fn asked(&self, place: usize) -> String {
        shown(&self.history.value(self.operation(place).argument))
    }

    fn invoked(&self, place: usize) -> String {
        with_digits(self.operation(place).invoked_ns, self.digits)
    }

    fn returned(&self, place: usize) -> String {
        let returned_ns = self.operation(place).returned_ns();
        returned_ns.map_or_else(|| "an unknown time".to_owned(), |time_ns| with_digits(time_ns, self.digits))
    }

    /// The last moment at which it can have taken effect, with what clocks may differ by.
    fn ended_ns(&self, place: usize) -> u64 {
        let returned_ns = self.operation(place).returned_ns();
        returned_ns.map_or(u64::MAX, |time_ns| time_ns.saturating_add(self.history.clock_error_ns()))
    }
}

fn shown(json: &str) -> String {
    visible(json, SHOWN_CHARS_MAX)
}

fn times(count: usize) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}
