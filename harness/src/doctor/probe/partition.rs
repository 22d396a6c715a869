//! Ways to cut links, each opened and tried by the code that a run uses; and the queue that iptables can feed.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use squall_nemeses::balancer::{Balancer, BalancerTrouble, Setup};
use squall_nemeses::links::{BackEnd, Links};
use squall_nemeses::netlink::Netlink;
use squall_nemeses::netlink::wire::Message;
use squall_nemeses::{netns, program_folders};

use super::program::{base_name, find, said};
use super::{Failure, Step, enter, fork, process};

/// Opens the back end in an own network namespace, which makes it take, list and lose a cut.
pub(super) fn cuts(back_end: BackEnd) -> Result<String, Failure> {
    as_in_a_run(|| match Links::open(netns::own_namespace()?, Some(back_end), &program_folders()) {
        Ok(_) => Ok(String::new()),
        Err(error) => Err(unusable(back_end, &error.to_string())),
    })
}

/// What can be done to links here beside cuts: a whole router's worth of it, in JSON.
pub(super) fn links() -> Result<String, Failure> {
    as_in_a_run(|| {
        let mut links = Links::open(netns::own_namespace()?, None, &program_folders())?;
        let abilities = links.shape(&[], None, 0)?;
        serde_json::to_string(abilities).map_err(|error| Failure::said("write down what links can be", error.to_string()))
    })
}

/// Puts a balancer in front of a node that is nowhere, and lets it lose its flow table and its ports.
pub(super) fn nat() -> Result<String, Failure> {
    as_in_a_run(|| {
        let setup = Setup {
            router: netns::own_namespace()?,
            // The network for documentation (RFC 5737).
            address: Ipv4Addr::new(192, 0, 2, 1),
            port: 7000,
            nodes: BTreeMap::from([("n1".into(), Ipv4Addr::new(192, 0, 2, 2))]),
        };
        let balance = || -> squall_nemeses::Result<()> {
            let all = BalancerTrouble {
                flushes: 1,
                no_ports: true,
            };
            let balancer = Balancer::open(setup, &program_folders())?;
            balancer.apply(all)?;
            balancer.apply(BalancerTrouble::default()).map(drop)
        };
        balance().map_err(|error| Failure::said("balance by NAT", error.to_string()))?;
        Ok(String::new())
    })
}

/// What `error` says about the one back end that was asked for.
fn unusable(back_end: BackEnd, error: &str) -> Failure {
    let reason = error.rsplit_once(&format!("{back_end}: ")).map_or(error, |(_, reason)| reason);
    if reason.ends_with("is not installed") {
        return Failure::absent(format!("{back_end}-restore"));
    }
    Failure::said("cut a link", reason)
}

const QUEUE_RULES: &str = "*filter\n:SQUALL-DOCTOR - [0:0]\n-A SQUALL-DOCTOR -j NFQUEUE --queue-num 0\nCOMMIT\n";

/// A rule that feeds queue 0, and a socket that listens to it.
pub(super) fn nfqueue() -> Result<String, Failure> {
    let program = find("iptables-legacy-restore").or_else(|_| find("iptables-nft-restore"))?;
    as_in_a_run(|| {
        load(&program, QUEUE_RULES)?;
        Netlink::open_netfilter()?.request("bind a socket to queue 0", bind_queue())?;
        Ok(format!("by {}", base_name(&program)))
    })
}

/// Own network and pid namespace, fresh /proc (settings are written below it), private /run (the legacy variant locks a file there).
fn as_in_a_run(work: impl FnOnce() -> Result<String, Failure>) -> Result<String, Failure> {
    enter::sandbox(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID)?;
    fork::run(|| {
        process::mount_proc()?;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("size=1m")).step("mount tmpfs on /run")?;
        work()
    })
}

fn load(program: &Path, rules: &str) -> Result<(), Failure> {
    let step = format!("load a rule with {}", base_name(program));
    let mut child = Command::new(program)
        .arg("--noflush")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .step(&format!("run {}", program.display()))?;
    let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    // A program that refuses early closes the pipe; what it says is worth more than the broken pipe.
    let _ = stdin.write_all(rules.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().step(&step)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(Failure::said(step, said(&output)))
    }
}

// linux/netfilter/nfnetlink_queue.h
const SUBSYSTEM: u16 = 3;
const CONFIGURE: u16 = 2;
const COMMAND: u16 = 1;
const BIND: u8 = 1;

fn bind_queue() -> Message {
    // struct nfgenmsg: family, version, resource id (the queue's number), all zero here.
    Message::new(SUBSYSTEM << 8 | CONFIGURE, 0)
        .fixed(&[0; 4])
        .attribute(COMMAND, &[BIND, 0, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::probe::Stage;

    #[test]
    fn tells_a_missing_program_from_one_that_fails() {
        let prefix = "no way to cut links works here: iptables-nft: ";
        let absent = unusable(
            BackEnd::IptablesNft,
            &format!("{prefix}the program `iptables-nft-restore` is not installed"),
        );
        assert_eq!((absent.stage, absent.step.as_str()), (Stage::Absent, "iptables-nft-restore"));
        let refused = unusable(
            BackEnd::IptablesNft,
            &format!("{prefix}`/sbin/x` failed with exit status: 1: no chain"),
        );
        assert_eq!(
            (refused.stage, refused.said.as_str()),
            (Stage::Refused, "`/sbin/x` failed with exit status: 1: no chain")
        );
    }
}
