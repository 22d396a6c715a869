//! For tests that need the kernel: namespaces of their own, and a star of nodes in them.
//!
//! `unshare(CLONE_NEWUSER)` wants a process with one thread, and a test runs in one of many. So a test starts its own binary again, for
//! itself alone, with the namespaces made between fork and exec. Works for root and for ordinary users.

#![allow(dead_code, reason = "every test binary uses a part of this")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "part of tests, though outside a #[test]")]

pub(crate) mod program;
pub(crate) mod redis;
pub(crate) mod uml;
pub(crate) mod wired;

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use squall_nemeses::netlink::Netlink;
use squall_nemeses::switch::{End, Switch};
use squall_nemeses::{Target, netns};

const MARK: &str = "SQUALL_NEMESES_INSIDE";

/// Runs `body` in fresh user, network and mount namespaces. `test` is the full name of the calling test.
pub(crate) fn inside(test: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some_and(|inside| inside == test) {
        return body();
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(MARK, test);
    match in_namespaces(&mut again).output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "inside its namespaces, {test} failed:\n{text}"
            );
            for line in text.lines() {
                if let Some(start) = ["skipped ", "measured "].iter().find_map(|mark| line.find(mark)) {
                    println!("{}", &line[start..]);
                }
            }
        }
        Err(error) => skip(test, &format!("namespaces cannot be made: {error}")),
    }
}

/// The process that started the test: what `body` leaves for it outside the namespaces can bear its number.
pub(crate) fn outer_pid(test: &str) -> u32 {
    if std::env::var_os(MARK).is_some_and(|inside| inside == test) {
        std::os::unix::process::parent_id()
    } else {
        std::process::id()
    }
}

/// Says in one line why a test cannot run here; with `CI=true` that is a failure.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "{test} must run in CI: {reason}"
    );
    println!("skipped {test}: {reason}");
}

/// Makes a command start in fresh user, network and mount namespaces, as root of them, with its own /run.
#[allow(unsafe_code, reason = "pre_exec: the namespaces must be made by a process that has one thread")]
pub(crate) fn in_namespaces(command: &mut Command) -> &mut Command {
    let maps = [
        ("/proc/self/setgroups", "deny".to_string()),
        ("/proc/self/uid_map", format!("0 {} 1", nix::unistd::geteuid())),
        ("/proc/self/gid_map", format!("0 {} 1", nix::unistd::getegid())),
    ];
    let enter = move || -> std::io::Result<()> {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        for (path, text) in &maps {
            fs::write(path, text)?;
        }
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
        Ok(())
    };
    // SAFETY: the closure runs in the forked child before exec; it makes system calls and copies short paths, and takes no lock that
    // another thread of the parent may hold (the C library's allocator is usable in the child of a fork).
    unsafe { command.pre_exec(enter) }
}

/// A routed star: one router, and nodes `n1`, `n2` … at 10.9.0.1, 10.9.0.2 …. Where a switch is the network the router has no links.
pub(crate) struct Star {
    pub(crate) router: OwnedFd,
    pub(crate) targets: Vec<Target>,
}

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 254);

impl Star {
    /// The same nodes, and `clients`, without any link; and a switch between them.
    pub(crate) fn switched(n: u8, seed: u64) -> squall_nemeses::Result<(Star, Switch)> {
        fs::create_dir_all("/run/netns").unwrap();
        let router = netns::new_namespace().unwrap();
        let mut targets: Vec<Target> = Vec::new();
        let mut ends = Vec::new();
        for number in 1..=n + 1 {
            let id = if number > n { "clients".to_string() } else { format!("n{number}") };
            let namespace = netns::new_namespace().unwrap();
            netns::in_namespace(&namespace, || {
                let mut netlink = Netlink::open().unwrap();
                let loopback = netlink.index("lo").unwrap();
                netlink.set_link(loopback, true).unwrap();
            })
            .unwrap();
            let path = PathBuf::from(format!("/run/netns/{id}"));
            netns::bind(&namespace, &path).unwrap();
            let address = Ipv4Addr::new(10, 9, 0, number);
            targets.push(target(&id, address, path));
            ends.push(End { id, address, namespace });
        }
        let star = Star { router, targets };
        Switch::open(&ends, GATEWAY, seed).map(|switch| (star, switch))
    }

    pub(crate) fn new(n: u8) -> Star {
        Star::routed(n, false)
    }

    /// The same, and `clients` behind the last of them.
    pub(crate) fn with_clients(n: u8) -> Star {
        Star::routed(n, true)
    }

    fn routed(n: u8, clients: bool) -> Star {
        let router = netns::new_namespace().unwrap();
        fs::create_dir_all("/run/netns").unwrap();
        netns::bind(&router, "/run/netns/router".as_ref()).unwrap();
        let mut at_router = netns::in_namespace(&router, || {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
            for interfaces in ["all", "default"] {
                fs::write(format!("/proc/sys/net/ipv4/conf/{interfaces}/rp_filter"), "0").unwrap();
            }
            Netlink::open().unwrap()
        })
        .unwrap();
        let mut targets: Vec<Target> = (1..=n)
            .map(|number| add_node(&mut at_router, &format!("n{number}"), number))
            .collect();
        if clients {
            targets.push(add_node(&mut at_router, "clients", n + 1));
        }
        let star = Star { router, targets };
        star.await_links();
        star
    }

    /// Waits until a datagram passes from each node to the next one. A new link passes nothing until the kernel has looked at it, which it does once
    /// a second for all links of the machine (linux/net/core/link_watch.c); until then packets are dropped where nobody counts them.
    fn await_links(&self) {
        let bind = |target: &Target| self.at(&target.id, || UdpSocket::bind((target.address, 0)).unwrap());
        let sockets: Vec<UdpSocket> = self.targets.iter().map(bind).collect();
        for (place, socket) in sockets.iter().enumerate() {
            let next = &sockets[(place + 1) % sockets.len()];
            next.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            let arrives = || {
                socket.send_to(b"there?", next.local_addr().unwrap()).unwrap();
                next.recv(&mut [0; 8]).is_ok()
            };
            assert!(
                (0..1000).any(|_| arrives()),
                "nothing passes to the next of {}",
                self.targets[place].id
            );
        }
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.targets.iter().map(|target| target.id.clone()).collect()
    }

    pub(crate) fn address(&self, id: &str) -> Ipv4Addr {
        self.targets.iter().find(|target| target.id == id).unwrap().address
    }

    /// Runs something inside a node's namespace.
    pub(crate) fn at<R: Send>(&self, id: &str, work: impl FnOnce() -> R + Send) -> R {
        let target = self.targets.iter().find(|target| target.id == id).unwrap();
        netns::in_namespace(netns::open(&target.namespace).unwrap(), work).unwrap()
    }
}

/// Takes the names away, so that the next star of the same test can use them.
impl Drop for Star {
    fn drop(&mut self) {
        for name in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            // A name that stays makes the next star fail loudly.
            let _ = umount2(&name.path(), MntFlags::MNT_DETACH);
        }
    }
}

fn target(id: &str, address: Ipv4Addr, namespace: PathBuf) -> Target {
    Target {
        id: id.into(),
        address,
        namespace,
        interface: format!("v-{id}"),
        init_pid: None,
        data: PathBuf::from("/run"),
    }
}

fn add_node(at_router: &mut Netlink, id: &str, number: u8) -> Target {
    let interface = format!("v-{id}");
    let address = Ipv4Addr::new(10, 9, 0, number);
    let namespace = netns::new_namespace().unwrap();
    at_router.add_arm(&interface, &namespace, address, GATEWAY).unwrap();
    let path = PathBuf::from(format!("/run/netns/{id}"));
    netns::bind(&namespace, &path).unwrap();
    target(id, address, path)
}
