//! What a clock fault costs: the change, and each reading of the clock. `cargo bench -p squall-nemeses --bench clock`.
//!
//! Figures to hold (issue 5): a change under 10 us, a reading under 15 ns more than without. The readings are timed in a process of their own, this
//! binary again, once as it is and once redirected, turn by turn in one run.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark talks to its reader and stops when it cannot measure"
)]

use std::hint::black_box;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use squall_nemeses::clock::{Page, Skew, Strobe, spawn};

const READER: &str = "SQUALL_CLOCK_BENCH";
const READINGS: u32 = 2_000_000;
const TURNS: usize = 15;
const SETS: usize = 20_000;

fn main() {
    if std::env::var_os(READER).is_some() {
        return print_reading_ns();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut page = Page::create(&folder.path().join("page")).unwrap();
    println!("change              {}", sets(&mut page));
    let strobe = Strobe {
        offset_ms: 100,
        period_ms: 10,
    };
    let skew = Skew {
        offset_ms: 1000,
        drift_ppm: 100,
        strobe: Some(strobe),
        frozen: false,
    };
    let [mut bare, mut healthy, mut skewed] = [const { Vec::new() }; 3];
    for _ in 0..TURNS {
        bare.push(reading_ns(|command| command.spawn()));
        page.set(&Skew::default()).unwrap();
        healthy.push(reading_ns(|command| Ok(spawn(command, page.path(), Command::spawn).unwrap().0)));
        page.set(&skew).unwrap();
        skewed.push(reading_ns(|command| Ok(spawn(command, page.path(), Command::spawn).unwrap().0)));
    }
    let bare_ns = median(&mut bare);
    println!("reading, bare       {bare_ns:.1} ns");
    for (name, mut turns) in [("redirected, right", healthy), ("redirected, wrong", skewed)] {
        let ns = median(&mut turns);
        println!("reading, {name} {ns:.1} ns ({:+.1} ns, ratio {:.2})", ns - bare_ns, ns / bare_ns);
    }
}

fn sets(page: &mut Page) -> String {
    let mut took_us: Vec<f64> = (0..SETS)
        .map(|turn| {
            let skew = Skew {
                offset_ms: turn as i64,
                drift_ppm: turn as i64 % 2,
                ..Skew::default()
            };
            page.set(&skew).unwrap().duration_ns as f64 / 1e3
        })
        .collect();
    let median_us = median(&mut took_us);
    format!(
        "{median_us:.2} us median, {:.2} us at the 99th percentile",
        took_us[SETS * 99 / 100]
    )
}

/// How long a reading of the wall clock takes, in ns.
fn reading_ns(start: impl FnOnce(&mut Command) -> std::io::Result<Child>) -> f64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(READER, "1").stdout(Stdio::piped());
    let mut child = start(&mut command).unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    said.trim().parse().unwrap()
}

fn print_reading_ns() {
    // Monotonic is never moved.
    let start = Instant::now();
    for _ in 0..READINGS {
        black_box(clock_gettime(ClockId::CLOCK_REALTIME).unwrap());
    }
    println!("{}", start.elapsed().as_nanos() as f64 / f64::from(READINGS));
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
