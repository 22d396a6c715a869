//! Where new versions come from. The scheme decides the counter, and with it whether the store is correct; that no version is ever given
//! twice holds in every scheme.

use super::config::{QuorumConfig, VersionScheme};
use super::hybrid_clock::HybridClock;
use crate::bugs::{Bug, Planted};
use crate::core::Now;
use crate::members::Text;
use crate::vector::Vector;
use crate::version::Version;

const NS_PER_MS: i64 = 1_000_000;

/// Actors in a vector at most: lives of coordinators that ever wrote the key. A write that would be one too many fails.
const ACTORS_MAX: usize = 1024;

/// Actors that a planted bug leaves in a vector, beside the one that writes.
const PRUNED_ACTORS: usize = 2;

/// What a majority of the replicas held when they were asked; nothing if they were not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The largest counter.
    pub(super) counter: u64,
    /// What their writes had seen.
    pub(super) vector: Vector,
}

/// A new version, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// Never made before, with its vector (empty where versions order all writes).
    Version(Version, Vector),
    /// The hybrid clock has to wait.
    NotYet,
    /// There is no larger one, or too many actors are known.
    Exhausted,
}

/// Makes the versions of one life of one coordinator.
#[derive(Debug)]
pub(super) struct VersionSource {
    /// Node and incarnation are fixed; counter and sequence are those of the last version made.
    last: Version,
    scheme: VersionScheme,
    asks_replicas: bool,
    clock_offset_ns: i64,
    pub(super) clock: HybridClock,
    planted: Planted,
}

impl VersionSource {
    pub(super) fn new(config: &QuorumConfig, incarnation: u64) -> VersionSource {
        let last = Version {
            counter: 0,
            node: config.members.name(config.me).clone(),
            incarnation,
            sequence: 0,
        };
        VersionSource {
            last,
            scheme: config.versions,
            asks_replicas: config.asks_replicas(),
            clock_offset_ns: config.clock_offset_ms.saturating_mul(NS_PER_MS),
            clock: HybridClock::new(config.planted),
            planted: config.planted,
        }
    }

    /// True if a version depends on what replicas hold, so that they must be asked first.
    pub(super) fn asks_replicas(&self) -> bool {
        self.asks_replicas
    }

    /// The wall clock of this node as versions see it.
    pub(super) fn wall_ns(&self, now: Now) -> u64 {
        now.wall_ns.saturating_add_signed(self.clock_offset_ns)
    }

    /// A version never made before: the sequence is used once in this life, and the life is used once.
    pub(super) fn next(&mut self, now: Now, seen: &Seen) -> Made {
        let counter = match self.scheme {
            VersionScheme::Quorum => seen.counter.checked_add(1),
            // Past this life's own versions too, which a vector counts as seen: so what replaces a write has the larger counter.
            VersionScheme::Vector => seen.counter.max(self.last.counter).checked_add(1),
            VersionScheme::WallClock => Some(self.wall_ns(now)),
            VersionScheme::CoordinatorLocal => self.last.counter.checked_add(1),
            VersionScheme::Hlc => match self.clock.next(self.wall_ns(now), now.mono_ns, seen.counter) {
                Some(stamp) => Some(stamp),
                None => return Made::NotYet,
            },
        };
        let Some(counter) = counter else { return Made::Exhausted };
        let mut version = Version {
            counter,
            sequence: self.last.sequence + 1,
            ..self.last.clone()
        };
        if self.planted.has(Bug::Q07) {
            (version.node, version.incarnation, version.sequence) = (Text::from("all"), 1, 1);
        }
        let mut vector = Vector::default();
        if self.scheme == VersionScheme::Vector {
            vector = seen.vector.clone();
            if self.planted.has(Bug::Q16) {
                vector = pruned(vector);
            }
            vector.include(&version);
        }
        if vector.actor_count() > ACTORS_MAX {
            return Made::Exhausted;
        }
        self.last = version.clone();
        Made::Version(version, vector)
    }
}

/// Q16: only the actors with the largest counts stay.
fn pruned(vector: Vector) -> Vector {
    let mut counts: Vec<(Text, u64, u64)> = vector.into();
    counts.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    counts.truncate(PRUNED_ACTORS);
    Vector::from(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        mono_ns: 5,
        wall_ns: 2_000_000,
    };

    fn source(versions: VersionScheme, clock_offset_ms: i64) -> VersionSource {
        let config = QuorumConfig {
            versions,
            clock_offset_ms,
            ..QuorumConfig::of_one()
        };
        VersionSource::new(&config, 4)
    }

    fn seen(counter: u64) -> Seen {
        Seen {
            counter,
            vector: Vector::default(),
        }
    }

    fn made(source: &mut VersionSource, counter_seen: u64) -> (u64, u64) {
        let Made::Version(version, vector) = source.next(NOW, &seen(counter_seen)) else {
            panic!("no version");
        };
        assert!(vector.is_empty());
        assert_eq!((version.node.as_ref(), version.incarnation), ("n1", 4));
        (version.counter, version.sequence)
    }

    #[test]
    fn the_quorum_scheme_counts_on_from_what_replicas_hold() {
        let mut source = source(VersionScheme::Quorum, 0);
        assert_eq!(
            [made(&mut source, 7), made(&mut source, 7), made(&mut source, 0)],
            [(8, 1), (8, 2), (1, 3)]
        );
        assert_eq!(source.next(NOW, &seen(u64::MAX)), Made::Exhausted);
    }

    #[test]
    fn the_wall_clock_is_shifted_both_ways_and_never_wraps() {
        assert_eq!(made(&mut source(VersionScheme::WallClock, 3), 0), (5_000_000, 1));
        assert_eq!(made(&mut source(VersionScheme::WallClock, -1), 0), (1_000_000, 1));
        assert_eq!(made(&mut source(VersionScheme::WallClock, i64::MIN), 0), (0, 1));
    }

    #[test]
    fn a_coordinator_that_counts_alone_ignores_the_replicas() {
        let mut source = source(VersionScheme::CoordinatorLocal, 0);
        assert_eq!([made(&mut source, 7), made(&mut source, 7)], [(1, 1), (2, 2)]);
    }

    #[test]
    fn a_hybrid_version_waits_for_its_ceiling_and_passes_what_was_seen() {
        let mut source = source(VersionScheme::Hlc, 3);
        assert_eq!(source.next(NOW, &seen(0)), Made::NotYet);
        let ceiling = source.clock.take_wanted().unwrap();
        source.clock.settle(ceiling);
        assert_eq!(
            [made(&mut source, 0), made(&mut source, 7_000_000)],
            [(5_000_000, 1), (7_000_001, 2)]
        );
    }

    #[test]
    fn a_vector_counts_what_was_seen_and_itself() {
        let mut source = source(VersionScheme::Vector, 0);
        let before = Seen {
            counter: 7,
            vector: Vector::from(vec![("n2".into(), 1, 3)]),
        };
        let Made::Version(version, vector) = source.next(NOW, &before) else {
            panic!("no version");
        };
        assert_eq!(version.counter, 8);
        assert_eq!(vector, Vector::from(vec![("n1".into(), 4, 1), ("n2".into(), 1, 3)]));
        let crowd: Vec<_> = (0..1024).map(|life| ("n2".into(), life, 1)).collect();
        let crowd = Seen {
            counter: 7,
            vector: Vector::from(crowd),
        };
        assert_eq!(source.next(NOW, &crowd), Made::Exhausted);
    }
}
