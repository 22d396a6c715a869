//! Which message between nodes arrives, and when.
//!
//! Every directed link stands for itself: a cut from n1 to n2 leaves the way from n2 to n1 open, which is harder on a core than a real one-way
//! cut, under which TCP soon closes both ways.

use super::chance::Chance;
use super::world::World;
use crate::members::NodeIndex;

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Letter<M> {
    pub(super) from: NodeIndex,
    /// Which life of its sender sent it.
    pub(super) from_life: u64,
    pub(super) to: NodeIndex,
    /// The sender's stamp.
    pub(super) lamport: u64,
    pub(super) message: M,
}

/// What becomes of a message that is sent: when its copies arrive, in ns from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) first: Option<u64>,
    pub(super) second: Option<u64>,
}

/// The links of a cluster.
#[derive(Debug)]
pub(super) struct Network<M> {
    nodes: usize,
    links: Vec<Link<M>>,
    chance: Chance,
}

#[derive(Debug)]
struct Link<M> {
    is_cut: bool,
    /// What waits for the heal.
    held: Vec<Letter<M>>,
}

impl<M: Clone> Network<M> {
    pub(super) fn new(nodes: usize, seed: u64) -> Network<M> {
        let link = || Link {
            is_cut: false,
            held: Vec::new(),
        };
        Network {
            nodes,
            links: std::iter::repeat_with(link).take(nodes * nodes).collect(),
            chance: Chance::new(seed, "sim.network"),
        }
    }

    fn link(&mut self, from: NodeIndex, to: NodeIndex) -> &mut Link<M> {
        &mut self.links[usize::from(from.0) * self.nodes + usize::from(to.0)]
    }

    pub(super) fn is_cut(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.links[usize::from(from.0) * self.nodes + usize::from(to.0)].is_cut
    }

    /// Cuts a directed link. What is on its way meets the cut when it would arrive.
    pub(super) fn cut(&mut self, from: NodeIndex, to: NodeIndex) {
        self.link(from, to).is_cut = true;
    }

    /// Heals a directed link; returns what waited.
    pub(super) fn heal(&mut self, from: NodeIndex, to: NodeIndex) -> Vec<Letter<M>> {
        let link = self.link(from, to);
        link.is_cut = false;
        std::mem::take(&mut link.held)
    }

    /// Draws the fate of a message.
    pub(super) fn send(&mut self, world: &World) -> Fate {
        let is_lost = self.chance.happens(world.lost_per_mille);
        let is_doubled = self.chance.happens(world.doubled_per_mille);
        let arrives_ns = self.chance.delay_ns(world.peers);
        let second = is_doubled.then(|| arrives_ns + self.chance.below(world.double_late_ns_max));
        Fate {
            first: (!is_lost).then_some(arrives_ns),
            second,
        }
    }

    /// A message arrives: gives it back unless its link is cut, which keeps it or loses it. What a node sent before it died may have died
    /// with it: a killed process resets its connections.
    pub(super) fn arrive(&mut self, letter: Letter<M>, sender_lives: bool, world: &World) -> Option<Letter<M>> {
        if !sender_lives && self.chance.happens(500) {
            return None;
        }
        if !self.is_cut(letter.from, letter.to) {
            return Some(letter);
        }
        if self.chance.happens(world.held_by_cut_per_mille) {
            self.link(letter.from, letter.to).held.push(letter);
        }
        None
    }

    /// A delay between nodes.
    pub(super) fn delay_ns(&mut self, world: &World) -> u64 {
        self.chance.delay_ns(world.peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(from: u16, to: u16) -> Letter<u32> {
        Letter {
            from: NodeIndex(from),
            from_life: 1,
            to: NodeIndex(to),
            lamport: 1,
            message: 7,
        }
    }

    #[test]
    fn a_one_way_cut_leaves_the_other_way_open() {
        let world = World::default();
        let mut network = Network::new(3, 1);
        network.cut(NodeIndex(0), NodeIndex(1));
        for _ in 0..100 {
            assert!(network.arrive(letter(0, 1), true, &world).is_none());
            assert!(network.arrive(letter(1, 0), true, &world).is_some());
            assert!(network.arrive(letter(0, 2), true, &world).is_some());
        }
        let held = network.heal(NodeIndex(0), NodeIndex(1)).len();
        assert!((20..80).contains(&held), "{held} of 100 waited for the heal");
        assert!(network.arrive(letter(0, 1), true, &world).is_some());
        assert!(network.heal(NodeIndex(0), NodeIndex(1)).is_empty());
    }

    #[test]
    fn some_messages_are_lost_and_some_arrive_twice() {
        let world = World {
            lost_per_mille: 100,
            doubled_per_mille: 100,
            ..World::default()
        };
        let mut network = Network::<u32>::new(2, 1);
        let fates: Vec<Fate> = (0..1000).map(|_| network.send(&world)).collect();
        let count = |is: fn(&Fate) -> bool| fates.iter().filter(|fate| is(fate)).count();
        assert!((50..200).contains(&count(|fate| fate.first.is_none())));
        assert!((50..200).contains(&count(|fate| fate.second.is_some())));
    }
}
