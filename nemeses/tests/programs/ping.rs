//! ping (iputils) from one node to another: the way there is bad, the way back is well.

use std::process::Command;

use squall_nemeses::link::{Quality, Reorder};

use crate::support::program::find;
use crate::support::skip;
use crate::support::wired::{Wired, each_network};
use crate::{is_binomial, said};

/// Enough of them for chance to show; at one every 2 ms, the shortest that ping takes of anybody.
const MANY: u32 = 300;
const FEW: u32 = 20;

/// What ping told.
#[derive(Debug)]
struct Pinged {
    sent: u32,
    received: u32,
    duplicates: u32,
    /// Numbers of the answers, in the order in which they came; those that came twice as well.
    order: Vec<u32>,
    /// Times there and back, in ms.
    times_ms: Vec<f64>,
    text: String,
}

impl Pinged {
    /// Every answer came, once and in order.
    fn is_whole(&self) -> bool {
        (self.received, self.duplicates) == (self.sent, 0) && self.order.is_sorted()
    }

    fn fastest_ms(&self) -> f64 {
        self.times_ms.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn lost(&self) -> u32 {
        self.sent - self.received
    }
}

fn ping(wired: &Wired, n: u32, options: &[&str]) -> Pinged {
    let mut command = Command::new("ping");
    // It waits so long only for answers that do not come.
    command.args(["-n", "-i", "0.002", "-W", "1", "-c", &n.to_string()]).args(options);
    command.arg(wired.star.address("n2").to_string());
    parse(wired.star.at("n1", || said(&mut command)))
}

fn parse(text: String) -> Pinged {
    let after = |line: &str, mark: &str| -> Option<String> {
        let rest = &line[line.find(mark)? + mark.len()..];
        Some(rest.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?.to_owned())
    };
    let answers: Vec<(u32, f64)> = text
        .lines()
        .filter(|line| line.contains("bytes from"))
        .map(|line| {
            (
                after(line, "icmp_seq=").unwrap().parse().unwrap(),
                after(line, "time=").unwrap().parse().unwrap(),
            )
        })
        .collect();
    let summary = text
        .lines()
        .find(|line| line.contains("packets transmitted"))
        .unwrap_or_else(|| panic!("{text}"));
    let figure = |word: &str| -> u32 {
        let before = summary.split(word).next().filter(|before| before.len() < summary.len());
        let last = before.and_then(|before| before.split([' ', '+']).rfind(|part| !part.is_empty()).map(str::to_owned));
        last.map_or(0, |number| number.parse().unwrap())
    };
    Pinged {
        sent: figure(" packets transmitted"),
        received: figure(" received"),
        duplicates: figure(" duplicates"),
        order: answers.iter().map(|(number, _)| *number).collect(),
        times_ms: answers.iter().map(|(_, time)| *time).collect(),
        text,
    }
}

/// What ping tells before, under and after a quality of the way there, on each network that can have it.
fn check(test: &str, quality: &Quality, n: u32, options: &[&str], bites: impl Fn(&Pinged)) {
    each_network(test, 2, |wired| {
        if let Err(why) = find("ping", "iputils-ping") {
            return skip(test, &why);
        }
        if !wired.takes(quality) {
            return;
        }
        let well = |when: &str| {
            let pinged = ping(wired, FEW, options);
            assert!(pinged.is_whole() && pinged.fastest_ms() < 20.0, "{when}: {}", pinged.text);
        };
        well("before the fault");
        wired.apply(&[("n1", "n2", quality)]);
        bites(&ping(wired, n, options));
        wired.apply(&[]);
        well("after the heal");
    });
}

#[test]
fn shows_what_ping_said() {
    let text = "1008 bytes from 10.9.0.2: icmp_seq=2 ttl=64 time=0.030 ms\n1008 bytes from 10.9.0.2: icmp_seq=1 ttl=64 time=12.5 ms (DUP!)\n\
        4 packets transmitted, 2 received, +1 duplicates, 50% packet loss, time 18ms\n";
    let pinged = parse(text.into());
    assert_eq!((pinged.sent, pinged.received, pinged.duplicates), (4, 2, 1));
    assert_eq!((&pinged.order[..], &pinged.times_ms[..]), (&[2, 1][..], &[0.03, 12.5][..]));
    assert!(!pinged.is_whole() && pinged.lost() == 2);
}

#[test]
fn a_delay_is_in_every_time_that_ping_takes() {
    let quality = Quality {
        delay_us: 40_000,
        ..Quality::default()
    };
    check("ping::a_delay_is_in_every_time_that_ping_takes", &quality, FEW, &[], |pinged| {
        assert!(pinged.is_whole() && pinged.fastest_ms() >= 40.0, "{}", pinged.text);
    });
}

#[test]
fn loss_is_what_ping_counts_as_loss() {
    let quality = Quality {
        loss_ppm: 200_000,
        ..Quality::default()
    };
    check("ping::loss_is_what_ping_counts_as_loss", &quality, MANY, &[], |pinged| {
        assert!(is_binomial(pinged.lost(), MANY, 0.2) && pinged.duplicates == 0, "{}", pinged.text);
    });
}

#[test]
fn duplicates_are_what_ping_counts_as_duplicates() {
    let quality = Quality {
        duplicate_ppm: 200_000,
        ..Quality::default()
    };
    check(
        "ping::duplicates_are_what_ping_counts_as_duplicates",
        &quality,
        MANY,
        &[],
        |pinged| {
            assert!(is_binomial(pinged.duplicates, MANY, 0.2) && pinged.lost() == 0, "{}", pinged.text);
        },
    );
}

#[test]
fn reordered_answers_come_late_and_after_others() {
    let quality = Quality {
        reorder: Some(Reorder {
            share_ppm: 200_000,
            by_us: 30_000,
        }),
        ..Quality::default()
    };
    check(
        "ping::reordered_answers_come_late_and_after_others",
        &quality,
        MANY,
        &[],
        |pinged| {
            let late = pinged.times_ms.iter().filter(|time| **time >= 30.0).count();
            assert!(late > 20 && !pinged.order.is_sorted() && pinged.lost() == 0, "{}", pinged.text);
        },
    );
}

#[test]
fn what_is_damaged_on_the_wire_is_lost_to_ping() {
    let quality = Quality {
        corrupt_ppm: 200_000,
        ..Quality::default()
    };
    check("ping::what_is_damaged_on_the_wire_is_lost_to_ping", &quality, MANY, &[], |pinged| {
        let is_unharmed = !pinged.text.contains("wrong data");
        assert!(is_binomial(pinged.lost(), MANY, 0.2) && is_unharmed, "{}", pinged.text);
    });
}

#[test]
fn a_forged_answer_is_wrong_data_to_ping() {
    let quality = Quality {
        corrupt_past_checksum_ppm: 1_000_000,
        ..Quality::default()
    };
    let large = ["-s", "1400"];
    check("ping::a_forged_answer_is_wrong_data_to_ping", &quality, FEW, &large, |pinged| {
        // A bit may be turned in the 16 bytes of a ping's own time, which it does not compare.
        let wrong = pinged.text.matches("wrong data byte").count();
        assert!(wrong >= 15 && pinged.lost() == 0, "{}", pinged.text);
    });
}

#[test]
fn a_cut_of_either_way_takes_every_answer() {
    const NAME: &str = "ping::a_cut_of_either_way_takes_every_answer";
    each_network(NAME, 3, |wired| {
        if let Err(why) = find("ping", "iputils-ping") {
            return skip(NAME, &why);
        }
        let cut = Quality::cut();
        for links in [[("n1", "n2", &cut)], [("n2", "n1", &cut)]] {
            assert!(ping(wired, FEW, &[]).is_whole());
            wired.apply(&links);
            let pinged = ping(wired, FEW, &[]);
            assert!(pinged.received == 0 && !pinged.text.contains("nreachable"), "{}", pinged.text);
            wired.apply(&[]);
        }
        // From another node the pinged one is reached all the while.
        wired.apply(&[("n3", "n2", &cut), ("n3", "n1", &cut)]);
        assert!(ping(wired, FEW, &[]).is_whole());
    });
}

#[test]
fn a_black_hole_swallows_large_pings_in_silence() {
    let quality = Quality {
        mtu: Some(1200),
        ..Quality::default()
    };
    const NAME: &str = "ping::a_black_hole_swallows_large_pings_in_silence";
    // 28 bytes are headers. The last one goes in two fragments, of which the first is too large.
    for (options, passes) in [
        (&["-M", "do", "-s", "1172"][..], true),
        (&["-M", "do", "-s", "1173"], false),
        (&["-s", "2000"], false),
    ] {
        check(NAME, &quality, FEW, options, |pinged| {
            assert_eq!(pinged.received, if passes { FEW } else { 0 }, "{}", pinged.text);
            assert!(
                !pinged.text.contains("needed") && !pinged.text.contains("too long"),
                "{}",
                pinged.text
            );
        });
    }
}
