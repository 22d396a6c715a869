//! The stores under test: real nodes with real sockets and real disks, made to be tormented and judged.
//!
//! **The main decision: sans-IO cores under one driver.** A core ([`core::Core`]) is a pure state machine, `step(now, event) -> effects`,
//! without a socket, a file, a clock or chance. One [`driver`] owns all four and serves every core; a simulator can drive the same cores,
//! thousands of them in one thread, and repeat a run exactly. The decision not taken: async code that awaits replies and fsyncs where it
//! needs them. It reads more easily, but its order of events is the scheduler's, so no seed repeats it, and the order that the trace
//! promises (events before what depends on them) would have to be proved for every await.
//!
//! | file | is |
//! |---|---|
//! | [`cli`] | the command line, also of `squall node` |
//! | [`bugs`] | bugs of other stores, planted to test the harness |
//! | [`core`] | what a core is: events, effects, promises of a driver |
//! | [`quorum`] | the quorum store: puts, gets, replica |
//! | [`raft`] | the Raft store: elections, one replicated log, snapshots, members, sessions |
//! | [`driver`] | sockets, disk, time, chance |
//! | [`sim`] | the same for thousands of cores in one thread: a simulated network, disks, clocks, crashes |
//! | [`frame`], [`message`] | the wire; `PROTOCOL.md` for readers of other languages |
//! | [`wal`], [`incarnation`], [`disk`] | what survives a crash |
//! | [`ring`], [`members`], [`version`], [`vector`] | who keeps a key, who is who, which value is newer, which are concurrent |
//! | [`trace`], [`lamport`], [`status`] | what a node tells about itself |
//!
//! Absent: this crate imports nothing of the harness, and does not know that it is tested, but for its trace.

#![forbid(unsafe_code)]

pub mod bugs;
pub mod cli;
pub mod core;
pub mod disk;
pub mod driver;
pub mod error;
pub mod frame;
pub mod incarnation;
pub mod lamport;
pub mod members;
pub mod message;
pub mod quorum;
pub mod raft;
pub mod ring;
pub mod sim;
pub mod status;
pub mod trace;
pub mod vector;
pub mod version;
pub mod wal;
