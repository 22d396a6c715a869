//! The pipe to the outside: `stop` ends the run in order, its end ends everything at once.

use std::io::BufRead;

use tokio::sync::watch;

/// Why a run should stop before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// ctrl-C or SIGTERM outside.
    Interrupted,
    /// The online check saw a violation, and the run is to stop at the first; what it saw.
    Violation(String),
    /// The history cannot be written any more.
    RecordingFailed(String),
    /// The harness cannot go on.
    HarnessError(String),
}

/// Says to every part of the run whether it shall stop. The first reason stays.
#[derive(Debug, Clone)]
pub(super) struct StopSwitch {
    why: watch::Sender<Option<Stop>>,
    /// Whether the outside asked for the end, whatever was the first reason.
    asked: watch::Sender<bool>,
}

impl StopSwitch {
    /// A switch that nobody has thrown.
    pub(super) fn new() -> StopSwitch {
        StopSwitch {
            why: watch::Sender::new(None),
            asked: watch::Sender::new(false),
        }
    }

    /// Throws the switch, if nobody has.
    pub(super) fn stop(&self, why: Stop) {
        self.why.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(why);
            }
            first
        });
    }

    /// Why to stop, if at all.
    pub(super) fn reason(&self) -> Option<Stop> {
        self.why.borrow().clone()
    }

    /// Takes note that the outside asks for the end.
    fn asked(&self) {
        self.stop(Stop::Interrupted);
        self.asked.send_replace(true);
    }

    /// Waits until the outside asks for the end.
    pub(super) async fn asked_from_outside(&self) {
        let mut receiver = self.asked.subscribe();
        if receiver.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await; // we hold the sender ourselves
        }
    }

    /// Waits until the switch is thrown.
    pub(super) async fn thrown(&self) -> Stop {
        let mut receiver = self.why.subscribe();
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
                Ok("stop") => switch.asked(),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        std::process::exit(1);
    })?;
    Ok(())
}
