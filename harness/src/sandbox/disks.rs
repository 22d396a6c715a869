//! The disks of the nodes, where a run has faults of disks: served out here, mounted by each node's init and by nobody else.
//!
//! ```text
//!  __init: opens /dev/fuse, mounts it on the data folder ── the descriptor, through a socket ──► a thread here serves it
//! ```
//!
//! What is mounted exists in the node's mount namespace alone, so nothing of the harness can wait for itself, and it goes with the node's last process. Out
//! here the same folder holds the mirror of what the node has on its disk. A stopped or dead node stops no server.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use squall_nemeses::disk::{self, Caching, Disk, Rules, Served};
use tracing::warn;

/// How long an old mount may take to go after its node's last process: it writes back what was mapped.
const OLD_MOUNT_BOUND: Duration = Duration::from_secs(5);
/// Between two looks at an old mount.
const LOOK_PAUSE: Duration = Duration::from_millis(1);

/// What a node's init needs to mount its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// The socket through which the server takes the device.
    pub socket: PathBuf,
    /// The folder to mount on.
    pub folder: PathBuf,
}

/// A device and a way to its server, held from before the node's tree is closed until it is mounted.
pub(super) struct Mounting<'a> {
    door: &'a Door,
    device: OwnedFd,
    server: UnixStream,
}

/// Why nodes can have no disks of ours here, if that is so; by trying. A sandbox has the rights of whoever starts it.
pub fn refusal() -> Option<String> {
    let refused = disk::open_device().err()?;
    Some(format!("no disk of ours can be mounted: {refused}; `squall doctor` says more"))
}

/// The disks of all nodes.
pub struct Disks {
    nodes: BTreeMap<String, (Disk, Door)>,
}

impl Disks {
    /// Makes a disk for every node: `(name, folder for its bytes, data folder)`. `sockets` is a folder of our own.
    ///
    /// # Errors
    /// If a folder or a socket cannot be had.
    pub fn open(nodes: &[(String, PathBuf, PathBuf)], sockets: &Path, rules: Rules) -> Result<Disks> {
        let open = |(node, objects, data): &(String, PathBuf, PathBuf)| -> Result<(String, (Disk, Door))> {
            let disk = Disk::open(objects, data, rules)?;
            let door = Door {
                socket: sockets.join(format!("disk-{node}")),
                folder: data.clone(),
            };
            let listener = UnixListener::bind(&door.socket).with_context(|| format!("listen on {}", door.socket.display()))?;
            let (served, name) = (disk.clone(), node.clone());
            std::thread::Builder::new()
                .name(format!("disk-{node}"))
                .spawn(move || serve_all(&name, &served, &listener))
                .with_context(|| format!("start the server of the disk of {node}"))?;
            Ok((node.clone(), (disk, door)))
        };
        Ok(Disks {
            nodes: nodes.iter().map(open).collect::<Result<_>>()?,
        })
    }

    /// A node's disk.
    pub fn disk(&self, node: &str) -> Option<&Disk> {
        self.nodes.get(node).map(|(disk, _)| disk)
    }

    /// What a node's init needs.
    pub fn door(&self, node: &str) -> Option<&Door> {
        self.nodes.get(node).map(|(_, door)| door)
    }
}

/// Serves one mount of a node after the other.
fn serve_all(node: &str, disk: &Disk, listener: &UnixListener) {
    let mut last: Option<Served> = None;
    for caller in listener.incoming() {
        let served = caller.context("accept").and_then(|caller| {
            let device = receive(&caller)?;
            wait_until_over(last.take())?;
            Ok(disk.serve(device, Caching::Through)?)
        });
        match served {
            Ok(served) => last = Some(served),
            // The device is closed with this, so the node's disk fails instead of waiting for ever.
            Err(error) => warn!(node, error = format!("{error:#}"), "a disk is not served"),
        }
    }
}

/// Two mounts at once would be two caches of the same bytes.
fn wait_until_over(served: Option<Served>) -> Result<()> {
    let Some(served) = served else { return Ok(()) };
    let deadline = Instant::now() + OLD_MOUNT_BOUND;
    while !served.is_over() {
        if Instant::now() > deadline {
            bail!("the mount before is still there after {} ms", OLD_MOUNT_BOUND.as_millis());
        }
        std::thread::sleep(LOOK_PAUSE);
    }
    Ok(served.join()?)
}

impl<'a> Mounting<'a> {
    /// First half, while `/dev` and the sandbox's `/run` can still be seen.
    pub(super) fn begin(door: &'a Door) -> Result<Mounting<'a>> {
        Ok(Mounting {
            door,
            device: disk::open_device()?,
            server: UnixStream::connect(&door.socket).with_context(|| format!("connect to {}", door.socket.display()))?,
        })
    }

    /// Second half, in the finished tree. Whoever touches the folder waits until it is served.
    pub(super) fn finish(self) -> Result<()> {
        disk::mount(&self.device, &self.door.folder)?;
        // Our descriptor closes here: were it kept, a server's end would not be the disk's.
        send(&self.server, &File::from(self.device))
    }
}

fn send(through: &UnixStream, device: &File) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = SendAncillaryBuffer::new(&mut space);
    let device = [device.as_fd()];
    if !buffer.push(SendAncillaryMessage::ScmRights(&device)) {
        bail!("a descriptor does not fit into its message");
    }
    sendmsg(through, &[IoSlice::new(&[1])], &mut buffer, SendFlags::empty()).context("hand the disk's device over")?;
    Ok(())
}

fn receive(from: &UnixStream) -> Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    recvmsg(from, &mut [IoSliceMut::new(&mut [0])], &mut buffer, RecvFlags::CMSG_CLOEXEC).context("take the disk's device")?;
    let device = buffer.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    device.context("the node's init ended before it handed its device over")
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn a_descriptor_goes_through_a_socket_and_its_absence_is_told() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"the same file").unwrap();
        send(&here, &file).unwrap();
        let mut received = File::from(receive(&there).unwrap());
        received.rewind().unwrap();
        let mut text = String::new();
        received.read_to_string(&mut text).unwrap();
        assert_eq!(text, "the same file");
        drop(here);
        assert!(receive(&there).unwrap_err().to_string().contains("ended before"));
    }
}
