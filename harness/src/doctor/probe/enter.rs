//! Into namespaces, as a run does it: a user namespace first (root maps the ids 0-65535, anybody else one), and, where that is refused
//! and we are root, without it (architecture.md section 3).
//!
//! Root's range is written by a forked helper that stayed outside: after `unshare` the process itself may map its own id only.

use std::fs;
use std::io::{Read, Write};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, getpid};

use super::fork;
use super::{Failure, Step};

/// Enters a user namespace if possible, else (root) none, then a mount namespace and the namespaces `flags`.
///
/// A failure of what `user-namespace` probes too has the stage [`Stage::Enter`](super::Stage::Enter); a refused namespace of `flags`
/// is the caller's own failure.
pub(super) fn sandbox(flags: CloneFlags) -> Result<(), Failure> {
    let was_root = geteuid().is_root();
    match user_namespace() {
        Err(failure) if !was_root => return Err(failure.while_entering()),
        // Root goes on without one.
        Ok(_) | Err(_) => {}
    }
    private_mount_namespace().map_err(Failure::while_entering)?;
    others(flags)
}

/// The probe `user-namespace`: AppArmor may let `unshare` pass and refuse the maps or the first mount.
pub(super) fn user_namespace_and_mount() -> Result<String, Failure> {
    let ids = user_namespace()?;
    private_mount_namespace()?;
    Ok(ids.to_owned())
}

/// The probe `plain-namespaces`.
pub(super) fn plain_namespaces() -> Result<String, Failure> {
    private_mount_namespace()?;
    others(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID)?;
    Ok(String::new())
}

fn private_mount_namespace() -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNS).step("unshare(NEWNS)")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).step("make mounts private")
}

/// One call per kind, so that a failure names the kind.
fn others(flags: CloneFlags) -> Result<(), Failure> {
    for (flag, step) in [
        (CloneFlags::CLONE_NEWNET, "unshare(NEWNET)"),
        (CloneFlags::CLONE_NEWPID, "unshare(NEWPID)"),
        (CloneFlags::CLONE_NEWUTS, "unshare(NEWUTS)"),
        (CloneFlags::CLONE_NEWIPC, "unshare(NEWIPC)"),
    ] {
        if flags.contains(flag) {
            unshare(flag).step(step)?;
        }
    }
    Ok(())
}

/// Enters a user namespace in which we are root; says which ids it has.
fn user_namespace() -> Result<&'static str, Failure> {
    let (uid, gid) = (geteuid(), getegid());
    if !uid.is_root() {
        unshare(CloneFlags::CLONE_NEWUSER).step("unshare(NEWUSER)")?;
        return map_one(uid.as_raw(), gid.as_raw());
    }
    let (go_reader, go_writer) = nix::unistd::pipe().step("pipe")?;
    let target = getpid();
    let mapper = fork::start(move || {
        let mut entered = [0u8; 1];
        fs::File::from(go_reader).read_exact(&mut entered).step("wait for the namespace")?;
        if entered == [1] {
            fs::write(format!("/proc/{target}/uid_map"), "0 0 65536").step("write uid_map")?;
            fs::write(format!("/proc/{target}/gid_map"), "0 0 65536").step("write gid_map")?;
        }
        Ok(String::new())
    })?;
    let entered = unshare(CloneFlags::CLONE_NEWUSER).step("unshare(NEWUSER)");
    // Told in both cases: the helper must end before this process goes on.
    fs::File::from(go_writer)
        .write_all(&[u8::from(entered.is_ok())])
        .step("tell the map writer")?;
    let mapped = mapper.join();
    entered?;
    match mapped {
        Ok(_) => Ok("ids 0-65535 mapped"),
        // Root that owns fewer ids itself (a container, a nested namespace) still has its own.
        Err(_) => map_one(uid.as_raw(), gid.as_raw()),
    }
}

fn map_one(uid: u32, gid: u32) -> Result<&'static str, Failure> {
    // Without this the kernel refuses the gid map of an unprivileged writer (user_namespaces(7), since Linux 3.19).
    fs::write("/proc/self/setgroups", "deny").step("write setgroups")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).step("write uid_map")?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).step("write gid_map")?;
    Ok("own id mapped")
}
