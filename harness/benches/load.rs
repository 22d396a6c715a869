//! How long a saved history takes to stand in memory, from the lines of a run and from `history.sqh` beside them:
//! `cargo bench -p squall --bench load`. Goal: the bytes at least five times faster than the lines.

use std::fs::File;
use std::path::PathBuf;
use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use squall_checker::history::History;
use squall_checker::history::binary::write_binary;
use squall_checker::history::event::EventType;
use squall_checker::history::formats::{Chunking, ReadOptions, read};
use squall_checker::history::write::{LineValue, OperationLine, write_operation};

const OPERATIONS: u64 = 1_000_000;
const CLIENTS: u64 = 20;
const KEYS: [&str; 5] = ["k1", "k2", "k3", "k4", "k5"];
const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];

/// The two files.
struct Saved {
    folder: PathBuf,
    lines: PathBuf,
    binary: PathBuf,
}

static SAVED: OnceLock<Saved> = OnceLock::new();

fn main() {
    let saved = SAVED.get_or_init(save);
    divan::main();
    std::fs::remove_dir_all(&saved.folder).expect("the folder was made here");
}

/// Reads and writes by turns, each over while the next client's is under way.
fn save() -> Saved {
    let mut lines = Vec::new();
    let mut index = 0;
    let mut add = |kind: EventType, operation: u64| {
        let is_read = operation.is_multiple_of(2);
        let value = match kind {
            EventType::Invoke if is_read => LineValue::Null,
            _ if is_read => LineValue::Number((operation / CLIENTS) as i64),
            _ => LineValue::Number(operation as i64),
        };
        let line = OperationLine {
            index,
            time_ns: 1_000_000_000 + index * 700,
            kind,
            process: operation % CLIENTS,
            f: if is_read { "read" } else { "write" },
            key: Some(KEYS[(operation % 5) as usize]),
            value,
            node: Some(NODES[(operation % 4) as usize]),
            error: None,
        };
        write_operation(&mut lines, &line);
        index += 1;
    };
    for operation in 0..OPERATIONS + CLIENTS / 2 {
        if operation < OPERATIONS {
            add(EventType::Invoke, operation);
        }
        if let Some(earlier) = operation.checked_sub(CLIENTS / 2) {
            add(EventType::Ok, earlier);
        }
    }
    let folder = std::env::temp_dir().join(format!("squall-load-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
    let saved = Saved {
        lines: folder.join("history.jsonl"),
        binary: folder.join("history.sqh"),
        folder,
    };
    std::fs::write(&saved.lines, &lines).expect("there is room");
    let history = History::read(&lines[..]).expect("the lines are those of a run");
    let mut file = File::create(&saved.binary).expect("the folder can be written");
    write_binary(&history, &mut file).expect("there is room");
    saved
}

/// Threads, of which the program uses as many as there are processors.
const THREADS: [usize; 2] = [1, 2];

fn load(bencher: Bencher<'_, '_>, threads: usize, path: impl Fn(&Saved) -> &PathBuf) {
    let path = path(SAVED.get().expect("they are saved first"));
    let options = ReadOptions {
        chunking: Chunking::on_threads(threads),
        ..ReadOptions::default()
    };
    bencher.counter(ItemsCount::new(OPERATIONS)).bench(|| {
        let file = File::open(path).expect("it was saved");
        let history = read(file, &options).expect("it is a history").history;
        assert_eq!(history.operations.len() as u64, OPERATIONS);
        history
    });
}

#[divan::bench(sample_count = 20, args = THREADS)]
fn lines(bencher: Bencher<'_, '_>, threads: usize) {
    load(bencher, threads, |saved| &saved.lines);
}

#[divan::bench(sample_count = 20, args = THREADS)]
fn binary(bencher: Bencher<'_, '_>, threads: usize) {
    load(bencher, threads, |saved| &saved.binary);
}
