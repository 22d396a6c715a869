//! A lock.

use super::{Call, Foreign, Model};

/// `acquire` a free lock, `release` a held one, whoever holds it (Knossos' `mutex`); free at the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mutex;

/// An operation on a [`Mutex`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MutexOp {
    /// Free before, held after.
    Acquire,
    /// Held before, free after.
    Release,
}

impl Model for Mutex {
    type Op = MutexOp;
    /// Whether it is held.
    type State = bool;

    fn name(&self) -> &'static str {
        "mutex"
    }

    fn read(&self, call: &Call<'_>) -> Result<Option<MutexOp>, Foreign> {
        match call.f {
            "acquire" => Ok(Some(MutexOp::Acquire)),
            "release" => Ok(Some(MutexOp::Release)),
            _ => Err(Foreign),
        }
    }

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, held: &bool, op: &MutexOp) -> Option<bool> {
        match op {
            MutexOp::Acquire => (!held).then_some(true),
            MutexOp::Release => held.then_some(false),
        }
    }
}
