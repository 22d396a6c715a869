//! How the simulated world treats a cluster, as plain numbers.

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// How long something takes; see [`Chance::delay_ns`](super::Chance::delay_ns).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// At least so long, in ns.
    pub least_ns: u64,
    /// And up to so much longer half of the time, up to 32 times as much once in 32.
    pub spread_ns: u64,
}

/// The world a cluster lives in. The default is a local network with rare losses, a quick disk, and wall clocks that agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// A message's way from node to node.
    pub peers: Delay,
    /// A request's way to a node, and a reply's way back. Both are on one connection: never lost while both ends live.
    pub clients: Delay,
    /// Messages between nodes that are lost on a link that is not cut, of 1,000.
    pub lost_per_mille: u16,
    /// Messages that arrive twice, of 1,000.
    pub doubled_per_mille: u16,
    /// By how much the second copy may be later, in ns: long enough to meet another life of its receiver.
    pub double_late_ns_max: u64,
    /// Messages on a cut link that wait there until it is healed, as TCP would send them again, of 1,000; the others are lost.
    pub held_by_cut_per_mille: u16,
    /// From the hand-over of a batch to the disk until it is durable.
    pub fsync: Delay,
    /// How late a timer may fire, in ns.
    pub timer_late_ns_max: u64,
    /// By how much each node's wall clock is ahead, in ns; nodes past the end of the list are not.
    pub wall_skew_ns: Vec<i64>,
    /// Whether what nodes trace is kept. It always counts in the digest.
    pub keeps_traces: bool,
}

impl Default for World {
    fn default() -> World {
        World {
            peers: Delay {
                least_ns: 100 * US,
                spread_ns: 500 * US,
            },
            clients: Delay {
                least_ns: 50 * US,
                spread_ns: 100 * US,
            },
            lost_per_mille: 5,
            doubled_per_mille: 5,
            double_late_ns_max: 500 * MS,
            held_by_cut_per_mille: 500,
            fsync: Delay {
                least_ns: 50 * US,
                spread_ns: 300 * US,
            },
            // Timers of the real driver have a grain of a millisecond.
            timer_late_ns_max: MS,
            wall_skew_ns: Vec::new(),
            keeps_traces: true,
        }
    }
}
