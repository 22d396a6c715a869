//! How many clients work on how many keys, how fast, and what they do when an operation does not succeed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::retry::Retry;

/// Fewest clients that share a key: with fewer there is hardly any concurrency to get wrong.
const CLIENTS_PER_KEY_MIN: u32 = 3;
/// Most clients that share a key: with 50 on one key, a lost write was found in none of 20 seeds, with 5 on ten in the first.
const CLIENTS_PER_KEY_MAX: u32 = 10;
/// More clients than this do not fit on one machine, and all numbers below stay far inside 64 bits.
const CLIENTS_MAX: u32 = 1_000;

/// How objects are worked on, as it stands in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Number of clients.
    #[serde(default = "usual::clients")]
    pub clients: u32,
    /// Clients that share a key, 3 to 10. Where it does not divide `clients`, groups are made larger rather than smaller.
    #[serde(default = "usual::clients_per_key")]
    pub clients_per_key: u32,
    /// Keys that one group of clients works on at a time.
    #[serde(default = "usual::keys_at_once")]
    pub keys_at_once: u32,
    /// Operations on a key, about, before another takes its place.
    #[serde(default = "usual::ops_per_key")]
    pub ops_per_key: u32,
    /// Operations per second of all clients together; 0 = each client begins the next operation when the last one ended.
    #[serde(default = "usual::rate")]
    pub rate: u32,
    /// Reads among 100 operations; the others change the object.
    #[serde(default = "usual::reads_percent")]
    pub reads_percent: u32,
    /// Compare-and-sets among 100 changes of a register; the others are writes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cas_percent: u32,
    /// Deletes among 100 changes of a register: writes of nothing. Nothing is no unique value, so the judge needs its slower check.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deletes_percent: u32,
    /// What a client does about an operation that did not succeed.
    #[serde(default, skip_serializing_if = "Retry::is_none")]
    pub retry: Retry,
    /// Decides every operation and its time; the plan's seed where a plan leaves it out.
    #[serde(default)]
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
            cas_percent: 0,
            deletes_percent: 0,
            retry: Retry::None,
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
            cas_percent,
            deletes_percent,
            retry: _,
            seed: _,
        } = *self;
        let shared = CLIENTS_PER_KEY_MIN..=CLIENTS_PER_KEY_MAX;
        let rules = [
            (
                !(CLIENTS_PER_KEY_MIN..=CLIENTS_MAX).contains(&clients),
                format!("`clients` is {clients}: a key needs {CLIENTS_PER_KEY_MIN} to {CLIENTS_MAX} clients"),
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
            (cas_percent > 100, format!("`cas_percent` is {cas_percent}: at most 100")),
            (
                cas_percent.saturating_add(deletes_percent) > 100,
                format!("`cas_percent` is {cas_percent} and `deletes_percent` is {deletes_percent}: at most 100 together"),
            ),
        ];
        match rules.into_iter().find(|(broken, _)| *broken) {
            Some((_, message)) => Err(message),
            None => Ok(()),
        }
    }

    /// Groups of clients: as many as `clients_per_key` gives, one more if they would be larger than is sound.
    pub(crate) fn groups(&self) -> u32 {
        let wanted = (self.clients / self.clients_per_key).max(1);
        wanted.max(self.clients.div_ceil(CLIENTS_PER_KEY_MAX))
    }
}

/// What a plan need not say: each field as in [`Options::default`].
mod usual {
    use super::Options;

    pub(super) fn clients() -> u32 {
        Options::default().clients
    }

    pub(super) fn clients_per_key() -> u32 {
        Options::default().clients_per_key
    }

    pub(super) fn keys_at_once() -> u32 {
        Options::default().keys_at_once
    }

    pub(super) fn ops_per_key() -> u32 {
        Options::default().ops_per_key
    }

    pub(super) fn rate() -> u32 {
        Options::default().rate
    }

    pub(super) fn reads_percent() -> u32 {
        Options::default().reads_percent
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
