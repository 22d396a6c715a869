//! Another process, stopped by ptrace(2): its memory written, and system calls made in its name.

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::{Error, Result};

/// Results of system calls from here up are error numbers, negated.
const ERRORS_FROM: u64 = (-4095i64).cast_unsigned();
/// Bytes that ptrace writes at a time.
const WORD_BYTES: usize = size_of::<libc::c_long>();
/// The `syscall` instruction.
const SYSCALL_BYTES: u64 = 2;

/// A tracee in a stop. What it was doing is put back after every call.
pub(super) struct Remote {
    pid: Pid,
    /// Address of a `syscall` instruction in its memory.
    syscall: u64,
    /// Signals that came meanwhile.
    held: Vec<Signal>,
}

impl Remote {
    pub(super) fn new(pid: Pid, syscall: u64) -> Remote {
        Remote {
            pid,
            syscall,
            held: Vec::new(),
        }
    }

    /// Makes the process call the kernel; at most six arguments.
    pub(super) fn call(&mut self, what: &str, number: libc::c_long, arguments: [u64; 6]) -> Result<u64> {
        let pid = self.pid;
        let fail = || format!("{what} in process {pid}");
        let saved = ptrace::getregs(self.pid).map_err(Error::system(fail()))?;
        let mut registers = saved;
        registers.rip = self.syscall;
        registers.rax = number.cast_unsigned();
        // No call is to be restarted: the kernel would set the program counter back.
        registers.orig_rax = u64::MAX;
        [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ] = arguments;
        ptrace::setregs(self.pid, registers).map_err(Error::system(fail()))?;
        let stepped = self.step_over();
        let result = ptrace::getregs(self.pid).map_err(Error::system(fail()))?.rax;
        ptrace::setregs(self.pid, saved).map_err(Error::system(fail()))?;
        stepped.map_err(Error::system(fail()))?;
        if result >= ERRORS_FROM {
            let errno = Errno::from_raw(i32::try_from(result.wrapping_neg()).unwrap_or(0));
            return Err(Error::system(fail())(errno));
        }
        Ok(result)
    }

    /// One instruction, and no signal on the way: those that come are held.
    fn step_over(&mut self) -> Result<(), Errno> {
        loop {
            ptrace::step(self.pid, None)?;
            match waitpid(self.pid, Some(WaitPidFlag::__WALL))? {
                WaitStatus::Stopped(_, Signal::SIGTRAP) if ptrace::getregs(self.pid)?.rip == self.syscall + SYSCALL_BYTES => return Ok(()),
                // It stands before the instruction still.
                WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
                WaitStatus::Stopped(_, signal) => self.held.push(signal),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Err(Errno::ESRCH),
                _ => {}
            }
        }
    }

    /// Writes its memory, also where it may not write itself; a private mapping then has a page of its own.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<()> {
        let fail = || format!("write the memory of process {}", self.pid);
        for (number, chunk) in bytes.chunks(WORD_BYTES).enumerate() {
            let at = address.wrapping_add((number * WORD_BYTES) as u64) as ptrace::AddressType;
            let mut word = match chunk.len() {
                WORD_BYTES => [0; WORD_BYTES],
                _ => ptrace::read(self.pid, at).map_err(Error::system(fail()))?.to_ne_bytes(),
            };
            word[..chunk.len()].copy_from_slice(chunk);
            ptrace::write(self.pid, at, libc::c_long::from_ne_bytes(word)).map_err(Error::system(fail()))?;
        }
        Ok(())
    }

    /// Sends what was held; to be called before the process goes on.
    pub(super) fn give_signals(self) -> Result<()> {
        for signal in &self.held {
            kill(self.pid, *signal).map_err(Error::system(format!("send {signal} to process {} again", self.pid)))?;
        }
        Ok(())
    }
}
