//! Small steps on the disk that are easy to forget: a new name is durable only when its directory was synced too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Makes the names in a directory durable.
///
/// # Errors
/// What open or fsync failed with.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates a directory and its missing parents, and makes its name durable. An existing one is left as it is.
///
/// # Errors
/// What the creation or an fsync failed with.
pub fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

/// Replaces the file `directory/name` as a whole: after a crash at any moment it holds the old content or the new.
///
/// Write to a temporary name, fsync, rename, fsync the directory (Pillai et al., OSDI 2014).
///
/// # Errors
/// What any of the four steps failed with.
pub fn replace_file(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    rename_over(directory, name, content)?;
    sync_directory(directory)
}

/// The first three of the four steps: a crash may still take the old file back, and all that is written to the new one.
///
/// # Errors
/// What any of the steps failed with.
pub(crate) fn rename_over(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = directory.join(format!("{name}.new"));
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary, directory.join(name))
}
