//! `squall node` and `squall kv` by hand: a person starts a cluster without any sandbox and talks to it.

mod common;

use std::net::TcpListener;
use std::process::Child;

use common::{Squall, exit_code};

/// A node that is killed with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_person_starts_nodes_and_talks_to_them() {
    let squall = Squall::new();
    // Ports that were free a moment ago; all are held until the last is known, so that they differ.
    let held: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let addresses: Vec<String> = held
        .iter()
        .map(|port| port.local_addr().expect("its address").to_string())
        .collect();
    drop(held);
    let _nodes: Vec<Node> = (1..=3)
        .map(|number| {
            let mut args: Vec<String> = ["node", "quorum", "--id", &format!("n{number}"), "--listen", &addresses[number - 1]]
                .iter()
                .map(ToString::to_string)
                .collect();
            for (peer, address) in (1..).zip(&addresses) {
                args.extend(["--peer".into(), format!("n{peer}={address}")]);
            }
            let folder = squall.folder();
            std::fs::create_dir(folder.join(format!("n{number}"))).expect("a folder for data");
            args.extend(["--data".into(), folder.join(format!("n{number}")).display().to_string()]);
            args.extend(["--trace".into(), folder.join(format!("n{number}.jsonl")).display().to_string()]);
            Node(squall.spawn(&args.iter().map(String::as_str).collect::<Vec<_>>()))
        })
        .collect();
    let kv = |args: &[&str], node: usize| squall.run(&[&["kv"], args, &["--node", &addresses[node]]].concat());
    squall.wait_for("all nodes", || {
        (0..3).all(|node| {
            let status = kv(&["status"], node);
            exit_code(&status) == 0 && status.stdout.contains(r#""peers_connected":2"#)
        })
    });

    let nothing = kv(&["get", "colour"], 0);
    assert_eq!((exit_code(&nothing), nothing.stdout.as_str()), (0, ""), "{}", nothing.text());
    let put = kv(&["put", "colour", "blue"], 1);
    assert!(exit_code(&put) == 0 && put.stdout.contains("stored"), "{}", put.text());
    let got = kv(&["get", "colour"], 2);
    assert_eq!((exit_code(&got), got.stdout.as_str()), (0, "blue\n"), "{}", got.text());
}

#[test]
fn a_node_that_cannot_be_reached_is_named() {
    let squall = Squall::new();
    let said = squall.run(&["kv", "status", "--node", "127.0.0.1:1"]);
    assert_eq!(exit_code(&said), 255, "{}", said.text());
    assert!(said.stderr.contains("127.0.0.1:1"), "{}", said.text());
    assert_eq!(exit_code(&squall.run(&["kv", "status", "--node", "nonsense"])), 254);
}

#[test]
fn a_node_refuses_quorums_that_cannot_be() {
    let squall = Squall::new();
    let folder = squall.folder().display().to_string();
    let base = [
        "node",
        "quorum",
        "--id",
        "n1",
        "--listen",
        "127.0.0.1:0",
        "--peer",
        "n1=127.0.0.1:1",
        "--data",
        &folder,
    ];
    let said = squall.run(&[&base[..], &["--trace", "/dev/null", "--n", "3"]].concat());
    assert_eq!(exit_code(&said), 254, "{}", said.text());
}
