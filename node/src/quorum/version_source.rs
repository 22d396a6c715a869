//! Where new versions come from. The scheme decides the counter, and with it whether the store is correct; that no version is ever given
//! twice holds in every scheme.

use super::config::{QuorumConfig, VersionScheme};
use crate::core::Now;
use crate::version::Version;

const NS_PER_MS: i64 = 1_000_000;

/// Makes the versions of one life of one coordinator.
#[derive(Debug)]
pub(super) struct VersionSource {
    /// Node and incarnation are fixed; counter and sequence are those of the last version made.
    last: Version,
    scheme: VersionScheme,
    clock_offset_ns: i64,
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
            clock_offset_ns: config.clock_offset_ms.saturating_mul(NS_PER_MS),
        }
    }

    /// True if a version depends on what replicas hold, so that they must be asked first.
    pub(super) fn asks_replicas(&self) -> bool {
        self.scheme == VersionScheme::Quorum
    }

    /// A version never made before: the sequence is used once in this life, and the life is used once. `counter_seen` is the largest
    /// counter in a majority, if replicas were asked. `None` if no larger counter exists.
    pub(super) fn next(&mut self, now: Now, counter_seen: u64) -> Option<Version> {
        self.last.counter = match self.scheme {
            VersionScheme::Quorum => counter_seen.checked_add(1)?,
            VersionScheme::WallClock => now.wall_ns.saturating_add_signed(self.clock_offset_ns),
            VersionScheme::CoordinatorLocal => self.last.counter.checked_add(1)?,
        };
        self.last.sequence += 1;
        Some(self.last.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::{Members, NodeIndex};

    const NOW: Now = Now {
        mono_ns: 5,
        wall_ns: 2_000_000,
    };

    fn source(versions: VersionScheme, clock_offset_ms: i64) -> VersionSource {
        let config = QuorumConfig {
            members: Members::new(["n1"]).unwrap(),
            me: NodeIndex(0),
            n: 1,
            r: 1,
            w: 1,
            write_back: true,
            versions,
            clock_offset_ms,
            vnodes: 1,
            call_timeout_ms: 1,
            op_timeout_ms: 1,
            planted: Default::default(),
        };
        VersionSource::new(&config, 4)
    }

    fn made(source: &mut VersionSource, counter_seen: u64) -> (u64, u64) {
        let version = source.next(NOW, counter_seen).unwrap();
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
        assert_eq!(source.next(NOW, u64::MAX), None);
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
}
