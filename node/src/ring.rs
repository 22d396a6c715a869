//! Placement: a consistent hash ring with virtual nodes (Karger et al. 1997; Dynamo, SOSP 2007, §4.2).
//!
//! Every member owns `vnodes` points on a circle of 2^64; a key's home replicas are the first N distinct members clockwise from the key's
//! own point. A member more or less moves only the keys of its own arcs: about K/n of K keys.
//!
//! Where members are in failure domains, replicas go to different ones as long as there are any: the walk clockwise passes over members whose domain
//! has a replica already, and comes back to them when every domain has one (as Cassandra's `NetworkTopologyStrategy` does with racks). No domain gets a
//! replica more than another that could have taken it.
//!
//! The hash is part of the format: all nodes, all builds and all machines must place alike, so it is fixed here and not taken from std
//! (whose hasher is drawn per process).

use crate::members::{Members, NodeIndex, Text};

/// Points per member if the user says nothing. The share of a member varies by about `1/sqrt(vnodes)`: 6 % at 256, so that the bound of
/// 1.3 times the fair share is five standard deviations away. At 64 it would be two.
pub const VNODES_DEFAULT: u16 = 256;

/// The ring of one cluster. Equal members and equal `vnodes` give equal rings.
#[derive(Clone, Debug)]
pub struct Ring {
    /// (point, owner), ascending; two equal points are ordered by their owner.
    points: Vec<(u64, NodeIndex)>,
    members: usize,
    /// The failure domain of each member, as a number; empty: no two are told apart.
    domains: Vec<usize>,
}

impl Ring {
    /// Places every member at `vnodes` points, at least one.
    pub fn new(members: &Members, vnodes: u16) -> Ring {
        let mut points = Vec::with_capacity(members.count() * usize::from(vnodes.max(1)));
        for index in members.indices() {
            for vnode in 0..vnodes.max(1) {
                points.push((stable_hash(format!("{}#{vnode}", members.name(index)).as_bytes()), index));
            }
        }
        points.sort_unstable();
        Ring {
            points,
            members: members.count(),
            domains: Vec::new(),
        }
    }

    /// The same ring, for members in failure domains: the name of each one's, in the order of the members. An empty list tells none apart.
    ///
    /// # Panics
    /// If there are not as many names as members.
    #[must_use]
    pub fn spread_over(self, domains: &[Text]) -> Ring {
        assert!(
            domains.is_empty() || domains.len() == self.members,
            "a domain for each member, or none at all"
        );
        let number = |domain: &Text| domains.iter().position(|first| first == domain).expect("it is in the list itself");
        Ring {
            domains: domains.iter().map(number).collect(),
            ..self
        }
    }

    /// The first `n` distinct members clockwise from the key, in ring order; all members if `n` is larger. Of members in failure domains, the first of
    /// each domain come first.
    pub fn homes(&self, key: &str, n: usize) -> Vec<NodeIndex> {
        let wanted = n.min(self.members);
        let mut homes = Vec::with_capacity(wanted);
        let mut passed_over = Vec::new();
        for owner in self.clockwise(key) {
            if homes.len() == wanted || homes.len() + passed_over.len() == self.members {
                break;
            }
            if homes.contains(&owner) || passed_over.contains(&owner) {
                continue;
            }
            if self.held(owner, &homes) == 0 {
                homes.push(owner);
            } else {
                passed_over.push(owner);
            }
        }
        // Every domain has one. With each turn every domain that has members left gets one more.
        for held in 1..=wanted {
            passed_over.retain(|owner| {
                let is_due = homes.len() < wanted && self.held(*owner, &homes) == held;
                if is_due {
                    homes.push(*owner);
                }
                !is_due
            });
        }
        homes
    }

    /// The owners of the points from the key on, once around.
    fn clockwise(&self, key: &str) -> impl Iterator<Item = NodeIndex> + '_ {
        let start = self.points.partition_point(|(point, _)| *point < stable_hash(key.as_bytes()));
        let (before, behind) = self.points.split_at(start);
        behind.iter().chain(before).map(|(_, owner)| *owner)
    }

    /// How many of these are in a member's domain; 0 where none are told apart.
    fn held(&self, member: NodeIndex, homes: &[NodeIndex]) -> usize {
        let domain = |member: &NodeIndex| self.domains.get(usize::from(member.0));
        let own = domain(&member);
        homes.iter().filter(|home| own.is_some() && domain(home) == own).count()
    }
}

/// FNV-1a with 64 bits, then the finaliser of MurmurHash3. FNV alone leaves the high bits of short, similar names nearly equal, and the
/// ring is ordered by the high bits; the finaliser spreads every input bit over all of them.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut mixed = fnv;
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 8_000;

    fn names(count: usize) -> Vec<String> {
        (1..=count).map(|number| format!("n{number}")).collect()
    }

    fn members(names: &[String]) -> Members {
        Members::new(names.iter().map(String::as_str)).unwrap()
    }

    /// How many (key, home) pairs of `after` are new against `before`, and how many pairs there are.
    fn moved(before: &[String], after: &[String], n: usize) -> usize {
        let (old, new) = (members(before), members(after));
        let (old_ring, new_ring) = (Ring::new(&old, VNODES_DEFAULT), Ring::new(&new, VNODES_DEFAULT));
        (0..KEYS)
            .map(|number| {
                let key = format!("k{number}");
                let had: Vec<_> = old_ring.homes(&key, n).iter().map(|home| old.name(*home).clone()).collect();
                new_ring
                    .homes(&key, n)
                    .iter()
                    .filter(|home| !had.contains(new.name(**home)))
                    .count()
            })
            .sum()
    }

    #[test]
    fn a_member_more_or_less_moves_at_most_a_third_over_its_fair_share() {
        for count in 2..=12 {
            for n in [1, 3] {
                if n > count {
                    continue;
                }
                let before = names(count);
                let more = moved(&before, &names(count + 1), n);
                let fair = KEYS * n / (count + 1);
                assert!(
                    more * 10 <= fair * 13,
                    "{count} members and one more, N={n}: {more} moved, fair {fair}"
                );
                for gone in 0..count {
                    let mut after = before.clone();
                    after.remove(gone);
                    let less = moved(&before, &after, n.min(after.len()));
                    let fair = KEYS * n / count;
                    assert!(
                        less * 10 <= fair * 13,
                        "{count} members without number {gone}, N={n}: {less} moved, fair {fair}"
                    );
                }
            }
        }
    }

    #[test]
    fn homes_are_distinct_and_only_the_lost_member_is_replaced() {
        let (five, four) = (names(5), names(4));
        let (all, fewer) = (members(&five), members(&four));
        let (ring, smaller) = (Ring::new(&all, 64), Ring::new(&fewer, 64));
        for number in 0..2000 {
            let key = format!("key-{number}");
            let homes = ring.homes(&key, 3);
            assert_eq!(homes.len(), 3);
            assert!(homes[0] != homes[1] && homes[1] != homes[2] && homes[0] != homes[2]);
            let kept: Vec<_> = homes
                .iter()
                .map(|home| all.name(*home))
                .filter(|name| name.as_ref() != "n5")
                .collect();
            let now: Vec<_> = smaller.homes(&key, 3).iter().map(|home| fewer.name(*home).clone()).collect();
            assert!(kept.iter().all(|name| now.contains(name)), "{key} lost a home that is still there");
        }
    }

    /// Names of domains for members, by their numbers.
    fn domains(numbers: &[usize]) -> Vec<Text> {
        numbers.iter().map(|number| format!("rack{number}").into()).collect()
    }

    #[test]
    fn replicas_are_in_as_many_domains_as_there_are_and_as_evenly_as_can_be() {
        // Every way to put six members into up to four domains, by counting.
        for layout in 0..4usize.pow(6) {
            let numbers: Vec<usize> = (0..6).map(|member| layout / 4usize.pow(member) % 4).collect();
            let ring = Ring::new(&members(&names(6)), 8).spread_over(&domains(&numbers));
            let sizes: Vec<usize> = (0..4).map(|domain| numbers.iter().filter(|own| **own == domain).count()).collect();
            for (key, n) in (0..5).flat_map(|key| (1..=6).map(move |n| (format!("k{key}"), n))) {
                let homes = ring.homes(&key, n);
                let mut distinct = homes.clone();
                distinct.sort_unstable();
                distinct.dedup();
                assert_eq!(distinct.len(), n, "{numbers:?} {key} {homes:?}");
                let held = |domain: usize| homes.iter().filter(|home| numbers[usize::from(home.0)] == domain).count();
                for (one, other) in (0..4).flat_map(|one| (0..4).map(move |other| (one, other))) {
                    assert!(
                        held(one) <= held(other) + 1 || held(other) == sizes[other],
                        "{numbers:?} {key}, N={n}: {homes:?}"
                    );
                }
                let n_domains = sizes.iter().filter(|size| **size > 0).count();
                assert_eq!((0..4).filter(|domain| held(*domain) > 0).count(), n.min(n_domains));
            }
        }
    }

    #[test]
    fn one_domain_for_all_and_one_for_each_are_the_plain_ring() {
        let (plain, all) = (Ring::new(&members(&names(5)), 16), domains(&[0; 5]));
        let together = plain.clone().spread_over(&all);
        let apart = plain.clone().spread_over(&domains(&[0, 1, 2, 3, 4]));
        for (key, n) in (0..200).flat_map(|key| (1..=5).map(move |n| (format!("k{key}"), n))) {
            let homes = plain.homes(&key, n);
            assert_eq!((together.homes(&key, n), apart.homes(&key, n)), (homes.clone(), homes));
        }
    }

    #[test]
    fn the_first_of_each_domain_clockwise_is_taken() {
        let ring = Ring::new(&members(&names(6)), 16);
        let racks = [0, 0, 1, 1, 2, 2];
        let spread = ring.clone().spread_over(&domains(&racks));
        for key in (0..500).map(|key| format!("k{key}")) {
            let mut seen = Vec::new();
            let first_of_each: Vec<NodeIndex> = ring
                .homes(&key, 6)
                .into_iter()
                .filter(|home| {
                    let rack = racks[usize::from(home.0)];
                    let is_first = !seen.contains(&rack);
                    seen.push(rack);
                    is_first
                })
                .collect();
            assert_eq!(spread.homes(&key, 3), first_of_each);
        }
    }

    #[test]
    fn more_homes_than_members_gives_all_members() {
        assert_eq!(Ring::new(&members(&names(2)), 8).homes("k", 5).len(), 2);
    }

    #[test]
    fn the_hash_is_fixed_for_ever() {
        // Recomputed by a separate Python program from the definition in the doc comment.
        assert_eq!(stable_hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable_hash(b"k1"), 0x4a2b_30eb_9896_2955);
    }
}
