//! The history: what every client saw and what was done to the cluster, on one clock.
//!
//! [`event`] is one line of the file, [`read`](self) turns a whole file into [`History`], which the rules judge.
//!
//! Intervals are closed. An operation that returns at time t and one that is invoked at the same t are concurrent, because one
//! monotonic clock is read by many threads and two readings may be equal: client A writes 1 and its reply is stamped 5; client B's
//! read, handed to the socket in reality a moment before that reply arrived, is stamped 5 as well and returns the old value. With
//! half-open intervals A would precede B and a correct store would be reported. Invocations therefore sort before completions at
//! equal times (the same example stands in Porcupine's `model.go`).

pub mod event;
pub mod mark;
