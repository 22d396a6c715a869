//! What the recorder leaves behind when it does not end by itself: killed at once, or on a disk that is full.
//!
//! Both need a process of their own. It is this test program again, told by its environment where to record.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use squall::record::{Pen, Recorder, RunClock};
use squall_checker::history::History;
use squall_checker::history::operation::Function;
use squall_workloads::{Argument, Operation, Outcome, Seen};

const CHILD: &str = "a_child_records_until_it_cannot";
const FOLDER: &str = "SQUALL_TEST_RECORD_INTO";
const BOUND: Duration = Duration::from_secs(30);

fn history_in(folder: &Path) -> PathBuf {
    folder.join("history.jsonl")
}

/// Four clients of one register, for ever; ends when nothing can be recorded any more.
#[test]
fn a_child_records_until_it_cannot() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let header = serde_json::from_str(r#"{"squall_history":1}"#).expect("every other field has a default");
    let recorder = Recorder::create(&history_in(&folder), &header, RunClock::start()).expect("there is room for the header");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime can be built");
    let (register, next) = (Arc::<Mutex<Option<i64>>>::default(), Arc::<AtomicI64>::default());
    let clients: Vec<_> = (0..4)
        .map(|process| runtime.spawn(work(recorder.pen(), process, Arc::clone(&register), Arc::clone(&next))))
        .collect();
    for client in clients {
        runtime.block_on(client).expect("no client panics");
    }
    let reason = recorder.failed().borrow().clone().expect("only a failed recorder ends the clients");
    assert!(reason.contains("No space left"), "{reason}");
    recorder.close().expect_err("the disk is full");
    check_prefix(&folder);
}

async fn work(pen: Pen, process: u64, register: Arc<Mutex<Option<i64>>>, next: Arc<AtomicI64>) {
    let node = Arc::from("n1");
    while let Ok(slot) = pen.reserve().await {
        let value = next.fetch_add(1, Ordering::Relaxed);
        let operation = if value % 2 == 0 {
            Operation::write("k", value)
        } else {
            Operation::read("k")
        };
        let open = slot.invoke(process, &operation, &node);
        let seen = {
            let mut register = register.lock().expect("no holder of this lock panics");
            if let Argument::Value(value) = operation.argument {
                *register = Some(value);
            }
            register
                .filter(|_| operation.f == squall_workloads::Function::Read)
                .map_or(Seen::Nothing, Seen::Number)
        };
        open.complete(pen.clock().now_ns(), Outcome::Ok(seen));
    }
}

/// What was left can be read, and nothing in it was seen before somebody began to write it.
fn check_prefix(folder: &Path) {
    let bytes = fs::read(history_in(folder)).expect("the child made it");
    let history = History::read(&bytes[..]).expect("a prefix is a history");
    assert!(history.operations.len() > 500, "only {} operations", history.operations.len());
    // Operations come in the order of their invocation lines, completions carry their own.
    let written: BTreeSet<(i64, u64)> = history
        .operations
        .iter()
        .filter(|operation| operation.f == Function::Write)
        .map(|write| (write.argument.integer().expect("values are numbers"), write.invoke_line()))
        .collect();
    for read in history.operations.iter().filter(|operation| operation.f == Function::Read) {
        let (Some(seen), Some(line)) = (read.observed().and_then(|value| value.integer()), read.complete_line()) else {
            continue;
        };
        let begun = written.range((seen, 0)..(seen, line)).next();
        assert!(begun.is_some(), "line {line} saw {seen}, which nobody had begun to write");
    }
}

/// This test program, as the recording child.
fn child() -> Command {
    let mut child = Command::new(std::env::current_exe().expect("a running program has a path"));
    child.args(["--exact", CHILD, "--nocapture"]);
    child
}

#[test]
fn a_killed_recorder_leaves_a_history_that_can_be_judged() {
    let folder = tempfile::TempDir::new().expect("tests may write to the temporary folder");
    let mut child = child()
        .env(FOLDER, folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program can be started again");
    let began = Instant::now();
    while fs::metadata(history_in(folder.path())).map_or(0, |data| data.len()) < 4 << 20 {
        assert!(began.elapsed() < BOUND, "nothing is recorded");
        assert_eq!(child.try_wait().expect("it is our child"), None, "the child ended by itself");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    check_prefix(folder.path());
}

#[test]
fn a_full_disk_ends_the_load_and_leaves_a_prefix() {
    let Some(mut unshare) = mount_namespace() else { return };
    let folder = tempfile::TempDir::new().expect("tests may write to the temporary folder");
    let recording = child();
    let program = Path::new(recording.get_program());
    let output = unshare
        .args(["sh", "-c", r#"mount -t tmpfs -o size=512k squall "$0" && exec "$@""#])
        .arg(folder.path())
        .arg(program)
        .args(recording.get_args())
        .env(FOLDER, folder.path())
        .output()
        .expect("it was started before");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// `unshare` with a mount namespace of its own, if this machine lets us have one.
#[allow(clippy::print_stderr, reason = "a skipped test says so in one line")]
fn mount_namespace() -> Option<Command> {
    for flags in [&["--user", "--map-root-user", "--mount"][..], &["--mount"]] {
        let tried = Command::new("unshare").args(flags).arg("true").output();
        if tried.is_ok_and(|output| output.status.success()) {
            let mut unshare = Command::new("unshare");
            unshare.args(flags);
            return Some(unshare);
        }
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "CI must be able to mount a small disk"
    );
    eprintln!("skipped: `unshare` gives no mount namespace here, so no small disk can be mounted");
    None
}
