//! Numbered datagrams over directed links, and when each arrived: what a link does to packets, seen from outside.
//!
//! The sockets are ours, inside the ends' namespaces, and both ends are stamped by one clock; so the time one way is exact, and the answer does
//! not depend on whether a node runs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::seen::{Arrival, Seen};
use crate::link::Pair;
use crate::{Error, Result, Target, netns};

/// Magic, nonce, number, sender, receiver.
const HEADER_BYTES: usize = 8 + 8 + 4 + 2 + 2;
const MAGIC: [u8; 8] = *b"squallfl";
/// Headers of IPv4 and UDP.
const IP_AND_UDP_BYTES: usize = 28;
/// Room for a thousand datagrams that come at once.
const BUFFER_BYTES: usize = 4 << 20;

/// What is sent over each link.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// How many datagrams.
    pub n: u32,
    /// Bytes of each as an IP packet; at least 52.
    pub bytes: usize,
    /// Between two of them.
    pub spacing: Duration,
    /// How long those that are missing are waited for after the last was sent.
    pub patience: Duration,
}

/// A socket in every end's namespace, kept open.
#[derive(Debug)]
pub struct Meter {
    ends: Vec<End>,
    nonce: u64,
}

#[derive(Debug)]
struct End {
    id: String,
    address: SocketAddrV4,
    socket: UdpSocket,
}

/// One link of a flow that is going on.
struct Going {
    pair: Pair,
    from: usize,
    to: usize,
    seen: Seen,
}

impl Meter {
    /// Opens a socket in every end's namespace.
    ///
    /// # Errors
    /// If a namespace cannot be entered, or an end's address is not in it.
    pub fn open(ends: &[Target]) -> Result<Meter> {
        let ends = ends.iter().map(End::open).collect::<Result<_>>()?;
        Ok(Meter { ends, nonce: 0 })
    }

    /// Sends a flow over each of these links, all at once, and says what arrived.
    ///
    /// # Errors
    /// If a link has no such end, or waiting on the sockets fails.
    pub fn measure(&mut self, links: impl IntoIterator<Item = Pair>, flow: Flow) -> Result<BTreeMap<Pair, Seen>> {
        self.nonce += 1;
        let mut going = links.into_iter().map(|pair| self.start(pair)).collect::<Result<Vec<_>>>()?;
        if going.is_empty() {
            return Ok(BTreeMap::new());
        }
        let begin = Instant::now();
        let ns_since = |begin: Instant| u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        for number in 0..flow.n {
            let due = begin + flow.spacing * number;
            while Instant::now() < due {
                self.receive(&mut going, begin, due, flow)?;
            }
            for link in &mut going {
                let datagram = self.datagram(link, number, flow);
                link.seen.sent_ns.push(ns_since(begin));
                // One that the kernel does not take is one that does not arrive.
                let _ = self.ends[link.from].socket.send_to(&datagram, self.ends[link.to].address);
            }
            self.drain(&mut going, begin, flow);
        }
        let deadline = Instant::now() + flow.patience;
        while Instant::now() < deadline && going.iter().any(|link| link.seen.lost() > 0) {
            self.receive(&mut going, begin, deadline, flow)?;
        }
        Ok(going.into_iter().map(|link| (link.pair, link.seen)).collect())
    }

    fn start(&self, pair: Pair) -> Result<Going> {
        let place = |id: &String| {
            let found = self.ends.iter().position(|end| end.id == *id);
            found.ok_or_else(|| Error::Unusable(format!("no end is called `{id}`")))
        };
        Ok(Going {
            from: place(&pair.from)?,
            to: place(&pair.to)?,
            pair,
            seen: Seen::default(),
        })
    }

    /// All of a datagram follows from what it is, so that a turned bit shows.
    fn datagram(&self, link: &Going, number: u32, flow: Flow) -> Vec<u8> {
        let length = flow.bytes.saturating_sub(IP_AND_UDP_BYTES).max(HEADER_BYTES);
        let mut datagram = Vec::with_capacity(length);
        datagram.extend_from_slice(&MAGIC);
        datagram.extend_from_slice(&self.nonce.to_be_bytes());
        datagram.extend_from_slice(&number.to_be_bytes());
        datagram.extend_from_slice(&(link.from as u16).to_be_bytes());
        datagram.extend_from_slice(&(link.to as u16).to_be_bytes());
        datagram.resize(length, number as u8);
        datagram
    }

    /// Waits for datagrams until a moment, and takes those that come.
    fn receive(&self, going: &mut [Going], begin: Instant, until: Instant, flow: Flow) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        let mut polled: Vec<PollFd<'_>> = self.ends.iter().map(|end| PollFd::new(&end.socket, PollFlags::IN)).collect();
        match poll(&mut polled, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("wait for datagrams")(error)),
        }
        self.drain(going, begin, flow);
        Ok(())
    }

    fn drain(&self, going: &mut [Going], begin: Instant, flow: Flow) {
        let mut datagram = [0; 1 << 16];
        for (to, end) in self.ends.iter().enumerate() {
            while let Ok((length, SocketAddr::V4(sender))) = end.socket.recv_from(&mut datagram) {
                let arrived_ns = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
                let from = self.ends.iter().position(|end| end.address == sender);
                let link = going.iter_mut().find(|link| link.to == to && Some(link.from) == from);
                if let Some(link) = link {
                    self.take(link, &datagram[..length], arrived_ns, flow);
                }
            }
        }
    }

    /// Whatever comes from the right sender and is not of an earlier flow belongs to this one, damaged or not.
    fn take(&self, link: &mut Going, datagram: &[u8], arrived_ns: u64, flow: Flow) {
        let field = |range: std::ops::Range<usize>| datagram.get(range);
        let earlier = field(0..8) == Some(&MAGIC[..])
            && field(8..16).is_some_and(|nonce| (1..self.nonce).any(|old| nonce == old.to_be_bytes().as_slice()));
        if earlier {
            return;
        }
        let number = field(16..20).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let intact = number.filter(|number| (*number as usize) < link.seen.sent_ns.len() && self.datagram(link, *number, flow) == datagram);
        match intact {
            Some(number) => link.seen.arrivals.push(Arrival { number, arrived_ns }),
            None => link.seen.n_damaged += 1,
        }
    }
}

impl End {
    fn open(target: &Target) -> Result<End> {
        let address: Ipv4Addr = target.address;
        let open = || -> std::io::Result<(UdpSocket, SocketAddr)> {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            if setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).is_err() {
                // An ordinary user gets what the administrator allows.
                let _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES);
            }
            let bound = socket.local_addr()?;
            Ok((socket, bound))
        };
        let namespace = netns::open(&target.namespace)?;
        let opened = netns::in_namespace(namespace, open)?;
        let (socket, bound) = opened.map_err(Error::system(format!("open a probe socket at `{}`", target.id)))?;
        Ok(End {
            id: target.id.clone(),
            address: SocketAddrV4::new(address, bound.port()),
            socket,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two ends on loopback.
    fn meter() -> Meter {
        let end = |id: &str| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let SocketAddr::V4(address) = socket.local_addr().unwrap() else {
                unreachable!()
            };
            End {
                id: id.into(),
                address,
                socket,
            }
        };
        Meter {
            ends: vec![end("n1"), end("n2")],
            nonce: 0,
        }
    }

    const FLOW: Flow = Flow {
        n: 50,
        bytes: 100,
        spacing: Duration::from_micros(50),
        patience: Duration::from_secs(10),
    };

    #[test]
    fn sees_all_of_a_flow_on_a_healthy_link() {
        let mut meter = meter();
        for _ in 0..2 {
            let seen = meter.measure([Pair::new("n1", "n2"), Pair::new("n2", "n1")], FLOW).unwrap();
            for seen in seen.values() {
                assert_eq!(
                    (seen.sent(), seen.lost(), seen.duplicated(), seen.overtaken(), seen.n_damaged),
                    (50, 0, 0, 0, 0)
                );
            }
        }
    }

    #[test]
    fn tells_damage_from_rubbish_of_earlier_flows_and_of_strangers() {
        let mut meter = meter();
        meter.nonce = 3;
        let mut going = [meter.start(Pair::new("n1", "n2")).unwrap()];
        going[0].seen.sent_ns = vec![0; 2];
        let good = meter.datagram(&going[0], 1, FLOW);
        let mut bad = good.clone();
        bad[70] ^= 4;
        let mut old = good.clone();
        old[15] = 2;
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(&good, meter.ends[1].address).unwrap();
        for datagram in [&good, &bad, &old, &good] {
            meter.ends[0].socket.send_to(datagram, meter.ends[1].address).unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while going[0].seen.arrivals.len() < 2 && Instant::now() < deadline {
            meter.receive(&mut going, Instant::now(), deadline, FLOW).unwrap();
        }
        let seen = &going[0].seen;
        assert_eq!((seen.arrivals.len(), seen.duplicated(), seen.n_damaged), (2, 1, 1));
    }

    #[test]
    fn names_an_end_that_is_not_there() {
        let error = meter().measure([Pair::new("n1", "n9")], FLOW).unwrap_err();
        assert_eq!(error.to_string(), "no end is called `n9`");
    }
}
