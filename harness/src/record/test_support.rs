//! What tests of the recorder and of its users share: a recorder in a folder of its own, and its file read back line by line.

use std::io::BufRead;

use squall_checker::history::event::Event;
use squall_checker::history::mark::Header;
use tempfile::TempDir;

use super::{Recorder, RunClock};

/// A header with nothing in it.
pub(crate) fn bare_header() -> Header {
    serde_json::from_str(r#"{"squall_history":1}"#).expect("every other field has a default")
}

/// A recorder whose file is `history.jsonl` in the folder.
pub(crate) fn recorder() -> (TempDir, Recorder) {
    let folder = TempDir::new().expect("tests may write to the temporary folder");
    let recorder = Recorder::create(&folder.path().join("history.jsonl"), &bare_header(), RunClock::start()).expect("the folder is empty");
    (folder, recorder)
}

/// The lines after the header.
pub(crate) fn events(folder: &TempDir) -> Vec<Event> {
    let file = std::fs::File::open(folder.path().join("history.jsonl")).expect("the recorder made it");
    let lines = std::io::BufReader::new(file).lines().skip(1);
    lines
        .map(|line| serde_json::from_str(&line.expect("the file can be read")).expect("each line is an event"))
        .collect()
}
