//! Programs of the installation: found in PATH or the system folders, and asked for their version (a file that does not run is no
//! program).

use std::env;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::{Failure, Step};

/// Where system tools live even if an ordinary user's PATH leaves it out (Debian).
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// 300 characters: what a program says about a failure, cut to what a report can show.
const SAID_CHARS_MAX: usize = 300;

pub(super) fn user_mode_linux() -> Result<String, Failure> {
    version(
        find("linux.uml")
            .or_else(|_| find("linux"))
            .map_err(|_| Failure::absent("linux.uml"))?,
        "--version",
    )
}

pub(super) fn etcd() -> Result<String, Failure> {
    version(find("etcd")?, "--version")
}

fn version(program: PathBuf, argument: &str) -> Result<String, Failure> {
    let shown = program.display().to_string();
    let output = Command::new(&program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .step(&format!("run {shown}"))?;
    if !output.status.success() {
        return Err(Failure::said(format!("run {shown} {argument}"), said(&output)));
    }
    let first = clean(&output.stdout).lines().next().unwrap_or_default().to_owned();
    Ok(format!("{first} at {shown}"))
}

/// The path of an executable file of that name.
pub(super) fn find(name: &str) -> Result<PathBuf, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|file| is_executable(file))
        .ok_or_else(|| Failure::absent(name))
}

fn is_executable(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// What a failed program said: its errors, else its output, else its exit status; cleaned for a terminal.
pub(super) fn said(output: &Output) -> String {
    let spoken = [&output.stderr, &output.stdout]
        .into_iter()
        .map(|bytes| clean(bytes))
        .find(|text| !text.trim().is_empty());
    let text = spoken.unwrap_or_else(|| output.status.to_string());
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
        .chars()
        .take(SAID_CHARS_MAX)
        .collect()
}

/// Text without control characters other than line ends: a program's words must not reach the terminal raw.
fn clean(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .filter(|c| *c == '\n' || !c.is_control())
        .collect()
}

/// The last part of a program's path.
pub(super) fn base_name(path: &Path) -> String {
    path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned()
}
