//! The binary history: the same history to the last byte, and whatever the bytes, an answer.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::chunking::{our_lines, told};
use crate::history::History;
use crate::history::binary::write_binary;
use crate::history::formats::{Format, ReadOptions, detect, read};

fn bytes_of(history: &History) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_binary(history, &mut bytes).unwrap();
    bytes
}

fn refused(bytes: &[u8]) -> String {
    let options = ReadOptions {
        format: Some(Format::Binary),
        ..ReadOptions::default()
    };
    read(bytes, &options).map(|_| ()).unwrap_err().to_string()
}

/// Histories with everything a history can have.
fn histories(count: usize) -> impl Iterator<Item = History> {
    let mut chance = ChaCha8Rng::seed_from_u64(12);
    let read = move || {
        let mut text = our_lines(&mut chance);
        if chance.random_ratio(1, 3) {
            text += "{\"index\":7,\"time\":9,\"type\":\"info\",\"process\":\"harness\",\"f\":\"é\\u0000\",\"value\":[1.5],\"x\":{\"y\":1e300}}\n{\"ti";
        }
        History::read(text.as_bytes()).ok()
    };
    std::iter::repeat_with(read).flatten().take(count)
}

#[test]
fn a_history_comes_back_whole() {
    let (mut values, mut marks, mut headers, mut cut) = (0, 0, 0, 0);
    for history in histories(400) {
        let bytes = bytes_of(&history);
        assert_eq!(detect(&bytes), Format::Binary);
        let import = read(&bytes[..], &ReadOptions::default()).unwrap();
        assert_eq!((import.format, import.notes.len()), (Format::Binary, 0));
        assert_eq!(told(Ok(import.history.clone())), told(Ok(history.clone())));
        assert_eq!(bytes_of(&import.history), bytes);
        values += history.values.len();
        marks += history.marks.len();
        headers += usize::from(history.header.is_some());
        cut += usize::from(history.cut_line.is_some());
    }
    assert!(
        values > 100 && marks > 50 && headers > 50 && cut > 50,
        "{values} {marks} {headers} {cut}"
    );
}

#[test]
fn a_history_of_many_sections_comes_back_whole() {
    let line = |place: u64| {
        format!("{{\"time\":{place},\"type\":\"invoke\",\"process\":{place},\"f\":\"write\",\"key\":\"k\",\"value\":{place}}}\n")
    };
    let text: String = (0..40_000).map(line).collect();
    let history = History::read(text.as_bytes()).unwrap();
    let again = read(&bytes_of(&history)[..], &ReadOptions::default()).unwrap().history;
    assert_eq!(again.operations, history.operations);
}

#[test]
fn one_changed_byte_or_a_cut_is_an_error() {
    let history = histories(200).max_by_key(|history| history.operations.len()).unwrap();
    let bytes = bytes_of(&history);
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        refused(&changed);
        refused(&bytes[..place]);
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(
        refused(&longer),
        "this binary history cannot be read: something follows its end; take the JSON lines that it was made of"
    );
}

/// The same bytes with checksums that fit, as somebody would make them who means harm.
fn with_checksums(bytes: &mut [u8]) {
    let mut begin = 12;
    while let Some(head) = bytes.get(begin..begin + 16) {
        let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        let Some(end) = (begin + 16).checked_add(length).filter(|end| *end <= bytes.len()) else {
            return;
        };
        let sum = crate::history::binary::checksum(&bytes[begin + 16..end]).to_le_bytes();
        bytes[begin + 8..begin + 16].copy_from_slice(&sum);
        begin = end;
    }
}

#[test]
fn hostile_bytes_with_right_checksums_are_an_error_or_a_history_that_can_be_judged() {
    let mut chance = ChaCha8Rng::seed_from_u64(13);
    let (mut refused, mut judged) = (0, 0);
    for history in histories(1_000) {
        let mut bytes = bytes_of(&history);
        for _ in 0..chance.random_range(1..4) {
            let place = chance.random_range(12..bytes.len());
            bytes[place] = [0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff, chance.random()][chance.random_range(0..9)];
        }
        with_checksums(&mut bytes);
        match read(&bytes[..], &ReadOptions::default()) {
            Err(_) => refused += 1,
            Ok(import) => {
                judged += 1;
                assert!(import.history.operations.len() <= bytes.len() / 60);
                // Whatever it names is there: nothing of this panics.
                told(Ok(import.history.clone()));
                crate::judge::judge(&import.history, crate::judge::Traces::Missing);
            }
        }
    }
    assert!(refused > 300 && judged > 100, "{refused} refused, {judged} judged");
}

#[test]
fn a_length_that_was_told_takes_no_memory() {
    let mut bytes = bytes_of(&History::default());
    bytes[12..20].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refused(&bytes).contains("it is cut"));
    // As many marks as a number can tell, and none comes.
    let mut bytes = bytes_of(&History::default());
    let marks = 12 + 16 + 24 + 4;
    bytes[marks..marks + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    with_checksums(&mut bytes);
    assert!(refused(&bytes).contains("a mark is no event"), "{}", refused(&bytes));
}

#[test]
fn another_version_says_which() {
    let mut bytes = bytes_of(&History::default());
    bytes[8] = 3;
    assert!(refused(&bytes).contains("format version 3"), "{}", refused(&bytes));
}
