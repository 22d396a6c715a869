//! Registers: reads and writes of single keys, each written value unique over the whole run.
//!
//! Unique values make the judge's exact check linear instead of exponential (Gibbons and Korach 1997); few clients per key make
//! violations visible, because with fifty writers on one key another write nearly always hides a lost one; keys that live for a few hundred
//! operations keep a violation's surroundings small.
//!
//! An operation is a function of (seed, client, count). With a rate, a client's time is cut into slots and `count` is the number of the
//! slot: a client that was blocked passes over the slots it missed, so that all clients of a key move on to the next one together. In
//! a closed loop (rate 0) `count` is the number of operations the client has done.
//!
//! Clients work in groups of neighbours (neighbours talk to different nodes), each group on a few keys at once, of which one at a time
//! is replaced: were all replaced together, every fault of the same rhythm would meet keys of the same age.

mod stream;

use serde::{Deserialize, Serialize};

use self::stream::Stream;
use crate::chance::Draws;
use crate::client::Operation;
pub use crate::generator::final_reads;
use crate::{Generator, WorkloadInfo};

/// What `squall list workloads` says.
pub(crate) const INFO: WorkloadInfo = WorkloadInfo {
    name: "register",
    about: "reads and writes of single keys; every written value is unique, keys are rotated",
    model: "register, each key for itself (linearizability is local: Herlihy and Wing 1990, theorem 1)",
};

/// Fewest clients that share a key: with fewer there is hardly any concurrency to get wrong.
const CLIENTS_PER_KEY_MIN: u32 = 3;
/// Most clients that share a key: with 50 on one key, a lost write was found in none of 20 seeds, with 5 on ten in the first.
const CLIENTS_PER_KEY_MAX: u32 = 10;
/// More clients than this do not fit on one machine, and all numbers below stay far inside 64 bits.
const CLIENTS_MAX: u32 = 1_000;

/// How registers are worked on, as it stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Number of clients.
    pub clients: u32,
    /// Clients that share a key, 3 to 10. Where it does not divide `clients`, groups are made larger rather than smaller.
    pub clients_per_key: u32,
    /// Keys that one group of clients works on at a time.
    pub keys_at_once: u32,
    /// Operations on a key, about, before another takes its place.
    pub ops_per_key: u32,
    /// Operations per second of all clients together; 0 = each client begins the next operation when the last one ended.
    pub rate: u32,
    /// Reads among 100 operations; the others are writes.
    pub reads_percent: u32,
    /// Decides every operation and its time.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            clients: 10,
            clients_per_key: 5,
            keys_at_once: 2,
            ops_per_key: 200,
            rate: 1_000,
            reads_percent: 50,
            seed: 0,
        }
    }
}

impl Options {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// One sentence with the value at fault and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let Options {
            clients,
            clients_per_key,
            keys_at_once,
            ops_per_key,
            rate,
            reads_percent,
            seed: _,
        } = *self;
        let shared = CLIENTS_PER_KEY_MIN..=CLIENTS_PER_KEY_MAX;
        let rules = [
            (
                !(CLIENTS_PER_KEY_MIN..=CLIENTS_MAX).contains(&clients),
                format!("`clients` is {clients}: a register needs {CLIENTS_PER_KEY_MIN} to {CLIENTS_MAX} clients"),
            ),
            (
                !shared.contains(&clients_per_key),
                format!(
                    "`clients_per_key` is {clients_per_key}: with fewer than {CLIENTS_PER_KEY_MIN} nothing happens at the same time, \
                     with more than {CLIENTS_PER_KEY_MAX} writes hide each other's loss"
                ),
            ),
            (
                !(1..=1_000).contains(&keys_at_once),
                format!("`keys_at_once` is {keys_at_once}: it must be 1 to 1000"),
            ),
            (
                !(1..=1_000_000_000).contains(&ops_per_key),
                format!("`ops_per_key` is {ops_per_key}: it must be 1 to 1000000000"),
            ),
            (
                rate > 1_000_000_000,
                format!("`rate` is {rate}: at most 1000000000 operations per second"),
            ),
            (reads_percent > 100, format!("`reads_percent` is {reads_percent}: at most 100")),
        ];
        match rules.into_iter().find(|(broken, _)| *broken) {
            Some((_, message)) => Err(message),
            None => Ok(()),
        }
    }

    /// Groups of clients: as many as `clients_per_key` gives, one more if they would be larger than is sound.
    fn groups(&self) -> u32 {
        let wanted = (self.clients / self.clients_per_key).max(1);
        wanted.max(self.clients.div_ceil(CLIENTS_PER_KEY_MAX))
    }
}

/// The workload with its options.
#[derive(Debug, Clone)]
pub struct Register {
    options: Options,
}

impl Register {
    /// The workload.
    ///
    /// # Errors
    /// As [`Options::validate`].
    pub fn new(options: Options) -> Result<Register, String> {
        options.validate()?;
        Ok(Register { options })
    }

    /// The stream of operations of one client, which is a number below `clients`.
    pub fn generator(&self, client: u32) -> Box<dyn Generator> {
        Box::new(Stream::new(&self.options, client))
    }

    /// The operation that `client` does at `count`, whatever it did before.
    pub fn operation(&self, client: u32, count: u64) -> Operation {
        Stream::new(&self.options, client).operation(count)
    }
}

/// Where the keys of one group of clients change.
#[derive(Debug, Clone)]
struct Rotation {
    /// Number of the group among all groups.
    group: u64,
    groups: u64,
    /// For each of the keys at once, by how many counts it is ahead.
    ahead: Vec<u64>,
    /// Counts of one client for which a key lives.
    life: u64,
}

impl Rotation {
    fn new(options: &Options, client: u32) -> Rotation {
        let (clients, groups) = (u64::from(options.clients), u64::from(options.groups()));
        let group = u64::from(client) * groups / clients;
        let members = (0..clients).filter(|member| member * groups / clients == group).count() as u64;
        let places = u64::from(options.keys_at_once);
        let life = (u64::from(options.ops_per_key) * places).div_ceil(members);
        let first = u32::try_from(group).expect("there are fewer groups than clients");
        let shift = Draws::new(options.seed, "register.rotation", first).below(0, life);
        let ahead = (0..places).map(|place| (shift + place * life / places) % life).collect();
        Rotation {
            group,
            groups,
            ahead,
            life,
        }
    }

    /// Number of the group, as a stream of chance takes it.
    fn number(&self) -> u32 {
        u32::try_from(self.group).expect("there are fewer groups than clients")
    }

    /// Number of the key that stands at `place` at `count`; every number belongs to one place of one group.
    fn key_number(&self, place: u64, count: u64) -> u64 {
        let places = self.ahead.len() as u64;
        let ahead = self.ahead[usize::try_from(place).expect("a place is below the number of keys at once")];
        let generation = (count + ahead) / self.life;
        (generation * self.groups + self.group) * places + place
    }
}

#[cfg(test)]
mod tests;
