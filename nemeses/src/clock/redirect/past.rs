//! Who reads the clock past the redirect: the system calls of a node are watched for a moment.
//!
//! Every thread of the node is seized and stops at each system call while it is watched, which makes the node slow but changes nothing else
//! (as `strace -f` does). A call that comes from the vDSO itself is none: there the kernel has no better clock, and the redirect still sees the answer.
//! What reads the processor's own counter (`rdtsc`) makes no system call and is not seen.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::follow::{EVENT_STOP, is_stop, unless_gone};
use super::raw;
use super::vdso::mapping;
use crate::clock::Past;
use crate::process::processes_of;
use crate::{Error, Result};

/// Pause when no thread has stopped: short against a round trip of a node.
const LOOK_PAUSE: Duration = Duration::from_micros(100);
/// How long threads may take to stop once more at the end; those that do not are let go by the kernel when the watching thread ends.
const PART_BOUND: Duration = Duration::from_millis(500);

/// Watches every process of the node whose pid 1 is `init_pid` for `window`, and counts readings of the time of day by system call. The node should
/// be made to read its clock meanwhile. Afterwards it looks who does not have `page` in its memory.
///
/// # Errors
/// If the node has no processes, or they may not be traced.
pub fn count_past(init_pid: u32, page: &Path, window: Duration) -> Result<Past> {
    // A thread is the tracer, and waits for no children but its own; its end frees whoever is still traced.
    let mut past = std::thread::scope(|scope| {
        let watching = scope.spawn(|| Watch::begin(init_pid)?.run(window));
        watching
            .join()
            .unwrap_or_else(|_| Err(Error::Unusable("the clock watch panicked".into())))
    })?;
    count_unreached(init_pid, page, &mut past)?;
    Ok(past)
}

/// Processes that live and do not have the page in their memory.
fn count_unreached(init_pid: u32, page: &Path, past: &mut Past) -> Result<()> {
    let page = fs::metadata(page).map_err(Error::system(format!("look at the clock page {}", page.display())))?;
    for pid in processes_of(init_pid)? {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        // One that has just ended has no memory.
        if !maps.is_empty() && !maps.lines().any(|line| is_of_file(line, page.dev(), page.ino())) {
            past.n_unreached += 1;
            past.program = program_of(Pid::from_raw(pid.cast_signed())).or(past.program.take());
        }
    }
    Ok(())
}

/// Whether a mapping is one of a file: `first-last rwxp offset major:minor inode path`, the device's numbers in hexadecimal.
fn is_of_file(line: &str, device: u64, inode: u64) -> bool {
    let mut fields = line.split_whitespace().skip(3);
    let (Some(numbers), Some(found)) = (fields.next(), fields.next()) else {
        return false;
    };
    let expected = format!("{:02x}:{:02x}", rustix::fs::major(device), rustix::fs::minor(device));
    numbers == expected && found.parse() == Ok(inode)
}

#[derive(Default)]
struct Watch {
    threads: BTreeSet<i32>,
    past: Past,
}

impl Watch {
    fn begin(init_pid: u32) -> Result<Watch> {
        let mut watch = Watch::default();
        // Until nobody new is found: what is seized already starts nobody unseen.
        loop {
            let before = watch.threads.len();
            for thread in processes_of(init_pid)?.into_iter().flat_map(threads_of) {
                watch.seize(thread)?;
            }
            if watch.threads.len() == before {
                break;
            }
        }
        if watch.threads.is_empty() {
            return Err(Error::Unusable("the node has no process whose clock could be watched".into()));
        }
        Ok(watch)
    }

    fn seize(&mut self, thread: i32) -> Result<()> {
        if self.threads.contains(&thread) {
            return Ok(());
        }
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC;
        let pid = Pid::from_raw(thread);
        match ptrace::seize(pid, options).and_then(|()| ptrace::interrupt(pid)) {
            Ok(()) => {
                self.threads.insert(thread);
                Ok(())
            }
            // Gone meanwhile; or a thread that a seized one has made, which is traced already.
            Err(Errno::ESRCH) => Ok(()),
            Err(Errno::EPERM) if is_traced_by_us(thread) => {
                self.threads.insert(thread);
                Ok(())
            }
            Err(error) => Err(Error::system(format!("watch thread {thread}"))(error)),
        }
    }

    fn run(mut self, window: Duration) -> Result<Past> {
        let end = Instant::now() + window;
        while Instant::now() < end {
            self.look(|watch, pid, signal| {
                watch.threads.insert(pid.as_raw());
                ptrace::syscall(pid, signal)
            })?;
        }
        for thread in &self.threads {
            // It ended, or stands already.
            let _ = ptrace::interrupt(Pid::from_raw(*thread));
        }
        let end = Instant::now() + PART_BOUND;
        while !self.threads.is_empty() && Instant::now() < end {
            self.look(|watch, pid, signal| {
                watch.threads.remove(&pid.as_raw());
                ptrace::detach(pid, signal)
            })?;
        }
        Ok(self.past)
    }

    /// Takes one stop, if there is one, and lets the thread go on by `go`.
    fn look(&mut self, go: impl FnOnce(&mut Watch, Pid, Option<Signal>) -> nix::Result<()>) -> Result<()> {
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD | WaitPidFlag::WNOHANG;
        let done = match waitpid(None, Some(flags)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => {
                sleep(LOOK_PAUSE);
                Ok(())
            }
            Ok(WaitStatus::PtraceSyscall(pid)) => {
                self.count(pid);
                go(self, pid, None)
            }
            Ok(WaitStatus::PtraceEvent(pid, signal, EVENT_STOP)) if is_stop(signal) => raw::listen(pid),
            Ok(WaitStatus::PtraceEvent(pid, ..)) => go(self, pid, None),
            Ok(WaitStatus::Stopped(pid, signal)) => go(self, pid, Some(signal)),
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                self.threads.remove(&pid.as_raw());
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        unless_gone(done).map_err(Error::system("watch the system calls of a node"))
    }

    fn count(&mut self, pid: Pid) {
        let Ok(registers) = ptrace::getregs(pid) else { return };
        // On its way in, the kernel shows this as the result; the clock calls never have it as their own.
        if registers.rax.cast_signed() != -i64::from(libc::ENOSYS) {
            return;
        }
        self.past.n_calls += 1;
        let shows_day = match registers.orig_rax.cast_signed() {
            libc::SYS_clock_gettime => {
                [libc::CLOCK_REALTIME, libc::CLOCK_REALTIME_COARSE, libc::CLOCK_TAI].contains(&clock_of(registers.rdi))
            }
            libc::SYS_gettimeofday | libc::SYS_time => true,
            _ => false,
        };
        if shows_day && !is_in_vdso(pid, registers.rip) {
            self.past.n_reads += 1;
            self.past.program = program_of(pid).or(self.past.program.take());
        }
    }
}

/// A clock's number: the lower half of the register.
fn clock_of(register: u64) -> libc::clockid_t {
    (register & u64::from(u32::MAX)) as libc::clockid_t
}

fn threads_of(pid: u32) -> Vec<i32> {
    let folder = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    folder.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn is_traced_by_us(thread: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
    let own = fs::read_link("/proc/thread-self").ok();
    tracer.is_some_and(|tracer| own.is_some_and(|own| own.ends_with(tracer.trim())))
}

fn is_in_vdso(pid: Pid, address: u64) -> bool {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    mapping(&maps, "[vdso]").is_some_and(|(first, last)| (first..last).contains(&address))
}

fn program_of(pid: Pid) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_mapping_of_a_file_by_its_device_and_inode() {
        let line = "7f2000-7f3000 r--s 00000000 00:1d 4711    /clock/n1 (deleted)";
        let device = rustix::fs::makedev(0, 0x1d);
        assert!(is_of_file(line, device, 4711));
        assert!(!is_of_file(line, device, 471) && !is_of_file(line, rustix::fs::makedev(0, 0x1e), 4711));
        assert!(!is_of_file("7f2000-7f3000 r--s", device, 4711));
    }
}
