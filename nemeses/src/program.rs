//! Running somebody else's program with a time limit.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::pidfd::Pidfd;
use crate::{Error, Result};

/// More than any listing of rules of a cluster that fits on one machine.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;
const ERROR_TEXT_BYTES_MAX: u64 = 4 << 10;

/// Folders in which to look for programs: those of `PATH`, then the three that an ordinary user's `PATH` leaves out.
#[must_use]
pub fn program_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    for folder in ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// The first file called `name` in `folders`.
pub(crate) fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs a program to its end and returns its standard output. Input and output are files in memory: no pipe can fill up, so nothing here
/// waits but for the end of the program. It is born in the network namespace of the calling thread.
pub(crate) fn run(program: &Path, arguments: &[&str], input: &str, limit: Duration) -> Result<String> {
    let name = || program.display().to_string();
    let prepare = || -> std::io::Result<(File, File, File)> {
        let [mut stdin, stdout, stderr] = ["stdin", "stdout", "stderr"]
            .map(|name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from))
            .into_iter()
            .collect::<Result<Vec<_>, _>>()?
            .try_into()
            .expect("three in, three out");
        stdin.write_all(input.as_bytes())?;
        stdin.seek(SeekFrom::Start(0))?;
        Ok((stdin, stdout, stderr))
    };
    let (stdin, mut stdout, mut stderr) = prepare().map_err(Error::system(format!("prepare input for `{}`", name())))?;
    let start = || -> std::io::Result<Child> {
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout.try_clone()?))
            .stderr(Stdio::from(stderr.try_clone()?))
            .spawn()
    };
    let mut child = start().map_err(Error::system(format!("start `{}`", name())))?;
    let in_time = match Pidfd::open(child.id())? {
        Some(pidfd) => pidfd.wait_until_dead(limit)?,
        None => true,
    };
    if !in_time {
        child.kill().map_err(Error::system(format!("kill `{}`", name())))?;
    }
    let status = child.wait().map_err(Error::system(format!("wait for `{}`", name())))?;
    if !in_time {
        return Err(Error::Late {
            what: format!("`{}`", name()),
            limit_ms: limit.as_millis() as u64,
        });
    }
    if !status.success() {
        let stderr = read_back(&mut stderr, ERROR_TEXT_BYTES_MAX)
            .unwrap_or_default()
            .trim()
            .replace('\n', "; ");
        return Err(Error::Program {
            program: name(),
            status: status.to_string(),
            stderr,
        });
    }
    read_back(&mut stdout, OUTPUT_BYTES_MAX).map_err(Error::system(format!("read the output of `{}`", name())))
}

fn read_back(file: &mut File, bytes_max: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, input: &str, limit_ms: u64) -> Result<String> {
        run(Path::new("/bin/sh"), &["-c", script], input, Duration::from_millis(limit_ms))
    }

    #[test]
    fn hands_input_in_and_output_back() {
        assert_eq!(shell("cat; echo more", "given\n", 10_000).unwrap(), "given\nmore\n");
    }

    #[test]
    fn says_how_a_program_failed() {
        let error = shell("echo first >&2; echo second >&2; exit 3", "", 10_000).unwrap_err();
        assert_eq!(error.to_string(), "`/bin/sh` failed with exit status: 3: first; second");
    }

    #[test]
    fn ends_a_program_that_hangs() {
        let error = shell("exec sleep 1000", "", 50).unwrap_err();
        assert_eq!(error.to_string(), "`/bin/sh` took longer than 50 ms");
    }

    #[test]
    fn says_that_a_program_is_missing() {
        assert_eq!(find("no-such-program", &program_folders()), None);
        assert!(run(Path::new("/no/such"), &[], "", Duration::from_secs(1)).is_err());
    }
}
