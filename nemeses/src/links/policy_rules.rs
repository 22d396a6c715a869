//! Cuts by policy routing rules: `from A to B blackhole`, for kernels and users without any packet filter.
//!
//! Rules are changed one at a time, so the cuts stand twice, in two banks, and one rule decides which bank a packet meets:
//!
//! ```text
//!  1000  goto 1200            the switch: there = bank B is in force, absent = bank A
//!  1100  from A to B blackhole …                  bank A
//!  1101  goto 1300
//!  1200  nop
//!  1201  from A to B blackhole …                  bank B
//!  1300  nop
//! ```
//!
//! A change fills the idle bank and then adds or deletes the switch, which is the atomic step. The bank left behind keeps its rules until the
//! next change: a packet that is still walking through it must meet all of them. What is in which bank is read from the kernel each
//! time, so that a change that failed half way cannot confuse the next.
//!
//! The router looks up a route for every forwarded packet, so a cut holds from the next packet on; `blackhole` drops without an ICMP error
//! (`ip_error`, case `EINVAL`).

use std::net::Ipv4Addr;
use std::path::Path;

use super::{AddressCuts, LinkBackEnd, Standing};
use crate::netlink::Netlink;
use crate::netlink::socket::{CREATE, DUMP};
use crate::netlink::wire::{Message, Reply};
use crate::{Error, Result};

const SWITCH: u32 = 1000;
const BANK_A: u32 = 1100;
const SKIP_B: u32 = 1101;
const ENTRY_B: u32 = 1200;
const BANK_B: u32 = 1201;
const END: u32 = 1300;

/// Marks our rules; no routing daemon uses it (linux/rtnetlink.h, `RTPROT_…`).
const OUR_PROTOCOL: u8 = 83;

// linux/fib_rules.h
const HEADER: usize = 12;
const GOTO: u8 = 2;
const NOP: u8 = 3;
const BLACKHOLE: u8 = 6;
const ATTRIBUTE_TO: u16 = 1;
const ATTRIBUTE_FROM: u16 = 2;
const ATTRIBUTE_GOTO: u16 = 4;
const ATTRIBUTE_PRIORITY: u16 = 6;
const ATTRIBUTE_PROTOCOL: u16 = 21;

/// A rule takes 64 bytes, a socket's buffer at least 200 KiB. Nothing is gained by more: no change but that of the switch has to be atomic.
const RULES_PER_DATAGRAM: usize = 512;

/// Kernel settings per interface, as the reading thread's namespace sees them.
const INTERFACES: &str = "/proc/sys/net/ipv4/conf";

pub(super) struct PolicyRules {
    netlink: Netlink,
}

/// One of our rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    priority: u32,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Goto(u32),
    Nop,
    Blackhole(Ipv4Addr, Ipv4Addr),
}

impl PolicyRules {
    /// Removes what a former owner left and lays out the empty banks.
    pub(super) fn open() -> Result<PolicyRules> {
        switch_off_reverse_path_filter(Path::new(INTERFACES))?;
        let mut opened = PolicyRules { netlink: Netlink::open()? };
        opened.clear()?;
        // The ends of jumps first: a rule that jumps to nowhere is passed over.
        for rule in [
            Rule {
                priority: END,
                action: Action::Nop,
            },
            Rule {
                priority: ENTRY_B,
                action: Action::Nop,
            },
            Rule {
                priority: SKIP_B,
                action: Action::Goto(END),
            },
        ] {
            opened.change(libc::RTM_NEWRULE, &[rule])?;
        }
        Ok(opened)
    }

    fn clear(&mut self) -> Result<()> {
        let rules = self.list()?;
        self.change(libc::RTM_DELRULE, &rules)
    }

    fn list(&mut self) -> Result<Vec<Rule>> {
        let request = Message::new(libc::RTM_GETRULE, DUMP).fixed(&header(NOP, 0));
        let replies = self.netlink.request("list policy rules", request)?;
        Ok(replies.iter().filter_map(parse).collect())
    }

    /// Adds or deletes rules, one after another.
    fn change(&mut self, kind: u16, rules: &[Rule]) -> Result<()> {
        let flags = if kind == libc::RTM_NEWRULE { CREATE } else { 0 };
        for some in rules.chunks(RULES_PER_DATAGRAM) {
            let messages = some.iter().map(|rule| message(kind, flags, rule)).collect();
            self.netlink.batch("change policy rules", messages)?;
        }
        Ok(())
    }
}

impl LinkBackEnd for PolicyRules {
    fn apply(&mut self, cuts: &AddressCuts) -> Result<()> {
        let rules = self.list()?;
        let switch = Rule {
            priority: SWITCH,
            action: Action::Goto(ENTRY_B),
        };
        let b_in_force = rules.contains(&switch);
        let idle = if b_in_force { BANK_A } else { BANK_B };
        let stale: Vec<Rule> = rules.into_iter().filter(|rule| rule.priority == idle).collect();
        self.change(libc::RTM_DELRULE, &stale)?;
        let fresh: Vec<Rule> = cuts
            .iter()
            .map(|&(from, to)| Rule {
                priority: idle,
                action: Action::Blackhole(from, to),
            })
            .collect();
        self.change(libc::RTM_NEWRULE, &fresh)?;
        self.change(if b_in_force { libc::RTM_DELRULE } else { libc::RTM_NEWRULE }, &[switch])
    }

    fn standing(&mut self) -> Result<Standing> {
        let rules = self.list()?;
        let in_force = if rules.iter().any(|rule| rule.priority == SWITCH) {
            BANK_B
        } else {
            BANK_A
        };
        let cuts = rules
            .iter()
            .filter(|rule| rule.priority == in_force)
            .filter_map(|rule| match rule.action {
                Action::Blackhole(from, to) => Some(((from, to), None)),
                Action::Goto(_) | Action::Nop => None,
            });
        Ok(cuts.collect())
    }

    fn remove(&mut self) {
        let _ = self.clear();
    }
}

/// With a reverse path filter the router also asks whether the *answer* could be routed, and a one-way cut becomes a two-way one.
/// The greater of an interface's own value and that of `all` counts.
fn switch_off_reverse_path_filter(interfaces: &Path) -> Result<()> {
    let what = || format!("read {}", interfaces.display());
    for interface in interfaces.read_dir().map_err(Error::system(what()))? {
        let setting = interface.map_err(Error::system(what()))?.path().join("rp_filter");
        let is_off = || std::fs::read_to_string(&setting).is_ok_and(|value| value.trim() == "0");
        if !is_off() {
            let _ = std::fs::write(&setting, "0");
            if !is_off() {
                return Err(Error::Unusable(format!(
                    "{} is not 0 and cannot be changed; one-way cuts would cut both ways",
                    setting.display()
                )));
            }
        }
    }
    Ok(())
}

/// `struct fib_rule_hdr`: family, destination bits, source bits, service, table, two reserved, action, flags.
fn header(action: u8, address_bits: u8) -> [u8; HEADER] {
    [libc::AF_INET as u8, address_bits, address_bits, 0, 0, 0, 0, action, 0, 0, 0, 0]
}

fn message(kind: u16, flags: u16, rule: &Rule) -> Message {
    let (action, address_bits) = match rule.action {
        Action::Goto(_) => (GOTO, 0),
        Action::Nop => (NOP, 0),
        Action::Blackhole(..) => (BLACKHOLE, 32),
    };
    let message = Message::new(kind, flags)
        .fixed(&header(action, address_bits))
        .u32(ATTRIBUTE_PRIORITY, rule.priority)
        .attribute(ATTRIBUTE_PROTOCOL, &[OUR_PROTOCOL]);
    match rule.action {
        Action::Goto(target) => message.u32(ATTRIBUTE_GOTO, target),
        Action::Nop => message,
        Action::Blackhole(from, to) => message.address(ATTRIBUTE_FROM, from).address(ATTRIBUTE_TO, to),
    }
}

/// The inverse of [`message`]; `None` for rules of others.
fn parse(reply: &Reply) -> Option<Rule> {
    let find = |kind| reply.attributes(HEADER).find(kind);
    let number = |kind| find(kind)?.try_into().ok().map(u32::from_ne_bytes);
    let address = |kind| find(kind)?.try_into().ok().map(<[u8; 4]>::into).map(|address: Ipv4Addr| address);
    if find(ATTRIBUTE_PROTOCOL)? != [OUR_PROTOCOL] {
        return None;
    }
    let action = match *reply.body.get(7)? {
        GOTO => Action::Goto(number(ATTRIBUTE_GOTO)?),
        NOP => Action::Nop,
        BLACKHOLE => Action::Blackhole(address(ATTRIBUTE_FROM)?, address(ATTRIBUTE_TO)?),
        _ => return None,
    };
    Some(Rule {
        priority: number(ATTRIBUTE_PRIORITY)?,
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::wire;

    #[test]
    fn reads_back_the_rules_it_writes() {
        for action in [
            Action::Goto(END),
            Action::Nop,
            Action::Blackhole([10, 0, 0, 1].into(), [10, 0, 0, 2].into()),
        ] {
            let rule = Rule { priority: 7, action };
            let sent = wire::messages(&message(libc::RTM_NEWRULE, CREATE, &rule).finish(0, 1));
            assert_eq!(parse(&sent[0]), Some(rule));
        }
    }

    #[test]
    fn leaves_the_rules_of_others_alone() {
        let other = Message::new(libc::RTM_NEWRULE, 0)
            .fixed(&header(NOP, 0))
            .u32(ATTRIBUTE_PRIORITY, END)
            .attribute(ATTRIBUTE_PROTOCOL, &[2]);
        assert_eq!(parse(&wire::messages(&other.finish(0, 1))[0]), None);
    }

    #[test]
    fn refuses_a_reverse_path_filter_that_stays_on() {
        let interfaces = tempfile::tempdir().unwrap();
        let all = interfaces.path().join("all");
        std::fs::create_dir(&all).unwrap();
        std::fs::write(all.join("rp_filter"), "2\n").unwrap();
        switch_off_reverse_path_filter(interfaces.path()).unwrap();
        assert_eq!(std::fs::read_to_string(all.join("rp_filter")).unwrap(), "0");
        // A folder in place of the setting can be neither read nor written, by root either.
        std::fs::create_dir_all(interfaces.path().join("veth/rp_filter")).unwrap();
        assert!(
            switch_off_reverse_path_filter(interfaces.path())
                .unwrap_err()
                .to_string()
                .contains("one-way cuts would cut both ways")
        );
    }
}
