//! Proof of what the balancer does, by connections of our own through it: from the clients to a listener on every node.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{BalancerTrouble, PROBE_PORT};
use crate::effect::Bound;
use crate::{Error, Result, Target, netns};

/// How long a connection may take that must be made, once; a lost SYN is sent again after a second.
const CONNECT_LIMIT: Duration = Duration::from_millis(1_500);
/// How long none must be made for its absence to count, and one is waited for at first: idle, one takes 0.2 ms.
const SILENCE: Duration = Duration::from_millis(300);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Listeners on all nodes, and the way to them.
#[derive(Debug)]
pub struct BalancerProbe {
    clients: Target,
    address: Ipv4Addr,
    listeners: Vec<TcpListener>,
}

/// A connection through the balancer, both ends in our hands.
#[derive(Debug)]
pub struct Through {
    client: TcpStream,
    server: TcpStream,
}

/// What was seen of a change of the balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalancerReport {
    /// Whether everything was as it should be.
    pub ok: bool,
    /// What was looked at.
    pub seen: Vec<Bound>,
    /// From the first look to the last, in microseconds.
    pub took_us: u64,
}

const LET_THROUGH: &str = "new connections let through";

fn none_through(n_through: usize) -> Bound {
    Bound::new(LET_THROUGH, n_through as u64, (0, Some(0)))
}

impl BalancerReport {
    /// What was seen since then.
    pub(super) fn of(seen: Vec<Bound>, began: Instant) -> BalancerReport {
        BalancerReport {
            ok: seen.iter().all(Bound::holds),
            seen,
            took_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl BalancerProbe {
    /// Listens on every node.
    ///
    /// # Errors
    /// If a namespace cannot be entered, or the port is taken.
    pub fn open(clients: Target, nodes: &[Target], address: Ipv4Addr) -> Result<BalancerProbe> {
        let listen = |node: &Target| -> Result<TcpListener> {
            let listener = netns::in_namespace(netns::open(&node.namespace)?, || TcpListener::bind((node.address, PROBE_PORT)))?;
            let listener = listener.map_err(Error::system(format!("listen on {} for probes of the balancer", node.id)))?;
            listener
                .set_nonblocking(true)
                .map_err(Error::system("keep a listener from blocking"))?;
            Ok(listener)
        };
        Ok(BalancerProbe {
            listeners: nodes.iter().map(listen).collect::<Result<_>>()?,
            clients,
            address,
        })
    }

    /// How long it may take to meet a node that no other fault cuts off from the clients: a connection that is lost to each of the others, and one more.
    #[must_use]
    pub fn bound(&self) -> Duration {
        CONNECT_LIMIT * self.n_tries()
    }

    /// So many connections go to every node, in turn.
    fn n_tries(&self) -> u32 {
        u32::try_from(self.listeners.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// A connection that stands before a change, if one can be made.
    ///
    /// # Errors
    /// If the clients' namespace cannot be entered.
    pub fn prepare(&self, bound: Duration) -> Result<Option<Through>> {
        self.find_a_way(Instant::now() + bound)
    }

    /// Tries until one connection gets through. A try may come to a node that another fault cuts off; the next one comes to the next. So all nodes have a
    /// short try first.
    fn find_a_way(&self, deadline: Instant) -> Result<Option<Through>> {
        let mut short_tries = self.n_tries();
        while Instant::now() < deadline {
            let limit = if short_tries > 0 { SILENCE } else { CONNECT_LIMIT };
            short_tries = short_tries.saturating_sub(1);
            if let Some(through) = self.connect(deadline, limit)? {
                return Ok(Some(through));
            }
        }
        Ok(None)
    }

    /// How many of as many connections as all nodes have their turn in are let through, all tried at once. What gets through late got through.
    fn n_let_through(&self) -> Result<usize> {
        let address = SocketAddr::from((self.address, PROBE_PORT));
        let namespace = netns::open(&self.clients.namespace)?;
        let try_one = || netns::in_namespace(&namespace, || TcpStream::connect_timeout(&address, SILENCE).is_ok());
        std::thread::scope(|scope| {
            let tries: Vec<_> = (0..self.n_tries()).map(|_| scope.spawn(try_one)).collect();
            let mut n_through = 0;
            for one in tries {
                let through = one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                n_through += usize::from(through?);
            }
            // Both ends are closed, so that they give their ports back.
            while self.accepted().is_some() {}
            Ok(n_through)
        })
    }

    /// Proves that no new connection is let through.
    ///
    /// # Errors
    /// If the clients' namespace cannot be entered.
    pub fn prove_exhausted(&self) -> Result<BalancerReport> {
        let began = Instant::now();
        Ok(BalancerReport::of(vec![none_through(self.n_let_through()?)], began))
    }

    /// To how many nodes so many connections go.
    ///
    /// # Errors
    /// If the clients' namespace cannot be entered.
    pub fn spread(&self, n: usize, bound: Duration) -> Result<usize> {
        let mut nodes = std::collections::BTreeSet::new();
        for _ in 0..n {
            if let Some(through) = self.connect(Instant::now() + bound, CONNECT_LIMIT)? {
                nodes.extend(through.server.local_addr().ok().map(|address| address.ip()));
            }
        }
        Ok(nodes.len())
    }

    /// Proves that the balancer went from one state to another; `standing` was made before it did. `refill` uses up ports that came back:
    /// a connection that was ending when they were used up keeps its own for a second or two more.
    ///
    /// # Errors
    /// If the clients' namespace cannot be entered, and those of `refill`.
    pub fn prove(
        &self,
        (before, now): (BalancerTrouble, BalancerTrouble),
        standing: Option<Through>,
        bound: Duration,
        refill: impl Fn() -> Result<()>,
    ) -> Result<BalancerReport> {
        let began = Instant::now();
        let mut seen = Vec::new();
        let flushed = now.flushes > before.flushes;
        if let Some(mut through) = standing {
            let (what, expected) = if flushed {
                ("standing connections that are reset", (1, Some(1)))
            } else {
                ("standing connections that go on", (1, Some(1)))
            };
            let holds = if flushed { through.is_reset(bound) } else { through.carries(bound) };
            seen.push(Bound::new(what, holds.into(), expected));
        } else if flushed && !before.no_ports {
            seen.push(Bound::new("connections that stood before", 0, (1, Some(1))));
        }
        seen.push(if now.no_ports {
            let mut n_through = self.n_let_through()?;
            while n_through > 0 && began.elapsed() < bound {
                // Few tries: each takes a port for a while, and must not be what uses them up.
                std::thread::sleep(SILENCE);
                refill()?;
                n_through = self.n_let_through()?;
            }
            none_through(n_through)
        } else {
            let mut carries = false;
            while !carries && began.elapsed() < bound {
                let through = self.find_a_way(began + bound)?;
                carries = through.is_some_and(|mut through| through.carries(bound));
            }
            Bound::new(LET_THROUGH, carries.into(), (1, Some(1)))
        });
        Ok(BalancerReport::of(seen, began))
    }

    /// One try to connect.
    fn connect(&self, deadline: Instant, limit: Duration) -> Result<Option<Through>> {
        // What waits from an earlier try is not the answer to this one.
        while self.accepted().is_some() {}
        let address = SocketAddr::from((self.address, PROBE_PORT));
        let namespace = netns::open(&self.clients.namespace)?;
        let Ok(client) = netns::in_namespace(&namespace, || TcpStream::connect_timeout(&address, limit))? else {
            return Ok(None);
        };
        while Instant::now() < deadline {
            if let Some(server) = self.accepted() {
                for end in [&client, &server] {
                    end.set_nonblocking(true).map_err(Error::system("keep a probe from blocking"))?;
                }
                return Ok(Some(Through { client, server }));
            }
            std::thread::sleep(LOOK);
        }
        Ok(None)
    }

    fn accepted(&self) -> Option<TcpStream> {
        self.listeners
            .iter()
            .find_map(|listener| listener.accept().ok().map(|(server, _)| server))
    }
}

impl Through {
    /// Whether what the client sends arrives.
    fn carries(&mut self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        if self.client.write_all(b"x").is_err() {
            return false;
        }
        while Instant::now() < deadline {
            match self.server.read(&mut [0; 8]) {
                Ok(n) => return n > 0,
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
                Err(_) => return false,
            }
        }
        false
    }

    /// Whether the client is told that its connection is gone, as soon as it sends.
    fn is_reset(&mut self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        while Instant::now() < deadline {
            if self
                .client
                .write_all(b"x")
                .is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
            {
                return true;
            }
            if self
                .client
                .read(&mut [0; 8])
                .is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
            {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        false
    }
}
