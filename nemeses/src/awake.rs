//! Idle CPUs stay awake while a switch forwards or a disk is served.
//!
//! Both answer in user space, so that a packet or a request wakes one of our threads, and that one wakes the node. On an idle machine the waking of a
//! CPU that sleeps is most of what this costs: a virtual one takes 10 to 20 us, as its host must be asked. Linux keeps all CPUs awake for as long
//! as somebody holds [`DEVICE`] open with a bound of 0 us (linux/Documentation/power/pm_qos_interface.rst). CPUs that have work lose nothing by it; idle
//! ones use power until the run ends.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// Where Linux is told how late a CPU may wake up. For root alone on most machines.
const DEVICE: &str = "/dev/cpu_dma_latency";

/// Keeps CPUs awake until the returned descriptor is closed, by the kernel if need be. `None` where that is refused: all works as well,
/// a little slower.
pub(crate) fn keep_awake() -> Option<OwnedFd> {
    let held = rustix::fs::open(DEVICE, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).and_then(|device| {
        rustix::io::write(&device, &0i32.to_ne_bytes())?;
        Ok(device)
    });
    held.inspect_err(|error| tracing::debug!(%error, "idle CPUs may sleep: packets and writes take some 20 us longer"))
        .ok()
}
