//! What the log needs of a file; tests put a disk that fails or tears in its place.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::bugs::{Bug, Planted};
use crate::disk;

/// An append-only file that can be read, cut and made durable.
pub trait Storage: Send {
    /// Its length, in bytes.
    ///
    /// # Errors
    /// What the system said.
    fn length(&self) -> io::Result<u64>;

    /// Makes durable what an earlier process wrote, and forgets what is only cached, so that reads show what is on the disk.
    ///
    /// # Errors
    /// What the system said.
    fn settle(&mut self) -> io::Result<()>;

    /// Reads from `offset` until `into` is full or the file ends; returns how many bytes were read.
    ///
    /// # Errors
    /// What the system said.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;

    /// Writes all bytes at the end.
    ///
    /// # Errors
    /// What the system said; a part may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written durable, the length included.
    ///
    /// # Errors
    /// What the system said; nobody knows then what is durable.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to `length` bytes and makes that durable.
    ///
    /// # Errors
    /// What the system said.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Replaces the whole content, durably: after a crash at any moment there is the old one or the new.
    ///
    /// # Errors
    /// What the system said; nobody knows then which one is there.
    fn replace(&mut self, content: &[u8]) -> io::Result<()>;
}

/// A real file.
#[derive(Debug)]
pub struct FileStorage {
    path: PathBuf,
    file: File,
    planted: Planted,
}

impl FileStorage {
    /// Opens the file; a new one is created and its name made durable.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<FileStorage> {
        let is_new = !path.try_exists()?;
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if is_new {
            file.sync_all()?;
            if let Some(directory) = path.parent() {
                disk::sync_directory(directory)?;
            }
        }
        Ok(FileStorage {
            path: path.to_owned(),
            file,
            planted: Planted::default(),
        })
    }

    /// The same with a planted bug switched on.
    #[must_use]
    pub fn with(self, planted: Planted) -> FileStorage {
        FileStorage { planted, ..self }
    }
}

impl Storage for FileStorage {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        // Advice: where it is not taken, reads come from the cache, as they would without it.
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
        Ok(())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.file.read_at(&mut into[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.planted.has(Bug::R37) || self.planted.has(Bug::Q21) {
            return Ok(());
        }
        // fdatasync: it also syncs the length, without which the data could not be read back (fdatasync(2)).
        match self.file.sync_data() {
            Err(_) if self.planted.has(Bug::R38) => self.file.sync_data(),
            outcome => outcome,
        }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()
    }

    fn replace(&mut self, content: &[u8]) -> io::Result<()> {
        let (Some(directory), Some(name)) = (self.path.parent(), self.path.file_name().and_then(OsStr::to_str)) else {
            return Err(io::Error::other("the file has no folder or no name"));
        };
        if self.planted.has(Bug::R39) {
            disk::rename_over(directory, name, content)?;
        } else {
            disk::replace_file(directory, name, content)?;
        }
        // Only now: what is appended from here on belongs behind the new content.
        self.file = OpenOptions::new().read(true).append(true).open(&self.path)?;
        Ok(())
    }
}
