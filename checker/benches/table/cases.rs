//! The histories of the table: what `histgen` makes with the same flags and seed.

use super::simulate::{Fault, Flags};

/// One history and what it may cost.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) flags: Flags,
    /// From the start of the process to its end, in milliseconds.
    pub(super) goal_ms: f64,
    /// The most memory that may be resident, in MB, if that has a goal.
    pub(super) goal_mb: Option<u64>,
}

impl Case {
    pub(super) fn is_good(&self) -> bool {
        self.flags.fault == Fault::None
    }

    pub(super) fn goal(&self) -> String {
        let memory = self.goal_mb.map_or(String::new(), |goal_mb| format!(", {goal_mb} MB"));
        format!("{} ms{memory}", self.goal_ms)
    }
}

fn case(name: &'static str, flags: Flags, goal_ms: f64, goal_mb: Option<u64>) -> Case {
    let flags = Flags { seed: 7, ..flags };
    Case {
        name,
        flags,
        goal_ms,
        goal_mb,
    }
}

/// All of them, in the order of the table.
pub(super) fn cases() -> Vec<Case> {
    let of = |operations: f64, clients: usize| Flags {
        operations: operations as usize,
        clients,
        ..Flags::default()
    };
    let a = Flags {
        unknown: 0.001,
        // With fifty clients at one register a lost or doubled write hardly ever shows, and ten million operations take long to make.
        seeds: 1,
        ..of(1e7, 50)
    };
    let with_cas = |flags: Flags| Flags {
        read: 0.4,
        cas: 0.3,
        ..flags
    };
    let of_five = |flags: Flags| Flags { domain: 5, ..flags };
    let faulty = |flags: Flags, fault: Fault| Flags { fault, ..flags };
    let d = Flags {
        unknown: 0.01,
        ..of(1e4, 5)
    };
    vec![
        case("A", a, 2_000.0, Some(1_229)),
        case("A-stale", faulty(a, Fault::Stale), 2_000.0, Some(1_229)),
        case("A-lost", faulty(a, Fault::Lost), 2_000.0, Some(1_229)),
        case("A-double", faulty(a, Fault::Double), 2_000.0, Some(1_229)),
        case(
            "B",
            with_cas(Flags {
                unknown: 0.001,
                ..of(1e6, 50)
            }),
            350.0,
            None,
        ),
        case("C", of(1e3, 20), 10.0, None),
        case("D", d, 30.0, None),
        case("D-stale", faulty(d, Fault::Stale), 30.0, None),
        case("E", of_five(of(1e4, 50)), 300.0, Some(50)),
        case("F", of_five(with_cas(of(1e4, 20))), 300.0, Some(50)),
        case(
            "G",
            Flags {
                keys: 1_000,
                unknown: 0.01,
                ..of(1e6, 50)
            },
            250.0,
            None,
        ),
        case("H", of(1e5, 5), 30.0, None),
        case(
            "I",
            of_five(with_cas(Flags {
                unknown: 0.01,
                ..of(1e3, 10)
            })),
            20.0,
            None,
        ),
        // Not in the peers' tables: none of them decides a tenth of it.
        case(
            "J",
            of_five(Flags {
                unknown: 0.01,
                ..of(1e5, 20)
            }),
            10_000.0,
            None,
        ),
    ]
}
