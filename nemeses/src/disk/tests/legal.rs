//! A disk and its model, driven together and compared after a power cut.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::model::{Content, Model, Place, Tree, UNIT};
use crate::disk::core::Core;
use crate::disk::inode::Kind;
use crate::disk::names::ROOT;
use crate::disk::store::Store;
use crate::disk::{Cut, Rules};

/// Both, and what was done to them, for a failed test's message.
pub(super) struct Pair {
    pub(super) disk: Core,
    pub(super) model: Model,
    pub(super) done: Vec<String>,
    mirror: PathBuf,
    _folder: tempfile::TempDir,
}

impl Pair {
    pub(super) fn new(rules: Rules) -> Pair {
        let folder = tempfile::tempdir().unwrap();
        let mirror = folder.path().join("mirror");
        let store = Store::new(&folder.path().join("objects"), &mirror).unwrap();
        Pair {
            disk: Core::open(store, rules).unwrap(),
            model: Model::new(rules),
            done: Vec::new(),
            mirror,
            _folder: folder,
        }
    }

    pub(super) fn create(&mut self, place: Place) -> u64 {
        self.done.push(format!("create {place:?}"));
        let ino = self.disk.create(place.0, OsStr::new(place.1), Kind::File, 0o644).unwrap();
        self.model.create(place, ino);
        ino
    }

    pub(super) fn make_directory(&mut self, place: Place) -> u64 {
        self.done.push(format!("mkdir {place:?}"));
        let ino = self.disk.create(place.0, OsStr::new(place.1), Kind::Directory, 0o755).unwrap();
        self.model.make_directory(place, ino);
        ino
    }

    pub(super) fn link(&mut self, ino: u64, place: Place) {
        self.done.push(format!("link {ino} {place:?}"));
        self.disk.link(ino, place.0, OsStr::new(place.1)).unwrap();
        self.model.link(ino, place);
    }

    pub(super) fn unlink(&mut self, place: Place) {
        self.done.push(format!("unlink {place:?}"));
        self.disk.remove(place.0, OsStr::new(place.1), false).unwrap();
        self.model.unlink(place);
    }

    pub(super) fn rename(&mut self, from: Place, to: Place) {
        self.done.push(format!("rename {from:?} {to:?}"));
        self.disk
            .rename((from.0, OsStr::new(from.1)), (to.0, OsStr::new(to.1)), true)
            .unwrap();
        self.model.rename(from, to);
    }

    /// Writes units.
    pub(super) fn write(&mut self, ino: u64, at: usize, count: usize, byte: u8) {
        self.done.push(format!("write {ino} {at}+{count}={byte}"));
        self.disk.write(ino, at as u64 * UNIT, &vec![byte; count * UNIT as usize]).unwrap();
        self.model.write(ino, at, count, byte);
    }

    pub(super) fn resize(&mut self, ino: u64, to: usize) {
        self.done.push(format!("resize {ino} {to}"));
        self.disk.resize(ino, to as u64 * UNIT).unwrap();
        self.model.resize(ino, to);
    }

    pub(super) fn sync_file(&mut self, ino: u64) {
        self.done.push(format!("fsync {ino}"));
        self.disk.sync(ino, false).unwrap();
        self.model.sync_file(ino);
    }

    pub(super) fn sync_directory(&mut self, dir: u64) {
        self.done.push(format!("fsync directory {dir}"));
        self.disk.sync(dir, false).unwrap();
        self.model.sync_directory(dir);
    }

    /// Cuts the power and compares.
    pub(super) fn cut(mut self, cut: Cut) -> (Tree, BTreeMap<u64, Content>) {
        self.disk.lose_power(cut).unwrap();
        let (tree, contents) = self.observe();
        let told = || format!("{cut:?} after\n{}\nleft {tree:?} {contents:?}", self.done.join("\n"));
        assert!(
            self.model.allows(&tree, &contents),
            "a state that no power cut may leave: {}",
            told()
        );
        if cut == Cut::Clean {
            let (durable, bytes) = self.model.durable();
            let durable: Tree = durable
                .into_iter()
                .filter(|(place, _)| tree.contains_key(place) || place.0 == ROOT)
                .collect();
            assert_eq!(tree, durable, "{}", told());
            for (ino, content) in &contents {
                assert_eq!(content, &bytes[ino], "{}", told());
            }
        }
        (tree, contents)
    }

    /// What is there, as the disk shows it; the mirror has to show the same.
    pub(super) fn observe(&mut self) -> (Tree, BTreeMap<u64, Content>) {
        let (mut tree, mut contents) = (Tree::new(), BTreeMap::new());
        let mut queue = vec![(ROOT, PathBuf::new())];
        let mut n_entries = 0;
        while let Some((dir, at)) = queue.pop() {
            for (ino, name) in self.disk.entries(dir).unwrap().into_iter().skip(2) {
                let path = at.join(&name);
                n_entries += 1;
                let known = ["a", "b", "c", "d"].into_iter().find(|known| OsStr::new(known) == name).unwrap();
                tree.insert((dir, known), ino);
                if self.disk.inode(ino).unwrap().is_directory() {
                    queue.push((ino, path));
                } else {
                    let content = self.read(ino);
                    assert_eq!(
                        units(&std::fs::read(self.mirror.join(&path)).unwrap()),
                        content,
                        "the mirror of {}",
                        path.display()
                    );
                    contents.insert(ino, content);
                }
            }
        }
        assert_eq!(count_entries(&self.mirror), n_entries, "the mirror has other names");
        (tree, contents)
    }

    pub(super) fn read(&mut self, ino: u64) -> Content {
        let mut bytes = vec![0; usize::try_from(self.disk.inode(ino).unwrap().length).unwrap()];
        assert_eq!(self.disk.read(ino, 0, &mut bytes).unwrap(), bytes.len());
        units(&bytes)
    }
}

/// One byte per unit; all bytes of a unit have to be the same.
fn units(bytes: &[u8]) -> Content {
    assert_eq!(bytes.len() % UNIT as usize, 0, "a length that nothing made");
    let unit = |unit: &[u8]| {
        assert!(unit.iter().all(|byte| *byte == unit[0]), "a unit that nothing wrote");
        unit[0]
    };
    bytes.chunks(UNIT as usize).map(unit).collect()
}

fn count_entries(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            1 + if entry.file_type().unwrap().is_dir() {
                count_entries(&entry.path())
            } else {
                0
            }
        })
        .sum()
}
