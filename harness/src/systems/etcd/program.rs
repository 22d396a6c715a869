//! The program of the distribution: where it is, which release it is, and what its environment must say.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::super::find_program;

const MISSING: &str = "there is no program `etcd` here; get it with `apt-get install etcd-server`";

/// The program and its version.
pub(super) fn find() -> Result<(PathBuf, String)> {
    let program = find_program("etcd").ok_or_else(|| anyhow!(MISSING))?;
    let said = ask_version(&program)?;
    let version = version_in(&said).with_context(|| format!("{} cannot be used", program.display()))?;
    Ok((program, version))
}

/// Runs `etcd --version`, for 5 s at most, and gives the beginning of what it says.
fn ask_version(program: &Path) -> Result<String> {
    let mut asked = Command::new(program);
    asked
        .arg("--version")
        .env_clear()
        .envs(environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = asked.spawn().with_context(|| format!("run {}", program.display()))?;
    for _ in 0..500 {
        if child.try_wait().context("wait for `etcd --version`")?.is_some() {
            let mut said = Vec::new();
            child
                .stdout
                .take()
                .context("its output is a pipe")?
                .take(4096)
                .read_to_end(&mut said)
                .context("read what it said")?;
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // It may have ended this moment.
    let _ = child.kill();
    child.wait().context("wait for `etcd --version`")?;
    bail!("`{} --version` did not end within 5 s", program.display())
}

/// `3.4.23` from `etcd Version: 3.4.23` and whatever follows.
pub(super) fn version_in(said: &str) -> Result<String> {
    let first = said.lines().next().unwrap_or_default();
    let version = first.strip_prefix("etcd Version: ").unwrap_or_default().trim();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        bail!("asked for its version it says {:?}", first.chars().take(80).collect::<String>());
    };
    // 3.3 has the gateway at another path, and the distributions that ship it have no newer one.
    if (major, minor) < (3, 4) {
        bail!("it is etcd {major}.{minor}; 3.4 or newer is needed");
    }
    Ok(version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect())
}

/// etcd refuses to start on architectures it is not tested on, unless this variable names them in Go's words.
pub(super) fn environment() -> BTreeMap<String, String> {
    let go = match std::env::consts::ARCH {
        "x86_64" => return BTreeMap::new(),
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    BTreeMap::from([("ETCD_UNSUPPORTED_ARCH".into(), go.into())])
}
