//! Proof that cuts bite and that everything else still passes: datagrams between sockets inside the nodes' own namespaces.
//!
//! UDP, because a ping needs the way back and so cannot show a cut in one direction. The sockets are ours, not the node's: the answer
//! does not depend on whether the node runs, is paused or is dead.
//!
//! A round sends a datagram over every directed pair, the cut ones first, and repeats those that have not arrived until every pair that must pass
//! has. The pairs that must pass are the measure of how long a datagram takes on this machine at this moment; what should be cut gets a
//! little longer than that. A round in which something leaked is followed by another one until the bound: a cut that comes into force late
//! is proved late, one that never does is reported.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::partition::Cuts;
use crate::{Error, Result, Target, netns};

/// How much longer a cut pair must stay silent once all others have arrived. A datagram between two namespaces takes 5 us, and 36 us at the
/// 99th percentile of a loaded machine.
const GRACE: Duration = Duration::from_millis(1);
/// First pause before a repetition; it doubles.
const REPEAT_MIN: Duration = Duration::from_millis(2);
const REPEAT_MAX: Duration = Duration::from_millis(50);
/// A node may send rubbish to our port; look at the clock at least this often.
const DATAGRAMS_PER_LOOK: usize = 256;

const MAGIC: [u8; 8] = *b"squallpr";
const DATAGRAM_BYTES: usize = 20;

/// Sockets inside every node's namespace, kept open.
#[derive(Debug)]
pub struct Prober {
    ends: Vec<End>,
    nonce: u64,
    /// How long a cut pair must stay silent once all others have arrived.
    grace: Duration,
}

#[derive(Debug)]
struct End {
    id: String,
    address: SocketAddrV4,
    socket: UdpSocket,
}

/// Which directed pairs of nodes pass datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// The nodes, in the order of the prober.
    pub nodes: Vec<String>,
    /// The pairs (from, to) over which a datagram arrived.
    pub passed: BTreeSet<(String, String)>,
}

/// What a probe showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeReport {
    /// Whether every pair was as expected, in one and the same round.
    pub ok: bool,
    /// Pairs that should be cut and passed a datagram in the last round.
    pub leaked: Vec<(String, String)>,
    /// Pairs that should pass and did not.
    pub dead: Vec<(String, String)>,
    /// Rounds it took.
    pub rounds: u32,
    /// From the first datagram to the end of the last round.
    pub took_us: u64,
}

/// Directed pairs by place in `ends`.
type Places = BTreeSet<(usize, usize)>;

impl Prober {
    /// Opens a socket in every node's namespace.
    ///
    /// # Errors
    /// If a namespace cannot be entered, or a node's address is not in it.
    pub fn open(targets: &[Target]) -> Result<Prober> {
        let ends = targets
            .iter()
            .map(|target| End::open(&target.id, target.address, &target.namespace))
            .collect::<Result<_>>()?;
        Ok(Prober {
            ends,
            nonce: 0,
            grace: GRACE,
        })
    }

    /// From now on a cut pair must stay silent for so long more: where links are slow, what leaks comes late.
    pub fn wait_longer(&mut self, by: Duration) {
        self.grace = GRACE + by;
    }

    /// Sends one datagram over every directed pair and says which arrived within `wait`; returns at once when all have.
    ///
    /// # Errors
    /// If waiting on the sockets fails.
    pub fn matrix(&mut self, wait: Duration) -> Result<Matrix> {
        let all = self.pairs();
        let mut arrived = Places::new();
        self.nonce += 1;
        self.send(&all);
        self.receive(&mut arrived, &all, Instant::now() + wait)?;
        Ok(Matrix {
            nodes: self.ends.iter().map(|end| end.id.clone()).collect(),
            passed: arrived.iter().map(|&pair| self.names(pair)).collect(),
        })
    }

    /// Proves that exactly `expected` is cut and every other pair passes, or says within `bound` what differs.
    ///
    /// # Errors
    /// If `expected` names an unknown node, or waiting on the sockets fails.
    pub fn prove(&mut self, expected: &Cuts, bound: Duration) -> Result<ProbeReport> {
        let start = Instant::now();
        let deadline = start + bound;
        let cut = expected.iter().map(|pair| self.places(pair)).collect::<Result<Places>>()?;
        let must_pass: Places = self.pairs().difference(&cut).copied().collect();
        for rounds in 1.. {
            let arrived = self.round(&cut, &must_pass, deadline)?;
            let leaked: Vec<_> = cut.intersection(&arrived).map(|&pair| self.names(pair)).collect();
            let dead: Vec<_> = must_pass.difference(&arrived).map(|&pair| self.names(pair)).collect();
            let ok = leaked.is_empty() && dead.is_empty();
            if ok || Instant::now() >= deadline {
                let took_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                return Ok(ProbeReport {
                    ok,
                    leaked,
                    dead,
                    rounds,
                    took_us,
                });
            }
        }
        unreachable!("every round takes at least the grace, so the deadline comes before four billion rounds")
    }

    /// One round: returns what arrived of its own datagrams.
    fn round(&mut self, cut: &Places, must_pass: &Places, deadline: Instant) -> Result<Places> {
        self.nonce += 1;
        let mut arrived = Places::new();
        let mut pause = REPEAT_MIN;
        loop {
            self.send(cut);
            self.send(&must_pass.difference(&arrived).copied().collect());
            self.receive(&mut arrived, must_pass, deadline.min(Instant::now() + pause))?;
            if must_pass.is_subset(&arrived) || Instant::now() >= deadline {
                break;
            }
            pause = (pause * 2).min(REPEAT_MAX);
        }
        // Wanting what cannot come makes it wait to the end.
        self.receive(&mut arrived, &self.pairs_and_one_more(), Instant::now() + self.grace)?;
        Ok(arrived)
    }

    /// A datagram that the kernel will not take counts as one that does not arrive.
    fn send(&self, pairs: &Places) {
        for &(from, to) in pairs {
            let mut datagram = [0; DATAGRAM_BYTES];
            datagram[..8].copy_from_slice(&MAGIC);
            datagram[8..16].copy_from_slice(&self.nonce.to_be_bytes());
            datagram[16..18].copy_from_slice(&(from as u16).to_be_bytes());
            datagram[18..].copy_from_slice(&(to as u16).to_be_bytes());
            let _ = self.ends[from].socket.send_to(&datagram, self.ends[to].address);
        }
    }

    /// Adds to `arrived` until it holds all of `wanted` or the deadline is past.
    fn receive(&self, arrived: &mut Places, wanted: &Places, deadline: Instant) -> Result<()> {
        loop {
            for to in 0..self.ends.len() {
                self.drain(to, arrived);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || wanted.is_subset(arrived) {
                return Ok(());
            }
            let mut polled: Vec<PollFd<'_>> = self.ends.iter().map(|end| PollFd::new(&end.socket, PollFlags::IN)).collect();
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut polled, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::system("wait for probe datagrams")(error)),
            }
        }
    }

    fn drain(&self, to: usize, arrived: &mut Places) {
        let mut datagram = [0; DATAGRAM_BYTES + 1];
        for _ in 0..DATAGRAMS_PER_LOOK {
            let Ok((length, SocketAddr::V4(sender))) = self.ends[to].socket.recv_from(&mut datagram) else {
                return;
            };
            if let Some(from) = self.sender_of(&datagram[..length], to)
                && self.ends[from].address == sender
            {
                arrived.insert((from, to));
            }
        }
    }

    /// Which end sent a datagram of this round to `to`; `None` for anything else.
    fn sender_of(&self, datagram: &[u8], to: usize) -> Option<usize> {
        let datagram: &[u8; DATAGRAM_BYTES] = datagram.try_into().ok()?;
        let [magic @ .., f0, f1, t0, t1] = datagram;
        let expected = [MAGIC, self.nonce.to_be_bytes()].concat();
        let from = usize::from(u16::from_be_bytes([*f0, *f1]));
        (magic[..] == expected[..] && usize::from(u16::from_be_bytes([*t0, *t1])) == to && from < self.ends.len()).then_some(from)
    }

    fn pairs(&self) -> Places {
        let n = self.ends.len();
        (0..n)
            .flat_map(|from| (0..n).map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .collect()
    }

    fn pairs_and_one_more(&self) -> Places {
        let mut pairs = self.pairs();
        pairs.insert((self.ends.len(), self.ends.len()));
        pairs
    }

    fn places(&self, (from, to): &(String, String)) -> Result<(usize, usize)> {
        let place = |id: &String| {
            let found = self.ends.iter().position(|end| end.id == *id);
            found.ok_or_else(|| Error::Unusable(format!("no node is called `{id}`")))
        };
        Ok((place(from)?, place(to)?))
    }

    fn names(&self, (from, to): (usize, usize)) -> (String, String) {
        (self.ends[from].id.clone(), self.ends[to].id.clone())
    }
}

impl End {
    fn open(id: &str, address: Ipv4Addr, namespace: &std::path::Path) -> Result<End> {
        let namespace = netns::open(namespace)?;
        let open = || -> std::io::Result<(UdpSocket, SocketAddr)> {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            let bound = socket.local_addr()?;
            Ok((socket, bound))
        };
        let (socket, bound) =
            netns::in_namespace(namespace, open)?.map_err(Error::system(format!("open a probe socket in node `{id}`")))?;
        Ok(End {
            id: id.to_string(),
            address: SocketAddrV4::new(address, bound.port()),
            socket,
        })
    }
}

/// One line per sender: `#` itself, `.` passed, `x` did not.
impl fmt::Display for Matrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for from in &self.nodes {
            for to in &self.nodes {
                let passed = self.passed.contains(&(from.clone(), to.clone()));
                write!(
                    formatter,
                    "{}",
                    if from == to {
                        '#'
                    } else if passed {
                        '.'
                    } else {
                        'x'
                    }
                )?;
            }
            writeln!(formatter, " {from}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    /// Ends that need no namespaces: all on the loopback address.
    fn prober(n: usize) -> Prober {
        let end = |number: usize| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            let SocketAddr::V4(address) = socket.local_addr().unwrap() else {
                unreachable!("bound to IPv4")
            };
            End {
                id: format!("n{number}"),
                address,
                socket,
            }
        };
        Prober {
            ends: (1..=n).map(end).collect(),
            nonce: 0,
            grace: GRACE,
        }
    }

    #[test]
    fn every_pair_passes_where_nothing_is_cut() {
        let report = prober(5).prove(&Cuts::new(), BOUND).unwrap();
        assert!(report.ok && report.dead.is_empty() && report.leaked.is_empty(), "{report:?}");
    }

    #[test]
    fn a_cut_that_does_not_cut_is_a_leak() {
        let pair = ("n1".to_string(), "n2".to_string());
        let report = prober(3).prove(&Cuts::from([pair.clone()]), Duration::from_millis(20)).unwrap();
        assert_eq!((report.ok, report.leaked, report.dead), (false, vec![pair], vec![]));
    }

    #[test]
    fn rubbish_old_and_forged_datagrams_prove_nothing() {
        let mut prober = prober(2);
        prober.nonce = 7;
        let valid = [&MAGIC[..], &7u64.to_be_bytes(), &[0, 0, 0, 1]].concat();
        let old = [&MAGIC[..], &6u64.to_be_bytes(), &[0, 0, 0, 1]].concat();
        let to_another = [&MAGIC[..], &7u64.to_be_bytes(), &[0, 0, 0, 0]].concat();
        let from_nobody = [&MAGIC[..], &7u64.to_be_bytes(), &[255, 255, 0, 1]].concat();
        let too_long = [&valid[..], &[0]].concat();
        let receiver = prober.ends[1].address;
        let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
        stranger.send_to(&valid, receiver).unwrap();
        for datagram in [&b""[..], b"rubbish", &old, &to_another, &from_nobody, &too_long] {
            prober.ends[0].socket.send_to(datagram, receiver).unwrap();
        }
        let mut arrived = Places::new();
        prober
            .receive(&mut arrived, &Places::from([(0, 1)]), Instant::now() + Duration::from_millis(20))
            .unwrap();
        assert_eq!(arrived, Places::new());
        prober.ends[0].socket.send_to(&valid, receiver).unwrap();
        prober
            .receive(&mut arrived, &Places::from([(0, 1)]), Instant::now() + BOUND)
            .unwrap();
        assert_eq!(arrived, Places::from([(0, 1)]));
    }

    #[test]
    fn a_matrix_is_drawn_one_line_per_sender() {
        let passed = BTreeSet::from([("n1".to_string(), "n2".to_string())]);
        insta::assert_snapshot!(Matrix { nodes: vec!["n1".into(), "n2".into()], passed }, @r"
        #. n1
        x# n2
        ");
    }
}
