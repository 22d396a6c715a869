//! The clocks of a run's nodes: a page for each, and where its monotonic clock begins. Made only for a run that has a clock fault.
//!
//! A page lies on the sandbox's own temporary file system, so it goes with the sandbox; a node that is killed and started again finds its
//! clock as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result};
use squall_nemeses::clock::{Page, Past, Set, Skew, Slot};

use crate::plan::monotonic_offsets_s;
use crate::sandbox::place::NodeClock;

/// Where the pages lie inside the sandbox.
const FOLDER: &str = "/run/squall/clock";

/// Whether the kernel has time namespaces (Linux 5.6, and a choice of whoever built it). Without them all monotonic clocks begin alike.
fn has_time_namespaces() -> bool {
    Path::new("/proc/self/ns/time").exists()
}

/// The clocks of all nodes.
pub struct Clocks {
    pages: Mutex<BTreeMap<String, Page>>,
    monotonic_offset_s: BTreeMap<String, u64>,
    /// What each node's watch saw.
    past: Mutex<BTreeMap<String, Past>>,
}

impl Clocks {
    /// A clock that is right for every node, and drawn beginnings of monotonic clocks.
    ///
    /// # Errors
    /// If clocks cannot be redirected on this machine, or a page cannot be made.
    pub fn create(nodes: &[String], seed: u64) -> Result<Clocks> {
        squall_nemeses::clock::supported()?;
        let folder = Path::new(FOLDER);
        std::fs::create_dir_all(folder).with_context(|| format!("create {FOLDER}"))?;
        let mut pages = BTreeMap::new();
        for node in nodes {
            pages.insert(node.clone(), Page::create(&folder.join(node))?);
        }
        Ok(Clocks {
            pages: Mutex::new(pages),
            monotonic_offset_s: if has_time_namespaces() {
                monotonic_offsets_s(nodes, seed)
            } else {
                nodes.iter().map(|node| (node.clone(), 0)).collect()
            },
            past: Mutex::default(),
        })
    }

    /// What a node is to be started with.
    pub fn of_node(&self, node: &str) -> NodeClock {
        NodeClock {
            page: self.path(node),
            monotonic_offset_s: self.monotonic_offset_s(node),
        }
    }

    /// By how much a node's monotonic clock is ahead of the host's, in seconds.
    pub fn monotonic_offset_s(&self, node: &str) -> u64 {
        self.monotonic_offset_s[node]
    }

    /// The node's page.
    pub fn path(&self, node: &str) -> PathBuf {
        self.pages()[node].path().to_owned()
    }

    /// Sets a node's clock, whether it runs or not.
    ///
    /// # Errors
    /// If its page cannot be written.
    pub fn set(&self, node: &str, skew: &Skew) -> Result<Set> {
        let mut pages = self.pages();
        let page = pages.get_mut(node).context("faults name nodes that there are")?;
        Ok(page.set(skew)?)
    }

    /// The course of a node's clock, now.
    pub fn slot(&self, node: &str) -> Slot {
        self.pages()[node].slot()
    }

    /// Takes note of what a watch saw.
    pub fn watched(&self, node: &str, past: Past) {
        self.past
            .lock()
            .expect("no holder of this lock panics")
            .insert(node.to_owned(), past);
    }

    /// Whether a node was seen to read the time past the redirect, or to run without it.
    pub fn is_passed_by(&self, node: &str) -> bool {
        let past = self.past.lock().expect("no holder of this lock panics");
        past.get(node).is_some_and(|past| !past.is_none())
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<String, Page>> {
        self.pages.lock().expect("no holder of this lock panics")
    }
}
