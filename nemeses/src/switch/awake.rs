//! Idle CPUs stay awake while a switch forwards.
//!
//! On an idle machine most of what the switch adds to a packet's way is the waking of CPUs that sleep: its own, then the receiver's. A virtual CPU
//! takes 5 to 10 us for it, as its host must be asked. Linux keeps all CPUs awake for as long as somebody holds [`DEVICE`] open with a bound of 0 us
//! (linux/Documentation/power/pm_qos_interface.rst). CPUs that have work lose nothing by it; idle ones use power until the run ends.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// Where Linux is told how late a CPU may wake up. For root alone on most machines.
const DEVICE: &str = "/dev/cpu_dma_latency";

/// Keeps CPUs awake until the returned descriptor is closed, by the kernel if need be. `None` where that is refused: the switch works as well,
/// a little slower.
pub(super) fn keep_awake() -> Option<OwnedFd> {
    let held = rustix::fs::open(DEVICE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).and_then(|device| {
        rustix::io::write(&device, &0i32.to_ne_bytes())?;
        Ok(device)
    });
    held.inspect_err(|error| tracing::debug!(%error, "idle CPUs may sleep: each packet is up to 15 us later"))
        .ok()
}
