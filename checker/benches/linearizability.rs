//! A million operations from bytes to verdict: `cargo bench -p squall-checker`. Goal: read and checked in under 1.5 s of CPU.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;

use divan::Bencher;
use divan::counter::ItemsCount;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use squall_checker::history::History;
use squall_checker::history::binary::write_binary;
use squall_checker::history::event::EventType;
use squall_checker::history::formats::{self, Chunking, ReadOptions};
use squall_checker::history::write::{LineValue, OperationLine, write_operation};
use squall_checker::linearizability::{Witness, check, first_violation};
use squall_checker::verdict::Verdict;

fn main() {
    divan::main();
}

const OPERATIONS: usize = 1_000_000;

/// What a history looks like.
#[derive(Debug, Clone, Copy)]
struct Shape {
    clients: usize,
    keys: usize,
    unknown_percent: u32,
    /// Whether one read half-way sees a value of long ago.
    stale: bool,
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Shape {
            clients,
            keys,
            unknown_percent,
            stale,
        } = self;
        write!(
            f,
            "{clients} clients, {keys} keys, {unknown_percent} % unknown, {}",
            if *stale { "stale" } else { "good" }
        )
    }
}

const SHAPES: [Shape; 4] = [
    Shape {
        clients: 50,
        keys: 1,
        unknown_percent: 0,
        stale: false,
    },
    Shape {
        clients: 50,
        keys: 1,
        unknown_percent: 1,
        stale: true,
    },
    Shape {
        clients: 5,
        keys: 10,
        unknown_percent: 1,
        stale: false,
    },
    Shape {
        clients: 50,
        keys: 1_000,
        unknown_percent: 1,
        stale: false,
    },
];

/// The lines of a history in which each operation takes effect the moment it returns, in a closed loop per client.
fn lines(shape: Shape) -> Vec<u8> {
    let mut chance = ChaCha8Rng::seed_from_u64(7);
    let mut out = Vec::with_capacity(OPERATIONS * 220);
    let key_names: Vec<String> = (0..shape.keys).map(|key| format!("k{key}")).collect();
    let node_names: Vec<String> = (1..6).map(|node| format!("n{node}")).collect();
    let mut written: Vec<Vec<i64>> = vec![Vec::new(); shape.keys];
    let mut process: Vec<u64> = (0..shape.clients as u64).collect();
    // What each client is doing: the key, and the value if it writes.
    let mut doing: Vec<Option<(usize, Option<i64>)>> = vec![None; shape.clients];
    let mut next: BinaryHeap<Reverse<(u64, usize)>> = (0..shape.clients).map(|client| Reverse((client as u64 * 1_000, client))).collect();
    let (mut index, mut begun, mut planted) = (0, 0, false);
    while let Some(Reverse((time_ns, client))) = next.pop() {
        let (kind, key, argument) = match doing[client].take() {
            None if begun == OPERATIONS => continue,
            None => {
                begun += 1;
                let (key, argument) = (
                    chance.random_range(0..shape.keys),
                    chance.random_ratio(1, 2).then_some(begun as i64),
                );
                doing[client] = Some((key, argument));
                (EventType::Invoke, key, argument)
            }
            Some((key, argument)) if chance.random_ratio(shape.unknown_percent, 100) => (EventType::Info, key, argument),
            Some((key, argument)) => {
                written[key].extend(argument);
                (EventType::Ok, key, argument)
            }
        };
        // The first read of the second half sees a value of long ago.
        let stale = shape.stale && !planted && begun > OPERATIONS / 2 && kind == EventType::Ok && argument.is_none();
        planted |= stale;
        let seen = || written[key].iter().nth_back(if stale { 1_000 } else { 0 }).copied();
        let value = if kind == EventType::Ok { argument.or_else(seen) } else { argument };
        index += 1;
        let line = OperationLine {
            index,
            time_ns,
            kind,
            process: process[client],
            f: if argument.is_some() { "write" } else { "read" },
            key: Some(&key_names[key]),
            value: value.map_or(LineValue::Null, LineValue::Number),
            node: Some(&node_names[client % 5]),
            error: None,
        };
        write_operation(&mut out, &line);
        if kind == EventType::Info {
            process[client] += shape.clients as u64;
        }
        next.push(Reverse((time_ns + chance.random_range(100_000..2_000_000), client)));
    }
    out
}

fn judge(history: &History, shape: Shape) {
    let results = check(history);
    let expected = if shape.stale { Verdict::Invalid } else { Verdict::Valid };
    assert_eq!(Verdict::merge(results.iter().map(|result| result.verdict)), expected);
    black_box(first_violation(&results).and_then(|result| Witness::of(history, result)));
}

#[divan::bench(args = SHAPES, sample_count = 3)]
fn read(bencher: Bencher<'_, '_>, shape: Shape) {
    let lines = lines(shape);
    bencher
        .counter(ItemsCount::new(OPERATIONS))
        .bench(|| History::read(lines.as_slice()).expect("the lines are ours"));
}

/// The same lines on two threads, as the program reads them.
#[divan::bench(args = SHAPES, sample_count = 3)]
fn read_on_two_threads(bencher: Bencher<'_, '_>, shape: Shape) {
    let lines = lines(shape);
    bencher
        .counter(ItemsCount::new(OPERATIONS))
        .bench(|| History::read_chunked(lines.as_slice(), Chunking::on_threads(2)).expect("the lines are ours"));
}

/// The same history as bytes. Goal: five times faster than the lines.
#[divan::bench(args = SHAPES, sample_count = 3)]
fn read_binary(bencher: Bencher<'_, '_>, shape: Shape) {
    let history = History::read(lines(shape).as_slice()).expect("the lines are ours");
    let mut bytes = Vec::new();
    write_binary(&history, &mut bytes).expect("a vector takes every byte");
    bencher
        .counter(ItemsCount::new(OPERATIONS))
        .bench(|| formats::read(bytes.as_slice(), &ReadOptions::default()).expect("the bytes are ours"));
}

#[divan::bench(args = SHAPES, sample_count = 3)]
fn check_only(bencher: Bencher<'_, '_>, shape: Shape) {
    let history = History::read(lines(shape).as_slice()).expect("the lines are ours");
    bencher.counter(ItemsCount::new(OPERATIONS)).bench(|| judge(&history, shape));
}

#[divan::bench(args = SHAPES, sample_count = 3)]
fn read_and_check(bencher: Bencher<'_, '_>, shape: Shape) {
    let lines = lines(shape);
    bencher
        .counter(ItemsCount::new(OPERATIONS))
        .bench(|| judge(&History::read(lines.as_slice()).expect("the lines are ours"), shape));
}

/// One line of the recorder: its budget is 100 to 200 ns.
#[divan::bench(sample_size = 1_000)]
fn write_line(bencher: Bencher<'_, '_>) {
    let line = OperationLine {
        index: 123_456,
        time_ns: 12_402_118_377,
        kind: EventType::Ok,
        process: 12,
        f: "write",
        key: Some("k17"),
        value: LineValue::Number(4_000_000_017),
        node: Some("n3"),
        error: None,
    };
    let mut out = Vec::with_capacity(1 << 20);
    bencher.bench_local(|| {
        out.clear();
        write_operation(&mut out, black_box(&line));
        out.len()
    });
}
