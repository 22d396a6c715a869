//! What only the user-space network does: clients' links, ports, resets, gulps, held packets, packets as files, the same chance again.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests stand outside the tests")]

mod support;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use squall_nemeses::effect::{Flow, Meter};
use squall_nemeses::link::{CLIENTS, Pair, Quality};
use squall_nemeses::switch::{Cause, Passing, Switch, can_open};
use support::{Star, inside, outer_pid, skip};

const BOUND: Duration = Duration::from_secs(10);
const FLOW: Flow = Flow {
    n: 200,
    bytes: 100,
    spacing: Duration::from_micros(100),
    patience: Duration::from_millis(200),
};

fn switched(test: &str, n: u8, body: impl FnOnce(&Star, &Switch)) {
    inside(test, || match can_open() {
        Ok(()) => {
            let (star, switch) = Star::switched(n, 7).unwrap();
            body(&star, &switch);
        }
        Err(error) => skip(test, &error.to_string()),
    });
}

fn on(links: &[(&str, &str)], quality: &Quality) -> BTreeMap<Pair, Quality> {
    links.iter().map(|(from, to)| (Pair::new(*from, *to), quality.clone())).collect()
}

/// A connection from one end to another, both sides with a time limit.
fn connection(star: &Star, from: &str, to: &str, port: u16) -> (TcpStream, TcpStream) {
    let listener = star.at(to, || TcpListener::bind((star.address(to), port)).unwrap());
    let client = star.at(from, || {
        TcpStream::connect_timeout(&(star.address(to), port).into(), BOUND).unwrap()
    });
    let (server, _) = listener.accept().unwrap();
    for end in [&client, &server] {
        end.set_read_timeout(Some(BOUND)).unwrap();
    }
    (client, server)
}

#[test]
fn clients_are_cut_from_one_node_and_reach_the_other() {
    switched("clients_are_cut_from_one_node_and_reach_the_other", 2, |star, switch| {
        switch.apply(&on(&[(CLIENTS, "n1"), ("n1", CLIENTS)], &Quality::cut())).unwrap();
        let links = [(CLIENTS, "n1"), ("n1", CLIENTS), (CLIENTS, "n2"), ("n1", "n2")].map(|(from, to)| Pair::new(from, to));
        let seen = Meter::open(&star.targets).unwrap().measure(links.clone(), FLOW).unwrap();
        assert_eq!(links.map(|pair| seen[&pair].lost()), [200, 200, 0, 0]);
    });
}

#[test]
fn connections_are_reset_at_both_ends_even_if_they_were_silent_and_new_ones_live() {
    const NAME: &str = "connections_are_reset_at_both_ends_even_if_they_were_silent_and_new_ones_live";
    switched(NAME, 3, |star, switch| {
        let (mut client, mut server) = connection(star, "n1", "n2", 4000);
        let (mut other, mut untouched) = connection(star, "n1", "n3", 4000);
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        let once = Quality {
            resets: 1,
            ..Quality::default()
        };
        let turned = switch.apply(&on(&[("n1", "n2")], &once)).unwrap();
        assert_eq!(turned.n_reset, 1);
        // Neither end says anything: the RST comes by itself.
        for end in [&mut client, &mut server] {
            assert_eq!(end.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        let (mut client, mut server) = connection(star, "n1", "n2", 4001);
        client.write_all(b"new").unwrap();
        server.read_exact(&mut [0; 3]).unwrap();
        other.write_all(b"other").unwrap();
        untouched.read_exact(&mut [0; 5]).unwrap();
    });
}

#[test]
fn a_connection_under_load_is_reset_too() {
    switched("a_connection_under_load_is_reset_too", 2, |star, switch| {
        let (mut client, mut server) = connection(star, "n1", "n2", 4000);
        std::thread::scope(|scope| {
            let sending = scope.spawn(move || while client.write_all(&[7; 65_536]).is_ok() {});
            let reading = scope.spawn(move || {
                loop {
                    match server.read(&mut [0; 65_536]) {
                        Ok(0) => break None,
                        Ok(_) => {}
                        Err(error) => break Some(error.kind()),
                    }
                }
            });
            let once = Quality {
                resets: 1,
                ..Quality::default()
            };
            let delivered = || {
                let counts = switch.counts().unwrap();
                counts.get(&Pair::new("n1", "n2")).map_or(0, |counts| counts.delivered)
            };
            while delivered() < 1000 {
                std::thread::yield_now();
            }
            switch.apply(&on(&[("n2", "n1")], &once)).unwrap();
            sending.join().unwrap();
            assert_eq!(reading.join().unwrap(), Some(ErrorKind::ConnectionReset));
        });
    });
}

#[test]
fn a_refusing_link_refuses_new_connections_until_it_is_healed() {
    switched("a_refusing_link_refuses_new_connections_until_it_is_healed", 2, |star, switch| {
        let refuse = Quality {
            refuse: true,
            ..Quality::default()
        };
        let _listener = star.at("n2", || TcpListener::bind((star.address("n2"), 4000)).unwrap());
        let connect = || star.at("n1", || TcpStream::connect_timeout(&(star.address("n2"), 4000).into(), BOUND));
        switch.apply(&on(&[("n1", "n2")], &refuse)).unwrap();
        assert_eq!(connect().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        switch.apply(&BTreeMap::new()).unwrap();
        connect().unwrap();
    });
}

#[test]
fn a_cut_port_takes_its_connections_and_no_others() {
    switched("a_cut_port_takes_its_connections_and_no_others", 2, |star, switch| {
        let (mut cut, mut cut_end) = connection(star, "n1", "n2", 4000);
        let (mut kept, mut kept_end) = connection(star, "n1", "n2", 4001);
        let ports = Quality {
            cut_ports: [4000].into(),
            ..Quality::default()
        };
        switch.apply(&on(&[("n1", "n2")], &ports)).unwrap();
        cut.write_all(b"cut").unwrap();
        kept.write_all(b"kept").unwrap();
        kept_end.read_exact(&mut [0; 4]).unwrap();
        cut_end.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert_eq!(cut_end.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let counts = switch.counts().unwrap();
        assert!(counts[&Pair::new("n1", "n2")].lost[&Cause::Cut] > 0);
    });
}

/// Holds the `nth` packet that `n1` sends to `n2`, for `bound` at most, and tells its number when it is held.
fn hold(switch: &Switch, nth: u64, bound: Duration) -> Receiver<u64> {
    let (held, told) = std::sync::mpsc::channel();
    let n_seen = AtomicU64::new(0);
    let asker = move |packet: &Passing<'_>| {
        let fits = (packet.from, packet.to) == ("n1", "n2");
        let is_due = fits && n_seen.fetch_add(1, Ordering::Relaxed) + 1 == nth;
        is_due && held.send(packet.number).is_ok()
    };
    switch.ask_before_packet(bound, asker).unwrap();
    told
}

#[test]
fn a_held_packet_arrives_after_its_sender_has_ended_and_before_what_followed_it() {
    const NAME: &str = "a_held_packet_arrives_after_its_sender_has_ended_and_before_what_followed_it";
    switched(NAME, 3, |star, switch| {
        let (mut client, mut server) = connection(star, "n1", "n2", 4000);
        let (mut other, mut other_end) = connection(star, "n1", "n2", 4001);
        let held = hold(switch, 2, BOUND);
        client.set_nodelay(true).unwrap();
        client.write_all(b"first,").unwrap();
        server.read_exact(&mut [0; 6]).unwrap();
        client.write_all(b"held,").unwrap();
        let number = held.recv_timeout(BOUND).unwrap();
        client.write_all(b"behind").unwrap();
        // The end of the connection follows what is held, too.
        drop(client);
        other.write_all(b"passes").unwrap();
        other_end.read_exact(&mut [0; 6]).unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        server.set_read_timeout(Some(BOUND)).unwrap();
        let released = switch.release(number).unwrap().unwrap();
        assert!(
            released.lost.is_none() && released.held_us >= 100_000 && released.n_behind > 0,
            "{released:?}"
        );
        let mut rest = String::new();
        server.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "held,behind");
        assert_eq!(switch.release(number).unwrap(), None);
    });
}

#[test]
fn a_packet_that_was_held_when_its_link_was_cut_is_lost_and_sent_again_after_the_heal() {
    const NAME: &str = "a_packet_that_was_held_when_its_link_was_cut_is_lost_and_sent_again_after_the_heal";
    switched(NAME, 2, |star, switch| {
        let (mut client, mut server) = connection(star, "n1", "n2", 4000);
        let held = hold(switch, 1, BOUND);
        client.write_all(b"held").unwrap();
        let number = held.recv_timeout(BOUND).unwrap();
        switch.apply(&on(&[("n1", "n2")], &Quality::cut())).unwrap();
        assert_eq!(switch.release(number).unwrap().unwrap().lost, Some(Cause::Cut));
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        switch.apply(&BTreeMap::new()).unwrap();
        server.set_read_timeout(Some(BOUND)).unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
    });
}

#[test]
fn a_packet_that_nobody_lets_go_goes_on_when_its_bound_has_come() {
    const NAME: &str = "a_packet_that_nobody_lets_go_goes_on_when_its_bound_has_come";
    switched(NAME, 2, |star, switch| {
        let (mut client, mut server) = connection(star, "n1", "n2", 4000);
        let held = hold(switch, 1, Duration::from_millis(200));
        let sent = Instant::now();
        client.write_all(b"held").unwrap();
        let number = held.recv_timeout(BOUND).unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        assert!(sent.elapsed() >= Duration::from_millis(200));
        assert_eq!(switch.release(number).unwrap(), None);
    });
}

#[test]
fn the_same_seed_loses_the_same_packets() {
    let lost = |seed: u64| -> Vec<u32> {
        let (star, switch) = Star::switched(2, seed).unwrap();
        let lossy = Quality {
            loss_ppm: 300_000,
            ..Quality::default()
        };
        switch.apply(&on(&[("n1", "n2")], &lossy)).unwrap();
        let pair = Pair::new("n1", "n2");
        let seen = Meter::open(&star.targets).unwrap().measure([pair.clone()], FLOW).unwrap();
        let arrived: Vec<u32> = seen[&pair].arrivals.iter().map(|arrival| arrival.number).collect();
        (0..FLOW.n).filter(|number| !arrived.contains(number)).collect()
    };
    inside("the_same_seed_loses_the_same_packets", || {
        if let Err(error) = can_open() {
            return skip("the_same_seed_loses_the_same_packets", &error.to_string());
        }
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    });
}

#[test]
fn the_log_tells_what_became_of_each_packet() {
    switched("the_log_tells_what_became_of_each_packet", 2, |star, switch| {
        switch.apply(&on(&[("n1", "n2")], &Quality::cut())).unwrap();
        let pairs = [Pair::new("n1", "n2"), Pair::new("n2", "n1")];
        Meter::open(&star.targets).unwrap().measure(pairs, FLOW).unwrap();
        let packets = switch.packets().unwrap();
        let of = |from: &str| {
            packets
                .iter()
                .filter(|packet| packet.from == star.address(from))
                .collect::<Vec<_>>()
        };
        assert!(of("n1").len() == 200 && of("n1").iter().all(|packet| packet.lost == Some(Cause::Cut)));
        assert!(of("n2").len() == 200 && of("n2").iter().all(|packet| packet.lost.is_none() && packet.due_ns.is_some()));
    });
}

#[test]
fn writes_packets_that_tcpdump_reads() {
    const NAME: &str = "writes_packets_that_tcpdump_reads";
    // As root of a user namespace tcpdump cannot give up its rights, which it insists on: it reads outside.
    let folder = std::env::temp_dir().join(format!("squall-pcap-{}", outer_pid(NAME)));
    std::fs::create_dir_all(&folder).unwrap();
    switched(NAME, 2, |star, switch| {
        let files = switch.capture(&folder, 5_000_000_000).unwrap();
        assert_eq!(files, ["n1", "n2", "clients"].map(|id| folder.join(format!("{id}.pcap"))));
        Meter::open(&star.targets).unwrap().measure([Pair::new("n1", "n2")], FLOW).unwrap();
        let (mut client, mut server) = connection(star, "n1", "n2", 4000);
        client.write_all(&[7; 200_000]).unwrap();
        server.read_exact(&mut [0; 200_000]).unwrap();
        assert_eq!(switch.stop_capture().unwrap(), 0, "no packet was missed");
    });
    if outer_pid(NAME) == std::process::id() && folder.join("n1.pcap").exists() {
        check_by_tcpdump(NAME, &folder);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

fn check_by_tcpdump(test: &str, folder: &Path) {
    let read = |id: &str| {
        let file = folder.join(format!("{id}.pcap"));
        Command::new("tcpdump")
            .args(["-Z", "root", "-nnvvr"])
            .arg(file)
            .env("TZ", "UTC")
            .output()
    };
    let Ok(output) = read("n1") else {
        return skip(test, "tcpdump is not installed");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.matches("UDP, length 72").count(), 200);
    assert!(text.contains("00:00:05.") && text.contains("> 10.9.0.2.4000: Flags [S]"), "{text}");
    assert!(text.contains("(correct)"), "{text}");
    assert!(!text.contains("incorrect") && !text.contains("bad udp cksum"), "{text}");
    let clients = read("clients").unwrap();
    assert_eq!(
        String::from_utf8_lossy(&clients.stdout),
        "",
        "nothing was sent to or from the clients"
    );
}

#[test]
fn says_which_end_is_unknown_and_changes_nothing() {
    switched("says_which_end_is_unknown_and_changes_nothing", 2, |star, switch| {
        let wanted = on(&[("n1", "n2"), ("n1", "n9")], &Quality::cut());
        let error = switch.apply(&wanted).unwrap_err();
        assert_eq!(error.to_string(), "the switch has no end called `n9`; it has n1, n2, clients");
        let pair = Pair::new("n1", "n2");
        let seen = Meter::open(&star.targets).unwrap().measure([pair.clone()], FLOW).unwrap();
        assert_eq!(seen[&pair].lost(), 0);
    });
}

#[test]
fn leaves_no_interface_behind() {
    const NAME: &str = "leaves_no_interface_behind";
    inside(NAME, || {
        if let Err(error) = can_open() {
            return skip(NAME, &error.to_string());
        }
        let (star, switch) = Star::switched(1, 7).unwrap();
        let has_link = || {
            star.at("n1", || {
                std::fs::read_to_string("/proc/thread-self/net/dev").unwrap().contains("eth0")
            })
        };
        assert!(has_link());
        drop(switch);
        assert!(!has_link());
    });
}
