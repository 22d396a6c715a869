//! The models that come with the checker by name, and which one a history is likely to be about.

use std::collections::BTreeSet;

use super::{CasRegister, Counter, Kv, Model, Mutex, Queue, Register, Set};
use crate::history::History;
use crate::history::operation::{Function, Outcome};

/// The models that come with the checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ModelChoice {
    /// [`Register`].
    #[default]
    Register,
    /// [`CasRegister`].
    CasRegister,
    /// [`Kv`].
    Kv,
    /// [`Counter`].
    Counter,
    /// [`Set`].
    Set,
    /// [`Queue`].
    Queue,
    /// [`Mutex`].
    Mutex,
}

impl ModelChoice {
    /// All of them.
    pub const ALL: [ModelChoice; 7] = [
        ModelChoice::Register,
        ModelChoice::CasRegister,
        ModelChoice::Kv,
        ModelChoice::Counter,
        ModelChoice::Set,
        ModelChoice::Queue,
        ModelChoice::Mutex,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            ModelChoice::Register => Register.name(),
            ModelChoice::CasRegister => CasRegister.name(),
            ModelChoice::Kv => Kv.name(),
            ModelChoice::Counter => Counter.name(),
            ModelChoice::Set => Set.name(),
            ModelChoice::Queue => Queue.name(),
            ModelChoice::Mutex => Mutex.name(),
        }
    }

    /// What Jepsen's workloads and Knossos' models call it.
    pub fn aliases(self) -> &'static [&'static str] {
        match self {
            ModelChoice::Register | ModelChoice::CasRegister | ModelChoice::Counter | ModelChoice::Mutex => &[],
            ModelChoice::Kv => &["multi-register", "rw-register"],
            ModelChoice::Set => &["set-full"],
            ModelChoice::Queue => &["fifo-queue"],
        }
    }

    /// What a person calls one such object: `register`, `lock`.
    pub fn noun(self) -> &'static str {
        match self {
            ModelChoice::Register | ModelChoice::CasRegister => "register",
            ModelChoice::Kv => "store",
            ModelChoice::Counter => "counter",
            ModelChoice::Set => "set",
            ModelChoice::Queue => "queue",
            ModelChoice::Mutex => "lock",
        }
    }

    /// What its objects do, as a person types it.
    pub fn functions(self) -> &'static str {
        match self {
            ModelChoice::Register => "read, write",
            ModelChoice::CasRegister => "read, write, cas",
            ModelChoice::Kv => "read, write, cas, txn of reads and writes",
            ModelChoice::Counter => "add, inc, dec, read",
            ModelChoice::Set => "add, remove, contains, read",
            ModelChoice::Queue => "enqueue, dequeue",
            ModelChoice::Mutex => "acquire, release",
        }
    }

    /// The model with this name.
    pub fn named(name: &str) -> Option<ModelChoice> {
        let is_named = |choice: &ModelChoice| choice.name() == name || choice.aliases().contains(&name);
        ModelChoice::ALL.into_iter().find(is_named)
    }

    /// Whether its objects are registers, each key one.
    pub fn is_register(self) -> bool {
        matches!(self, ModelChoice::Register | ModelChoice::CasRegister)
    }

    /// The model that the history's header names as what its clients did.
    pub fn declared(history: &History) -> Option<ModelChoice> {
        let named = ModelChoice::named(&history.header.as_ref()?.workload)?;
        // Our register workload may replace values by compare-and-set too.
        let has_cas = || history.operations.iter().any(|operation| operation.f == Function::Cas);
        Some(match named {
            ModelChoice::Register if has_cas() => ModelChoice::CasRegister,
            other => other,
        })
    }

    /// The model whose operations these are, by their names and by what their reads saw; a register if nothing says more.
    pub fn guessed(history: &History) -> ModelChoice {
        let names: BTreeSet<&str> = history.functions.iter().collect();
        let any = |wanted: &[&str]| wanted.iter().any(|name| names.contains(name));
        if any(&["enqueue", "dequeue"]) {
            ModelChoice::Queue
        } else if any(&["acquire", "release"]) {
            ModelChoice::Mutex
        } else if any(&["txn", "append"]) {
            ModelChoice::Kv
        } else if any(&["inc", "dec", "increment", "decrement"]) {
            ModelChoice::Counter
        } else if any(&["remove", "contains"]) {
            ModelChoice::Set
        } else if any(&["add"]) {
            if reads_a_number(history) {
                ModelChoice::Counter
            } else {
                ModelChoice::Set
            }
        } else if history.operations.iter().any(|operation| operation.f == Function::Cas) {
            ModelChoice::CasRegister
        } else {
            ModelChoice::Register
        }
    }
}

/// Sets and counters are both added to; the first read that saw something tells them apart.
fn reads_a_number(history: &History) -> bool {
    let seen = history
        .operations
        .iter()
        .filter(|operation| operation.f == Function::Read && operation.outcome == Outcome::Ok)
        .filter_map(|operation| operation.observed())
        .map(|seen| history.value(seen))
        .find(|seen| seen != "null");
    seen.is_some_and(|seen| seen.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(operations: &[(&str, &str)]) -> &'static str {
        let lines: Vec<String> = (0_u64..)
            .zip(operations)
            .flat_map(|(place, (f, seen))| {
                let line = |time: u64, kind: &str| format!(r#"{{"time":{time},"type":"{kind}","process":0,"f":"{f}","value":{seen}}}"#);
                [line(2 * place, "invoke"), line(2 * place + 1, "ok")]
            })
            .collect();
        ModelChoice::guessed(&History::read(lines.join("\n").as_bytes()).unwrap()).name()
    }

    #[test]
    fn every_model_has_names_that_find_it_alone() {
        for choice in ModelChoice::ALL {
            for name in choice.aliases().iter().chain(&[choice.name()]) {
                assert_eq!(ModelChoice::named(name), Some(choice));
            }
        }
        assert_eq!(ModelChoice::named("stack"), None);
    }

    #[test]
    fn the_functions_tell_the_model() {
        assert_eq!(guess(&[("enqueue", "1")]), "queue");
        assert_eq!(guess(&[("dequeue", "1")]), "queue");
        assert_eq!(guess(&[("acquire", "null")]), "mutex");
        assert_eq!(guess(&[("txn", "[]")]), "kv");
        assert_eq!(guess(&[("append", "\"x\""), ("read", "\"x\"")]), "kv");
        assert_eq!(guess(&[("inc", "null"), ("read", "[1]")]), "counter");
        assert_eq!(guess(&[("remove", "1"), ("read", "[1]")]), "set");
        assert_eq!(guess(&[("write", "1"), ("read", "1")]), "register");
        assert_eq!(guess(&[("write", "1"), ("cas", "[1,2]")]), "cas-register");
        assert_eq!(guess(&[("frobnicate", "1")]), "register");
        assert_eq!(guess(&[]), "register");
    }

    #[test]
    fn what_the_reads_saw_tells_a_set_from_a_counter() {
        assert_eq!(guess(&[("add", "1"), ("read", "null"), ("read", "[1]")]), "set");
        assert_eq!(guess(&[("add", "1"), ("read", r#"{"set":[1]}"#)]), "set");
        assert_eq!(guess(&[("add", "1"), ("read", "null"), ("read", "1")]), "counter");
        assert_eq!(guess(&[("add", "1")]), "set");
    }
}
