//! The kernel's flow table (conntrack) of a namespace, by ctnetlink (linux/netfilter/nfnetlink_conntrack.h).

use std::net::Ipv4Addr;

use crate::netlink::Netlink;
use crate::netlink::socket::{CREATE, EXCLUSIVE};
use crate::netlink::wire::Message;
use crate::{Error, Result};

/// `NFNL_SUBSYS_CTNETLINK`, and its messages.
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOCOL_STATE: u16 = 4;
const TIMEOUT: u16 = 7;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE_PORT: u16 = 2;
const PROTOCOL_DESTINATION_PORT: u16 = 3;
const STATE_TCP: u16 = 1;
const TCP_STATE: u16 = 1;
/// `TCP_CONNTRACK_ESTABLISHED`.
const ESTABLISHED: u8 = 3;
/// `IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED`: an assured flow is not dropped early when the table is full.
const STATUS_ASSURED: u32 = 0x0e;
/// Longer than any run's fault.
const TIMEOUT_S: u32 = 24 * 3600;

/// A TCP flow from one end to another, without NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    pub(super) from: (Ipv4Addr, u16),
    pub(super) to: (Ipv4Addr, u16),
}

/// The flow table of the namespace in which it was opened.
pub(super) struct Flows {
    netlink: Netlink,
}

impl Flows {
    pub(super) fn open() -> Result<Flows> {
        Ok(Flows {
            netlink: Netlink::open_netfilter()?,
        })
    }

    /// Forgets every flow.
    pub(super) fn flush(&mut self) -> Result<()> {
        self.netlink.request("flush the flow table", message(DELETE, 0)).map(drop)
    }

    /// Makes these flows, as if somebody used them; one that stands already is as good, and so is another in its place. Says how many it made.
    pub(super) fn occupy(&mut self, flows: &[Flow]) -> Result<usize> {
        let mut n_made = 0;
        for flow in flows {
            // Asked first: a look drops a flow whose time is over, which would be in the way here and not in that of a new connection
            // (`nf_conntrack_tuple_taken` in nf_conntrack_core.c).
            if self.stands(flow.back())? {
                continue;
            }
            let (there, back) = (*flow, flow.back());
            let request = message(NEW, CREATE | EXCLUSIVE)
                .nest(TUPLE_ORIGINAL, |tuple| there.append(tuple))
                .nest(TUPLE_REPLY, |tuple| back.append(tuple))
                .be32(STATUS, STATUS_ASSURED)
                .be32(TIMEOUT, TIMEOUT_S)
                .nest(PROTOCOL_STATE, |info| {
                    info.nest(STATE_TCP, |tcp| tcp.attribute(TCP_STATE, &[ESTABLISHED]))
                });
            let is_made = self.unless(nix::errno::Errno::EEXIST, "occupy a port of the balancer", request)?;
            n_made += usize::from(is_made);
        }
        Ok(n_made)
    }

    /// Forgets these flows; one that is gone already is as good. Says how many it forgot.
    pub(super) fn free(&mut self, flows: &[Flow]) -> Result<usize> {
        let mut n_freed = 0;
        for flow in flows {
            let request = message(DELETE, 0).nest(TUPLE_ORIGINAL, |tuple| flow.append(tuple));
            let is_freed = self.unless(nix::errno::Errno::ENOENT, "free a port of the balancer", request)?;
            n_freed += usize::from(is_freed);
        }
        Ok(n_freed)
    }

    /// How many of these flows stand.
    pub(super) fn n_standing(&mut self, flows: &[Flow]) -> Result<usize> {
        let mut n_standing = 0;
        for flow in flows {
            n_standing += usize::from(self.stands(*flow)?);
        }
        Ok(n_standing)
    }

    /// How many of their places are taken: by these flows, or by others whose answers come to the same port.
    pub(super) fn n_taken(&mut self, flows: &[Flow]) -> Result<usize> {
        let mut n_taken = 0;
        for flow in flows {
            n_taken += usize::from(self.stands(flow.back())?);
        }
        Ok(n_taken)
    }

    /// Whether this is one of the two directions of a flow.
    fn stands(&mut self, direction: Flow) -> Result<bool> {
        let request = message(GET, 0).nest(TUPLE_ORIGINAL, |tuple| direction.append(tuple));
        self.unless(nix::errno::Errno::ENOENT, "look a port of the balancer up", request)
    }

    /// Whether it was done; `false` if it was refused for this reason.
    fn unless(&mut self, fine: nix::errno::Errno, what: &str, request: Message) -> Result<bool> {
        match self.netlink.request(what, request) {
            Err(Error::Refused { source, .. }) if source.raw_os_error() == Some(fine as i32) => Ok(false),
            other => other.map(|_| true),
        }
    }
}

impl Flow {
    fn back(self) -> Flow {
        Flow {
            from: self.to,
            to: self.from,
        }
    }

    fn append(self, tuple: Message) -> Message {
        let ((from, source), (to, destination)) = (self.from, self.to);
        tuple
            .nest(TUPLE_IP, |ip| ip.address(IP_SOURCE, from).address(IP_DESTINATION, to))
            .nest(TUPLE_PROTOCOL, |protocol| {
                protocol
                    .attribute(PROTOCOL_NUMBER, &[libc::IPPROTO_TCP as u8])
                    .attribute(PROTOCOL_SOURCE_PORT, &source.to_be_bytes())
                    .attribute(PROTOCOL_DESTINATION_PORT, &destination.to_be_bytes())
            })
    }
}

/// `struct nfgenmsg`: family, version, resource.
fn message(kind: u16, flags: u16) -> Message {
    Message::new(kind, flags).fixed(&[libc::AF_INET as u8, 0, 0, 0])
}
