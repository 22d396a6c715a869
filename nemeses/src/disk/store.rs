//! The backing of a disk: every file's bytes under its number, and a mirror of the names as they are now, by hard links.
//!
//! Numbers make a file findable whatever happens to its names: unlinked, renamed, lost in a power cut. The mirror is for whoever looks from
//! outside, during the run and after it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::names::Ino;

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) struct Store {
    objects: PathBuf,
    mirror: PathBuf,
}

impl Store {
    /// Uses two folders of one file system; both are made if they are missing, and what is left of an earlier life in `objects` goes.
    pub(super) fn new(objects: &Path, mirror: &Path) -> io::Result<Store> {
        if objects.try_exists()? {
            fs::remove_dir_all(objects)?;
        }
        fs::create_dir_all(objects)?;
        fs::create_dir_all(mirror)?;
        Ok(Store {
            objects: objects.to_owned(),
            mirror: mirror.to_owned(),
        })
    }

    pub(super) fn mirror(&self) -> &Path {
        &self.mirror
    }

    pub(super) fn create(&self, ino: Ino) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(self.object(ino))
    }

    pub(super) fn open(&self, ino: Ino) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.object(ino))
    }

    pub(super) fn delete(&self, ino: Ino) -> io::Result<()> {
        fs::remove_file(self.object(ino))
    }

    /// Takes a file over that stands in the mirror already.
    pub(super) fn adopt(&self, ino: Ino, at: &Path) -> io::Result<()> {
        fs::hard_link(self.mirror.join(at), self.object(ino))
    }

    pub(super) fn set_mode(&self, ino: Ino, mode: u16) -> io::Result<()> {
        // Our own right to read and write stays: the kernel checks the mode that we tell it, we check none.
        fs::set_permissions(self.object(ino), Permissions::from_mode(u32::from(mode) | 0o600))
    }

    pub(super) fn show_file(&self, ino: Ino, at: &Path) -> io::Result<()> {
        fs::hard_link(self.object(ino), self.mirror.join(at))
    }

    pub(super) fn show_directory(&self, at: &Path) -> io::Result<()> {
        fs::create_dir(self.mirror.join(at))
    }

    pub(super) fn show_link(&self, target: &Path, at: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, self.mirror.join(at))
    }

    pub(super) fn hide(&self, at: &Path, is_directory: bool) -> io::Result<()> {
        let path = self.mirror.join(at);
        if is_directory {
            fs::remove_dir(path)
        } else {
            fs::remove_file(path)
        }
    }

    pub(super) fn move_shown(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.mirror.join(from), self.mirror.join(to))
    }

    /// Empties the mirror.
    pub(super) fn hide_all(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.mirror)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn object(&self, ino: Ino) -> PathBuf {
        self.objects.join(ino.to_string())
    }
}
