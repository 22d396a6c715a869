//! Proof of a reset: connections of our own over the link, opened before, and what becomes of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::link::Pair;
use crate::{Error, Result, Target, netns};

/// How long a connection may take that is to be reset later; a lossy link may need some tries.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at a connection.
const LOOK: Duration = Duration::from_millis(5);

/// A connection from the sender of a link to its receiver, both ends in our hands.
#[derive(Debug)]
pub struct Connection {
    ends: [TcpStream; 2],
    address: SocketAddrV4,
    listener: TcpListener,
}

/// What came of an attempt to open one.
#[derive(Debug)]
pub enum Opening {
    /// It is there.
    Open(Connection),
    /// Somebody refused it.
    Refused,
    /// Nobody answered in time.
    Late,
}

/// Who is at a link's ends.
pub(super) fn target<'a>(ends: &'a [Target], id: &str) -> Result<&'a Target> {
    let found = ends.iter().find(|end| end.id == id);
    found.ok_or_else(|| Error::Unusable(format!("no end is called `{id}`")))
}

impl Connection {
    /// Opens one, if it is let.
    ///
    /// # Errors
    /// If a link has no such end, or its namespace cannot be entered.
    pub fn open(ends: &[Target], pair: &Pair) -> Result<Opening> {
        let (from, to) = (target(ends, &pair.from)?, target(ends, &pair.to)?);
        let what = |what: &str| format!("{what} for a probe of link {pair}");
        let listener = netns::in_namespace(netns::open(&to.namespace)?, || TcpListener::bind((to.address, 0)))?;
        let listener = listener.map_err(Error::system(what("listen")))?;
        let SocketAddr::V4(address) = listener.local_addr().map_err(Error::system(what("listen")))? else {
            return Err(Error::Unusable(what("no IPv4 address")));
        };
        let client = match connect(from, address)? {
            Ok(client) => client,
            Err(error) if is_reset(&error) => return Ok(Opening::Refused),
            Err(_) => return Ok(Opening::Late),
        };
        // It is established at the client, so it waits here, or its last ACK was lost and comes again.
        listener.set_nonblocking(true).map_err(Error::system(what("listen")))?;
        let deadline = Instant::now() + CONNECT_LIMIT;
        while Instant::now() < deadline {
            if let Ok((server, _)) = listener.accept() {
                let ends = [client, server];
                for end in &ends {
                    end.set_read_timeout(Some(LOOK)).map_err(Error::system(what("set a timeout")))?;
                }
                return Ok(Opening::Open(Connection { ends, address, listener }));
            }
            std::thread::sleep(LOOK);
        }
        Ok(Opening::Late)
    }

    /// Whether both ends notice within a bound that the connection is gone. Both write, so that whoever was not told by a first RST is by the
    /// answer to what it sends.
    pub fn is_reset(&mut self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        let mut gone = [false; 2];
        loop {
            for (end, gone) in self.ends.iter_mut().zip(&mut gone) {
                *gone = *gone || is_gone(end);
            }
            if gone == [true; 2] || Instant::now() >= deadline {
                return gone == [true; 2];
            }
        }
    }

    /// Whether the connection still carries bytes both ways within a bound.
    pub fn is_alive(&mut self, bound: Duration) -> bool {
        let [client, server] = &mut self.ends;
        carries(client, server, bound) && carries(server, client, bound)
    }

    /// Whether a new connection to the same place is refused; `None` if neither happened in time.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn is_refused(&self, ends: &[Target], pair: &Pair) -> Result<Option<bool>> {
        let from = target(ends, &pair.from)?;
        let outcome = netns::in_namespace(netns::open(&from.namespace)?, || {
            TcpStream::connect_timeout(&self.address.into(), CONNECT_LIMIT)
        })?;
        // Whoever was accepted is taken from the queue and let go.
        let _ = self.listener.accept();
        Ok(match outcome {
            Ok(_) => Some(false),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Some(true),
            Err(_) => None,
        })
    }
}

fn connect(from: &Target, address: SocketAddrV4) -> Result<std::io::Result<TcpStream>> {
    let namespace = netns::open(&from.namespace)?;
    netns::in_namespace(namespace, || TcpStream::connect_timeout(&address.into(), CONNECT_LIMIT))
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}

fn is_gone(end: &mut TcpStream) -> bool {
    if let Err(error) = end.write_all(b"?") {
        return is_reset(&error);
    }
    match end.read(&mut [0; 64]) {
        // The other end was told first, and its kernel told us.
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => is_reset(&error),
    }
}

fn carries(from: &mut TcpStream, to: &mut TcpStream, bound: Duration) -> bool {
    let deadline = Instant::now() + bound;
    if from.write_all(b"!").is_err() {
        return false;
    }
    while Instant::now() < deadline {
        match to.read(&mut [0; 64]) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return false,
        }
    }
    false
}

impl Drop for Connection {
    fn drop(&mut self) {
        for end in &self.ends {
            // Gone already is as good.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}
