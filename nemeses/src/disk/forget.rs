//! What the kernel may not believe any more: pages of its cache whose bytes have changed on the disk behind its back.
//!
//! The kernel waits for a page that a write holds until we have answered that write. So what an answer depends on never asks it to forget:
//! neither the thread that serves the mount, nor the one that answers late, nor anybody who holds the core.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use fuser::{INodeNo, Notifier};

use super::core::Stale;

/// The kernel's cache of the mount that is served now, if one is.
pub(super) struct Forgets {
    mount: Arc<Mutex<Option<Notifier>>>,
    soon: Sender<Stale>,
}

impl Forgets {
    /// Starts the thread that asks the kernel; it ends with this value.
    pub(super) fn start() -> io::Result<Forgets> {
        let mount: Arc<Mutex<Option<Notifier>>> = Arc::default();
        let (soon, asked) = mpsc::channel::<Stale>();
        let of_thread = Arc::clone(&mount);
        thread::Builder::new().name("disk-forget".into()).spawn(move || {
            for stale in asked {
                forget(&of_thread, &stale);
            }
        })?;
        Ok(Forgets { mount, soon })
    }

    /// This is the mount from now on.
    pub(super) fn serve(&self, mount: Option<Notifier>) {
        *self.mount.lock().unwrap_or_else(PoisonError::into_inner) = mount;
    }

    /// Returns when the kernel has forgotten.
    pub(super) fn now(&self, stale: &[Stale]) {
        stale.iter().for_each(|stale| forget(&self.mount, stale));
    }

    /// Has the kernel forget after what it waits for.
    pub(super) fn soon(&self, stale: &[Stale]) {
        for stale in stale {
            // The thread lives as long as this value.
            let _ = self.soon.send(*stale);
        }
    }
}

fn forget(mount: &Mutex<Option<Notifier>>, stale: &Stale) {
    let mount = mount.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (offset, count) = (i64::try_from(stale.offset), i64::try_from(stale.count));
    if let (Some(mount), Ok(offset), Ok(count)) = (mount, offset, count) {
        // A kernel that knows no such inode, or whose mount is gone, has nothing to forget.
        let _ = mount.inval_inode(INodeNo(stale.ino), offset, count);
    }
}
