//! iperf3 from one node to another: its own figures of pace, retransmissions, loss and order.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use squall_nemeses::link::{Pair, Quality, Rate, Reorder};

use crate::is_binomial;
use crate::support::program::{BOUND, Running, find, output};
use crate::support::skip;
use crate::support::wired::{Wired, each_network};

/// Ethernet's largest packet without the headers of IP and of TCP with its time stamps, over the packet: what a program gets of a rate.
const SHARE_OF_TCP: f64 = 1448.0 / 1500.0;

/// Runs a test on each network that can have the quality, where there is an iperf3.
fn each(test: &str, quality: &Quality, body: impl Fn(&Wired, &Path)) {
    each_network(test, 2, |wired| match find("iperf3", "iperf3") {
        Ok(iperf3) if wired.takes(quality) => body(wired, &iperf3),
        Ok(_) => {}
        Err(why) => skip(test, &why),
    });
}

/// A server at n2 for one client, that listens; and what it says from then on.
fn serve(wired: &Wired, iperf3: &Path) -> (Running, Receiver<String>) {
    let mut command = Command::new(iperf3);
    command.args(["-s", "-1", "--forceflush", "-i", "0.1", "-B", &wired.star.address("n2").to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = Running(wired.star.at("n2", || command.spawn().unwrap()));
    let lines = lines(&mut server.0);
    assert!(
        lines.iter().any(|line| line.starts_with("Server listening")),
        "iperf3 does not serve"
    );
    (server, lines)
}

/// What a program says, line by line, as it says it.
fn lines(program: &mut Child) -> Receiver<String> {
    let lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let (tell, told) = mpsc::channel();
    // It reads on when nobody listens: a pipe that is full would stop the program.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
    told
}

fn client(wired: &Wired, iperf3: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(iperf3);
    command.args(["-c", &wired.star.address("n2").to_string()]).args(options);
    command
}

/// What a client at n1 tells at its end.
fn measure(wired: &Wired, iperf3: &Path, options: &[&str]) -> Value {
    let (_server, _lines) = serve(wired, iperf3);
    let mut command = client(wired, iperf3, options);
    let output = wired.star.at("n1", || output(command.arg("-J")));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert!(told["error"].is_null(), "{told}");
    told
}

fn number(told: &Value, path: &str) -> f64 {
    told.pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {path} in {told}"))
}

fn bad(wired: &Wired, quality: &Quality) {
    wired.apply(&[("n1", "n2", quality)]);
}

fn well(wired: &Wired) {
    wired.apply(&[]);
}

#[test]
fn a_rate_is_the_pace_that_iperf3_measures() {
    let quality = Quality {
        rate: Some(Rate {
            kbit_per_s: 20_000,
            queue_us: 100_000,
        }),
        ..Quality::default()
    };
    each("iperf::a_rate_is_the_pace_that_iperf3_measures", &quality, |wired, iperf3| {
        let pace = |n: &str| number(&measure(wired, iperf3, &["-n", n]), "/end/sum_received/bits_per_second") / 1e6;
        assert!(pace("20M") > 40.0, "before the fault");
        bad(wired, &quality);
        let limited = pace("5M");
        println!(
            "measured 20 Mbit/s by iperf3: {limited:.2} Mbit/s of payload, at most {:.2}",
            20.0 * SHARE_OF_TCP
        );
        // A loaded machine may not use all of it; more than it, and a full bucket, there never is.
        assert!((10.0..=20.0 * SHARE_OF_TCP * 1.01).contains(&limited), "{limited} Mbit/s");
        well(wired);
        assert!(pace("20M") > 40.0, "after the heal");
    });
}

#[test]
fn lost_and_damaged_packets_are_sent_again() {
    let share = |loss_ppm, corrupt_ppm| Quality {
        loss_ppm,
        corrupt_ppm,
        ..Quality::default()
    };
    for quality in [share(30_000, 0), share(0, 30_000)] {
        each("iperf::lost_and_damaged_packets_are_sent_again", &quality, |wired, iperf3| {
            let run = || {
                let told = measure(wired, iperf3, &["-n", "10M"]);
                ["/end/sum_sent/retransmits", "/end/sum_received/bytes"].map(|path| number(&told, path))
            };
            let [before, _] = run();
            bad(wired, &quality);
            let [again, bytes] = run();
            // Whatever arrived took so many packets, and each that is lost is sent again at least once.
            let lost = bytes / 1448.0 * 0.03;
            println!("measured 3 % loss by iperf3: {again} retransmissions, {before} before, {lost:.0} expected");
            assert!(
                again > lost / 2.0 && again > 2.0 * before,
                "{again} retransmissions, {lost} packets lost"
            );
            well(wired);
            let [after, _] = run();
            assert!(
                after < again / 2.0,
                "{after} retransmissions after the heal, {again} under the fault"
            );
        });
    }
}

/// Datagrams at a pace that any machine keeps.
const DATAGRAMS: [&str; 8] = ["-u", "-b", "8M", "-l", "1000", "-t", "1", "--get-server-output"];

/// Datagrams that got lost and those sent, of a run on whose link `turn` does something when it has begun: the first datagram of all must arrive, since
/// iperf3 sends it only once and waits for the answer.
fn lost(wired: &Wired, iperf3: &Path, turn: impl FnOnce()) -> (u32, u32) {
    let (_server, lines) = serve(wired, iperf3);
    let mut command = client(wired, iperf3, &DATAGRAMS);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let _client = Running(wired.star.at("n1", || command.spawn().unwrap()));
    let mut intervals = std::iter::from_fn(|| lines.recv_timeout(BOUND).ok()).filter_map(|line| lost_of(&line));
    intervals.next().unwrap();
    turn();
    // What was told already, what is being told and what had begun before are not all of them under the fault; the last line is the sum.
    let told: Vec<(u32, u32)> = intervals.collect();
    let under_it = &told[told.len().min(4)..told.len() - 1];
    under_it.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// The datagrams lost and sent of which a line tells, as `12/100`.
fn lost_of(line: &str) -> Option<(u32, u32)> {
    line.split_whitespace().find_map(|word| {
        let (lost, sent) = word.split_once('/')?;
        Some((lost.parse().ok()?, sent.parse().ok()?))
    })
}

#[test]
fn lost_datagrams_are_those_that_iperf3_misses() {
    let quality = Quality {
        loss_ppm: 100_000,
        ..Quality::default()
    };
    each("iperf::lost_datagrams_are_those_that_iperf3_misses", &quality, |wired, iperf3| {
        assert_eq!(lost(wired, iperf3, || ()).0, 0, "before the fault");
        let (missing, sent) = lost(wired, iperf3, || bad(wired, &quality));
        assert!(sent > 300 && is_binomial(missing, sent, 0.1), "{missing} of {sent}");
        well(wired);
        let (missing, sent) = lost(wired, iperf3, || ());
        assert!(sent > 300 && missing == 0, "{missing} of {sent} after the heal");
    });
}

#[test]
fn datagrams_that_others_overtake_are_out_of_order_to_iperf3() {
    let quality = Quality {
        reorder: Some(Reorder {
            share_ppm: 100_000,
            by_us: 10_000,
        }),
        ..Quality::default()
    };
    each(
        "iperf::datagrams_that_others_overtake_are_out_of_order_to_iperf3",
        &quality,
        |wired, iperf3| {
            // Only the server counts them, and tells in words.
            let late = || {
                let told = measure(wired, iperf3, &DATAGRAMS);
                let words = told["server_output_text"].as_str().unwrap_or_else(|| panic!("{told}"));
                let line = words.lines().find(|line| line.contains("datagrams received out-of-order"));
                let late = line.map_or(0, |line| line.split_whitespace().rev().nth(3).unwrap().parse().unwrap());
                [late, number(&told, "/end/sum/packets") as u32]
            };
            assert_eq!(late()[0], 0, "before the fault");
            bad(wired, &quality);
            let [late_now, sent] = late();
            assert!(sent > 500 && late_now > sent / 20, "{late_now} of {sent}");
            well(wired);
            assert_eq!(late()[0], 0, "after the heal");
        },
    );
}

/// The bytes that a line of an interval tells, if it is one.
fn bytes_of(line: &str) -> Option<f64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "sec")?;
    words.get(at + 1)?.parse().ok()
}

#[test]
fn a_stream_stands_still_in_a_cut_and_goes_on_after_the_heal() {
    let cut = Quality::cut();
    each(
        "iperf::a_stream_stands_still_in_a_cut_and_goes_on_after_the_heal",
        &cut,
        |wired, iperf3| {
            let _server = serve(wired, iperf3);
            // It ends when it is told to.
            let mut command = client(wired, iperf3, &["-t", "600", "-i", "0.1", "--forceflush"]);
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut client = Running(wired.star.at("n1", || command.spawn().unwrap()));
            let told = lines(&mut client.0);
            let mut moved = std::iter::from_fn(|| told.recv_timeout(BOUND).ok()).filter_map(|line| bytes_of(&line));
            let mut wait_for = |what: &str, fits: fn(f64) -> bool| {
                let seen = moved.by_ref().take(usize::try_from(BOUND.as_millis()).unwrap() / 100).any(fits);
                assert!(seen, "{}: {what}", wired.network.kind());
            };
            wait_for("it moves before the cut", |bytes| bytes > 0.0);
            for _ in 0..2 {
                wired.apply(&[("n1", "n2", &cut), ("n2", "n1", &cut)]);
                wait_for("it stands still in the cut", |bytes| bytes == 0.0);
                wait_for("and stays so", |bytes| bytes == 0.0);
                let dropped = wired.network.dropped().unwrap();
                assert!(dropped.is_none_or(|dropped| dropped[&Pair::new("n1", "n2")] > 0));
                well(wired);
                wait_for("it moves after the heal", |bytes| bytes > 0.0);
            }
            // The connection of before is the one that goes on.
            assert!(client.0.try_wait().unwrap().is_none());
            kill(Pid::from_raw(client.0.id().cast_signed()), Signal::SIGINT).unwrap();
        },
    );
}
