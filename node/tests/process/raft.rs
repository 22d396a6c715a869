//! The Raft store as real processes: elected, killed, torn, wiped, replaced.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::cluster::{Cluster, eventually};

const OPTIONS: [&str; 6] = ["--election-ms", "150", "--heartbeat-ms", "30", "--snapshot-every", "40"];

fn started(count: usize) -> Cluster {
    let mut cluster = Cluster::of_store("raft", count, &OPTIONS);
    (0..count).for_each(|node| cluster.start(node));
    cluster
}

fn status(cluster: &Cluster, node: usize) -> Option<Value> {
    cluster.try_client(node)?.status().ok()
}

/// The node that leads among these, once one does and they all know it.
fn leader(cluster: &Cluster, nodes: &[usize]) -> usize {
    eventually("an election", || {
        let all: Vec<Value> = nodes.iter().map(|node| status(cluster, *node)).collect::<Option<_>>()?;
        let at = all.iter().position(|status| status["role"] == "leader")?;
        let name = &all[at]["node"];
        all.iter().all(|status| status["leader"] == *name).then_some(nodes[at])
    })
}

/// Asks whoever leads, again and again until it goes well: in a session, so that it takes effect once.
fn in_session(cluster: &Cluster, nodes: &[usize], session: &Value, seq: u64, body: &Value) -> Value {
    eventually("an answer", || {
        let header = json!({"client": "c1", "seq": seq, "session": session});
        let reply = cluster.try_client(leader(cluster, nodes))?.ask_with(header, body).ok()?;
        (reply["failed"].is_null() && reply["unknown"].is_null()).then_some(reply)
    })
}

fn read(cluster: &Cluster, nodes: &[usize], key: &str) -> Value {
    let reply = in_session(cluster, nodes, &Value::Null, 0, &json!({"get": {"key": key}}));
    reply["value"]["value"].clone()
}

fn open_session(cluster: &Cluster, nodes: &[usize]) -> Value {
    let reply = in_session(cluster, nodes, &Value::Null, 1, &json!({"session": {}}));
    reply["session"]["id"].clone()
}

#[test]
fn three_nodes_elect_one_leader_and_the_others_name_it() {
    let cluster = started(3);
    let leader = leader(&cluster, &[0, 1, 2]);
    let refused = cluster.client((leader + 1) % 3).put("k", "1");
    assert_eq!(refused["failed"]["kind"], "not-leader", "{refused}");
    assert_eq!(refused["failed"]["leader"], format!("n{}", leader + 1));
    let stored = cluster.client(leader).put("k", "1");
    assert_eq!(stored["stored"]["version"][1], "log", "{stored}");
    assert_eq!(cluster.client(leader).get("k")["value"]["value"], "1");
}

#[test]
fn what_was_acknowledged_survives_kill_9_of_leader_after_leader() {
    let mut cluster = started(3);
    let all = [0, 1, 2];
    let session = open_session(&cluster, &all);
    for round in 0..4_u64 {
        for number in 0..25 {
            let seq = 2 + round * 25 + number;
            in_session(
                &cluster,
                &all,
                &session,
                seq,
                &json!({"append": {"key": "log", "value": format!("<{seq}>")}}),
            );
        }
        let victim = leader(&cluster, &all);
        cluster.kill(victim);
        let others: Vec<usize> = all.into_iter().filter(|node| *node != victim).collect();
        leader(&cluster, &others);
        cluster.start(victim);
    }
    let expected: String = (2..102).map(|seq| format!("<{seq}>")).collect();
    assert_eq!(read(&cluster, &all, "log"), expected);
    for node in all {
        let trace = cluster.trace_text(node);
        assert!(trace.contains(r#""kind":"snap_take""#), "node {node} never took a snapshot");
        assert!(trace.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    }
}

#[test]
fn all_killed_at_once_and_torn_tails_lose_nothing() {
    let mut cluster = started(3);
    let all = [0, 1, 2];
    let session = open_session(&cluster, &all);
    for seq in 2..30 {
        in_session(
            &cluster,
            &all,
            &session,
            seq,
            &json!({"put": {"key": "k", "value": seq.to_string()}}),
        );
    }
    all.iter().for_each(|node| cluster.kill(*node));
    for node in all {
        // A batch whose header was written, and nothing behind it.
        let log = OpenOptions::new().write(true).open(cluster.data(node).join("wal")).unwrap();
        let length = log.metadata().unwrap().len();
        log.write_all_at(b"\xffSQWAL\xfe\x00\x00\x01\x00\x20\x00\x00\xff\xff", length)
            .unwrap();
    }
    all.iter().for_each(|node| cluster.start(*node));
    assert_eq!(read(&cluster, &all, "k"), "29");
    let again = in_session(&cluster, &all, &session, 29, &json!({"put": {"key": "k", "value": "other"}}));
    assert!(again["stored"].is_object(), "{again}");
    assert_eq!(read(&cluster, &all, "k"), "29", "the last command of the session, sent again");
}

#[test]
fn a_member_that_lost_its_data_is_refused_and_comes_back_under_a_new_id() {
    let mut cluster = started(3);
    let all = [0, 1, 2];
    cluster.client(leader(&cluster, &all)).put("k", "1");
    let victim = (leader(&cluster, &all) + 1) % 3;
    let name = format!("n{}", victim + 1);
    cluster.kill(victim);
    std::fs::remove_dir_all(cluster.data(victim)).unwrap();
    let (code, line) = cluster.start_and_end(victim);
    assert_eq!(code, 255);
    assert!(line.contains(&format!("knows member `{name}` with other data")), "{line}");
    std::fs::remove_dir_all(cluster.data(victim)).unwrap();
    let fresh = format!("{name}.2");
    cluster.start_with(victim, &["--join", "--member", &fresh]);
    let others: Vec<usize> = all.into_iter().filter(|node| *node != victim).collect();
    let body = json!({"change": {"add": [fresh], "remove": [name]}});
    eventually("the change", || {
        let at = leader(&cluster, &others);
        let reply = cluster.try_client(at)?.ask_with(json!({}), &body).ok()?;
        let voters = status(&cluster, at)?["voters"].clone();
        (reply["members"].is_object() || voters.as_array()?.contains(&json!(fresh))).then_some(())
    });
    eventually("the new member to vote and follow", || {
        let status = status(&cluster, victim)?;
        (status["member"] == json!(fresh) && status["role"] == "follower" && status["applied"] == status["last"]).then_some(())
    });
    assert_eq!(read(&cluster, &all, "k"), "1");
}
