//! What the tasks of a node share: who is connected, the Lamport clock, and the way to the core. All on one thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::mpsc;

use super::outbox::Outbox;
use crate::core::{ClientRef, Stamp};
use crate::lamport::Lamport;
use crate::members::{Members, NodeIndex};
use crate::message::{Greeting, Outcome, PeerBody, PeerFrame, Reply, RequestBody, RequestHeader};

/// What arrived for the core.
#[derive(Debug)]
pub(super) enum Inbound<M> {
    /// A client's request.
    Request {
        client: ClientRef,
        header: RequestHeader,
        body: RequestBody,
    },
    /// A peer's message.
    Message { from: NodeIndex, stamp: Stamp, message: M },
    /// A link was made.
    LinkUp { peer: NodeIndex },
}

/// Which side made a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// We dialled, and ping.
    Dialled,
    /// The peer dialled.
    Accepted,
}

/// Both links to a peer. Two nodes dial each other, and messages take either link: one that works is enough.
#[derive(Debug, Default)]
struct Links {
    dialled: Option<Rc<Outbox>>,
    accepted: Option<Rc<Outbox>>,
}

impl Links {
    fn slot(&mut self, side: Side) -> &mut Option<Rc<Outbox>> {
        match side {
            Side::Dialled => &mut self.dialled,
            Side::Accepted => &mut self.accepted,
        }
    }
}

/// See the file's header.
#[derive(Debug)]
pub(super) struct Shared<M> {
    pub(super) members: Members,
    /// What this node says of itself.
    pub(super) greeting: Greeting,
    pub(super) lamport: RefCell<Lamport>,
    pub(super) inbox: mpsc::Sender<Inbound<M>>,
    clients: RefCell<BTreeMap<u64, Rc<Outbox>>>,
    links: RefCell<BTreeMap<NodeIndex, Links>>,
    last_connection: Cell<u64>,
}

impl<M> Shared<M> {
    pub(super) fn new(members: Members, greeting: Greeting, lamport: Lamport, inbox: mpsc::Sender<Inbound<M>>) -> Shared<M> {
        let lamport = RefCell::new(lamport);
        let (clients, links) = (RefCell::default(), RefCell::default());
        Shared {
            members,
            greeting,
            lamport,
            inbox,
            clients,
            links,
            last_connection: Cell::new(0),
        }
    }

    /// Makes a client known under a number of its own, until the guard is dropped.
    pub(super) fn add_client(self: &Rc<Self>, outbox: &Rc<Outbox>) -> ClientGuard<M> {
        let number = self.last_connection.get() + 1;
        self.last_connection.set(number);
        self.clients.borrow_mut().insert(number, Rc::clone(outbox));
        ClientGuard {
            shared: Rc::clone(self),
            number,
        }
    }

    /// The way to a client that is still connected.
    pub(super) fn client(&self, number: u64) -> Option<Rc<Outbox>> {
        self.clients.borrow().get(&number).cloned()
    }

    /// Makes a link known until the guard is dropped. A newer link of the same side takes the older one's place.
    pub(super) fn add_link(self: &Rc<Self>, peer: NodeIndex, side: Side, outbox: &Rc<Outbox>) -> LinkGuard<M> {
        *self.links.borrow_mut().entry(peer).or_default().slot(side) = Some(Rc::clone(outbox));
        LinkGuard {
            shared: Rc::clone(self),
            peer,
            side,
            outbox: Rc::clone(outbox),
        }
    }

    /// The way to a peer: our own link, else the peer's.
    pub(super) fn link(&self, peer: NodeIndex) -> Option<Rc<Outbox>> {
        let links = self.links.borrow();
        let Links { dialled, accepted } = links.get(&peer)?;
        dialled.as_ref().or(accepted.as_ref()).cloned()
    }

    /// How many peers have a link.
    pub(super) fn peers_connected(&self) -> u64 {
        self.links
            .borrow()
            .values()
            .filter(|links| links.dialled.is_some() || links.accepted.is_some())
            .count() as u64
    }

    /// A reply with the next stamp.
    pub(super) fn stamped_reply(&self, id: u64, outcome: Outcome) -> Reply {
        Reply::new(id, self.lamport.borrow_mut().tick(), self.greeting.node.clone(), outcome)
    }

    /// A frame to a peer with the next stamp.
    pub(super) fn stamped_frame(&self, body: PeerBody<M>) -> PeerFrame<M> {
        PeerFrame::new(self.lamport.borrow_mut().tick(), body)
    }
}

/// Keeps a client known.
#[derive(Debug)]
pub(super) struct ClientGuard<M> {
    shared: Rc<Shared<M>>,
    pub(super) number: u64,
}

impl<M> Drop for ClientGuard<M> {
    fn drop(&mut self) {
        self.shared.clients.borrow_mut().remove(&self.number);
    }
}

/// Keeps a link known.
#[derive(Debug)]
pub(super) struct LinkGuard<M> {
    shared: Rc<Shared<M>>,
    peer: NodeIndex,
    side: Side,
    outbox: Rc<Outbox>,
}

impl<M> Drop for LinkGuard<M> {
    fn drop(&mut self) {
        let mut links = self.shared.links.borrow_mut();
        let slot = links.entry(self.peer).or_default().slot(self.side);
        if slot.as_ref().is_some_and(|outbox| Rc::ptr_eq(outbox, &self.outbox)) {
            *slot = None;
        }
    }
}
