//! Keys that may hold several values at a time: is each acknowledged value in every later read, or one that may have replaced it?
//!
//! A store with version vectors keeps concurrent writes side by side, and a read gives all of them (Dynamo, SOSP 2007, §4.4). Such a key is
//! no register, and its promise is another one: what was acknowledged is not lost. A read that began after a write was acknowledged shows its
//! value, or one whose write may have seen it. **A write cannot have seen what began after it had ended**; whether it did see what it could
//! have seen, only the store knows, and what the store says of itself is not asked here (the trace rules do that). So of each read:
//!
//! - a value in it was written, by a write that did not fail, and not after the read had ended;
//! - for each write acknowledged before it began, its value is there, or one whose write had not ended before that write began.
//!
//! A delete is a write of nothing: it may have replaced what it could have seen, and leaves nothing to be shown. The header says whether
//! reads are sets ([`READS`]). Times are those of the history, intervals closed. One read costs the logarithm of the key's writes.

use std::collections::BTreeMap;

use crate::history::History;
use crate::history::mark::Header;
use crate::history::operation::{Function, KeyId, Operation, Outcome};
use crate::model::Value;

/// The field of the header that says what a read is.
pub const READS: &str = "reads";

/// Its value where a read gives all values of the key.
pub const READS_ARE_SETS: &str = "sets";

/// Whether the reads of a history are sets.
pub fn applies(header: Option<&Header>) -> bool {
    let reads = header.and_then(|header| header.extra.get(READS));
    reads.and_then(serde_json::Value::as_str) == Some(READS_ARE_SETS)
}

/// What is wrong with one key: places in [`History::operations`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// A read shows what no write of the key can have left there.
    Phantom {
        /// The read.
        read: usize,
        /// The value.
        value: String,
    },
    /// A read shows neither an acknowledged value nor one that may have replaced it.
    Lost {
        /// The read.
        read: usize,
        /// The write.
        write: usize,
    },
    /// The key cannot be judged: why.
    Unjudged(String),
}

/// The first flaw of each key that has one, in the order in which keys first appear.
pub fn check(history: &History) -> Vec<(Option<KeyId>, Flaw)> {
    let mut by_key: BTreeMap<Option<KeyId>, Vec<usize>> = BTreeMap::new();
    for (place, operation) in history.operations.iter().enumerate() {
        by_key.entry(operation.key).or_default().push(place);
    }
    let flaws = by_key
        .into_iter()
        .filter_map(|(key, places)| Some((key, check_key(history, &places)?)));
    flaws.collect()
}

/// The writes of one key.
#[derive(Default)]
struct Writes {
    /// By value: the place of the write.
    by_value: BTreeMap<Value, usize>,
    /// Acknowledged writes by invocation, each with the smallest return from there on and the place it belongs to.
    acknowledged: Vec<(u64, u64, usize)>,
    /// Deletes by invocation, each with the largest return up to there.
    deletes: Vec<(u64, u64)>,
}

impl Writes {
    fn of(history: &History, places: &[usize]) -> Result<Writes, String> {
        let mut writes = Writes::default();
        for place in places {
            let operation = &history.operations[*place];
            match operation.f {
                Function::Read => continue,
                Function::Write => {}
                Function::Cas | Function::Other(_) => return Err("it has operations other than reads and writes".into()),
            }
            if operation.outcome == Outcome::Fail {
                continue;
            }
            let value = Value::of(history, operation.argument);
            if value == Value::Null {
                writes.deletes.push((operation.invoked_ns, end_ns(operation)));
            } else if writes.by_value.insert(value.clone(), *place).is_some() {
                return Err(format!("{value} is written more than once"));
            } else if let (Outcome::Ok, Some(returned_ns)) = (operation.outcome, operation.returned_ns()) {
                writes.acknowledged.push((operation.invoked_ns, returned_ns, *place));
            }
        }
        writes.acknowledged.sort_unstable();
        let mut first = (u64::MAX, 0);
        for (_, returned_ns, place) in writes.acknowledged.iter_mut().rev() {
            first = first.min((*returned_ns, *place));
            (*returned_ns, *place) = first;
        }
        writes.deletes.sort_unstable();
        let mut last_ns = 0;
        for (_, returned_ns) in &mut writes.deletes {
            last_ns = last_ns.max(*returned_ns);
            *returned_ns = last_ns;
        }
        Ok(writes)
    }

    /// When the last of the deletes that began up to this time ended, if there is one.
    fn deleted_until(&self, time_ns: u64) -> Option<u64> {
        let place = self.deletes.partition_point(|(invoked_ns, _)| *invoked_ns <= time_ns);
        self.deletes[..place].last().map(|(_, returned_ns)| *returned_ns)
    }

    /// Among the acknowledged writes that began after `after_ns`, or all, the one that ended first: when, and its place.
    fn first_ended(&self, after_ns: Option<u64>) -> Option<(u64, usize)> {
        let place = after_ns.map_or(0, |after_ns| {
            self.acknowledged.partition_point(|(invoked_ns, ..)| *invoked_ns <= after_ns)
        });
        self.acknowledged.get(place).map(|(_, returned_ns, place)| (*returned_ns, *place))
    }
}

/// When an operation ended; never, if nobody knows.
fn end_ns(operation: &Operation) -> u64 {
    operation.returned_ns().unwrap_or(u64::MAX)
}

fn check_key(history: &History, places: &[usize]) -> Option<Flaw> {
    let writes = match Writes::of(history, places) {
        Ok(writes) => writes,
        Err(reason) => return Some(Flaw::Unjudged(reason)),
    };
    let is_read = |place: &&usize| {
        let operation = &history.operations[**place];
        operation.f == Function::Read && operation.outcome == Outcome::Ok
    };
    let flaws = places.iter().filter(is_read).filter_map(|place| {
        let flaw = check_read(history, &writes, *place)?;
        Some((end_ns(&history.operations[*place]), *place, flaw))
    });
    flaws
        .min_by_key(|(certain_ns, place, _)| (*certain_ns, *place))
        .map(|(.., flaw)| flaw)
}

fn check_read(history: &History, writes: &Writes, read: usize) -> Option<Flaw> {
    let operation = &history.operations[read];
    let read_end_ns = end_ns(operation);
    let seen = operation.observed().map_or(Value::Null, |seen| Value::of(history, seen));
    let values = match &seen {
        Value::Null => Vec::new(),
        Value::Integer(_) => vec![seen],
        Value::Json(_) => seen.items().unwrap_or_else(|| vec![seen]),
    };
    // What began after this, nothing in the read can have seen.
    let mut seen_until_ns = writes.deleted_until(read_end_ns);
    for value in values.into_iter().filter(|value| *value != Value::Null) {
        let write = writes.by_value.get(&value).map(|place| &history.operations[*place]);
        let Some(write) = write.filter(|write| write.invoked_ns <= read_end_ns) else {
            return Some(Flaw::Phantom {
                read,
                value: value.to_string(),
            });
        };
        seen_until_ns = seen_until_ns.max(Some(end_ns(write)));
    }
    let (ended_ns, write) = writes.first_ended(seen_until_ns)?;
    (ended_ns < operation.invoked_ns).then_some(Flaw::Lost { read, write })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use serde_json::json;

    use super::*;

    /// One operation: process, invocation, return (`None`: unknown), and what it does.
    #[derive(Debug, Clone)]
    struct Step(u64, Option<u64>, Does);

    #[derive(Debug, Clone)]
    enum Does {
        Write(i64),
        Fail(i64),
        Delete,
        Read(Vec<i64>),
    }
    use Does::{Delete, Fail, Read, Write};

    fn history(steps: &[Step]) -> History {
        let mut lines: Vec<(u64, bool, String)> = Vec::new();
        for (process, Step(start, end, does)) in steps.iter().enumerate() {
            let (f, asked, ended, saw) = match does {
                Write(value) => ("write", json!(value), "ok", json!(value)),
                Fail(value) => ("write", json!(value), "fail", json!(value)),
                Delete => ("write", json!(null), "ok", json!(null)),
                Read(values) => ("read", json!(null), "ok", json!(values)),
            };
            let line =
                |time: u64, kind: &str, value| json!({"time": time, "type": kind, "process": process, "f": f, "key": "k", "value": value});
            lines.push((*start, false, line(*start, "invoke", asked).to_string()));
            if let Some(end) = end {
                lines.push((*end, true, line(*end, ended, saw).to_string()));
            }
        }
        lines.sort();
        let text: Vec<String> = lines.into_iter().map(|(.., line)| line).collect();
        History::read(text.join("\n").as_bytes()).unwrap()
    }

    fn is_broken(steps: &[Step]) -> bool {
        !check(&history(steps)).is_empty()
    }

    fn done(start: u64, end: u64, does: Does) -> Step {
        Step(start, Some(end), does)
    }

    #[test]
    fn an_acknowledged_value_is_there_or_was_replaced() {
        let both = [done(1, 4, Write(1)), done(2, 5, Write(2))];
        let with = |read: Step| is_broken(&[&both[..], &[read]].concat());
        assert!(!with(done(6, 7, Read(vec![1, 2]))));
        assert!(!with(done(6, 7, Read(vec![2]))), "2 may have seen 1");
        assert!(with(done(6, 7, Read(vec![]))));
        assert!(!with(done(5, 7, Read(vec![1]))), "2 had only just ended");
        let after = [done(1, 2, Write(1)), done(3, 4, Write(2))];
        assert!(!is_broken(&[&after[..], &[done(5, 6, Read(vec![2]))]].concat()));
        assert!(
            is_broken(&[&after[..], &[done(5, 6, Read(vec![1]))]].concat()),
            "1 cannot have seen 2"
        );
        assert!(
            !is_broken(&[&after[..], &[done(4, 6, Read(vec![1]))]].concat()),
            "2 had not ended before"
        );
    }

    #[test]
    fn a_value_of_unknown_outcome_may_come_and_may_replace() {
        let unknown = [Step(1, None, Write(1)), done(2, 3, Write(2))];
        for seen in [vec![1], vec![2], vec![1, 2]] {
            assert!(!is_broken(&[&unknown[..], &[done(4, 5, Read(seen))]].concat()));
        }
        assert!(is_broken(&[&unknown[..], &[done(4, 5, Read(vec![]))]].concat()));
    }

    #[test]
    fn what_nobody_can_have_written_is_a_phantom() {
        assert!(is_broken(&[done(1, 2, Read(vec![7]))]));
        assert!(is_broken(&[done(1, 2, Fail(7)), done(3, 4, Read(vec![7]))]));
        assert!(is_broken(&[done(1, 2, Read(vec![7])), done(3, 4, Write(7))]));
        assert!(!is_broken(&[done(1, 3, Read(vec![7])), done(3, 4, Write(7))]), "at the same time");
    }

    #[test]
    fn a_delete_may_have_replaced_what_it_could_have_seen() {
        let deleted = [done(1, 2, Write(1)), done(3, 4, Delete)];
        assert!(!is_broken(&[&deleted[..], &[done(5, 6, Read(vec![]))]].concat()));
        assert!(
            !is_broken(&[&deleted[..], &[done(5, 6, Read(vec![1]))]].concat()),
            "the rule is about values, not about absence"
        );
        let before = [done(1, 2, Delete), done(3, 4, Write(1))];
        assert!(is_broken(&[&before[..], &[done(5, 6, Read(vec![]))]].concat()));
        let later = [done(1, 2, Write(1)), done(5, 6, Read(vec![])), done(7, 8, Delete)];
        assert!(is_broken(&later), "that delete had not begun");
    }

    #[test]
    fn values_that_are_not_unique_are_not_judged() {
        let flaws = check(&history(&[done(1, 2, Write(1)), done(3, 4, Write(1))]));
        assert!(matches!(&flaws[..], [(Some(_), Flaw::Unjudged(reason))] if reason.contains("more than once")));
    }

    /// The rule as it is written down, pair by pair.
    fn by_definition(steps: &[Step]) -> bool {
        let ends = |step: &Step| step.1.unwrap_or(u64::MAX);
        let reads = steps.iter().filter(|step| matches!(step.2, Read(_)) && step.1.is_some());
        reads.into_iter().any(|read| {
            let Read(seen) = &read.2 else { return false };
            let shown: Vec<Option<&Step>> = seen
                .iter()
                .map(|value| {
                    steps
                        .iter()
                        .find(|step| matches!(step.2, Write(written) if written == *value && step.0 <= ends(read)))
                })
                .collect();
            let deletes = steps.iter().filter(|step| matches!(step.2, Delete) && step.0 <= ends(read));
            let may_replace: Vec<&Step> = shown.iter().flatten().copied().chain(deletes).collect();
            let is_lost = |write: &&Step| {
                let Write(value) = write.2 else { return false };
                let is_before = write.1.is_some_and(|end| end < read.0);
                is_before && !seen.contains(&value) && may_replace.iter().all(|other| ends(other) < write.0)
            };
            shown.contains(&None) || steps.iter().any(|step| is_lost(&step))
        })
    }
    impl PartialEq for Step {
        fn eq(&self, other: &Step) -> bool {
            std::ptr::eq(self, other)
        }
    }

    #[test]
    fn says_what_the_definition_says_on_random_histories() {
        let mut chance = ChaCha8Rng::seed_from_u64(11);
        let mut broken = 0;
        for _ in 0..4000 {
            let n_writes = chance.random_range(1..5);
            let steps: Vec<Step> = (0..chance.random_range(2..9))
                .map(|number| {
                    let start = chance.random_range(1..16);
                    let does = match chance.random_range(0..12) {
                        _ if number < n_writes => Write(number),
                        0 => Delete,
                        1 => Fail(100 + number),
                        _ => Read((0..n_writes).filter(|_| chance.random_bool(0.5)).collect()),
                    };
                    let is_unknown = !matches!(does, Fail(_)) && chance.random_bool(0.1);
                    Step(start, (!is_unknown).then(|| start + chance.random_range(0..7)), does)
                })
                .collect();
            let expected = by_definition(&steps);
            assert_eq!(is_broken(&steps), expected, "{steps:?}");
            broken += u32::from(expected);
        }
        assert!((400..3600).contains(&broken), "{broken} of 4000 are broken");
    }

    #[test]
    fn applies_only_where_the_header_says_so() {
        let mut header = Header {
            squall_history: 1,
            run: String::new(),
            seed: 0,
            clock: Default::default(),
            requested: Vec::new(),
            system: String::new(),
            nodes: Vec::new(),
            spares: Vec::new(),
            workload: String::new(),
            clients: 0,
            traces: false,
            extra: Default::default(),
        };
        assert!(!applies(None) && !applies(Some(&header)));
        header.extra.insert(READS.into(), READS_ARE_SETS.into());
        assert!(applies(Some(&header)));
    }
}
