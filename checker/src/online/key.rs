//! One key: its live clusters, what is left of the retired ones, and the pass that retires.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{ALWAYS, Asked, Ended, InFlight, LeftKey, Size, Value, place};
use crate::linearizability::{Certificate, Place, Side};

/// The state of one key.
#[derive(Debug)]
pub(super) struct Key {
    name: Option<Arc<str>>,
    /// Never iterated: its order is nobody's.
    values: FxHashMap<Value, Entry>,
    /// The clusters that certainly happened and are not retired.
    live: Vec<Cluster>,
    /// How many of `values` are retired or refused.
    retired: usize,
    /// Invocations of the operations in flight.
    in_flight: BTreeSet<(i64, u32)>,
    /// The watermark of the last retirement.
    retired_before_ns: i64,
    /// Whether it waits for a visit by [`Key::retire`].
    pub(super) is_to_be_visited: bool,
    /// Whether nothing more is judged here: its violation was told, or it was left.
    over: bool,
}

/// What is known of a value.
#[derive(Debug, Clone, Copy)]
enum Entry {
    /// Its write has not returned, and may never, and nobody read it.
    Unread {
        write: Place,
        invoked_ns: i64,
        /// What it replaced if it happened, of a compare-and-set.
        expected: Option<Value>,
    },
    /// Its place in `live`.
    Live(usize),
    /// Its write did not happen.
    Refused { write: Place },
    /// Nobody may read it any more: `by` was seen before whatever is still to come, and comes after it.
    Retired { write: Place, returned_first: Place, by: Side },
}

/// All operations of one value: as in `linearizability::zones`.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    value: Value,
    write: Place,
    write_ns: i64,
    first: Place,
    first_ns: i64,
    last: Place,
    last_ns: i64,
    /// The compare-and-set that certainly put another value in its place.
    replaced_by: Option<Place>,
}

impl Cluster {
    /// The cluster of a write that has certainly happened, because `first` of its operations returned.
    fn new(value: Value, write: Place, write_ns: i64, first: Place, first_ns: i64) -> Cluster {
        Cluster {
            value,
            write,
            write_ns,
            first,
            first_ns,
            last: write,
            last_ns: write_ns,
            replaced_by: None,
        }
    }

    fn returned(&mut self, operation: Place, returned_ns: i64) {
        if returned_ns < self.first_ns {
            (self.first, self.first_ns) = (operation, returned_ns);
        }
    }

    fn began(&mut self, operation: Place, invoked_ns: i64) {
        if invoked_ns > self.last_ns {
            (self.last, self.last_ns) = (operation, invoked_ns);
        }
    }

    fn contradicts(&self, other: &Cluster) -> bool {
        self.first_ns < other.last_ns && other.first_ns < self.last_ns
    }

    fn side(&self) -> Side {
        Side {
            write: self.write,
            returned_first: self.first,
            began_last: self.last,
            shown_by: self.last,
        }
    }
}

impl Key {
    pub(super) fn new(name: Option<Arc<str>>) -> Key {
        Key {
            name,
            values: FxHashMap::from_iter([(Value::Null, Entry::Live(0))]),
            live: vec![Cluster::new(Value::Null, Place::INITIAL, ALWAYS, Place::INITIAL, ALWAYS)],
            retired: 0,
            in_flight: BTreeSet::new(),
            retired_before_ns: ALWAYS,
            is_to_be_visited: false,
            over: false,
        }
    }

    pub(super) fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }

    pub(super) fn size(&self) -> Size {
        Size {
            live: self.live.len(),
            unread: self.values.len() - self.live.len() - self.retired,
            retired: self.retired,
        }
    }

    /// Takes an invocation; says why the key is left, if it is.
    pub(super) fn invoke(&mut self, operation: &InFlight) -> Option<LeftKey> {
        if self.over {
            return None;
        }
        if operation.invoked_ns < self.retired_before_ns {
            let late_ns = self.retired_before_ns - operation.invoked_ns;
            return Some(self.leave(format!("an invocation was recorded {late_ns} ns too late")));
        }
        match operation.asked {
            Asked::Read => {}
            Asked::Write(value @ Value::Integer(integer)) => {
                if let Err(left) = self.unread(operation, value, integer, None) {
                    return Some(left);
                }
            }
            Asked::Cas {
                expected: expected @ (Value::Null | Value::Integer(_)),
                new: new @ Value::Integer(integer),
            } => {
                if let Err(left) = self.unread(operation, new, integer, Some(expected)) {
                    return Some(left);
                }
            }
            Asked::Cas { .. } => return Some(self.leave("a compare-and-set has a value that is no integer".into())),
            Asked::Write(Value::Null) => return Some(self.leave("null is written, which is also the value before any write".into())),
            Asked::Write(Value::Foreign) => return Some(self.leave("a value is written that is no integer".into())),
            Asked::Other => return Some(self.leave("an operation is neither a read nor a write nor a compare-and-set".into())),
        }
        self.in_flight.insert((operation.invoked_ns, operation.place));
        None
    }

    fn unread(&mut self, operation: &InFlight, value: Value, integer: i64, expected: Option<Value>) -> Result<(), LeftKey> {
        if !matches!(self.values.get(&value), None | Some(Entry::Refused { .. })) {
            return Err(self.leave(format!("the value {integer} is written twice")));
        }
        let write = Entry::Unread {
            write: place(operation.place),
            invoked_ns: operation.invoked_ns,
            expected,
        };
        let before = self.values.insert(value, write);
        self.retired -= usize::from(before.is_some());
        Ok(())
    }

    /// Takes a completion; the proof, if the key is broken now.
    pub(super) fn complete(&mut self, operation: &InFlight, ended: Ended, returned_ns: i64) -> Option<Certificate> {
        if self.over {
            return None;
        }
        self.in_flight.remove(&(operation.invoked_ns, operation.place));
        let broken = match (operation.asked, ended) {
            (Asked::Read, Ended::Ok(value)) => self.read(operation, value, returned_ns),
            (Asked::Write(value), Ended::Ok(_)) => self.written(operation, value, returned_ns),
            (Asked::Write(value) | Asked::Cas { new: value, .. }, Ended::Failed) => self.refused(operation, value),
            (Asked::Cas { expected, new }, Ended::Ok(_)) => self.replaced(operation, expected, new, returned_ns),
            (Asked::Cas { new, .. }, Ended::Differed(seen)) => {
                let refused = self.refused(operation, new);
                refused.or_else(|| self.read(operation, seen, returned_ns))
            }
            _ => None,
        };
        if broken.is_some() {
            self.end();
        }
        broken
    }

    fn read(&mut self, operation: &InFlight, value: Value, returned_ns: i64) -> Option<Certificate> {
        let read = place(operation.place);
        let number = match self.values.get(&value) {
            None => return Some(Certificate::PhantomRead { read }),
            Some(&Entry::Refused { write }) => return Some(Certificate::RefusedWriteRead { read, write }),
            Some(&Entry::Retired { write, returned_first, by }) => {
                let stale = Side {
                    write,
                    returned_first,
                    began_last: read,
                    shown_by: read,
                };
                return Some(Certificate::Overlap { one: stale, other: by });
            }
            Some(&Entry::Unread {
                write,
                invoked_ns,
                expected,
            }) => {
                let number = self.go_live(Cluster::new(value, write, invoked_ns, read, returned_ns));
                if let Some(broken) = expected.and_then(|expected| self.shown(write, invoked_ns, expected)) {
                    return Some(broken);
                }
                number
            }
            Some(&Entry::Live(number)) => number,
        };
        let cluster = &mut self.live[number];
        if returned_ns < cluster.write_ns {
            let write = cluster.write;
            return Some(Certificate::ReadFromTheFuture { read, write });
        }
        cluster.returned(read, returned_ns);
        cluster.began(read, operation.invoked_ns);
        self.contradiction(number)
    }

    fn written(&mut self, operation: &InFlight, value: Value, returned_ns: i64) -> Option<Certificate> {
        let write = place(operation.place);
        let number = match self.values.get(&value) {
            Some(&Entry::Live(number)) => number,
            // Nothing of a write in flight is retired (it holds the watermark), and nobody else writes its value.
            _ => self.go_live(Cluster::new(value, write, operation.invoked_ns, write, returned_ns)),
        };
        self.live[number].returned(write, returned_ns);
        self.contradiction(number)
    }

    /// A compare-and-set happened, and returned: what it found is as if it had been read.
    fn replaced(&mut self, operation: &InFlight, expected: Value, new: Value, returned_ns: i64) -> Option<Certificate> {
        let found = self.read(operation, expected, returned_ns);
        let found = found.or_else(|| self.replace(place(operation.place), expected));
        found.or_else(|| self.written(operation, new, returned_ns))
    }

    /// A compare-and-set was shown to have happened before it returned, or although it never did. Whether a value was there that is retired by
    /// now cannot be said: it may have been before that.
    fn shown(&mut self, cas: Place, invoked_ns: i64, expected: Value) -> Option<Certificate> {
        let Some(&Entry::Live(number)) = self.values.get(&expected) else {
            return None;
        };
        self.live[number].began(cas, invoked_ns);
        self.contradiction(number).or_else(|| self.replace(cas, expected))
    }

    /// A value that is written once is replaced once.
    fn replace(&mut self, cas: Place, expected: Value) -> Option<Certificate> {
        let Some(&Entry::Live(number)) = self.values.get(&expected) else {
            return None;
        };
        let other = self.live[number].replaced_by.replace(cas).filter(|other| *other != cas)?;
        Some(Certificate::ReplacedTwice { one: other, other: cas })
    }

    fn refused(&mut self, operation: &InFlight, value: Value) -> Option<Certificate> {
        let write = place(operation.place);
        if let Some(&Entry::Live(number)) = self.values.get(&value) {
            // It was read before it returned, and only a read can have made it live.
            let read = self.live[number].first;
            return Some(Certificate::RefusedWriteRead { read, write });
        }
        self.values.insert(value, Entry::Refused { write });
        self.retired += 1;
        None
    }

    fn go_live(&mut self, cluster: Cluster) -> usize {
        let number = self.live.len();
        self.values.insert(cluster.value, Entry::Live(number));
        self.live.push(cluster);
        number
    }

    /// A contradiction of the cluster that has just changed. Retired ones need no look; see the module's head.
    fn contradiction(&self, number: usize) -> Option<Certificate> {
        let changed = &self.live[number];
        let mut others = self.live.iter().enumerate().filter(|(other, _)| *other != number);
        let (_, other) = others.find(|(_, other)| other.contradicts(changed))?;
        Some(Certificate::Overlap {
            one: other.side(),
            other: changed.side(),
        })
    }

    /// Retires what can be. No invocation with a stamp before `settled_ns` is still to come. Says whether more can be retired later without
    /// another invocation.
    pub(super) fn retire(&mut self, settled_ns: i64) -> bool {
        let watermark_ns = self
            .in_flight
            .first()
            .map_or(settled_ns, |(oldest_ns, _)| settled_ns.min(*oldest_ns));
        self.retire_before(watermark_ns);
        !self.in_flight.is_empty() || self.live.iter().any(|cluster| cluster.first_ns >= watermark_ns)
    }

    /// Retires every cluster that must come before one which returned before the watermark. It is enough to look at the one of those with
    /// the largest `s`, and for that one itself at the second.
    fn retire_before(&mut self, watermark_ns: i64) {
        let (mut largest, mut second): (Option<Cluster>, Option<Cluster>) = (None, None);
        for cluster in self.live.iter().filter(|cluster| cluster.first_ns < watermark_ns) {
            if largest.is_none_or(|largest| cluster.last_ns > largest.last_ns) {
                second = largest.replace(*cluster);
            } else if second.is_none_or(|second| cluster.last_ns > second.last_ns) {
                second = Some(*cluster);
            }
        }
        for cluster in std::mem::take(&mut self.live) {
            let by = if largest.is_some_and(|largest| largest.value == cluster.value) {
                second
            } else {
                largest
            };
            match by.filter(|by| cluster.first_ns < by.last_ns) {
                None => {
                    self.go_live(cluster);
                }
                Some(by) => {
                    let entry = Entry::Retired {
                        write: cluster.write,
                        returned_first: cluster.first,
                        by: by.side(),
                    };
                    self.values.insert(cluster.value, entry);
                    self.retired += 1;
                    self.retired_before_ns = self.retired_before_ns.max(watermark_ns);
                }
            }
        }
    }

    fn leave(&mut self, reason: String) -> LeftKey {
        self.end();
        LeftKey {
            key: self.name.clone(),
            reason,
        }
    }

    fn end(&mut self) {
        *self = Key {
            is_to_be_visited: self.is_to_be_visited,
            over: true,
            live: Vec::new(),
            values: FxHashMap::default(),
            ..Key::new(self.name.take())
        };
    }
}
