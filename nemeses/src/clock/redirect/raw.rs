//! The two things that have no safe form: to ask for being traced between fork and exec, and `PTRACE_LISTEN`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::unistd::Pid;

/// Makes the command's process stop, once, before the first instruction of its program, for the process that starts it.
#[allow(unsafe_code, reason = "pre_exec: only the child itself can ask to be traced")]
pub(super) fn stop_at_exec(command: &mut Command) {
    let ask = || nix::sys::ptrace::traceme().map_err(Into::into);
    // SAFETY: the closure runs in the forked child before exec; it makes one system call, allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(ask);
    }
}

/// Lets a tracee stay in a stop by signal, and be continued by a signal, while it is still traced (ptrace(2)).
#[allow(unsafe_code, reason = "nix has no PTRACE_LISTEN")]
pub(super) fn listen(pid: Pid) -> nix::Result<()> {
    // SAFETY: this request reads and writes no memory of ours; address and data are not used.
    let result = unsafe { libc::ptrace(libc::PTRACE_LISTEN, pid.as_raw(), 0, 0) };
    Errno::result(result).map(drop)
}
