//! The clock of real programs, moved and put right again: Rust, C, static C, Go, Python; directly, by scripts and by launchers.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests stand outside the tests")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use squall_nemeses::clock::{Follower, Page, Past, Skew, Strobe, count_past, spawn};
use support::skip;

const READER: &str = "SQUALL_CLOCK_READER";
const HOUR_NS: i64 = 3_600_000_000_000;
const BOUND: Duration = Duration::from_secs(10);

/// This test binary, made to be a program under test.
fn rust_reader() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "is_a_reader_when_it_is_asked_to_be_one", "--nocapture"])
        .env(READER, "1");
    command
}

#[test]
fn is_a_reader_when_it_is_asked_to_be_one() {
    if std::env::var_os(READER).is_none() {
        return;
    }
    let ns = |clock| {
        let time = nix::time::clock_gettime(clock).unwrap();
        time.tv_sec() * 1_000_000_000 + time.tv_nsec()
    };
    for _ in std::io::stdin().lines() {
        let (real, mono) = (ns(nix::time::ClockId::CLOCK_REALTIME), ns(nix::time::ClockId::CLOCK_MONOTONIC));
        println!("\nclock real {real} rustix {} mono {mono} tracer {}", true_ns(), tracer());
    }
}

fn tracer() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:\t"))
        .unwrap()
        .to_owned()
}

/// The wall clock of whoever calls; of the tests, the host's.
fn true_ns() -> i64 {
    ns_of(rustix::time::ClockId::Realtime)
}

fn ns_of(clock: rustix::time::ClockId) -> i64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// A program that answers each line with what its clocks show.
struct Reader {
    child: Child,
    /// Closed to end the program.
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    follower: Follower,
}

impl Reader {
    fn start(mut command: Command, page: &Page) -> Reader {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (mut child, follower) = spawn(&mut command, page.path(), Command::spawn).unwrap();
        let asks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Reader {
            child,
            asks,
            answers,
            follower,
        }
    }

    fn say(&mut self) {
        self.asks.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// What its clocks show, by name, in ns.
    fn ask(&mut self) -> BTreeMap<String, i64> {
        self.say();
        loop {
            let mut line = String::new();
            assert_ne!(self.answers.read_line(&mut line).unwrap(), 0, "the reader ended");
            if let Some(readings) = line.trim().strip_prefix("clock ") {
                let words: Vec<&str> = readings.split(' ').collect();
                return words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].parse().unwrap())).collect();
            }
        }
    }

    /// Asks, and checks that each clock named shows what the page says it should.
    fn check(&mut self, page: &Page, clocks: &[&str]) -> BTreeMap<String, i64> {
        let (before, readings, after) = (true_ns(), self.ask(), true_ns());
        for name in clocks {
            // A coarse clock shows the last tick, and `time` the last second.
            let grain_ns = match *name {
                "time" => 1_000_000_000,
                "coarse" => 10_000_000,
                "day" => 1_000,
                _ => 0,
            };
            let expected = page.shows(before - grain_ns) - grain_ns..=page.shows(after);
            assert!(
                expected.contains(&readings[*name]),
                "{name} shows {}, not within {expected:?} under {:?}",
                readings[*name],
                page.skew()
            );
        }
        readings
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Does what followed processes stand still for, until `done`. Only this thread's children are looked at: other tests have theirs.
    fn follow_until(&mut self, mut done: impl FnMut(&WaitStatus) -> bool) {
        let deadline = Instant::now() + BOUND;
        loop {
            assert!(Instant::now() < deadline, "it did not come to it within {BOUND:?}");
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
            let status = waitpid(None, Some(flags)).unwrap_or(WaitStatus::StillAlive);
            self.follower.heed(&status).unwrap();
            if done(&status) {
                return;
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Ended already in some tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Fixture {
    folder: tempfile::TempDir,
    page: Page,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let page = Page::create(&folder.path().join("page")).unwrap();
    Fixture { folder, page }
}

fn jump(hours: i64) -> Skew {
    Skew {
        offset_ms: hours * 3_600_000,
        ..Skew::default()
    }
}

fn skews() -> Vec<Skew> {
    let none = Skew::default;
    vec![
        jump(2),
        jump(-1),
        Skew { frozen: true, ..none() },
        Skew {
            drift_ppm: 50_000,
            ..none()
        },
        Skew {
            drift_ppm: -400_000,
            ..jump(3)
        },
        Skew { frozen: true, ..jump(-5) },
        none(),
    ]
}

/// Every kind of skew, and the truth before and after; MONOTONIC is the host's throughout.
fn check_program(command: Command, clocks: &[&str]) {
    let mut fixture = fixture();
    let mut reader = Reader::start(command, &fixture.page);
    for skew in [Skew::default()].into_iter().chain(skews()) {
        fixture.page.set(&skew).unwrap();
        for _ in 0..20 {
            let before = ns_of(rustix::time::ClockId::Monotonic);
            let readings = reader.check(&fixture.page, clocks);
            if let Some(mono) = readings.get("mono") {
                assert!(
                    (before..=ns_of(rustix::time::ClockId::Monotonic)).contains(mono),
                    "MONOTONIC was moved"
                );
            }
        }
    }
}

#[test]
fn moves_the_clock_of_a_rust_program_and_puts_it_right() {
    check_program(rust_reader(), &["real", "rustix"]);
}

#[test]
fn moves_every_clock_of_a_c_program_that_shows_the_time_of_day() {
    let test = "moves_every_clock_of_a_c_program_that_shows_the_time_of_day";
    for extra in [&[][..], &["-static"]] {
        let fixture = fixture();
        match compile_c(fixture.folder.path(), extra) {
            Ok(program) => check_program(Command::new(program), &["real", "day", "time", "coarse"]),
            Err(why) => skip(test, &why),
        }
    }
}

#[test]
fn tai_goes_with_the_wall_clock_and_raw_system_calls_do_not() {
    let test = "tai_goes_with_the_wall_clock_and_raw_system_calls_do_not";
    let mut fixture = fixture();
    let program = match compile_c(fixture.folder.path(), &[]) {
        Ok(program) => program,
        Err(why) => return skip(test, &why),
    };
    let mut reader = Reader::start(Command::new(program), &fixture.page);
    let tai_offset = |readings: &BTreeMap<String, i64>| (readings["tai"] - readings["real"]) / 1_000_000_000;
    let healthy = tai_offset(&reader.ask());
    fixture.page.set(&jump(2)).unwrap();
    let readings = reader.ask();
    assert_eq!(tai_offset(&readings), healthy);
    let bypassed = readings["real"] - readings["raw"];
    assert!((bypassed - 2 * HOUR_NS).abs() < 1_000_000_000, "the system call shows the truth");
    assert_eq!(readings["error"], -1, "a clock that does not exist is an error still");
}

fn compile_c(folder: &Path, extra: &[&str]) -> Result<PathBuf, String> {
    let program = folder.join("reader");
    let built = Command::new("cc")
        .args(["-O1", "-o"])
        .arg(&program)
        .args(extra)
        .arg(source("reader.c"))
        .output()
        .map_err(|error| format!("no C compiler: {error}"))?;
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(program)
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/readers").join(name)
}

#[test]
fn moves_the_clock_of_a_static_go_program() {
    let fixture = fixture();
    let program = fixture.folder.path().join("reader");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).arg(source("reader.go"));
    go.env("CGO_ENABLED", "0")
        .env("GOCACHE", fixture.folder.path().join("cache"))
        .env("GOFLAGS", "-mod=mod");
    match go.output() {
        Ok(built) => {
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            check_program(Command::new(program), &["real"]);
        }
        Err(error) => skip("moves_the_clock_of_a_static_go_program", &format!("no Go: {error}")),
    }
}

#[test]
fn moves_the_clock_of_a_python_program() {
    let mut python = Command::new("/usr/bin/python3");
    if !Path::new("/usr/bin/python3").exists() {
        return skip("moves_the_clock_of_a_python_program", "no /usr/bin/python3");
    }
    python.arg(source("reader.py"));
    check_program(python, &["real"]);
}

#[test]
fn a_strobing_clock_is_right_and_wrong_by_turns() {
    let mut fixture = fixture();
    let mut reader = Reader::start(rust_reader(), &fixture.page);
    let strobe = Strobe {
        offset_ms: 60_000,
        period_ms: 5,
    };
    fixture
        .page
        .set(&Skew {
            strobe: Some(strobe),
            ..Skew::default()
        })
        .unwrap();
    let mut n_by_offset = BTreeMap::new();
    let deadline = Instant::now() + BOUND;
    while n_by_offset.len() < 2 || n_by_offset.values().any(|n| *n < 20) {
        assert!(Instant::now() < deadline, "{n_by_offset:?}");
        let (before, shown, after) = (true_ns(), reader.ask()["real"], true_ns());
        let off_s = [0, 60]
            .into_iter()
            .find(|off_s| (before..=after).contains(&(shown - off_s * 1_000_000_000)));
        *n_by_offset
            .entry(off_s.unwrap_or_else(|| panic!("{shown} is neither right nor 60 s off")))
            .or_insert(0) += 1;
    }
}

#[test]
fn no_reader_sees_half_of_a_change() {
    let mut fixture = fixture();
    let mut reader = Reader::start(rust_reader(), &fixture.page);
    let writer = std::thread::spawn({
        let skews = [
            jump(1000),
            Skew {
                drift_ppm: 1,
                ..jump(-1000)
            },
        ];
        move || {
            for skew in skews.iter().cycle().take(200_000) {
                fixture.page.set(skew).unwrap();
            }
        }
    });
    let mut n = 0;
    while !writer.is_finished() || n < 1_000 {
        let (before, shown, after) = (true_ns(), reader.ask()["real"], true_ns());
        let possible = [0, 1000, -1000].map(|hours| hours * HOUR_NS);
        // The drift of one part in a million adds less than a millisecond.
        assert!(
            possible
                .iter()
                .any(|off| (before - 1_000_000..=after + 1_000_000).contains(&(shown - off))),
            "{shown} at {before}"
        );
        n += 1;
    }
    writer.join().unwrap();
}

#[test]
fn a_forked_child_has_the_clock_of_its_parent_and_the_host_its_own() {
    let mut fixture = fixture();
    fixture.page.set(&jump(30 * 24)).unwrap();
    let mut python = Command::new("/usr/bin/python3");
    if !Path::new("/usr/bin/python3").exists() {
        return skip(
            "a_forked_child_has_the_clock_of_its_parent_and_the_host_its_own",
            "no /usr/bin/python3",
        );
    }
    python.args([
        "-c",
        "import os,sys\nif os.fork()==0: exec(open(sys.argv[1]).read())\nelse: os.wait()",
    ]);
    python.arg(source("reader.py"));
    let mut reader = Reader::start(python, &fixture.page);
    reader.check(&fixture.page, &["real"]);
    let files_own = std::fs::metadata(fixture.page.path()).unwrap().modified().unwrap();
    let unmoved = files_own.elapsed().unwrap();
    assert!(unmoved < BOUND, "the host's clock is {unmoved:?} off a stamp of its own");
}

/// Runs something that ends up as the reader, following it, and gives back what that reader showed.
fn check_followed(mut command: Command, page: &Page) {
    // The script's own programs read the line.
    command.env(READER, "1");
    let mut reader = Reader::start(command, page);
    reader.say();
    let root = reader.pid();
    let before = true_ns();
    // Its end of input ends the reader.
    drop(reader.asks.take());
    reader.follow_until(|status| *status == WaitStatus::Exited(root, 0));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut reader.answers, &mut said).unwrap();
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("clock real "))
        .unwrap_or_else(|| panic!("no reading in {said}"));
    let words: Vec<&str> = line.split(' ').collect();
    let shown: i64 = words[0].parse().unwrap();
    assert!((page.shows(before)..=page.shows(true_ns())).contains(&shown), "{line}");
    assert!(line.ends_with("tracer 0"), "the real program is not traced any more: {line}");
}

#[test]
fn follows_scripts_and_launchers_to_the_real_program() {
    let mut fixture = fixture();
    fixture.page.set(&jump(7)).unwrap();
    let reader = rust_reader();
    let line: Vec<&OsStr> = std::iter::once(reader.get_program()).chain(reader.get_args()).collect();
    let line = line.join(OsStr::new(" "));
    let line = line.to_str().unwrap();

    let script = fixture.folder.path().join("start.sh");
    let scripts = [
        format!("#!/bin/sh\nexec {line}\n"),
        format!("#!/bin/sh\ntrue; /bin/true\n{line}\n"),
        format!("#!/bin/sh\nenv -u NOTHING nice -n 0 sh -c 'sh -c \"exec {line}\"'\n"),
        // A job in the background has no input of its own, and a signal comes while all are followed.
        format!("#!/bin/sh\nexec 3<&0\nkill -URG $$\n({line} <&3) &\nwait\n"),
    ];
    for text in scripts {
        std::fs::write(&script, &text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        check_followed(Command::new(&script), &fixture.page);
    }
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("exec {line}")]);
    check_followed(shell, &fixture.page);
}

#[test]
fn who_is_followed_can_be_stopped_and_continued() {
    let fixture = fixture();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "read line; exit 7"]);
    let mut reader = Reader::start(shell, &fixture.page);
    let pid = reader.pid();
    let state = move || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.trim().chars().next().unwrap()
    };
    // It runs: it waits for its line.
    reader.follow_until(|_| state() == 'S');
    kill(pid, Signal::SIGSTOP).unwrap();
    reader.follow_until(|_| matches!(state(), 'T' | 't'));
    reader.say();
    for _ in 0..100 {
        reader.follow_until(|_| true);
        assert!(matches!(state(), 'T' | 't'), "it stays stopped while its tracer goes on");
    }
    kill(pid, Signal::SIGCONT).unwrap();
    reader.follow_until(|status| *status == WaitStatus::Exited(pid, 7));
}

#[test]
fn a_page_that_cannot_be_had_starts_nothing() {
    let fixture = fixture();
    let (made, nowhere) = (fixture.folder.path().join("made"), fixture.folder.path().join("nowhere"));
    let mut touch = Command::new("touch");
    touch.arg(&made);
    let error = spawn(&mut touch, &nowhere, Command::spawn).unwrap_err().to_string();
    assert!(error.contains("nowhere") && error.contains("No such file"), "{error}");
    assert!(!made.exists());
    let error = spawn(&mut Command::new(&nowhere), fixture.page.path(), Command::spawn)
        .unwrap_err()
        .to_string();
    assert!(error.contains("start ") && error.contains("nowhere"), "{error}");
}

/// Watches a program of its own pid namespace that reads its clock all the time.
fn watch(page: &Path, program: &str, arguments: &[&str]) -> Past {
    let start = || {
        // Of this thread's children alone, which is why it is a thread of its own.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWPID).unwrap();
        let mut init = Command::new("/bin/sh");
        init.args(["-c", "\"$@\" & wait", "init", program]).args(arguments);
        init.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut init = std::thread::scope(|scope| scope.spawn(start).join().unwrap());
    let deadline = Instant::now() + BOUND;
    let past = loop {
        // Its program may not run yet.
        match count_past(init.id(), page, Duration::from_millis(100)) {
            Ok(past) if past.n_calls > 100 => break past,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
    };
    // It goes on as before: nobody traces it any more.
    let pid = squall_nemeses::process::processes_of(init.id()).unwrap()[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    init.kill().unwrap();
    init.wait().unwrap();
    assert!(status.contains("TracerPid:\t0"), "{status}");
    past
}

#[test]
fn tells_who_reads_the_clock_past_the_vdso() {
    let test = "tells_who_reads_the_clock_past_the_vdso";
    support::inside(test, || {
        let fixture = fixture();
        let program = fixture.folder.path().join("past");
        let code = "#include <sys/syscall.h>\n#include <time.h>\n#include <unistd.h>\n#include <pthread.h>\n\
            static void *past(void *how) { for (;;) { struct timespec t; syscall(SYS_clock_gettime, how ? 1 : 0, &t); } }\n\
            static void *vdso(void *how) { for (;;) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); getppid(); } }\n\
            int main(int n, char **v) { pthread_t t; pthread_create(&t, 0, v[1][0] == 'v' ? vdso : past, v[1][0] == 'm' ? v : 0); pthread_join(t, 0); }\n";
        std::fs::write(fixture.folder.path().join("past.c"), code).unwrap();
        let built = Command::new("cc")
            .arg("-o")
            .arg(&program)
            .arg(fixture.folder.path().join("past.c"))
            .arg("-pthread")
            .output();
        match built {
            Ok(built) => assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr)),
            Err(error) => return skip(test, &format!("no C compiler: {error}")),
        }
        let program = program.to_str().unwrap();
        let past = watch(fixture.page.path(), program, &["past"]);
        assert_eq!(past.n_unreached, 1, "it was started without the redirect");
        assert!(past.n_reads > 50 && past.program.as_deref() == Some("past"), "{past:?}");
        assert_eq!(watch(fixture.page.path(), program, &["vdso"]).n_reads, 0, "by the vDSO");
        let mut redirected = Command::new(program);
        redirected.arg("vdso");
        let reader = Reader::start(redirected, &fixture.page);
        let reached = count_past(std::process::id(), fixture.page.path(), Duration::from_millis(20)).unwrap();
        assert!(reached.is_none(), "{reached:?} of {}", reader.pid());
        assert_eq!(
            watch(fixture.page.path(), program, &["monotonic"]).n_reads,
            0,
            "a clock that is not moved"
        );
    });
}
