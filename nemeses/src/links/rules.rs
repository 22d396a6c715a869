//! What the packet filter does to bad links beside cuts: ports, large packets, resets, losses; and whose packets are queued for us.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::AddressPair;
use crate::link::{CERTAIN_PPM, Quality};

/// Ports in one rule (`XT_MULTI_PORTS`).
const PORTS_PER_RULE: usize = 15;

/// One thing to do to the packets of a directed link, in the order in which a packet meets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// TCP and UDP packets from or to these ports do not pass.
    Ports(AddressPair, BTreeSet<u16>),
    /// TCP segments are answered by an RST.
    Refuse(AddressPair),
    /// So are those of connections that were there before this epoch, which begins at 1; of either direction. One that is silent is reset when it speaks.
    Reset(AddressPair, u32),
    /// Packets of more bytes do not pass.
    TooLarge(AddressPair, u16),
    /// Parts per million are lost.
    Lose(AddressPair, u32),
    /// The rest is queued.
    Queue(AddressPair, u16),
}

impl Rule {
    /// Appends the rule as lines for `iptables-restore`.
    pub(super) fn write(&self, chain: &str, lines: &mut String) {
        let mut add = |pair: &AddressPair, rest: &str| {
            let (from, to) = pair;
            writeln!(lines, "-A {chain} -s {from} -d {to} {rest}").expect("a String takes everything");
        };
        match self {
            Rule::Ports(pair, ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                for some in ports.chunks(PORTS_PER_RULE) {
                    for protocol in ["tcp", "udp"] {
                        add(pair, &format!("-p {protocol} -m multiport --ports {} -j DROP", some.join(",")));
                    }
                }
            }
            // An RST passes: by it the other end hears that the connection is no more.
            Rule::Refuse(pair) => add(pair, "-p tcp ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset"),
            Rule::Reset((one, other), epoch) => {
                // Connections opened since bear the epoch's mark; those from before, and those that the kernel meets midway, do not.
                for pair in [(*one, *other), (*other, *one)] {
                    add(&pair, &format!("-p tcp --syn -j CONNMARK --set-mark {epoch}"));
                }
                for pair in [(*one, *other), (*other, *one)] {
                    let old = format!("-p tcp ! --tcp-flags RST RST -m connmark ! --mark {epoch}");
                    add(&pair, &format!("{old} -j REJECT --reject-with tcp-reset"));
                }
            }
            Rule::TooLarge(pair, mtu) => add(pair, &format!("-m length --length {}:65535 -j DROP", mtu.saturating_add(1))),
            Rule::Lose(pair, ppm) => {
                let share = f64::from(*ppm) / f64::from(CERTAIN_PPM);
                add(pair, &format!("-m statistic --mode random --probability {share:.6} -j DROP"));
            }
            Rule::Queue(pair, number) => add(pair, &format!("-j NFQUEUE --queue-num {number}")),
        }
    }
}

/// Turns qualities into rules. It remembers the resets: a connection that was opened after one lives on when another fault is healed.
#[derive(Clone, Debug, Default)]
pub(super) struct Rulebook {
    resets: BTreeMap<AddressPair, Resets>,
}

/// The resets between two addresses, whoever sends.
#[derive(Clone, Copy, Debug, Default)]
struct Resets {
    asked: u32,
    epoch: u32,
}

/// Which of a link's troubles are for the packet filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Whether independent losses are.
    pub(super) losses: bool,
    /// Where to queue what is left to do, if anywhere.
    pub(super) queue: Option<u16>,
}

impl Rulebook {
    /// The rules for these links. `queued` says which of them have something left to be done in user space.
    pub(super) fn rules(&mut self, links: &BTreeMap<AddressPair, Quality>, share: Share, queued: impl Fn(&Quality) -> bool) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (pair, quality) in links.iter().filter(|(_, quality)| !quality.cut) {
            if !quality.cut_ports.is_empty() {
                rules.push(Rule::Ports(*pair, quality.cut_ports.clone()));
            }
            if quality.refuse {
                rules.push(Rule::Refuse(*pair));
            }
        }
        rules.extend(self.resets(links));
        for (pair, quality) in links.iter().filter(|(_, quality)| !quality.cut) {
            rules.extend(quality.mtu.map(|mtu| Rule::TooLarge(*pair, mtu)));
            rules.extend((share.losses && quality.loss_ppm > 0).then_some(Rule::Lose(*pair, quality.loss_ppm)));
            rules.extend(share.queue.filter(|_| queued(quality)).map(|number| Rule::Queue(*pair, number)));
        }
        rules
    }

    fn resets(&mut self, links: &BTreeMap<AddressPair, Quality>) -> Vec<Rule> {
        let mut asked: BTreeMap<AddressPair, u32> = BTreeMap::new();
        for ((from, to), quality) in links {
            *asked.entry((*from.min(to), *from.max(to))).or_default() += quality.resets;
        }
        for (pair, resets) in &mut self.resets {
            resets.asked = resets.asked.min(asked.get(pair).copied().unwrap_or(0));
        }
        for (pair, now) in asked.into_iter().filter(|(_, now)| *now > 0) {
            let resets = self.resets.entry(pair).or_default();
            if now > resets.asked {
                (resets.asked, resets.epoch) = (now, resets.epoch + 1);
            }
        }
        let standing = self.resets.iter().filter(|(_, resets)| resets.asked > 0);
        standing.map(|(pair, resets)| Rule::Reset(*pair, resets.epoch)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const ALL: Share = Share {
        losses: true,
        queue: Some(0),
    };

    fn links(quality: Quality) -> BTreeMap<AddressPair, Quality> {
        BTreeMap::from([((ONE, OTHER), quality)])
    }

    fn epochs(rules: &[Rule]) -> Vec<u32> {
        let epoch = |rule: &Rule| match rule {
            Rule::Reset(pair, epoch) => {
                assert_eq!(*pair, (ONE, OTHER));
                Some(*epoch)
            }
            _ => None,
        };
        rules.iter().filter_map(epoch).collect()
    }

    #[test]
    fn a_packet_meets_the_rules_in_the_order_of_the_qualitys_parts() {
        let quality = Quality {
            cut_ports: BTreeSet::from([80, 443]),
            refuse: true,
            mtu: Some(1200),
            loss_ppm: 100_000,
            delay_us: 5,
            ..Quality::default()
        };
        let mut lines = String::new();
        for rule in Rulebook::default().rules(&links(quality), ALL, |_| true) {
            rule.write("C", &mut lines);
        }
        insta::assert_snapshot!(lines, @r"
        -A C -s 10.0.0.1 -d 10.0.0.2 -p tcp -m multiport --ports 80,443 -j DROP
        -A C -s 10.0.0.1 -d 10.0.0.2 -p udp -m multiport --ports 80,443 -j DROP
        -A C -s 10.0.0.1 -d 10.0.0.2 -p tcp ! --tcp-flags RST RST -j REJECT --reject-with tcp-reset
        -A C -s 10.0.0.1 -d 10.0.0.2 -m length --length 1201:65535 -j DROP
        -A C -s 10.0.0.1 -d 10.0.0.2 -m statistic --mode random --probability 0.100000 -j DROP
        -A C -s 10.0.0.1 -d 10.0.0.2 -j NFQUEUE --queue-num 0
        ");
    }

    #[test]
    fn a_rise_of_the_resets_begins_an_epoch_and_a_heal_does_not() {
        let resets = |resets| {
            links(Quality {
                resets,
                ..Quality::default()
            })
        };
        let mut book = Rulebook::default();
        let mut after = |n| epochs(&book.rules(&resets(n), ALL, |_| false));
        assert_eq!([after(1), after(1), after(2)], [[1], [1], [2]]);
        assert_eq!(after(1), [2], "connections opened since the second reset live on");
        assert_eq!((after(0), after(1)), (vec![], vec![3]));
    }

    #[test]
    fn a_reset_tells_old_connections_from_new_ones_by_their_mark() {
        let mut lines = String::new();
        Rule::Reset((ONE, OTHER), 3).write("C", &mut lines);
        insta::assert_snapshot!(lines, @r"
        -A C -s 10.0.0.1 -d 10.0.0.2 -p tcp --syn -j CONNMARK --set-mark 3
        -A C -s 10.0.0.2 -d 10.0.0.1 -p tcp --syn -j CONNMARK --set-mark 3
        -A C -s 10.0.0.1 -d 10.0.0.2 -p tcp ! --tcp-flags RST RST -m connmark ! --mark 3 -j REJECT --reject-with tcp-reset
        -A C -s 10.0.0.2 -d 10.0.0.1 -p tcp ! --tcp-flags RST RST -m connmark ! --mark 3 -j REJECT --reject-with tcp-reset
        ");
    }

    #[test]
    fn a_link_that_is_cut_needs_no_other_rule() {
        let quality = Quality {
            loss_ppm: 5,
            ..Quality::cut()
        };
        assert_eq!(Rulebook::default().rules(&links(quality), ALL, |_| true), []);
    }

    #[test]
    fn ports_are_as_many_to_a_rule_as_the_kernel_takes() {
        let mut lines = String::new();
        Rule::Ports((ONE, OTHER), (1..=16).collect()).write("C", &mut lines);
        assert_eq!(lines.lines().count(), 4);
        assert!(lines.lines().last().unwrap().ends_with("--ports 16 -j DROP"));
    }
}
