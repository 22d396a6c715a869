//! Which keys a group of clients works on, and when one takes the place of another.
//!
//! Clients work in groups of neighbours (neighbours talk to different nodes), each group on a few keys at once, of which one at a time
//! is replaced: were all replaced together, every fault of the same rhythm would meet keys of the same age.

use crate::chance::Draws;
use crate::options::Options;

/// Where the keys of one group of clients change.
#[derive(Debug, Clone)]
pub(crate) struct Rotation {
    /// Number of the group among all groups.
    group: u64,
    groups: u64,
    /// For each of the keys at once, by how many counts it is ahead.
    ahead: Vec<u64>,
    /// Counts of one client for which a key lives.
    life: u64,
}

impl Rotation {
    /// How many keys a group works on at once.
    pub(crate) fn places(&self) -> usize {
        self.ahead.len()
    }

    pub(crate) fn new(options: &Options, client: u32) -> Rotation {
        let (clients, groups) = (u64::from(options.clients), u64::from(options.groups()));
        let group = u64::from(client) * groups / clients;
        let members = (0..clients).filter(|member| member * groups / clients == group).count() as u64;
        let places = u64::from(options.keys_at_once);
        let life = (u64::from(options.ops_per_key) * places).div_ceil(members);
        let first = u32::try_from(group).expect("there are fewer groups than clients");
        let shift = Draws::new(options.seed, "register.rotation", first).below(0, life);
        let ahead = (0..places).map(|place| (shift + place * life / places) % life).collect();
        Rotation {
            group,
            groups,
            ahead,
            life,
        }
    }

    /// Number of the group, as a stream of chance takes it.
    pub(crate) fn number(&self) -> u32 {
        u32::try_from(self.group).expect("there are fewer groups than clients")
    }

    /// Number of the key that stands at `place` at `count`; every number belongs to one place of one group.
    pub(crate) fn key_number(&self, place: u64, count: u64) -> u64 {
        let places = self.ahead.len() as u64;
        let ahead = self.ahead[usize::try_from(place).expect("a place is below the number of keys at once")];
        let generation = (count + ahead) / self.life;
        (generation * self.groups + self.group) * places + place
    }
}
