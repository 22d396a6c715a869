//! The workloads: what the operations of a stream are, and how the objects are read at the end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::client::{Argument, Function, Operation};
use crate::generator::Generator;
use crate::options::Options;
use crate::stream::Stream;

/// What `squall list workloads` says of one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkloadInfo {
    /// The name to type.
    pub name: &'static str,
    /// One line.
    pub about: &'static str,
    /// The sequential specification its histories are judged by.
    pub model: &'static str,
}

/// All workloads, in the order of [`Kind`].
pub const WORKLOADS: &[WorkloadInfo] = &[
    WorkloadInfo {
        name: "register",
        about: "reads, writes and compare-and-sets of single keys; every written value is unique, keys are rotated",
        model: "register, each key for itself (linearizability is local: Herlihy and Wing 1990, theorem 1)",
    },
    WorkloadInfo {
        name: "counter",
        about: "increments and reads of counters; tells at most once, at least once and exactly once apart (--retry)",
        model: "counter, each key for itself",
    },
    WorkloadInfo {
        name: "set",
        about: "unique elements are added to sets, which are read whole; what was acknowledged must be in every later read",
        model: "set, each key for itself",
    },
];

/// Which objects clients work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Registers.
    Register,
    /// Counters.
    Counter,
    /// Sets.
    Set,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Register, Kind::Counter, Kind::Set];

    /// The name on the command line and in the history's header.
    pub fn name(self) -> &'static str {
        WORKLOADS[self as usize].name
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How one of its objects is read.
    pub fn read(self) -> Function {
        match self {
            Kind::Register => Function::Read,
            Kind::Counter => Function::ReadCounter,
            Kind::Set => Function::ReadSet,
        }
    }

    /// What a store must be able to do.
    pub fn functions(self, options: &Options) -> Vec<Function> {
        match self {
            Kind::Register if options.cas_percent > 0 => vec![Function::Read, Function::Write, Function::Cas],
            Kind::Register => vec![Function::Read, Function::Write],
            Kind::Counter => vec![Function::ReadCounter, Function::Increment],
            Kind::Set => vec![Function::ReadSet, Function::AddElement],
        }
    }

    /// A change of `key` that no other one equals: `unique` is never given twice.
    pub(crate) fn change(self, key: Arc<str>, unique: i64) -> Operation {
        match self {
            Kind::Register => Operation::write(key, unique),
            // All increments are equal, which is what makes counting them exact.
            Kind::Counter => Operation::new(Function::Increment, key, Argument::Value(1)),
            Kind::Set => Operation::new(Function::AddElement, key, Argument::Value(unique)),
        }
    }
}

/// A workload with its options.
#[derive(Debug, Clone)]
pub struct Workload {
    kind: Kind,
    options: Options,
}

impl Workload {
    /// The workload.
    ///
    /// # Errors
    /// As [`Options::validate`]; or if an option is none of this workload's.
    pub fn new(kind: Kind, options: Options) -> Result<Workload, String> {
        options.validate()?;
        if kind != Kind::Register && options.deletes_percent > 0 {
            return Err(format!(
                "`deletes_percent` is {}: only registers are deleted",
                options.deletes_percent
            ));
        }
        if kind != Kind::Register && options.cas_percent > 0 {
            return Err(format!(
                "`cas_percent` is {}: only registers are compared and set",
                options.cas_percent
            ));
        }
        Ok(Workload { kind, options })
    }

    /// The stream of operations of one client, which is a number below `clients`.
    pub fn generator(&self, client: u32) -> Box<dyn Generator> {
        Box::new(Stream::new(self.kind, &self.options, client))
    }

    /// The operation that `client` does at `count`, whatever it did before; a compare-and-set expects what nobody has seen yet.
    pub fn operation(&self, client: u32, count: u64) -> Operation {
        Stream::new(self.kind, &self.options, client).operation(count)
    }

    /// Which objects it works on.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

#[cfg(test)]
mod tests;
