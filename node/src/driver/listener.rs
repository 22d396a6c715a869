//! Accepting connections, of clients and peers alike.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client;
use super::shared::Shared;
use crate::message::PeerMessage;

/// Connections at most; each holds at most one unfinished frame. Others wait in the kernel's queue until one ends.
const CONNECTIONS_MAX: usize = 1024;

/// Wait after a failed accept: it fails for want of descriptors, and does not get better at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Never returns.
pub(super) async fn serve<M: PeerMessage>(listener: TcpListener, shared: Rc<Shared<M>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((socket, _)) => { connections.spawn_local(client::serve(Rc::clone(&shared), socket)); }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}
