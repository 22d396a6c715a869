//! The real program: processes on loopback that are killed, paused, fed garbage and started on broken data.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod client;
mod cluster;
mod raft;

use std::fs;
use std::os::unix::fs::symlink;

use cluster::{Cluster, eventually};
use rustix::process::Signal;

#[test]
fn what_was_acknowledged_survives_kill_9_under_a_new_incarnation() {
    let mut cluster = Cluster::started(3, &[]);
    for number in 0..20 {
        let stored = cluster.client(number % 3).put(&format!("k{number}"), &format!("v{number}"));
        assert!(stored["stored"]["version"].is_array(), "{stored}");
    }
    assert_eq!(cluster.client(0).status().unwrap()["incarnation"], 1);
    cluster.kill(0);
    let meanwhile = cluster.client(1).put("k0", "written while n1 was dead");
    assert!(meanwhile["stored"].is_object(), "{meanwhile}");
    cluster.start(0);
    cluster.wait_linked(0);
    assert_eq!(cluster.client(0).status().unwrap()["incarnation"], 2);
    assert_eq!(cluster.client(0).get("k0")["value"]["value"], "written while n1 was dead");
    for number in 1..20 {
        assert_eq!(cluster.client(0).get(&format!("k{number}"))["value"]["value"], format!("v{number}"));
    }
    let version = cluster.client(0).put("k0", "again")["stored"]["version"].clone();
    assert_eq!(
        (&version[1], &version[2], &version[3]),
        (&"n1".into(), &2.into(), &1.into()),
        "{version}"
    );
}

#[test]
fn all_nodes_killed_at_once_lose_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::started(3, &["--w", "3"]);
    for number in 0..30 {
        cluster.client(0).put("k", &number.to_string());
    }
    (0..3).for_each(|node| cluster.kill(node));
    (0..3).for_each(|node| cluster.start(node));
    (0..3).for_each(|node| cluster.wait_linked(node));
    assert_eq!(cluster.client(2).get("k")["value"]["value"], "29");
}

#[test]
fn bytes_written_by_hand_are_answered_by_bytes_as_documented() {
    let cluster = Cluster::started(1, &["--n", "1", "--r", "1", "--w", "1"]);
    let mut client = cluster.client(0);
    // The worked example of PROTOCOL.md: length 0x35, then the payload.
    client.send_bytes(b"\x00\x00\x00\x35{\"v\":1,\"header\":{\"id\":0},\"body\":{\"get\":{\"key\":\"k1\"}}}");
    let reply = client.receive_text().unwrap();
    let (head, rest) = reply.split_once("\"lamport\":").unwrap();
    let tail = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    assert_eq!(head, r#"{"v":1,"header":{"id":0,"#);
    assert_eq!(tail, r#","node":"n1"},"body":{"value":{"value":null,"version":null}}}"#);
    client.send_text(r#"{"v":1,"header":{"id":3},"body":{"put":{"key":"k1","value":"17"}}}"#);
    assert!(
        client
            .receive_text()
            .unwrap()
            .ends_with(r#""body":{"stored":{"version":[1,"n1",1,1]}}}"#)
    );
    client.send_text(r#"{"v":1,"header":{"id":4},"body":{"get":{"key":"k1"}}}"#);
    assert!(
        client
            .receive_text()
            .unwrap()
            .ends_with(r#""body":{"value":{"value":"17","version":[1,"n1",1,1]}}}"#)
    );
    client.send_text(r#"{"v":1,"header":{"id":5},"body":{"replicas":{"key":"k1"}}}"#);
    assert!(client.receive_text().unwrap().ends_with(r#""body":{"replicas":{"nodes":["n1"]}}}"#));
}

#[test]
fn requests_that_follow_without_waiting_are_all_answered_even_if_the_client_stops_sending() {
    let cluster = Cluster::started(1, &["--n", "1", "--r", "1", "--w", "1"]);
    let mut client = cluster.client(0);
    for id in 1..=500 {
        client.send_text(&format!(
            r#"{{"v":1,"header":{{"id":{id}}},"body":{{"put":{{"key":"k","value":"{id}"}}}}}}"#
        ));
    }
    client.finish_sending();
    let mut seen: Vec<u64> = (0..500)
        .map(|_| {
            let reply: serde_json::Value = serde_json::from_str(&client.receive_text().unwrap()).unwrap();
            assert!(reply["body"]["stored"].is_object(), "{reply}");
            reply["header"]["id"].as_u64().unwrap()
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=500).collect::<Vec<_>>());
    assert!(client.is_closed());
}

#[test]
fn bad_bytes_get_a_definite_failure_and_the_end_of_the_connection() {
    let cluster = Cluster::started(1, &["--n", "1", "--r", "1", "--w", "1"]);
    let framed = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    for (bytes, kind) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "frame-too-large"),
        (1_048_577_u32.to_be_bytes().to_vec(), "frame-too-large"),
        (vec![0, 0, 0, 0], "bad-request"),
        (framed("not json"), "bad-request"),
        (framed("\"text\""), "bad-request"),
        (framed(r#"{"v":1,"header":{"id":9},"body":{"drop":{}}}"#), "bad-request"),
        (framed(r#"{"v":3,"header":{"id":9},"body":{"status":{}}}"#), "bad-request"),
        (framed(&"[".repeat(100_000)), "bad-request"),
        (
            framed(r#"{"v":1,"header":{"id":9},"body":{"put":{"key":"k","value":7}}}"#),
            "bad-request",
        ),
    ] {
        let mut client = cluster.client(0);
        client.send_bytes(&bytes);
        let reply = client.receive_text().unwrap();
        let expected_id = if String::from_utf8_lossy(&bytes).contains("\"id\":9") {
            9
        } else {
            0
        };
        let reply_json: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply_json["body"]["failed"]["kind"], kind, "{reply}");
        assert_eq!(reply_json["header"]["id"], expected_id, "{reply}");
        assert!(client.is_closed(), "after {reply}");
    }
    let mut long = cluster.client(0);
    assert_eq!(long.put(&"k".repeat(1025), "v")["failed"]["kind"], "too-large");
    assert_eq!(long.put("k", &"v".repeat(1_046_000))["failed"]["kind"], "too-large");
    assert!(
        long.put("k", &"v".repeat(1_044_000))["stored"].is_object(),
        "the connection goes on, and a large value fits"
    );
    assert_eq!(long.get("k")["value"]["value"].as_str().unwrap().len(), 1_044_000);
}

#[test]
fn without_a_majority_operations_fail_definitely_and_come_back_soon_after_it_returns() {
    let cluster = Cluster::started(3, &["--op-timeout-ms", "300"]);
    cluster.signal(1, Signal::STOP);
    assert!(cluster.client(0).put("k", "two of three")["stored"].is_object());
    cluster.signal(2, Signal::STOP);
    assert_eq!(cluster.client(0).put("k", "one of three")["failed"]["kind"], "no-quorum");
    assert_eq!(cluster.client(0).get("k")["failed"]["kind"], "no-quorum");
    eventually("silent links are noticed", || {
        (cluster.client(0).status().unwrap()["peers_connected"] == 0).then_some(())
    });
    cluster.signal(1, Signal::CONT);
    cluster.signal(2, Signal::CONT);
    eventually("a put succeeds", || {
        cluster.client(0).put("k", "three of three")["stored"].is_object().then_some(())
    });
    assert_eq!(cluster.client(2).get("k")["value"]["value"], "three of three");
}

#[test]
fn the_trace_is_in_the_file_before_the_reply_is_out() {
    let cluster = Cluster::started(3, &[]);
    let mut client = cluster.client(0);
    for number in 0..50 {
        let version = client.put("k", &number.to_string())["stored"]["version"].to_string();
        let done = format!(
            r#""kind":"done","op":"n1/1/{}","f":"put","key":"k","outcome":"ok","version":{version}"#,
            number + 1
        );
        assert!(cluster.trace_text(0).contains(&done), "no {done}");
        let held = format!(r#""kind":"put","key":"k","version":{version},"value_id":"{number}","durable":true"#);
        let holders = (0..3).filter(|node| cluster.trace_text(*node).contains(&held)).count();
        assert!(
            holders >= 2,
            "{version} is acknowledged, and {holders} replicas say that they hold it"
        );
    }
    let text = cluster.trace_text(0);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["kind"], "start");
    assert!(
        lines.iter().enumerate().all(|(place, line)| line["seq"] == place),
        "no line is missing"
    );
    let stamps: Vec<u64> = lines.iter().map(|line| line["lamport"].as_u64().unwrap()).collect();
    assert!(stamps.is_sorted_by(|a, b| a < b));
}

#[test]
fn options_that_do_not_fit_are_refused_with_one_line() {
    for (options, complaint) in [
        (&["--n", "4"][..], "error: --n 4 is not between 1 and the number of members, 3"),
        (&["--r", "4"], "error: --r 4 is not between 1 and --n 3"),
        (&["--w", "0"], "error: --w 0 is not between 1 and --n 3"),
        (&["--vnodes", "0"], "error: --vnodes 0 leaves no place on the ring; give at least 1"),
        (&["--peer", "n1=127.0.0.1:1"], "error: member `n1` is given twice"),
    ] {
        let (code, line) = Cluster::new(3, options).start_and_end(0);
        assert_eq!((code, line.as_str()), (254, complaint));
    }
}

#[test]
fn a_damaged_log_is_refused_with_file_and_offset_and_a_torn_one_is_cut() {
    let mut cluster = Cluster::started(1, &["--n", "1", "--r", "1", "--w", "1"]);
    for number in 0..5 {
        cluster.client(0).put("k", &number.to_string());
    }
    cluster.kill(0);
    let log = cluster.data(0).join("wal");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 1]).unwrap();
    cluster.start(0);
    assert_eq!(
        cluster.client(0).get("k")["value"]["value"],
        "3",
        "the torn batch is gone, as if it had never been written"
    );
    cluster.kill(0);
    let mut damaged = whole;
    damaged[40] ^= 1;
    fs::write(&log, &damaged).unwrap();
    let (code, line) = cluster.start_and_end(0);
    assert_eq!(code, 255);
    assert!(
        line.contains(&log.display().to_string()) && line.contains("damaged at byte 0:"),
        "{line}"
    );
    assert_eq!(fs::read(&log).unwrap(), damaged, "the evidence is left alone");
}

#[test]
fn a_disk_that_fails_ends_the_node_with_one_line() {
    let cluster = Cluster::new(1, &["--n", "1", "--r", "1", "--w", "1"]);
    fs::create_dir(cluster.data(0)).unwrap();
    // Every write to this device fails with "no space left".
    symlink("/dev/full", cluster.data(0).join("wal")).unwrap();
    let put = std::thread::scope(|scope| {
        let node = scope.spawn(|| cluster.start_and_end(0));
        // Until it answers, a connection may reach nobody: another test's child holds the port's old listener between its fork and exec.
        cluster.wait_linked(0);
        let mut client = cluster.client(0);
        client.send_text(r#"{"v":1,"header":{"id":1},"body":{"put":{"key":"k","value":"lost"}}}"#);
        assert!(client.is_closed(), "no acknowledgement");
        node.join().unwrap()
    });
    assert_eq!(put.0, 255);
    assert!(
        put.1.contains("the log cannot be made durable") && put.1.contains("No space left"),
        "{}",
        put.1
    );
}

#[test]
fn a_trace_that_cannot_be_written_ends_the_node() {
    let cluster = Cluster::new(1, &["--n", "1", "--r", "1", "--w", "1"]);
    symlink("/dev/full", cluster.trace(0)).unwrap();
    let (code, line) = cluster.start_and_end(0);
    assert_eq!(code, 255);
    assert!(
        line.contains("the trace cannot be written") && line.contains("No space left"),
        "{line}"
    );
}

#[test]
fn two_processes_never_share_a_data_folder() {
    let mut cluster = Cluster::started(1, &["--n", "1", "--r", "1", "--w", "1"]);
    let (code, line) = cluster.start_and_end(0);
    assert_eq!(code, 255);
    assert!(line.contains("in use by another process"), "{line}");
    cluster.kill(0);
    cluster.start(0);
    assert_eq!(cluster.client(0).status().unwrap()["incarnation"], 2);
}

#[test]
fn nodes_that_would_place_keys_differently_refuse_each_other() {
    let mut cluster = Cluster::new(2, &["--n", "2", "--r", "1", "--w", "1"]);
    cluster.start(0);
    let mut other = cluster.command(1);
    let mut other = other.args(["--vnodes", "7"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut client = cluster.client(1);
    assert_eq!(client.status().unwrap()["ready"], true);
    // A link that was refused was at least tried: the other side's greeting has moved this node's clock.
    let before = cluster.client(0).status().unwrap()["lamport"].as_u64().unwrap();
    eventually("some greetings", || {
        (cluster.client(0).status().unwrap()["lamport"].as_u64().unwrap() > before + 20).then_some(())
    });
    assert_eq!(client.status().unwrap()["peers_connected"], 0);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn sigterm_ends_a_node_at_once_with_code_0() {
    let mut cluster = Cluster::started(2, &["--n", "2"]);
    cluster.signal(0, Signal::TERM);
    assert_eq!(cluster.end(0).code(), Some(0));
}
