//! Cuts by nf_tables without its program: table `squall` of family ip, chain `cuts` at the forward hook, one rule per directed pair.
//!
//! A change is one nfnetlink batch: make table and chain if they are not there, flush the chain, add the rules. The kernel applies a batch
//! as a whole or not at all (`nf_tables_commit`). The rules are those that `nft list table ip squall` shows as
//! `ip saddr 10.0.0.1 ip daddr 10.0.0.2 counter drop`.

use std::net::Ipv4Addr;

use super::{AddressCuts, LinkBackEnd, Standing};
use crate::Result;
use crate::netlink::Netlink;
use crate::netlink::socket::{APPEND, CREATE, DUMP};
use crate::netlink::wire::{self, Message, Reply};

const TABLE: &str = "squall";
const CHAIN: &str = "cuts";

// linux/netfilter/nfnetlink.h
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const HEADER: usize = 4;

// linux/netfilter/nf_tables.h: messages, then attributes
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const GET_RULE: u16 = 7;
const DELETE_RULE: u16 = 8;
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const PAYLOAD_TO: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const COMPARE_WHAT: u16 = 1;
const COMPARE_HOW: u16 = 2;
const COMPARE_WITH: u16 = 3;
const IMMEDIATE_TO: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const COUNTER_PACKETS: u16 = 2;

const FORWARD: u32 = 2;
const PRIORITY_FILTER: u32 = 0;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
const NETWORK_HEADER: u32 = 1;
const EQUAL: u32 = 0;
const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
/// Offsets in the IPv4 header (RFC 791 section 3.1).
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

pub(super) struct Nftables {
    netlink: Netlink,
}

impl Nftables {
    /// Opens the socket; the first change makes table and chain.
    pub(super) fn open() -> Result<Nftables> {
        Ok(Nftables {
            netlink: Netlink::open_netfilter()?,
        })
    }

    fn commit(&mut self, what: &str, changes: Vec<Message>) -> Result<()> {
        let last_change = changes.len();
        let mut batch = vec![Message::new(BATCH_BEGIN, 0).fixed(&header(libc::AF_UNSPEC, SUBSYSTEM))];
        batch.extend(changes);
        batch.push(Message::new(BATCH_END, 0).fixed(&header(libc::AF_UNSPEC, SUBSYSTEM)));
        self.netlink.batch_acknowledged_at(what, batch, last_change).map(drop)
    }
}

impl LinkBackEnd for Nftables {
    fn apply(&mut self, cuts: &AddressCuts) -> Result<()> {
        let mut changes = vec![
            message(NEW_TABLE, CREATE).text(TABLE_NAME, TABLE),
            message(NEW_CHAIN, CREATE)
                .text(CHAIN_TABLE, TABLE)
                .text(CHAIN_NAME, CHAIN)
                .nest(CHAIN_HOOK, |hook| {
                    hook.be32(HOOK_NUMBER, FORWARD).be32(HOOK_PRIORITY, PRIORITY_FILTER)
                })
                .be32(CHAIN_POLICY, ACCEPT)
                .text(CHAIN_TYPE, "filter"),
            message(DELETE_RULE, 0).text(RULE_TABLE, TABLE).text(RULE_CHAIN, CHAIN),
        ];
        changes.extend(cuts.iter().map(|&(from, to)| drop_rule(from, to)));
        self.commit("change the table `squall`", changes)
    }

    fn standing(&mut self) -> Result<Standing> {
        let request = message(GET_RULE, DUMP).text(RULE_TABLE, TABLE).text(RULE_CHAIN, CHAIN);
        let rules = self.netlink.request("list the table `squall`", request)?;
        Ok(rules.iter().filter_map(parse_rule).collect())
    }

    fn remove(&mut self) {
        let _ = self.commit("remove the table `squall`", vec![message(DELETE_TABLE, 0).text(TABLE_NAME, TABLE)]);
    }
}

/// `struct nfgenmsg`: family, version, resource in network byte order.
fn header(family: libc::c_int, resource: u16) -> [u8; HEADER] {
    let [high, low] = resource.to_be_bytes();
    [family as u8, 0, high, low]
}

fn message(kind: u16, flags: u16) -> Message {
    Message::new(SUBSYSTEM << 8 | kind, flags).fixed(&header(libc::AF_INET, 0))
}

fn drop_rule(from: Ipv4Addr, to: Ipv4Addr) -> Message {
    message(NEW_RULE, CREATE | APPEND)
        .text(RULE_TABLE, TABLE)
        .text(RULE_CHAIN, CHAIN)
        .nest(RULE_EXPRESSIONS, |rule| {
            let rule = match_address(match_address(rule, SOURCE, from), DESTINATION, to);
            let rule = expression(rule, "counter", |counter| counter);
            expression(rule, "immediate", |immediate| {
                immediate.be32(IMMEDIATE_TO, REGISTER_VERDICT).nest(IMMEDIATE_DATA, |data| {
                    data.nest(DATA_VERDICT, |verdict| verdict.be32(VERDICT_CODE, DROP))
                })
            })
        })
}

fn match_address(rule: Message, offset: u32, address: Ipv4Addr) -> Message {
    let rule = expression(rule, "payload", |payload| {
        payload
            .be32(PAYLOAD_TO, REGISTER_1)
            .be32(PAYLOAD_BASE, NETWORK_HEADER)
            .be32(PAYLOAD_OFFSET, offset)
            .be32(PAYLOAD_LENGTH, address.octets().len() as u32)
    });
    expression(rule, "cmp", |compare| {
        compare
            .be32(COMPARE_WHAT, REGISTER_1)
            .be32(COMPARE_HOW, EQUAL)
            .nest(COMPARE_WITH, |data| data.address(DATA_VALUE, address))
    })
}

fn expression(rule: Message, name: &str, build: impl FnOnce(Message) -> Message) -> Message {
    rule.nest(LIST_ELEMENT, |element| {
        element.text(EXPRESSION_NAME, name).nest(EXPRESSION_DATA, build)
    })
}

/// The inverse of [`drop_rule`]: the two compared values are source and destination.
fn parse_rule(reply: &Reply) -> Option<((Ipv4Addr, Ipv4Addr), Option<u64>)> {
    let mut addresses = Vec::new();
    let mut packets = None;
    for (_, element) in wire::attributes(reply.attributes(HEADER).find(RULE_EXPRESSIONS)?) {
        let name = wire::attributes(element).find(EXPRESSION_NAME)?;
        let data = wire::attributes(element).find(EXPRESSION_DATA).unwrap_or_default();
        match name {
            b"cmp\0" => {
                let value = wire::attributes(wire::attributes(data).find(COMPARE_WITH)?).find(DATA_VALUE)?;
                addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?));
            }
            b"counter\0" => {
                packets = wire::attributes(data)
                    .find(COUNTER_PACKETS)
                    .and_then(|count| count.try_into().ok())
                    .map(u64::from_be_bytes)
            }
            _ => {}
        }
    }
    let [from, to] = addresses[..] else { return None };
    Some(((from, to), packets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_the_rule_it_writes() {
        let pair = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let sent = wire::messages(&drop_rule(pair.0, pair.1).finish(0, 1));
        assert_eq!(parse_rule(&sent[0]), Some((pair, None)));
    }

    #[test]
    fn ignores_a_rule_of_another_form() {
        let other = message(NEW_RULE, 0).nest(RULE_EXPRESSIONS, |rule| match_address(rule, SOURCE, Ipv4Addr::LOCALHOST));
        assert_eq!(parse_rule(&wire::messages(&other.finish(0, 1))[0]), None);
    }
}
