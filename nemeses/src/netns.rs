//! Network namespaces: make, name, enter.
//!
//! A namespace belongs to a thread, not to a process, and a thread that entered one should not come back: so everything here that enters
//! does it on a short-lived thread. Child processes started by such a thread are born in its namespace.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::{Error, Result};

/// A fresh, empty network namespace. It lives as long as the descriptor, a name ([`bind`]), a process or a thread in it.
///
/// # Errors
/// If the kernel refuses (no CAP_SYS_ADMIN here), or /proc is not mounted.
pub fn new_namespace() -> Result<OwnedFd> {
    on_a_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).map_err(Error::system("make a network namespace"))?;
        own_namespace()
    })
}

/// Opens a namespace by its name, for example `/run/netns/n1`.
///
/// # Errors
/// If there is no such file.
pub fn open(path: &Path) -> Result<OwnedFd> {
    Ok(File::open(path)
        .map_err(Error::system(format!("open the network namespace {}", path.display())))?
        .into())
}

/// The calling thread's own network namespace.
///
/// # Errors
/// If /proc is not mounted.
pub fn own_namespace() -> Result<OwnedFd> {
    open(Path::new("/proc/thread-self/ns/net"))
}

/// Gives a namespace a name, as `ip netns` does: creates the file `path` and binds the namespace over it.
///
/// # Errors
/// If the file cannot be created or mounts are refused.
pub fn bind(namespace: impl AsFd, path: &Path) -> Result<()> {
    let fail = || format!("bind a network namespace to {}", path.display());
    File::create(path).map_err(Error::system(fail()))?;
    let source = format!("/proc/self/fd/{}", namespace.as_fd().as_raw_fd());
    mount(Some(source.as_str()), path, None::<&str>, MsFlags::MS_BIND, None::<&str>).map_err(Error::system(fail()))
}

/// Moves the calling thread into a namespace, for good.
///
/// # Errors
/// If it is no network namespace, or one that belongs to others.
pub fn enter(namespace: impl AsFd) -> Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(Error::system("enter a network namespace"))
}

/// Runs `work` on a short-lived thread inside a namespace and returns what it returned.
///
/// # Errors
/// If the thread cannot be started or the namespace not be entered.
///
/// # Panics
/// If `work` panics: the panic goes on in the caller.
pub fn in_namespace<R: Send>(namespace: impl AsFd, work: impl FnOnce() -> R + Send) -> Result<R> {
    let namespace = namespace.as_fd();
    on_a_thread(move || {
        enter(namespace)?;
        Ok(work())
    })
}

fn on_a_thread<R: Send>(work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work)
            .map_err(Error::system("start a thread"))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
