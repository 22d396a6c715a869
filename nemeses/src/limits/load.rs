//! What runs in a node's group to show that a limit bites: one process that burns time, one that takes memory.
//!
//! Both are processes of ours, started by the caller with [`burn`] or [`hog`] as their whole work; they join the group themselves. They are the
//! noisy neighbour that a limit is about, and the witness that it holds: a store that idles would never meet its quota.

use std::fs::{self, OpenOptions};
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::NodeGroup;
use crate::pidfd::Pidfd;
use crate::process::processes_of;
use crate::{Error, Result};

/// One burn: three periods, so that one of them is whole wherever it begins.
pub const BURN: Duration = Duration::from_millis(300);

/// Taken and touched at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// What a hog may take beyond the limit before it stops: a limit that does not hold must not cost the host its memory.
const HOG_BEYOND_BYTES: u64 = 64 << 20;
/// Between two looks at a hog and its victim.
const LOOK: Duration = Duration::from_millis(20);
/// The kernel kills first who has most of this (proc(5), `oom_score_adj`); to raise it needs no right.
const FIRST_TO_GO: &str = "1000";

/// What a burner in the group showed of the limit on time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Burnt {
    /// Whether the group was throttled, if it has a limit; that it was not, if it has none.
    pub ok: bool,
    /// The limit, in percent of one processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// Periods in which the group was throttled meanwhile.
    pub throttled: u64,
    /// Processor time that the burner got.
    pub cpu_us: u64,
    /// From its start to its end.
    pub wall_us: u64,
}

/// What a hog in the group brought about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exhausted {
    /// Whether the kernel killed for want of memory, and the node was seen to be dead within the bound.
    pub ok: bool,
    /// The limit that was set.
    pub limit_bytes: u64,
    /// Processes of the group that the kernel killed meanwhile.
    pub oom_kills: u64,
    /// From the limit to the end.
    pub duration_us: u64,
}

/// Joins a group and burns for so long: the work of a burner. Returns the processor time that it got.
///
/// # Errors
/// If the group cannot be joined.
pub fn burn(doors: &[PathBuf], wall: Duration) -> Result<Duration> {
    join(doors)?;
    let (began, mut number) = (Instant::now(), 0_u64);
    while began.elapsed() < wall {
        for _ in 0..10_000 {
            number = black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1));
        }
    }
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Ok(Duration::new(used.tv_sec.unsigned_abs(), used.tv_nsec.try_into().unwrap_or(0)))
}

/// Joins a group, takes so much memory and keeps it until it is killed: the work of a hog.
///
/// # Errors
/// If the group cannot be joined.
pub fn hog(doors: &[PathBuf], bytes: u64) -> Result<()> {
    join(doors)?;
    let n_chunks = usize::try_from(bytes).unwrap_or(usize::MAX).div_ceil(CHUNK_BYTES);
    // Not zeros: those the kernel would not have to keep.
    let taken: Vec<Vec<u8>> = (0..n_chunks).map(|_| vec![0xa5; CHUNK_BYTES]).collect();
    black_box(&taken);
    loop {
        std::thread::park();
    }
}

fn join(doors: &[PathBuf]) -> Result<()> {
    for door in doors {
        let joined = OpenOptions::new().write(true).open(door).and_then(|mut door| door.write_all(b"0"));
        joined.map_err(Error::system(format!("join the group of {}", door.display())))?;
    }
    Ok(())
}

/// Proves a limit on time, or that there is none. `burner` starts a process that does [`burn`] for [`BURN`] and prints the microseconds it got; it
/// is started again until the limit shows, at most for `bound`, as on a busy machine a burner may not get even its quota.
///
/// # Errors
/// If the burner cannot be started or says nothing, or the kernel does not tell of the group.
pub fn prove_cpu(group: &NodeGroup, percent: Option<u32>, mut burner: impl FnMut() -> Command, bound: Duration) -> Result<Burnt> {
    let began = Instant::now();
    loop {
        let (before, start) = (group.times_throttled()?, Instant::now());
        let said = burner()
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(Error::system("start a burner"))?;
        let cpu_us = String::from_utf8_lossy(&said.stdout).trim().parse();
        let cpu_us = cpu_us.map_err(|_| Error::Unusable(format!("a burner ended with {} and no figure", said.status)))?;
        let throttled = group.times_throttled()?.saturating_sub(before);
        let ok = (throttled > 0) == percent.is_some();
        if ok || began.elapsed() >= bound {
            return Ok(Burnt {
                ok,
                percent,
                throttled,
                cpu_us,
                wall_us: us(start.elapsed()),
            });
        }
    }
}

/// Limits a node's memory to what it uses and `spare_kib` more, and has a hog take that: the kernel then kills the node. `hog` starts a
/// process that does [`hog`] for so many bytes; it does not outlive this call.
///
/// # Errors
/// If the limit cannot be set, a hog cannot be started, or the kernel does not tell of the group.
pub fn exhaust(
    group: &NodeGroup,
    spare_kib: u32,
    init_pid: u32,
    mut hog: impl FnMut(u64) -> Command,
    bound: Duration,
) -> Result<Exhausted> {
    let began = Instant::now();
    let before = group.times_out_of_memory()?;
    let limit_bytes = group.limit_memory(Some(spare_kib))?.unwrap_or_default();
    let mut dead = false;
    while !dead && began.elapsed() < bound {
        let mut running = hog(limit_bytes + HOG_BEYOND_BYTES)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(Error::system("start a hog"))?;
        // The hog itself may be the one that is killed; then the next one goes on.
        while !dead && began.elapsed() < bound && matches!(running.try_wait(), Ok(None)) {
            for pid in processes_of(init_pid)? {
                // It may have ended this moment.
                let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), FIRST_TO_GO);
            }
            dead = match Pidfd::open(init_pid)? {
                Some(init) => init.wait_until_dead(LOOK)?,
                None => true,
            };
        }
        // It may be dead already.
        let _ = running.kill();
        running.wait().map_err(Error::system("wait for a hog"))?;
    }
    let oom_kills = group.times_out_of_memory()?.saturating_sub(before);
    Ok(Exhausted {
        ok: dead && oom_kills > 0,
        limit_bytes,
        oom_kills,
        duration_us: us(began.elapsed()),
    })
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
