//! What happens to a cluster in a storm: crashes, cuts, changes of the members, transfers, and the end of it all.

use std::collections::BTreeSet;

use rand::RngExt;
use squall_node::core::{ClientRef, Event};
use squall_node::members::NodeIndex;
use squall_node::message::{RequestBody, RequestHeader};

use super::{Happening, MS, Work, World};

impl World {
    pub(super) fn crash(&mut self, at: NodeIndex) {
        if self.is_healed || self.cluster.core(at).is_none() {
            return;
        }
        let kept = self.chance.random_range(0..=self.cluster.node(at).unsynced());
        self.cluster.crash(at, kept);
        let down = self.chance.random_range(1..400) * MS;
        self.later(down, Happening::Restart { at });
        let (next, victim) = (self.chance.random_range(50..600) * MS, self.any_node());
        self.later(next, Happening::Crash { at: victim });
    }

    pub(super) fn start(&mut self, at: NodeIndex) {
        self.wakes.remove(&at);
        self.syncing.remove(&at);
        let now = self.now();
        let effects = self.cluster.start(at, now);
        self.carry_out(at, effects);
        for peer in self.cluster.book.indices().filter(|peer| *peer != at) {
            self.step(peer, Event::LinkUp { peer: at });
            self.step(at, Event::LinkUp { peer });
        }
    }

    /// Cuts some directions between nodes, or none.
    pub(super) fn cut(&mut self) {
        if self.is_healed {
            return;
        }
        let is_whole = self.chance.random_bool(0.4);
        let island: BTreeSet<NodeIndex> = self.cluster.book.indices().filter(|_| self.chance.random_bool(0.4)).collect();
        let pairs: Vec<_> = self
            .cluster
            .book
            .indices()
            .flat_map(|from| self.cluster.book.indices().map(move |to| (from, to)))
            .collect();
        let one_way = self.chance.random_bool(0.4);
        self.cuts = pairs
            .into_iter()
            .filter(|(from, to)| {
                !is_whole && island.contains(from) && !island.contains(to)
                    || !is_whole && !one_way && island.contains(to) && !island.contains(from)
            })
            .collect();
        let delay = self.chance.random_range(50..700) * MS;
        self.later(delay, Happening::Cut);
    }

    pub(super) fn heal(&mut self) {
        self.is_healed = true;
        self.cuts.clear();
    }

    /// When nobody writes any more, everything is read once more; false if it was.
    pub(super) fn read_last(&mut self) -> bool {
        let Some(key) = self.unread.pop() else { return false };
        let client = &mut self.clients[0];
        client.work = Some(Work::Read { key: key.to_owned() });
        client.begun = self.now_ns;
        self.try_again(0, None);
        true
    }

    /// Adds, removes, hands over.
    pub(super) fn administer(&mut self) {
        if self.is_healed {
            return;
        }
        let (at, node) = (self.any_node(), self.any_node());
        let name = self.cluster.book.name(node).clone();
        let body = match self.chance.random_range(0..4) {
            0 => RequestBody::Transfer { to: name },
            1 => RequestBody::Change {
                add: vec![name],
                remove: vec![],
            },
            2 => RequestBody::Change {
                add: vec![],
                remove: vec![name],
            },
            _ => {
                let other = self.any_node();
                RequestBody::Change {
                    add: vec![name],
                    remove: vec![self.cluster.book.name(other).clone()],
                }
            }
        };
        let request = ClientRef {
            connection: u64::MAX,
            request: 1,
        };
        let header = RequestHeader::default();
        self.step(
            at,
            Event::Request {
                client: request,
                header,
                body,
            },
        );
        let delay = self.chance.random_range(10..200) * MS;
        self.later(delay, Happening::Administer);
    }
}
