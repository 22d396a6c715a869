//! Storms by name: the one table of which kinds, against whom, how often, how long and how hard. And `swarm`, which draws its kinds.

use rand::RngExt;

use super::{Aim, Lasts, Recipe, generator};

/// A storm with a name.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// What `--faults` takes.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Kinds; those that a system cannot take are left out.
    pub kinds: &'static [&'static str],
    /// Whom they hit.
    pub aim: Aim,
    /// From one injection to the next, in milliseconds; none: equal slots.
    pub every_ms: Option<(u64, u64)>,
    /// How long they last, in milliseconds.
    pub for_ms: For,
    /// How hard, in percent of the way from the mildest to the hardest.
    pub intensity: (u32, u32),
}

/// How long the faults of a profile last.
#[derive(Debug, Clone, Copy)]
pub enum For {
    /// As the intervals suggest.
    Suggested,
    /// Between so many milliseconds.
    Between(u64, u64),
    /// The whole storm.
    Storm,
}

/// What is run if nothing else is said.
pub const DEFAULT: &str = "storm";

/// Every profile.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "storm",
        about: "what every store is built for: partitions, kills, pauses, transfers, changes of members; the default",
        kinds: &["partition", "kill", "pause", "transfer", "membership"],
        aim: Aim::Drawn,
        every_ms: None,
        for_ms: For::Suggested,
        intensity: (0, 100),
    },
    Profile {
        name: "gentle",
        about: "short and mild, with time to recover in between",
        kinds: &["partition", "pause", "stutter", "cpu"],
        aim: Aim::Drawn,
        every_ms: Some((2_000, 3_500)),
        for_ms: For::Between(300, 800),
        intensity: (0, 30),
    },
    Profile {
        name: "partitions",
        about: "cut links alone",
        kinds: &["partition"],
        aim: Aim::Drawn,
        every_ms: None,
        for_ms: For::Suggested,
        intensity: (0, 100),
    },
    Profile {
        name: "disk",
        about: "disks that lose power, tear writes, fail, fill up, can only be read or are slow",
        kinds: &[
            "power",
            "torn",
            "fsync",
            "eio",
            "enospc",
            "slow-disk",
            "disk-full",
            "read-only",
            "disk-rate",
        ],
        aim: Aim::Drawn,
        every_ms: None,
        for_ms: For::Suggested,
        intensity: (0, 100),
    },
    Profile {
        name: "links",
        about: "links that are slow, lossy, narrow, out of order, reset, flapping",
        kinds: &[
            "delay",
            "loss",
            "duplicate",
            "reorder",
            "corrupt",
            "rate",
            "reset",
            "mtu",
            "slow-receiver",
            "flapping",
            "swizzle",
            "client-cut",
        ],
        aim: Aim::Drawn,
        every_ms: None,
        for_ms: For::Suggested,
        intensity: (0, 100),
    },
    Profile {
        name: "domains",
        about: "lost racks and lost spines; the nodes need failure domains, by `--topology`",
        kinds: &["rack-down", "spine-cut"],
        aim: Aim::Drawn,
        every_ms: None,
        for_ms: For::Suggested,
        intensity: (0, 100),
    },
    Profile {
        name: "skew",
        about: "the wall clocks of as many nodes at once as a majority can spare jump, drift, strobe or stand still",
        kinds: &["clock"],
        aim: Aim::Minority,
        every_ms: Some((1_800, 3_000)),
        for_ms: For::Between(800, 1_600),
        intensity: (0, 100),
    },
    Profile {
        name: "leader-hunt",
        about: "whoever leads is cut off, killed, stopped or slowed, again and again",
        kinds: &["partition", "kill", "pause", "stutter", "cpu"],
        aim: Aim::Leader,
        // An election takes some 300 ms: the next leader has just begun.
        every_ms: Some((1_000, 1_800)),
        for_ms: For::Between(500, 1_000),
        intensity: (50, 100),
    },
    Profile {
        name: "one-down",
        about: "one node is down for the whole storm",
        kinds: &["kill"],
        aim: Aim::OneNode,
        every_ms: None,
        for_ms: For::Storm,
        intensity: (0, 100),
    },
    Profile {
        name: "minority",
        about: "as many nodes at once as a majority can spare are killed or stopped",
        kinds: &["kill", "pause"],
        aim: Aim::Minority,
        every_ms: Some((1_800, 3_000)),
        for_ms: For::Between(800, 1_600),
        intensity: (0, 100),
    },
    Profile {
        name: "majority",
        about: "so many nodes at once are killed or stopped that no majority is left",
        kinds: &["kill", "pause"],
        aim: Aim::Majority,
        every_ms: Some((2_200, 3_400)),
        for_ms: For::Between(600, 1_200),
        intensity: (0, 100),
    },
];

impl Profile {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// What it says, of these of its kinds.
    pub fn recipe(&self, kinds: Vec<String>) -> Recipe {
        Recipe {
            kinds,
            all: false,
            aim: self.aim,
            every_ms: self.every_ms.map(|(least, most)| least..=most),
            lasts: match self.for_ms {
                For::Suggested => Lasts::Suggested,
                For::Between(least, most) => Lasts::Between(least..=most),
                For::Storm => Lasts::Storm,
            },
            intensity: self.intensity.0..=self.intensity.1,
        }
    }
}

/// A random part of `kinds`, at least one: each seed another one. What all kinds together never reach, as one hides another, a few may (Groce et
/// al., "Swarm Testing", ISSTA 2012).
pub fn swarm(seed: u64, kinds: &[String]) -> Vec<String> {
    let mut rng = generator(seed, "schedule.swarm");
    loop {
        let drawn: Vec<String> = kinds.iter().filter(|_| rng.random_bool(0.5)).cloned().collect();
        if !drawn.is_empty() || kinds.is_empty() {
            return drawn;
        }
    }
}
