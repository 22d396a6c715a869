//! The gate behind the trace: a judge outside that is told every line and may keep the node from going on.
//!
//! The order of a turn makes this exact: the trace is handed over before the log's batch goes to the disk and before any byte leaves
//! (`driver/node.rs`). A node that waits here has appended and not synced, has been elected and told nobody; what is done to it meanwhile is
//! done at that very moment.
//!
//! A batch goes out as its length, four bytes in big-endian order, and its lines; one byte of answer lets the node go on. A gate that is gone
//! keeps nobody.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// An open gate.
#[derive(Debug)]
pub(super) struct Gate {
    stream: UnixStream,
}

impl Gate {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn connect(path: &Path) -> io::Result<Gate> {
        Ok(Gate {
            stream: UnixStream::connect(path)?,
        })
    }

    /// Tells of these lines and waits for the answer; false if nobody is there any more.
    pub(super) fn pass(&mut self, lines: &[u8]) -> bool {
        let Ok(length) = u32::try_from(lines.len()) else { return true };
        let told = self
            .stream
            .write_all(&length.to_be_bytes())
            .and_then(|()| self.stream.write_all(lines));
        told.and_then(|()| self.stream.read_exact(&mut [0])).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc::{TryRecvError, channel};

    use super::*;

    #[test]
    fn a_batch_waits_for_its_answer_and_a_gate_that_is_gone_keeps_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gate");
        let listener = UnixListener::bind(&path).unwrap();
        let mut gate = Gate::connect(&path).unwrap();
        let (mut judge, _) = listener.accept().unwrap();
        let (passed, heard) = channel();
        let node = std::thread::spawn(move || {
            passed.send(gate.pass(b"one\ntwo\n")).unwrap();
            passed.send(gate.pass(b"three\n")).unwrap();
        });
        let mut batch = [0; 12];
        judge.read_exact(&mut batch).unwrap();
        assert_eq!(&batch, b"\0\0\0\x08one\ntwo\n");
        assert_eq!(heard.try_recv(), Err(TryRecvError::Empty), "it was not answered");
        judge.write_all(&[1]).unwrap();
        assert_eq!(heard.recv(), Ok(true));
        drop((judge, listener));
        assert_eq!(heard.recv(), Ok(false));
        node.join().unwrap();
    }
}
