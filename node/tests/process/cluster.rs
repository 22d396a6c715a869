//! Real node processes on loopback, ended with the test.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::Client;

/// How long a test waits for what must happen. Generous, because the machine may be busy; reached only when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The address that nodes listen on: one of this test process alone. Connections start from 127.0.0.1, so none of them can take the port
/// that a node is about to listen on.
pub(crate) fn host() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 78, high, low)
}

/// Waits until `look` finds something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not happen in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Nodes n1, n2, … of one cluster.
pub(crate) struct Cluster {
    folder: TempDir,
    store: &'static str,
    ports: Vec<u16>,
    options: Vec<String>,
    nodes: Vec<Option<Child>>,
}

impl Cluster {
    /// Chooses free ports; starts nothing.
    pub(crate) fn new(count: usize, options: &[&str]) -> Cluster {
        Cluster::of_store("quorum", count, options)
    }

    /// The same for any store.
    pub(crate) fn of_store(store: &'static str, count: usize, options: &[&str]) -> Cluster {
        // All are bound at once, so that no port is chosen twice.
        let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind((host(), 0)).unwrap()).collect();
        let ports = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Cluster {
            folder: tempfile::tempdir().unwrap(),
            store,
            ports,
            options,
            nodes: (0..count).map(|_| None).collect(),
        }
    }

    /// Starts all nodes and waits until each has a link to every other.
    pub(crate) fn started(count: usize, options: &[&str]) -> Cluster {
        let mut cluster = Cluster::new(count, options);
        (0..count).for_each(|node| cluster.start(node));
        (0..count).for_each(|node| cluster.wait_linked(node));
        cluster
    }

    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("n{}", node + 1))
    }

    pub(crate) fn trace(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("n{}.trace", node + 1))
    }

    pub(crate) fn trace_text(&self, node: usize) -> String {
        fs::read_to_string(self.trace(node)).unwrap()
    }

    pub(crate) fn command(&self, node: usize) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_squall-node"));
        command.args([
            self.store,
            "--id",
            &format!("n{}", node + 1),
            "--listen",
            &format!("{}:{}", host(), self.ports[node]),
        ]);
        for (place, port) in self.ports.iter().enumerate() {
            command.args(["--peer", &format!("n{}={}:{port}", place + 1, host())]);
        }
        command
            .arg("--data")
            .arg(self.data(node))
            .arg("--trace")
            .arg(self.trace(node))
            .args(&self.options);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&mut self, node: usize) {
        self.start_with(node, &[]);
    }

    /// Starts a node with more options.
    pub(crate) fn start_with(&mut self, node: usize, options: &[&str]) {
        let child = self.command(node).args(options).stderr(Stdio::null()).spawn().unwrap();
        self.nodes[node] = Some(child);
    }

    /// Starts a node that is expected to end by itself: its exit code and its last line.
    pub(crate) fn start_and_end(&self, node: usize) -> (i32, String) {
        let mut child = self.command(node).spawn().unwrap();
        let status = end_of(&mut child);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (status.code().unwrap(), errors.lines().last().unwrap_or_default().to_owned())
    }

    /// A new connection, once the node takes one.
    pub(crate) fn client(&self, node: usize) -> Client {
        eventually("a connection", || Client::connect(self.ports[node]).ok())
    }

    /// A new connection, if the node takes one now.
    pub(crate) fn try_client(&self, node: usize) -> Option<Client> {
        Client::connect(self.ports[node]).ok()
    }

    /// Waits until the node has a link to every other.
    pub(crate) fn wait_linked(&self, node: usize) {
        let expected = self.ports.len() - 1;
        eventually("all links", || {
            let status = Client::connect(self.ports[node]).ok()?.status().ok()?;
            (status["ready"] == true && status["peers_connected"] == expected).then_some(())
        });
    }

    /// SIGKILL, and wait.
    pub(crate) fn kill(&mut self, node: usize) {
        let mut child = self.nodes[node].take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        let pid = Pid::from_child(self.nodes[node].as_ref().unwrap());
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of a node.
    pub(crate) fn end(&mut self, node: usize) -> ExitStatus {
        end_of(&mut self.nodes[node].take().unwrap())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn end_of(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > PATIENCE {
            // A failed test leaves no process behind.
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the node did not end in {PATIENCE:?}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}
