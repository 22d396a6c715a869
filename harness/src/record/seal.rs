//! The last word on a history whose writer died before it could write its own: a full disk, a panic, an out-of-memory kill.
//!
//! Every prefix of a history is causally closed, so cutting lines off its end to make room for one is sound.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde_json::{Value, json};
use squall_checker::history::mark::EndReason;

/// How much of the file's end is looked at: more than its longest line, which a finding with a log tail is.
const TAIL_BYTES: u64 = 1 << 20;
/// How much is cut off a full disk's history to make room for its last word: a few blocks of any file system.
const ROOM_BYTES: usize = 64 << 10;

/// Appends the end mark if the history has none; returns whether it did. A cut last line is removed first.
///
/// # Errors
/// If the file cannot be read or written, or holds no complete line.
pub fn seal(path: &Path, reason: EndReason, detail: &str) -> io::Result<bool> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    let start = length.saturating_sub(TAIL_BYTES);
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    (&mut file).take(TAIL_BYTES).read_to_end(&mut tail)?;
    let complete = end_of_last_line(&tail).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no complete line"))?;
    if is_end(last_line(&tail[..complete])) {
        return Ok(false);
    }
    match append(&mut file, start, &tail[..complete], reason, detail) {
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge) => {
            let shorter = end_of_last_line(&tail[..complete.saturating_sub(ROOM_BYTES)]).ok_or(error)?;
            append(&mut file, start, &tail[..shorter], reason, detail)?;
        }
        done => done?,
    }
    Ok(true)
}

/// Cuts the file after `kept`, which begins at `start`, and writes the end mark there.
fn append(file: &mut File, start: u64, kept: &[u8], reason: EndReason, detail: &str) -> io::Result<()> {
    let last: Value = serde_json::from_slice(last_line(kept)).unwrap_or_default();
    // After the header alone the first event follows.
    let index = last["index"].as_u64().map_or(0, |index| index + 1);
    let mark = json!({
        "index": index, "time": last["time"].as_u64().unwrap_or(0), "type": "info", "process": "harness",
        "f": "end", "value": {"reason": reason, "detail": detail},
    });
    let end = start + kept.len() as u64;
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    file.write_all(format!("{mark}\n").as_bytes())?;
    file.sync_all()
}

fn end_of_last_line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n').map(|place| place + 1)
}

/// The last line of `bytes`, which end with a line end.
fn last_line(bytes: &[u8]) -> &[u8] {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    line.rsplit(|byte| *byte == b'\n').next().unwrap_or(line)
}

fn is_end(line: &[u8]) -> bool {
    let event: Value = serde_json::from_slice(line).unwrap_or_default();
    event["process"] == "harness" && event["f"] == "end"
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "{\"squall_history\":1}\n";
    const EVENT: &str = "{\"index\":4,\"time\":9,\"type\":\"invoke\",\"process\":0,\"f\":\"read\",\"key\":\"x\"}\n";

    fn sealed(text: &str) -> (io::Result<bool>, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("history.jsonl");
        std::fs::write(&path, text).expect("the history can be written");
        let done = seal(&path, EndReason::HarnessError, "disk full");
        (done, std::fs::read_to_string(&path).expect("the history can be read"))
    }

    #[test]
    fn a_history_without_an_end_gets_one_after_its_last_complete_line() {
        let (done, text) = sealed(&format!("{HEADER}{EVENT}{{\"index\":5,\"ti"));
        assert!(done.expect("it can be sealed"));
        let rest = text.strip_prefix(&format!("{HEADER}{EVENT}")).expect("complete lines stay");
        let mark: Value = serde_json::from_str(rest).expect("one line follows");
        assert_eq!((&mark["index"], &mark["time"], &mark["f"]), (&json!(5), &json!(9), &json!("end")));
        assert_eq!(mark["value"], json!({"reason": "harness-error", "detail": "disk full"}));
    }

    #[test]
    fn a_history_with_an_end_is_left_alone() {
        let (_, once) = sealed(HEADER);
        let (done, twice) = sealed(&once);
        assert!(!done.expect("it can be read"));
        assert_eq!(once, twice);
    }

    #[test]
    fn what_holds_no_line_is_not_a_history() {
        assert!(sealed("{\"squall_hist").0.is_err());
    }
}
