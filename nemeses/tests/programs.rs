//! Faults against programs that nobody here wrote: what ping, iperf3 and Redis tell of themselves shows each fault, and before it and after its heal
//! that nothing is wrong. Redis on a disk of ours is in `disk/append_only.rs`, under limits of processor time and memory in `limits.rs`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests, though outside a #[test]")]

#[path = "programs/iperf.rs"]
mod iperf;
#[path = "programs/ping.rs"]
mod ping;
#[path = "programs/redis.rs"]
mod redis;
mod support;

use std::process::Command;

/// What a program that ends by itself wrote to both of its outputs, one after the other.
fn said(command: &mut Command) -> String {
    let output = support::program::output(command);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Whether a count is within five standard deviations of what `n` trials give.
fn is_binomial(count: u32, n: u32, share: f64) -> bool {
    let (count, n) = (f64::from(count), f64::from(n));
    (count - n * share).abs() <= 5.0 * (n * share * (1.0 - share)).sqrt()
}
