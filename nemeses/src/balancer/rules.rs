//! The NAT of the balancer, by whichever iptables works: the same tables as the cuts', so that the two variants never meet in one namespace.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{FIRST_PORT, N_PORTS, PROBE_PORT, Setup};
use crate::program::{find, run};
use crate::{Error, Result};

/// A commit takes 3 ms; a loaded machine may need a hundred times that.
const PROGRAM_LIMIT: Duration = Duration::from_secs(5);
const CHAIN: &str = "SQUALL-LB";
/// Probes have turns of their own, so that as many of them as there are nodes meet every node, whatever clients do meanwhile.
const PROBES_CHAIN: &str = "SQUALL-LB-PROBES";

/// Installs the rules in the calling thread's namespace.
pub(super) fn install(setup: &Setup, folders: &[PathBuf]) -> Result<()> {
    let table = table(setup);
    let mut refused = Vec::new();
    // The plain program is whichever variant the machine prefers.
    for name in ["iptables-legacy-restore", "iptables-nft-restore", "iptables-restore"] {
        let Some(program) = find(name, folders) else { continue };
        match commit(&program, &table) {
            Ok(()) => return Ok(()),
            Err(error) => refused.push(format!("{name}: {error}")),
        }
    }
    let reasons = if refused.is_empty() {
        "no `iptables-restore` is installed".into()
    } else {
        refused.join("; ")
    };
    Err(Error::Unusable(format!("no way to balance by NAT works here: {reasons}")))
}

fn commit(program: &Path, table: &str) -> Result<()> {
    run(program, &["--noflush", "-w", "3"], table, PROGRAM_LIMIT).map(drop)
}

/// Of n nodes the first takes every n-th connection, the next every (n-1)-th of the rest, and so on.
fn table(setup: &Setup) -> String {
    let (vip, n_nodes) = (setup.address, setup.nodes.len());
    let mut text = format!("*nat\n:{CHAIN} - [0:0]\n:{PROBES_CHAIN} - [0:0]\n");
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes everything");
    for (port, chain) in [(setup.port, CHAIN), (PROBE_PORT, PROBES_CHAIN)] {
        line(format!("-A PREROUTING -d {vip}/32 -p tcp -m tcp --dport {port} -j {chain}"));
        for (place, node) in setup.nodes.values().enumerate() {
            let left = n_nodes - place;
            let turn = if left > 1 {
                format!("-m statistic --mode nth --every {left} --packet 0 ")
            } else {
                String::new()
            };
            line(format!("-A {chain} -p tcp {turn}-j DNAT --to-destination {node}"));
        }
    }
    let last = FIRST_PORT + N_PORTS - 1;
    line(format!(
        "-A POSTROUTING -p tcp -m conntrack --ctstate DNAT --ctorigdst {vip}/32 -j SNAT --to-source {vip}:{FIRST_PORT}-{last}"
    ));
    line("COMMIT".into());
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn every_node_has_its_turn_and_only_its_own_port_is_balanced() {
        let node = |number: u8| (format!("n{number}"), Ipv4Addr::new(10, 0, 0, number));
        let setup = Setup {
            // No rule is installed here.
            router: std::fs::File::open("/dev/null").unwrap().into(),
            address: Ipv4Addr::new(10, 0, 0, 9),
            port: 7000,
            nodes: BTreeMap::from([node(1), node(2), node(3)]),
        };
        insta::assert_snapshot!(table(&setup), @r"
        *nat
        :SQUALL-LB - [0:0]
        :SQUALL-LB-PROBES - [0:0]
        -A PREROUTING -d 10.0.0.9/32 -p tcp -m tcp --dport 7000 -j SQUALL-LB
        -A SQUALL-LB -p tcp -m statistic --mode nth --every 3 --packet 0 -j DNAT --to-destination 10.0.0.1
        -A SQUALL-LB -p tcp -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 10.0.0.2
        -A SQUALL-LB -p tcp -j DNAT --to-destination 10.0.0.3
        -A PREROUTING -d 10.0.0.9/32 -p tcp -m tcp --dport 19999 -j SQUALL-LB-PROBES
        -A SQUALL-LB-PROBES -p tcp -m statistic --mode nth --every 3 --packet 0 -j DNAT --to-destination 10.0.0.1
        -A SQUALL-LB-PROBES -p tcp -m statistic --mode nth --every 2 --packet 0 -j DNAT --to-destination 10.0.0.2
        -A SQUALL-LB-PROBES -p tcp -j DNAT --to-destination 10.0.0.3
        -A POSTROUTING -p tcp -m conntrack --ctstate DNAT --ctorigdst 10.0.0.9/32 -j SNAT --to-source 10.0.0.9:20000-20127
        COMMIT
        ");
    }
}
