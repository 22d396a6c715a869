//! One accepted connection: requests in, replies out. If the first request is a peer's greeting, the connection becomes a link.

use std::rc::Rc;
use std::time::Duration;

use rustix::net::sockopt;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use super::link::{self, Link, READ_BYTES};
use super::outbox::Outbox;
use super::shared::{Inbound, Shared, Side};
use crate::core::ClientRef;
use crate::frame::{Decoder, FrameError, PAYLOAD_BYTES_MAX, PEER_PAYLOAD_BYTES_MAX};
use crate::message::{
    FORMAT_VERSION, FORMAT_VERSION_READ_MAX, Greeting, Outcome, PeerBody, PeerMessage, Request, RequestBody, is_readable,
};

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 1024;

/// The longest payload of a put, in bytes: the reply to a get carries the same value behind a longer header and must fit into a frame.
const PUT_PAYLOAD_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - 4096;

/// How reading requests ended.
enum End {
    /// No more requests: answer what is open, then close.
    Closed,
    /// A peer greets; the decoder holds what followed.
    Peer(Greeting, Decoder),
}

/// A reply that needs no core.
struct Refusal {
    id: u64,
    outcome: Outcome,
    /// False if what follows on the connection cannot be trusted.
    goes_on: bool,
}

/// Serves a connection to its end.
pub(super) async fn serve<M: PeerMessage>(shared: Rc<Shared<M>>, mut socket: TcpStream) {
    // Without these replies still arrive, only later, and a client that vanished holds its place longer.
    let _ = socket.set_nodelay(true);
    let _ = keep_alive(&socket);
    let outbox = Rc::new(Outbox::default());
    let (mut from_client, to_client) = socket.split();
    let reading = async {
        let guard = shared.add_client(&outbox);
        match read_requests(&shared, guard.number, &outbox, &mut from_client).await {
            End::Closed => {
                outbox.close();
                std::future::pending::<()>().await;
            }
            End::Peer(greeting, decoder) => serve_link(&shared, &greeting, decoder, &outbox, &mut from_client).await,
        }
    };
    tokio::select! {
        () = reading => {}
        _ = outbox.write_to(to_client) => {}
    }
}

/// Lets the kernel ask whether a silent client still exists: one whose end was lost in a partition would else stay connected for ever.
fn keep_alive(socket: &TcpStream) -> rustix::io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(15))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(socket, 3)
}

/// Reads requests and hands them to the core until the client ends, errs, or turns out to be a peer.
async fn read_requests<M>(shared: &Shared<M>, number: u64, outbox: &Outbox, socket: &mut (impl AsyncRead + Unpin)) -> End {
    let mut decoder = Decoder::new(PAYLOAD_BYTES_MAX);
    let mut is_first = true;
    loop {
        let taken = match decoder.next_payload() {
            Ok(Some(payload)) => take_request(payload),
            Ok(None) => {
                let space = decoder.space();
                space.reserve(READ_BYTES);
                match socket.read_buf(space).await {
                    Ok(0) | Err(_) => return End::Closed,
                    Ok(_) => continue,
                }
            }
            Err(error) => Err(refuse_frame(error)),
        };
        outbox.opened();
        match taken {
            Ok(Request {
                body: RequestBody::Hello(greeting),
                ..
            }) if is_first => return End::Peer(greeting, decoder),
            Ok(Request { header, body, .. }) => {
                let client = ClientRef {
                    connection: number,
                    request: header.id,
                };
                if shared.inbox.send(Inbound::Request { client, header, body }).await.is_err() {
                    return End::Closed;
                }
            }
            Err(refusal) => {
                outbox.reply(&shared.stamped_reply(refusal.id, refusal.outcome));
                outbox.wake();
                if !refusal.goes_on {
                    return End::Closed;
                }
            }
        }
        is_first = false;
        outbox.room().await;
    }
}

/// Parses a request and checks its limits.
fn take_request(payload: &[u8]) -> Result<Request, Refusal> {
    let request: Request = serde_json::from_slice(payload).map_err(|error| {
        let id = serde_json::from_slice(payload).map_or(0, |IdOnly { header }| header.id);
        Refusal {
            id,
            outcome: Outcome::failed("bad-request", link::shown(&error.to_string())),
            goes_on: false,
        }
    })?;
    let id = request.header.id;
    if !is_readable(request.v) {
        let message = format!(
            "format version {} is not spoken here, {FORMAT_VERSION} to {FORMAT_VERSION_READ_MAX} are",
            request.v
        );
        return Err(Refusal {
            id,
            outcome: Outcome::failed("bad-request", message),
            goes_on: false,
        });
    }
    let too_large = |message| {
        Err(Refusal {
            id,
            outcome: Outcome::failed("too-large", message),
            goes_on: true,
        })
    };
    match &request.body {
        RequestBody::Put { .. } | RequestBody::Cas { .. } | RequestBody::Append { .. } if payload.len() > PUT_PAYLOAD_BYTES_MAX => {
            too_large(format!(
                "a write takes {} bytes, at most {PUT_PAYLOAD_BYTES_MAX} are allowed",
                payload.len()
            ))
        }
        RequestBody::Get { key }
        | RequestBody::Put { key, .. }
        | RequestBody::Cas { key, .. }
        | RequestBody::Delete { key }
        | RequestBody::Append { key, .. }
        | RequestBody::Replicas { key }
            if key.len() > KEY_BYTES_MAX =>
        {
            too_large(format!("a key takes {} bytes, at most {KEY_BYTES_MAX} are allowed", key.len()))
        }
        _ => Ok(request),
    }
}

fn refuse_frame(error: FrameError) -> Refusal {
    let kind = if matches!(error, FrameError::TooLarge { .. }) {
        "frame-too-large"
    } else {
        "bad-request"
    };
    Refusal {
        id: 0,
        outcome: Outcome::failed(kind, error.to_string()),
        goes_on: false,
    }
}

/// What can still be read of a request that cannot.
#[derive(Deserialize)]
struct IdOnly {
    header: HeaderIdOnly,
}

#[derive(Deserialize)]
struct HeaderIdOnly {
    id: u64,
}

/// Answers a peer's greeting and serves the link.
async fn serve_link<M: PeerMessage>(
    shared: &Rc<Shared<M>>,
    greeting: &Greeting,
    mut decoder: Decoder,
    outbox: &Rc<Outbox>,
    socket: &mut (impl AsyncRead + Unpin),
) {
    let peer = match link::check_greeting(shared, greeting, None) {
        Ok(peer) => peer,
        Err(reason) => {
            tracing::warn!(reason, "refused a peer");
            outbox.reply(&shared.stamped_frame(PeerBody::Refused(reason.into())));
            outbox.close();
            return std::future::pending().await;
        }
    };
    decoder.set_bound(PEER_PAYLOAD_BYTES_MAX);
    let mut link = Link {
        shared: Rc::clone(shared),
        peer,
        side: Side::Accepted,
        outbox: Rc::clone(outbox),
        incarnation: greeting.incarnation,
        known: None,
    };
    link.say(PeerBody::Welcome(shared.greeting.clone()));
    let reason = match link.establish().await {
        Ok(()) => link.read(socket, decoder).await,
        Err(reason) => reason,
    };
    tracing::debug!(peer = %greeting.node, reason, "the peer's link ended");
}
