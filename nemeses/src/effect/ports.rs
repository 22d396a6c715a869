//! Proof that ports are cut: datagrams to the port, or from it where somebody else has it.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use crate::link::Pair;
use crate::{Error, Result, Target, netns};

/// Datagrams sent, in case the link loses some.
const TRIES: usize = 20;

/// Whether a datagram passes a link to or from a port; `None` if the port is taken at both ends, so that nothing can be said.
///
/// # Errors
/// If a namespace cannot be entered, or an ordinary socket cannot be had.
pub(super) fn passes(from: &Target, to: &Target, port: u16, patience: Duration) -> Result<Option<bool>> {
    let pair = Pair::new(&from.id, &to.id);
    let bind = |at: &Target, port: u16| -> Result<std::io::Result<UdpSocket>> {
        let address: Ipv4Addr = at.address;
        netns::in_namespace(netns::open(&at.namespace)?, || UdpSocket::bind((address, port)))
    };
    let any = |at: &Target| bind(at, 0)?.map_err(Error::system(format!("open a socket for a probe of link {pair}")));
    let (sender, receiver) = match (bind(to, port)?, bind(from, port)?) {
        (Ok(receiver), _) => (any(from)?, receiver),
        (Err(_), Ok(sender)) => (sender, any(to)?),
        (Err(_), Err(_)) => return Ok(None),
    };
    let fail = || format!("probe port {port} of link {pair}");
    let address = receiver.local_addr().map_err(Error::system(fail()))?;
    let wait = (patience / TRIES as u32).max(Duration::from_millis(1));
    receiver.set_read_timeout(Some(wait)).map_err(Error::system(fail()))?;
    for _ in 0..TRIES {
        // One that the kernel does not take is one that does not arrive.
        let _ = sender.send_to(b"squall", address);
        if receiver.recv_from(&mut [0; 16]).is_ok() {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}
