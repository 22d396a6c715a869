//! The parent's side: probe children, a few at a time, each with a time limit.
//!
//! Main decision: one thread and one `poll` for all children. The decision not taken was a thread per child: the caller may have to
//! enter a user namespace next, which the kernel refuses to a process with threads, and a joined thread can still be on its way out.

use std::collections::VecDeque;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::mechanism::Mechanism;
use super::probe::{Failure, ProbeOutcome, Stage, sweep};

/// How to run the probe children.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that answers `<args> <probe name>` with one [`ProbeOutcome`] as JSON on stdout.
    pub exe: PathBuf,
    /// The arguments before the probe's name.
    pub args: Vec<String>,
    /// How long one probe may take.
    pub limit: Duration,
    /// How many run at the same time; at least one.
    pub n_parallel: usize,
}

impl Default for Options {
    /// This program with the hidden verb `__probe`; 3 s each (they take milliseconds: a hang is a hang); four at a time.
    fn default() -> Options {
        Options {
            exe: PathBuf::from("/proc/self/exe"),
            args: vec!["__probe".to_owned()],
            limit: Duration::from_secs(3),
            n_parallel: 4,
        }
    }
}

/// What came back from one probe child.
pub(super) struct Answer {
    pub(super) outcome: ProbeOutcome,
    pub(super) took: Duration,
}

/// 64 KiB of stdout and of stderr are kept; an answer has a few hundred bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// 200 ms: a killed process is gone in a few; one that is not hangs in the kernel and must not hang us.
const REAPED_WITHIN: Duration = Duration::from_millis(200);

/// Runs every probe of the catalogue; answers in its order.
pub(super) fn run_all(options: &Options) -> Vec<Answer> {
    let mut waiting: VecDeque<(usize, Mechanism)> = Mechanism::ALL.iter().copied().enumerate().collect();
    let mut running: Vec<Running> = Vec::new();
    let mut answers: Vec<Option<Answer>> = Mechanism::ALL.iter().map(|_| None).collect();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < options.n_parallel.max(1) {
            let Some((index, mechanism)) = waiting.pop_front() else { break };
            match Running::start(index, mechanism.name(), options) {
                Ok(child) => running.push(child),
                Err(answer) => answers[index] = Some(answer),
            }
        }
        wait_for_news(&mut running);
        let now = Instant::now();
        for index in (0..running.len()).rev() {
            if running[index].is_done() || running[index].deadline <= now {
                let child = running.swap_remove(index);
                let place = child.index;
                answers[place] = Some(child.finish());
            }
        }
    }
    answers
        .into_iter()
        .map(|answer| answer.expect("every probe was started, and every started one finished"))
        .collect()
}

/// Runs one probe, by its name.
pub(super) fn run_one(name: &'static str, options: &Options) -> ProbeOutcome {
    let mut child = match Running::start(0, name, options) {
        Ok(child) => child,
        Err(answer) => return answer.outcome,
    };
    while !child.is_done() && child.deadline > Instant::now() {
        wait_for_news(std::slice::from_mut(&mut child));
    }
    child.finish().outcome
}

/// Reads what the children wrote, or returns at the nearest deadline.
fn wait_for_news(running: &mut [Running]) {
    let Some(nearest) = running.iter().map(|child| child.deadline).min() else {
        return;
    };
    let left = nearest.saturating_duration_since(Instant::now());
    let limit = Timespec {
        tv_sec: left.as_secs().cast_signed(),
        tv_nsec: left.subsec_nanos().into(),
    };
    let mut polled: Vec<PollFd<'_>> = running
        .iter()
        .flat_map(|child| &child.streams)
        .filter_map(|stream| stream.pipe.as_ref())
        .map(|pipe| PollFd::new(pipe, PollFlags::IN))
        .collect();
    // An interrupted poll is no news; the loop comes back.
    if poll(&mut polled, Some(&limit)).is_err() {
        return;
    }
    let ready: Vec<bool> = polled.iter().map(|entry| !entry.revents().is_empty()).collect();
    drop(polled);
    let open = running
        .iter_mut()
        .flat_map(|child| &mut child.streams)
        .filter(|stream| stream.pipe.is_some());
    for (stream, ready) in open.zip(ready) {
        if ready {
            stream.read();
        }
    }
}

/// One probe child.
struct Running {
    index: usize,
    name: &'static str,
    child: Child,
    /// stdout and stderr.
    streams: [Stream; 2],
    started: Instant,
    deadline: Instant,
}

impl Running {
    fn start(index: usize, name: &'static str, options: &Options) -> Result<Running, Answer> {
        let started = Instant::now();
        let spawned = Command::new(&options.exe)
            .args(&options.args)
            .arg(name)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that a timed-out probe ends with everything that it started.
            .process_group(0)
            .spawn();
        let mut child = spawned.map_err(|error| Answer {
            outcome: no_answer(Failure::io(format!("start {}", options.exe.display()), &error)),
            took: started.elapsed(),
        })?;
        let stdout = Stream::new(child.stdout.take().map(OwnedFd::from));
        let stderr = Stream::new(child.stderr.take().map(OwnedFd::from));
        Ok(Running {
            index,
            name,
            child,
            streams: [stdout, stderr],
            started,
            deadline: started + options.limit,
        })
    }

    /// Both ends closed: the child is exiting or gone.
    fn is_done(&self) -> bool {
        self.streams.iter().all(|stream| stream.pipe.is_none())
    }

    fn finish(mut self) -> Answer {
        let in_time = self.is_done();
        let took = self.started.elapsed();
        let ended = self.end();
        let [stdout, stderr] = &self.streams;
        let said = in_time.then(|| serde_json::from_slice(&stdout.bytes).ok()).flatten();
        if said.is_none()
            && [Mechanism::CgroupV1, Mechanism::CgroupV2]
                .iter()
                .any(|cgroup| cgroup.name() == self.name)
        {
            sweep(self.child.id());
        }
        let outcome = said.unwrap_or_else(|| {
            if in_time {
                no_answer(Failure::said(ended, last_line(&stderr.bytes)))
            } else {
                timed_out(self.deadline - self.started)
            }
        });
        Answer { outcome, took }
    }

    /// Ends the whole group and reaps the child; says how it ended. A process that is exiting already keeps its own exit status.
    fn end(&mut self) -> String {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It fails only if nobody is left.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let started = Instant::now();
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if started.elapsed() < REAPED_WITHIN => std::thread::sleep(Duration::from_millis(1)),
                Ok(None) => return "cannot be killed".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    }
}

/// One pipe from a child, and what came through it.
struct Stream {
    pipe: Option<std::fs::File>,
    bytes: Vec<u8>,
}

impl Stream {
    fn new(pipe: Option<OwnedFd>) -> Stream {
        Stream {
            pipe: pipe.map(std::fs::File::from),
            bytes: Vec::new(),
        }
    }

    /// One read of a pipe that is ready; what exceeds the bound is read and dropped, so that the child never blocks.
    fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut chunk = [0; 4096];
        match pipe.read(&mut chunk) {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(n) => {
                let kept = n.min(KEPT_BYTES_MAX - self.bytes.len());
                self.bytes.extend_from_slice(&chunk[..kept]);
            }
        }
    }
}

fn timed_out(limit: Duration) -> ProbeOutcome {
    let step = format!("no answer within {} ms", limit.as_millis());
    ProbeOutcome::Fails(Failure {
        stage: Stage::TimedOut,
        step,
        errno: None,
        said: String::new(),
    })
}

fn no_answer(mut failure: Failure) -> ProbeOutcome {
    failure.stage = Stage::NoAnswer;
    ProbeOutcome::Fails(failure)
}

/// The last line that a failed child wrote, without control characters.
fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs every probe as that shell script, all at once.
    fn run_script(script: &str, limit_ms: u64) -> Vec<Answer> {
        run_all(&Options {
            exe: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            limit: Duration::from_millis(limit_ms),
            n_parallel: Mechanism::ALL.len(),
        })
    }

    fn failures(answers: Vec<Answer>) -> Vec<Failure> {
        let outcomes = answers.into_iter().map(|answer| answer.outcome);
        outcomes
            .map(|outcome| {
                if let ProbeOutcome::Fails(failure) = outcome {
                    failure
                } else {
                    panic!("{outcome:?}")
                }
            })
            .collect()
    }

    #[test]
    fn answers_come_back_in_the_catalogues_order() {
        // $0 is the first argument after the script: the probe's name.
        let answers = run_script(r#"echo "{\"works\":{\"detail\":\"$0\"}}""#, 10_000);
        let details = answers.into_iter().map(|answer| {
            if let ProbeOutcome::Works { detail } = answer.outcome {
                detail
            } else {
                String::new()
            }
        });
        assert!(details.eq(Mechanism::ALL.iter().map(|mechanism| mechanism.name())));
    }

    #[test]
    fn a_hanging_probe_ends_at_its_limit_with_everything_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let started = Instant::now();
        let answers = run_script(&format!("sleep 1000 & echo $! >> '{}'; wait", pids.display()), 500);
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        for failure in failures(answers) {
            assert_eq!((failure.stage, failure.step.as_str()), (Stage::TimedOut, "no answer within 500 ms"));
        }
        for pid in std::fs::read_to_string(pids).unwrap().lines() {
            wait_until_dead(pid);
        }
    }

    /// A killed process is gone, or a zombie that its new parent has not looked at yet.
    fn wait_until_dead(pid: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(Instant::now() < deadline, "process {pid} still lives");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_probe_that_dies_or_talks_nonsense_is_a_no_with_its_last_words() {
        for failure in failures(run_script("echo nonsense; echo first >&2; echo last >&2; exit 3", 10_000)) {
            assert_eq!(
                (failure.stage, failure.step.as_str(), failure.said.as_str()),
                (Stage::NoAnswer, "exit status: 3", "last")
            );
        }
    }

    #[test]
    fn endless_output_is_neither_kept_nor_waited_for() {
        for failure in failures(run_script("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", 300)) {
            assert_eq!(failure.stage, Stage::TimedOut);
        }
    }

    #[test]
    fn a_program_that_does_not_exist_is_no_answer() {
        let options = Options {
            exe: PathBuf::from("/nonexistent/squall"),
            ..Options::default()
        };
        for failure in failures(run_all(&options)) {
            assert_eq!(
                (failure.stage, failure.step.as_str()),
                (Stage::NoAnswer, "start /nonexistent/squall")
            );
        }
    }
}
