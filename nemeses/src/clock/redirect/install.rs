//! The redirect itself: code and page into a process that has not run an instruction of its program yet, and jumps to the code into
//! its vDSO.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::Pid;

use super::remote::Remote;
use super::routine::{CLOCK_GETTIME_AT, GETTIMEOFDAY_AT, ORIGINAL_AT, ROUTINE, TIME_AT};
use super::vdso::Vdso;
use crate::Result;
use crate::clock::page::PAGE_BYTES;

/// Bytes of a jump to anywhere.
const JUMP_BYTES: usize = 16;

/// Redirects the clock of a process that stands at its exec stop. `page` is a path that the process can open.
///
/// The true `gettimeofday` and `time` are not needed any more, as the routine asks `clock_gettime` alone. So their own code makes room for three
/// jumps, and the symbol of `clock_gettime` is moved to the second one, inside the vDSO as every value must be (rustix asserts it).
pub(super) fn install(pid: Pid, page: &Path) -> Result<()> {
    let vdso = Vdso::read(pid.as_raw())?;
    let original = vdso.base + vdso.function("clock_gettime", 1)?.value;
    let (room, own) = (
        vdso.function("gettimeofday", 2 * JUMP_BYTES as u64)?.value,
        vdso.function("time", JUMP_BYTES as u64)?.value,
    );
    let moved = room + JUMP_BYTES as u64;
    let mut remote = Remote::new(pid, vdso.syscall);
    let code = map(&mut remote, page)? + PAGE_BYTES;
    remote.write(code, &ROUTINE)?;
    remote.write(code + ORIGINAL_AT, &original.to_le_bytes())?;
    remote.write(vdso.base + room, &jump(code + GETTIMEOFDAY_AT))?;
    remote.write(vdso.base + moved, &jump(code + CLOCK_GETTIME_AT))?;
    remote.write(vdso.base + own, &jump(code + TIME_AT))?;
    for symbol in vdso.symbols.iter().filter(|symbol| symbol.plain() == "clock_gettime") {
        remote.write(vdso.base + symbol.value_at, &moved.to_le_bytes())?;
    }
    remote.give_signals()
}

/// `endbr64; movabs rax, address; jmp rax`: no function of the vDSO takes an argument in rax, and all may spoil it.
fn jump(address: u64) -> [u8; JUMP_BYTES] {
    let mut bytes = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0];
    bytes[6..14].copy_from_slice(&address.to_le_bytes());
    bytes
}

/// Two pages: the parameters, which are the file's, and above them one for the code. Returns where they are.
fn map(remote: &mut Remote, page: &Path) -> Result<u64> {
    const NO_FILE: u64 = u64::MAX;
    let (read, run) = (libc::PROT_READ as u64, libc::PROT_EXEC as u64);
    let (private, shared, fixed) = (libc::MAP_PRIVATE as u64, libc::MAP_SHARED as u64, libc::MAP_FIXED as u64);
    let anonymous = libc::MAP_ANONYMOUS as u64;
    let both = [0, 2 * PAGE_BYTES, read | run, private | anonymous, NO_FILE, 0];
    let base = remote.call("map memory", libc::SYS_mmap, both)?;
    // The lower page holds the path until the file covers it.
    let mut path = page.as_os_str().as_bytes().to_vec();
    path.push(0);
    remote.write(base, &path)?;
    let flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
    let open = [i64::from(libc::AT_FDCWD).cast_unsigned(), base, flags, 0, 0, 0];
    let file = remote.call(&format!("open {}", page.display()), libc::SYS_openat, open)?;
    remote.call(
        "map the clock page",
        libc::SYS_mmap,
        [base, PAGE_BYTES, read, shared | fixed, file, 0],
    )?;
    remote.call("close the clock page", libc::SYS_close, [file, 0, 0, 0, 0, 0])?;
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::jump;

    #[test]
    fn a_jump_holds_its_address() {
        let expected = [0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0xb8, 8, 7, 6, 5, 4, 3, 2, 1, 0xff, 0xe0];
        assert_eq!(jump(0x0102_0304_0506_0708), expected);
    }
}
