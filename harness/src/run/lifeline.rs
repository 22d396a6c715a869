//! The pipe to the outside: `stop` ends the run in order, its end ends everything at once.

use std::io::BufRead;

use tokio::sync::watch;

/// Why a run should stop before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// ctrl-C or SIGTERM outside.
    Interrupted,
    /// The history cannot be written any more.
    RecordingFailed(String),
    /// The harness cannot go on.
    HarnessError(String),
}

/// Says to every part of the run whether it shall stop. The first reason stays.
#[derive(Debug, Clone)]
pub(super) struct StopSwitch(watch::Sender<Option<Stop>>);

impl StopSwitch {
    /// A switch that nobody has thrown.
    pub(super) fn new() -> StopSwitch {
        StopSwitch(watch::Sender::new(None))
    }

    /// Throws the switch, if nobody has.
    pub(super) fn stop(&self, why: Stop) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(why);
            }
            first
        });
    }

    /// Why to stop, if at all.
    pub(super) fn reason(&self) -> Option<Stop> {
        self.0.borrow().clone()
    }

    /// Waits until the switch is thrown.
    pub(super) async fn thrown(&self) -> Stop {
        let mut receiver = self.0.subscribe();
        match receiver.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().expect("it was waited for"),
            Err(_) => std::future::pending().await, // we hold the sender ourselves
        }
    }
}

/// Listens on standard input from a thread of its own. The end of the pipe means that the outside is dead: this process is pid 1
/// of the sandbox, and its exit takes everything with it.
pub(super) fn listen(switch: StopSwitch) -> std::io::Result<()> {
    std::thread::Builder::new().name("lifeline".into()).spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line.as_deref() {
                Ok("stop") => switch.stop(Stop::Interrupted),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        std::process::exit(1);
    })?;
    Ok(())
}
