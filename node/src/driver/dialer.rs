//! Keeping a link to one peer: dial, greet, serve, and after every end wait a little and dial again.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::link::Link;
use super::outbox::Outbox;
use super::shared::{Shared, Side};
use crate::frame::{Decoder, PEER_PAYLOAD_BYTES_MAX};
use crate::members::NodeIndex;
use crate::message::{FORMAT_VERSION, PeerMessage, Request, RequestBody, RequestHeader};

/// How long a connect may take. The kernel sends a lost SYN again only after a second, so a longer wait would not help.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

/// Never returns.
pub(super) async fn keep_connected<M: PeerMessage>(shared: Rc<Shared<M>>, peer: NodeIndex, address: SocketAddr, mut backoff: Backoff) {
    let mut last_reason = String::new();
    loop {
        let (reason, was_up) = match timeout(CONNECT_TIME_MAX, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => serve(&shared, peer, socket).await,
            Ok(Err(error)) => (error.to_string(), false),
            Err(_) => ("no answer to the connect".to_owned(), false),
        };
        if was_up {
            backoff.reset();
        }
        if was_up || reason != last_reason {
            tracing::info!(peer = %shared.members.name(peer), reason, was_up, "no link");
        }
        last_reason = reason;
        sleep(backoff.next_wait()).await;
    }
}

/// Greets and serves until the link ends: (why, whether it was ever up).
async fn serve<M: PeerMessage>(shared: &Rc<Shared<M>>, peer: NodeIndex, mut socket: TcpStream) -> (String, bool) {
    // Without these the link still works, only slower to answer and slower to vanish.
    let _ = socket.set_nodelay(true);
    let _ = socket.set_zero_linger();
    let outbox = Rc::new(Outbox::default());
    let lamport = Some(shared.lamport.borrow_mut().tick());
    let header = RequestHeader {
        lamport,
        ..RequestHeader::default()
    };
    outbox.push(&Request {
        v: FORMAT_VERSION,
        header,
        body: RequestBody::Hello(shared.greeting.clone()),
    });
    let mut link = Link {
        shared: Rc::clone(shared),
        peer,
        side: Side::Dialled,
        outbox: Rc::clone(&outbox),
        incarnation: 0,
        known: None,
    };
    let (from_peer, to_peer) = socket.split();
    let reason = tokio::select! {
        reason = link.read(from_peer, Decoder::new(PEER_PAYLOAD_BYTES_MAX)) => reason,
        outcome = outbox.write_to(to_peer) => outcome.err().map_or_else(String::new, |error| error.to_string()),
    };
    (reason, link.known.is_some())
}
