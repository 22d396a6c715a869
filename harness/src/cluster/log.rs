//! A node's output, copied to its log file; its last lines are kept for whoever has to say how it ended.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::record::RunClock;

/// Lines of a node's log that a finding carries.
const TAIL_LINES: usize = 10;
/// Bytes of one log line that are kept; a node may print anything.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The last lines of a log, the oldest first.
pub(super) type Tail = VecDeque<String>;

/// Copies a node's output to its log, each line stamped with the time of the run: a skewed node's own stamps cannot be joined.
pub(super) async fn pump_log(from: impl AsyncRead + Unpin, log: PathBuf, tail: Arc<Mutex<Tail>>, clock: RunClock) {
    let Ok(mut file) = tokio::fs::OpenOptions::new().create(true).append(true).open(&log).await else {
        return;
    };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let stamped = format!("{:>12.6} {}\n", clock.now_ns() as f64 / 1e9, text.trim_end());
        {
            let mut tail = tail.lock().expect("no holder of this lock panics");
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(text.trim_end().to_owned());
        }
        // A full disk is the recorder's finding; the log is not worth a second one.
        let _ = file.write_all(stamped.as_bytes()).await;
        let _ = file.flush().await;
    }
}
