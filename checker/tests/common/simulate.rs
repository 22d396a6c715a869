//! A simulated store and its clients: large histories of registers, linearizable by construction or with one fault that is certain.
//!
//! It is `histgen`, the generator that our figures and our peers' are measured with, draw for draw: the same flags and seed give the
//! same file. Each operation takes effect at one moment within its interval; one of unknown outcome with probability one half, mostly soon
//! and sometimes about a thousand latencies later.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use super::certain;

/// What the clients do, and what goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags {
    pub(crate) operations: usize,
    pub(crate) clients: usize,
    pub(crate) keys: usize,
    /// Shares of all operations; the rest are writes.
    pub(crate) read: f64,
    pub(crate) cas: f64,
    /// Values are 0 up to this, exclusive; 0 makes every value unique.
    pub(crate) domain: u64,
    /// The share of operations that never return.
    pub(crate) unknown: f64,
    pub(crate) fault: Fault,
    pub(crate) seed: u64,
    /// How many seeds are tried until the fault is certain; at least one.
    pub(crate) seeds: u64,
}

impl Default for Flags {
    /// `histgen`'s defaults.
    fn default() -> Flags {
        Flags {
            operations: 1_000,
            clients: 5,
            keys: 1,
            read: 0.5,
            cas: 0.0,
            domain: 0,
            unknown: 0.0,
            fault: Fault::None,
            seed: 1,
            seeds: 20,
        }
    }
}

/// What goes wrong once, in the second half of the history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// A read sees a value that was overwritten before it began.
    Stale,
    /// An acknowledged write never takes effect.
    Lost,
    /// A write takes effect a second time, after its reply.
    Double,
}

/// No value.
pub(crate) const NULL: i64 = i64::MIN;

/// The return of an operation that never returned.
pub(crate) const NEVER: u64 = u64::MAX;

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Does {
    Read,
    Write(i64),
    /// Expected, new.
    Cas(i64, i64),
}

/// One operation of one client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operation {
    pub(crate) process: u32,
    pub(crate) key: u32,
    pub(crate) does: Does,
    /// What a read saw.
    pub(crate) saw: i64,
    /// Whether a compare-and-set found what it expected.
    pub(crate) found: bool,
    pub(crate) invoked_ns: u64,
    pub(crate) returned_ns: u64,
}

impl Operation {
    pub(crate) fn is_unknown(&self) -> bool {
        self.returned_ns == NEVER
    }

    /// The value it leaves, if it certainly changed the register.
    pub(crate) fn wrote(&self) -> Option<i64> {
        match self.does {
            _ if self.is_unknown() => None,
            Does::Write(value) => Some(value),
            Does::Cas(_, new) if self.found => Some(new),
            _ => None,
        }
    }

    /// The value it leaves, if it may have changed the register.
    pub(crate) fn may_have_written(&self) -> Option<i64> {
        match self.does {
            Does::Write(value) => Some(value),
            Does::Cas(_, new) if self.found || self.is_unknown() => Some(new),
            _ => None,
        }
    }
}

/// The mean latency, in nanoseconds: a tenth of it fixed, the rest exponential; one operation in a hundred takes twenty times as long.
const LATENCY_NS: f64 = 1e6;
const SLOW_SHARE: f64 = 0.01;
const SLOW_FACTOR: f64 = 20.0;

/// The step between two seeds that are tried.
const SEED_STEP: u64 = 1_000_003;

/// A simulated history.
pub(crate) struct Simulated {
    /// In the order of their invocations.
    pub(crate) operations: Vec<Operation>,
    /// Whether its fault, if it was to have one, certainly shows. Otherwise the history may be linearizable all the same.
    pub(crate) is_certain: bool,
}

/// A history of the first seed that makes the fault certain, or of the last one tried.
pub(crate) fn simulate(flags: &Flags) -> Simulated {
    let mut seed = flags.seed;
    loop {
        let mut operations = Simulation::of(flags, seed).run();
        let is_certain = match flags.fault {
            Fault::None => true,
            Fault::Stale => certain::plant_stale_read(&mut operations, flags),
            Fault::Lost | Fault::Double => certain::has_impossible_read(&operations, flags.keys),
        };
        seed += SEED_STEP;
        if is_certain || seed == flags.seed + flags.seeds * SEED_STEP {
            return Simulated { operations, is_certain };
        }
    }
}

/// splitmix64, as `histgen` draws.
struct Chance(u64);

impl Chance {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Within 0 and 1.
    fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    fn exponential(&mut self, mean: f64) -> u64 {
        (-(1.0 - self.share()).ln() * mean) as u64
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client begins its next operation.
    Invoke(usize),
    /// An operation takes effect.
    Effect(usize),
}

struct Simulation<'a> {
    flags: &'a Flags,
    chance: Chance,
    operations: Vec<Operation>,
    held: Vec<i64>,
    /// By time, then by the order in which they were planned.
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
    process_of: Vec<u32>,
    next_process: u32,
    newest: i64,
    lost: Option<usize>,
    faulty: bool,
}

impl<'a> Simulation<'a> {
    fn of(flags: &'a Flags, seed: u64) -> Simulation<'a> {
        let clients = u32::try_from(flags.clients).expect("clients are few");
        Simulation {
            flags,
            chance: Chance(seed),
            operations: Vec::with_capacity(flags.operations),
            held: vec![NULL; flags.keys],
            events: BinaryHeap::new(),
            planned: 0,
            process_of: (0..clients).collect(),
            next_process: clients,
            newest: 0,
            lost: None,
            faulty: false,
        }
    }

    fn run(mut self) -> Vec<Operation> {
        for client in 0..self.flags.clients {
            let time_ns = self.chance.below(LATENCY_NS as u64 + 1) + 1;
            self.plan(time_ns, Event::Invoke(client));
        }
        while let Some(Reverse((time_ns, _, event))) = self.events.pop() {
            match event {
                Event::Invoke(_) if self.operations.len() >= self.flags.operations => {}
                Event::Invoke(client) => self.invoke(client, time_ns),
                Event::Effect(place) => self.take_effect(place),
            }
        }
        self.operations
    }

    fn plan(&mut self, time_ns: u64, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((time_ns, self.planned, event)));
    }

    fn invoke(&mut self, client: usize, time_ns: u64) {
        let key = self.chance.below(self.flags.keys as u64) as usize;
        let does = self.draw_operation(key);
        let mut latency_ns = LATENCY_NS * 0.1 + self.chance.exponential(LATENCY_NS * 0.9) as f64;
        if self.chance.share() < SLOW_SHARE {
            latency_ns *= SLOW_FACTOR;
        }
        let latency_ns = latency_ns as u64 + 2;
        let unknown = self.chance.share() < self.flags.unknown;
        let place = self.operations.len();
        self.operations.push(Operation {
            process: self.process_of[client],
            key: key as u32,
            does,
            saw: NULL,
            found: false,
            invoked_ns: time_ns,
            returned_ns: if unknown { NEVER } else { time_ns + latency_ns },
        });
        if unknown {
            self.plan_unknown(client, place, time_ns);
        } else {
            self.plan_known(client, place, time_ns, latency_ns);
        }
    }

    fn draw_operation(&mut self, key: usize) -> Does {
        let kind = self.chance.share();
        if kind < self.flags.read {
            return Does::Read;
        }
        if kind >= self.flags.read + self.flags.cas {
            return Does::Write(self.fresh());
        }
        let held = self.held[key];
        let expected = if held != NULL && self.chance.share() < 0.7 {
            held
        } else if self.flags.domain == 0 {
            (self.newest - self.chance.below(50) as i64).max(0)
        } else {
            self.chance.below(self.flags.domain) as i64
        };
        Does::Cas(expected, self.fresh())
    }

    fn fresh(&mut self) -> i64 {
        if self.flags.domain == 0 {
            self.newest += 1;
            self.newest
        } else {
            self.chance.below(self.flags.domain) as i64
        }
    }

    fn plan_unknown(&mut self, client: usize, place: usize, time_ns: u64) {
        if self.chance.share() < 0.5 {
            let late = self.chance.share() < 0.1;
            let mean_ns = if late { LATENCY_NS * 1_000.0 } else { LATENCY_NS };
            let at_ns = time_ns + 1 + self.chance.exponential(mean_ns);
            self.plan(at_ns, Event::Effect(place));
        }
        self.process_of[client] = self.next_process;
        self.next_process += 1;
        self.plan(time_ns + (LATENCY_NS * 10.0) as u64, Event::Invoke(client));
    }

    fn plan_known(&mut self, client: usize, place: usize, time_ns: u64, latency_ns: u64) {
        let at_ns = time_ns + 1 + self.chance.below(latency_ns - 1);
        self.plan(at_ns, Event::Effect(place));
        let next_ns = time_ns + latency_ns + 1 + self.chance.below(LATENCY_NS as u64 / 50 + 1);
        self.plan(next_ns, Event::Invoke(client));
        let is_write = matches!(self.operations[place].does, Does::Write(_));
        if self.faulty || !is_write || 2 * place < self.flags.operations {
            return;
        }
        match self.flags.fault {
            Fault::Lost => self.lost = Some(place),
            Fault::Double => self.plan(time_ns + latency_ns + (LATENCY_NS * 5.0) as u64, Event::Effect(place)),
            Fault::None | Fault::Stale => return,
        }
        self.faulty = true;
    }

    fn take_effect(&mut self, place: usize) {
        let operation = &mut self.operations[place];
        let held = &mut self.held[operation.key as usize];
        match operation.does {
            Does::Read => operation.saw = *held,
            Does::Write(value) if self.lost != Some(place) => *held = value,
            Does::Write(_) => {}
            Does::Cas(expected, new) => {
                operation.found = *held == expected;
                if operation.found {
                    *held = new;
                }
            }
        }
    }
}

/// Writes the operations, one per line, as `histgen` does.
///
/// # Errors
/// If `out` does.
pub(crate) fn write(operations: &[Operation], out: &mut impl Write) -> io::Result<()> {
    for operation in operations {
        let Operation {
            process, key, invoked_ns, ..
        } = operation;
        let (f, asked) = match operation.does {
            Does::Read => ("read", "null".to_owned()),
            Does::Write(value) => ("write", value.to_string()),
            Does::Cas(expected, new) => ("cas", format!("[{expected},{new}]")),
        };
        let saw = match operation.does {
            Does::Write(_) => "null".to_owned(),
            _ if operation.is_unknown() => "null".to_owned(),
            Does::Read if operation.saw == NULL => "null".to_owned(),
            Does::Read => operation.saw.to_string(),
            Does::Cas(..) => operation.found.to_string(),
        };
        let returned = if operation.is_unknown() {
            "null".to_owned()
        } else {
            operation.returned_ns.to_string()
        };
        writeln!(
            out,
            r#"{{"proc":{process},"f":"{f}","key":"{key}","arg":{asked},"res":{saw},"inv":{invoked_ns},"ret":{returned}}}"#
        )?;
    }
    Ok(())
}
