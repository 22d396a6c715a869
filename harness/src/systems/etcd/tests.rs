//! What we send to etcd and make of its answers, word by word, and against a real etcd where this machine has one.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use squall_workloads::{Argument, ErrorNote, Function, Operation, Outcome, Seen, Stamp};

use super::super::Entry;
use super::client::{conclude, request};
use super::http::{HttpError, Response};
use super::program::version_in;
use super::status::standing_in;
use super::*;

fn etcd(settings: Settings) -> Etcd {
    Etcd {
        settings,
        program: "/usr/bin/etcd".into(),
        version: "3.4.23".into(),
    }
}

fn linearizable() -> Settings {
    Settings {
        nodes: 3,
        serializable: false,
    }
}

fn member(id: &str, address: [u8; 4]) -> Member {
    Member {
        id: id.into(),
        address: address.into(),
    }
}

#[test]
fn starts_a_member_with_flags_that_every_release_knows() {
    let members = [member("n1", [10, 0, 0, 1]), member("n2", [10, 0, 0, 2])];
    let files = NodeFiles {
        data: "/run/n1/data".into(),
        trace: "/run/n1/trace".into(),
        gate: None,
    };
    let command = etcd(linearizable()).command(&members[0], Cast::from(&members[..]), &files);
    let expected = "/usr/bin/etcd --name=n1 --data-dir=/run/n1/data --listen-peer-urls=http://10.0.0.1:2380 \
         --initial-advertise-peer-urls=http://10.0.0.1:2380 --listen-client-urls=http://10.0.0.1:2379 \
         --advertise-client-urls=http://10.0.0.1:2379 --initial-cluster=n1=http://10.0.0.1:2380,n2=http://10.0.0.2:2380 \
         --initial-cluster-state=new --heartbeat-interval=100 --election-timeout=1000 --logger=zap --log-outputs=stderr";
    assert_eq!(command.line(), expected);
    assert_eq!(
        command.env.contains_key("ETCD_UNSUPPORTED_ARCH"),
        std::env::consts::ARCH != "x86_64"
    );
}

#[test]
fn who_enters_a_cluster_that_serves_gets_an_empty_folder_and_the_members_of_the_day() {
    let members = [member("n1", [10, 0, 0, 1]), member("n4", [10, 0, 0, 4])];
    let files = NodeFiles {
        data: "/run/n4/data".into(),
        trace: "/run/n4/trace".into(),
        gate: None,
    };
    let entry = Entry {
        life: 2,
        members: members.to_vec(),
    };
    let cast = Cast {
        founders: &members[..1],
        spares: &members[1..],
        entry: Some(&entry),
    };
    let line = etcd(linearizable()).command(&members[1], cast, &files).line();
    for flag in [
        "--data-dir=/run/n4/data/life-2",
        "--initial-cluster=n1=http://10.0.0.1:2380,n4=http://10.0.0.4:2380",
        "--initial-cluster-state=existing",
    ] {
        assert!(line.contains(flag), "{line}");
    }
}

#[test]
fn says_in_one_phrase_which_etcd_is_read_how() {
    assert_eq!(etcd(linearizable()).describe(), "etcd 3.4.23, linearizable reads");
    assert_eq!(
        etcd(Settings {
            serializable: true,
            ..linearizable()
        })
        .describe(),
        "etcd 3.4.23, serializable reads"
    );
}

#[test]
fn refuses_settings_nobody_can_mean() {
    assert_eq!(linearizable().validate(), Ok(()));
    assert_eq!(
        Settings {
            nodes: 0,
            ..linearizable()
        }
        .validate(),
        Err("--nodes 0: a cluster has 1 to 100 nodes".into())
    );
    assert!(serde_json::from_value::<Settings>(json!({"nodes": 3, "serializable": false, "serialisable": true})).is_err());
}

#[test]
fn takes_only_an_etcd_with_the_gateway_we_speak() {
    let said = |text: &str| version_in(text).map_err(|error| error.to_string());
    assert_eq!(
        said("etcd Version: 3.4.23\nGit SHA: Not provided\nGo Version: go1.19.8\n"),
        Ok("3.4.23".into())
    );
    assert_eq!(said("etcd Version: 3.6.0-rc.1\u{1b}[0m\r\n"), Ok("3.6.0-rc.1[0m".into()));
    assert_eq!(said("etcd Version: 3.3.25\n"), Err("it is etcd 3.3; 3.4 or newer is needed".into()));
    for other in ["", "\n", "redis 7.0.15", "etcd Version: ", "etcd Version: three.four"] {
        assert!(
            said(other).is_err_and(|error| error.starts_with("asked for its version it says")),
            "{other:?}"
        );
    }
}

#[test]
fn asks_in_base64_and_json() {
    let read = Operation::read("k3");
    assert_eq!(request(&read, false), Some(("/v3/kv/range", r#"{"key":"azM="}"#.into())));
    assert_eq!(
        request(&read, true),
        Some(("/v3/kv/range", r#"{"key":"azM=","serializable":true}"#.into()))
    );
    for serializable in [false, true] {
        let write = request(&Operation::write("k3", -17), serializable);
        assert_eq!(write, Some(("/v3/kv/put", r#"{"key":"azM=","value":"LTE3"}"#.into())));
    }
}

#[test]
fn reads_what_a_key_holds() {
    let header = r#""header":{"cluster_id":"5111859115292664513","member_id":"5414261587599942591","revision":"2","raft_term":"2"}"#;
    let read = |rest: &str| conclude(&Operation::read("k3"), Ok(Response::of(200, format!("{{{header}{rest}}}"))));
    assert_eq!(read(""), Outcome::Ok(Seen::Nothing));
    let held = |value: &str| format!(r#","kvs":[{{"key":"azM=","create_revision":"2","version":"1"{value}}}],"count":"1""#);
    assert_eq!(read(&held(r#","value":"LTE3""#)), Outcome::Ok(Seen::Number(-17)));
    assert_eq!(read(&held("")), Outcome::Ok(Seen::Foreign(String::new())));
    assert_eq!(
        read(&held(r#","value":"/////w==""#)),
        Outcome::Ok(Seen::Foreign("\u{fffd}".repeat(4)))
    );
    assert_eq!(
        read(r#","kvs":[{"key":"azQ=","value":"LTE3"}]"#),
        Outcome::Ok(Seen::Foreign("(values of other keys)".into()))
    );
    assert_eq!(
        conclude(&Operation::write("k3", 1), Ok(Response::of(200, format!("{{{header}}}")))),
        Outcome::Ok(Seen::Nothing)
    );
}

/// Reads are definite whatever happens; of writes only what etcd refuses before it proposes.
#[test]
fn tells_what_never_happened_from_what_may_have() {
    let refused = |code: u32, message: &str| format!(r#"{{"error":"{message}","message":"{message}","code":{code}}}"#);
    let replies = [
        ("failed invalid-argument", 400, refused(3, "etcdserver: key is not provided")),
        ("failed invalid-argument", 400, refused(3, "etcdserver: request is too large")),
        ("failed permission-denied", 403, refused(7, "etcdserver: permission denied")),
        ("failed unimplemented", 501, refused(12, "Method Not Allowed")),
        ("failed unauthenticated", 401, refused(16, "etcdserver: invalid auth token")),
        ("failed resource-exhausted", 429, refused(8, "etcdserver: too many requests")),
        ("failed unavailable", 503, refused(14, "etcdserver: rpc not supported for learner")),
        (
            "unknown resource-exhausted",
            429,
            refused(8, "etcdserver: mvcc: database space exceeded"),
        ),
        ("unknown unavailable", 503, refused(14, "etcdserver: request timed out")),
        (
            "unknown unavailable",
            503,
            refused(14, "etcdserver: request timed out, possibly due to previous leader failure"),
        ),
        ("unknown unavailable", 503, refused(14, "etcdserver: leader changed")),
        ("unknown unavailable", 503, refused(14, "etcdserver: no leader")),
        ("unknown unavailable", 503, refused(14, "etcdserver: server stopped")),
        ("unknown deadline-exceeded", 504, refused(4, "context deadline exceeded")),
        ("unknown unknown-error", 500, refused(2, "context deadline exceeded")),
        ("unknown data-loss", 500, refused(15, "etcdserver: corrupt cluster")),
        // As the gateway of 3.6 writes it.
        (
            "unknown unavailable",
            503,
            r#"{"code":14,"message":"etcdserver: request timed out","details":[]}"#.into(),
        ),
        ("unknown grpc-4294967295", 500, refused(u32::MAX, "?")),
        ("unknown http-502", 502, "<html>".into()),
        ("unknown http-404", 404, "404 page not found".into()),
        ("unknown malformed-reply", 200, String::new()),
        ("unknown malformed-reply", 200, "{}".into()),
        ("unknown malformed-reply", 200, "[".repeat(100_000)),
        ("unknown malformed-reply", 200, r#"{"header":{},"kvs":7}"#.into()),
    ];
    for (expected, status, body) in replies {
        let said = |operation| outcome_of(conclude(&operation, Ok(Response::of(status, &body))));
        assert_eq!(said(Operation::write("k", 1)), expected, "{body:.100}");
        assert_eq!(
            said(Operation::read("k")).split_once(' '),
            Some(("failed", expected.split_once(' ').expect("two words").1))
        );
    }
    let errors = [
        ("timeout", std::io::ErrorKind::TimedOut),
        ("connection-lost", std::io::ErrorKind::ConnectionReset),
        ("connection-lost", std::io::ErrorKind::BrokenPipe),
        ("connection-lost", std::io::ErrorKind::UnexpectedEof),
    ];
    for (kind, error) in errors {
        let said = |operation| outcome_of(conclude(&operation, Err(std::io::Error::from(error).into())));
        assert_eq!(said(Operation::write("k", 1)), format!("unknown {kind}"));
        assert_eq!(said(Operation::read("k")), format!("failed {kind}"));
    }
    let malformed = conclude(&Operation::write("k", 1), Err(HttpError::TooLong("body")));
    assert_eq!(outcome_of(malformed), "unknown malformed-reply");
}

#[test]
fn does_not_take_half_a_value_for_a_value() {
    let body = r#"{"header":{},"kvs":[{"key":"azM=","value":"LTE*"}]}"#;
    assert_eq!(
        outcome_of(conclude(&Operation::read("k3"), Ok(Response::of(200, body)))),
        "failed malformed-reply"
    );
}

fn outcome_of(outcome: Outcome) -> String {
    match outcome {
        Outcome::Ok(seen) => format!("{seen:?}"),
        Outcome::Failed(ErrorNote {
            kind, seen: Some(seen), ..
        }) => format!("failed {kind}, saw {seen:?}"),
        Outcome::Failed(note) => format!("failed {}", note.kind),
        Outcome::Unknown(note) => format!("unknown {}", note.kind),
    }
}

#[test]
fn is_ready_only_with_a_leader_and_a_majority() {
    let mut fields = json!({
        "header": {"cluster_id": "5111859115292664513", "member_id": "6537016272503762638", "revision": "2", "raft_term": "3"},
        "version": "3.4.23", "dbSize": "20480", "leader": "2537420772893698413", "raftIndex": "12", "raftTerm": "3",
        "raftAppliedIndex": "11", "dbSizeInUse": "16384",
    });
    let healthy = || Ok(Response::of(200, r#"{"health":"true","reason":""}"#));
    let status = |fields: &Value, health| node_status(&standing_in(fields).expect("a standing"), health);
    let ready = status(&fields, healthy());
    assert!(ready.ready);
    assert_eq!(ready.said, "member 5ab825aa4d88eece, leader 2336babfc606a96d, healthy");
    let figures = [
        ("db_size_bytes", 20480),
        ("raft_applied_index", 11),
        ("raft_index", 12),
        ("raft_term", 3),
        ("revision", 2),
    ];
    assert_eq!(ready.figures, figures.map(|(name, value)| (name.to_owned(), value)).into());

    let cut_off = status(&fields, Ok(Response::of(503, r#"{"health":"false"}"#)));
    assert!(!cut_off.ready);
    assert_eq!(
        cut_off.said,
        r#"member 5ab825aa4d88eece, leader 2336babfc606a96d, not healthy: {"health":"false"}"#
    );
    assert!(!status(&fields, Err(HttpError::TooLong("head"))).ready);

    fields.as_object_mut().expect("an object").remove("leader");
    let headless = status(&fields, healthy());
    assert!(!headless.ready);
    assert_eq!(headless.said, "member 5ab825aa4d88eece, no leader, healthy");
    assert_eq!(standing_in(&json!({"header": {}})), None);
    assert_eq!(standing_in(&json!([1])), None);
}

/// A member that ends with the test.
struct Node {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Node {
    fn start(etcd: &Etcd, member: &Member) -> Node {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let files = NodeFiles {
            data: folder.path().join("data"),
            trace: folder.path().join("trace"),
            gate: None,
        };
        let command = etcd.command(member, Cast::from(std::slice::from_ref(member)), &files);
        let mut process = Command::new(&command.program);
        process
            .args(&command.args)
            .env_clear()
            .envs(&command.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Node {
            child: process.spawn().expect("etcd can be started"),
            _folder: folder,
        }
    }

    /// SIGSTOP is taken when a thread is next scheduled, which a loaded machine puts off.
    async fn wait_until_stopped(&self) {
        let began = Instant::now();
        let tasks = format!("/proc/{}/task", self.child.id());
        let runs = |task: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('T'))
        };
        while std::fs::read_dir(&tasks).expect("it has threads").flatten().any(runs) {
            assert!(began.elapsed() < Duration::from_secs(10), "etcd is not stopped after 10 s");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid fits 31 bits"));
        kill(pid, signal).expect("the node is our child");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Killing works on a stopped process, too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until the member is ready, for 30 s at most: a loaded machine elects slowly.
async fn wait_until_ready(etcd: &Etcd, member: &Member) -> NodeStatus {
    let began = Instant::now();
    loop {
        let status = etcd.status(member).await;
        match status {
            Ok(status) if status.ready => return status,
            last => assert!(began.elapsed() < Duration::from_secs(30), "etcd is not ready after 30 s: {last:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(client: &mut dyn Client, operation: Operation, deadline: Duration) -> String {
    match client.prepare(&operation, Stamp(1), Duration::from_secs(5)).await {
        Ok(()) => outcome_of(client.perform(&operation, deadline).await),
        Err(note) => format!("not sent: {}", note.kind),
    }
}

#[tokio::test]
async fn a_real_etcd_is_started_asked_paused_and_killed() {
    let etcd = match Etcd::open(Settings {
        nodes: 1,
        serializable: false,
    }) {
        Ok(etcd) => etcd,
        Err(reason) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot run in CI: {reason:#}");
            let _ = writeln!(std::io::stderr(), "skipped: {reason:#}");
            return;
        }
    };
    // An address of this very process, so that tests of two checkouts do not meet.
    let [.., high, low] = std::process::id().to_be_bytes();
    let member = member("n1", [127, 77, high, low]);
    let long = Duration::from_secs(5);
    let mut client = etcd.client(&member, "c1");
    assert_eq!(ask(&mut *client, Operation::read("k"), long).await, "not sent: unreachable");

    let node = Node::start(&etcd, &member);
    let status = wait_until_ready(&etcd, &member).await;
    assert!(status.figures["db_size_bytes"] > 0, "{status:?}");
    assert_eq!(etcd.is_leader(&member).await.expect("it answers"), Some(true));
    assert_eq!(ask(&mut *client, Operation::read("k"), long).await, "Nothing");
    assert_eq!(ask(&mut *client, Operation::write("k", 7), long).await, "Nothing");
    let cas = |expected, new| Operation::new(Function::Cas, "c", Argument::Pair(expected, new));
    for (operation, expected) in [
        (cas(Some(1), 2), "failed mismatch, saw Nothing"),
        (cas(None, 1), "Nothing"),
        (cas(None, 2), "failed mismatch, saw Number(1)"),
        (cas(Some(1), 3), "Nothing"),
        (Operation::read("c"), "Number(3)"),
    ] {
        assert_eq!(ask(&mut *client, operation.clone(), long).await, expected, "{operation}");
    }
    let careless = Etcd {
        settings: Settings {
            nodes: 1,
            serializable: true,
        },
        program: etcd.program.clone(),
        version: etcd.version.clone(),
    };
    let mut careless = careless.client(&member, "c2");
    for client in [&mut client, &mut careless] {
        assert_eq!(ask(&mut **client, Operation::read("k"), long).await, "Number(7)");
    }

    node.signal(Signal::SIGSTOP);
    node.wait_until_stopped().await;
    assert_eq!(
        ask(&mut *client, Operation::write("k", 8), Duration::from_millis(200)).await,
        "unknown timeout"
    );
    client.abandon();
    assert_eq!(
        ask(&mut *client, Operation::read("k"), Duration::from_millis(200)).await,
        "failed timeout"
    );
    node.signal(Signal::SIGCONT);
    wait_until_ready(&etcd, &member).await;
    let after = ask(&mut *client, Operation::read("k"), long).await;
    assert!(
        ["Number(7)", "Number(8)"].contains(&after.as_str()),
        "the write in doubt may have happened, and nothing else: {after}"
    );

    // Its connection was in use a moment ago; the write must not go into the void.
    drop(node);
    assert_eq!(ask(&mut *client, Operation::write("k", 9), long).await, "not sent: unreachable");
    assert!(etcd.status(&member).await.is_err());
}
