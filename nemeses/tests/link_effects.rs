//! The probes of bad links, on a switch that does what it is told, does nothing, or does not heal: each must be told from the others.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests stand outside the tests")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use squall_nemeses::effect::{EffectReport, LinkProber, Turn};
use squall_nemeses::link::{Burst, CLIENTS, Gate, Pair, Quality, Rate, Reorder};
use squall_nemeses::switch::{Switch, can_open};
use support::{Star, inside, skip};

/// Patience with a loaded machine, where the effect is there.
const BOUND: Duration = Duration::from_secs(10);
/// Enough to see that it is not.
const SHORT: Duration = Duration::from_millis(300);

struct Bench {
    switch: Switch,
    prober: LinkProber,
    _star: Star,
}

impl Bench {
    /// Makes the links what `really` says, and probes for what `turns` claims.
    fn probe(&mut self, really: &BTreeMap<Pair, Quality>, turns: &BTreeMap<Pair, Turn>, bound: Duration) -> EffectReport {
        let mut prepared = self.prober.prepare(turns).unwrap();
        self.switch.apply(really).unwrap();
        self.prober.prove(turns, &mut prepared, bound).unwrap()
    }
}

/// The four answers about one quality on some links.
fn check(test: &str, links: &[(&str, &str)], quality: &Quality) {
    inside(test, || {
        if let Err(error) = can_open() {
            return skip(test, &error.to_string());
        }
        quality.validate().unwrap();
        let (star, switch) = Star::switched(3, 11).unwrap();
        let prober = LinkProber::open(&star.targets).unwrap();
        let mut bench = Bench {
            switch,
            prober,
            _star: star,
        };
        let bad: BTreeMap<Pair, Quality> = links.iter().map(|(from, to)| (Pair::new(*from, *to), quality.clone())).collect();
        let healthy = BTreeMap::new();
        let turn = |before: &Quality, now: &Quality| -> BTreeMap<Pair, Turn> {
            let turn = Turn {
                before: before.clone(),
                now: now.clone(),
            };
            bad.keys().map(|pair| (pair.clone(), turn.clone())).collect()
        };
        let (injection, heal) = (turn(&Quality::default(), quality), turn(quality, &Quality::default()));

        let silent_failure = bench.probe(&healthy, &injection, SHORT);
        assert!(!silent_failure.ok, "nothing was done: {silent_failure:?}");
        let bites = bench.probe(&bad, &injection, BOUND);
        assert!(bites.ok, "{bites:?}");
        println!("measured {}", serde_json::to_string(&bites).unwrap());
        // A reset is over when it happened, and so is a cut that comes once: what heals by itself is healed.
        let is_over = quality.resets > 0 || quality.flap.is_some_and(|gate| gate.open_us == 0);
        if !is_over {
            let lost_heal = bench.probe(&bad, &heal, SHORT);
            assert!(!lost_heal.ok, "nothing was healed: {lost_heal:?}");
        }
        let healed = bench.probe(&healthy, &heal, BOUND);
        assert!(healed.ok, "{healed:?}");
    });
}

const BOTH: &[(&str, &str)] = &[("n1", "n2"), ("n2", "n1")];

macro_rules! effects {
    ($($name:ident: $links:expr, $quality:expr;)*) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), $links, &$quality);
        }
    )*};
}

fn healthy() -> Quality {
    Quality::default()
}

const GATE: Gate = Gate {
    first_us: 0,
    closed_us: 150_000,
    open_us: 100_000,
};

effects! {
    tells_delay: BOTH, Quality { delay_us: 30_000, ..healthy() };
    tells_jitter_with_its_delay: BOTH, Quality { delay_us: 40_000, jitter_us: 5_000, ..healthy() };
    tells_a_little_loss: &[("n1", "n2")], Quality { loss_ppm: 20_000, ..healthy() };
    tells_much_loss_on_many_links: &[("n1", "n2"), ("n2", "n1"), ("n1", "n3"), ("n3", "n1")], Quality { loss_ppm: 500_000, ..healthy() };
    tells_bursts: BOTH, Quality { burst: Some(Burst { enter_ppm: 50_000, leave_ppm: 250_000, loss_ppm: 1_000_000 }), ..healthy() };
    tells_duplicates: BOTH, Quality { duplicate_ppm: 100_000, ..healthy() };
    tells_packets_out_of_order: BOTH, Quality { reorder: Some(Reorder { share_ppm: 200_000, by_us: 5_000 }), ..healthy() };
    tells_damage_on_the_wire: BOTH, Quality { corrupt_ppm: 100_000, ..healthy() };
    tells_a_forgery: BOTH, Quality { corrupt_past_checksum_ppm: 100_000, ..healthy() };
    tells_a_bottleneck: BOTH, Quality { rate: Some(Rate { kbit_per_s: 2_000, queue_us: 100_000 }), ..healthy() };
    tells_a_black_hole: BOTH, Quality { mtu: Some(1000), ..healthy() };
    tells_a_slow_receiver: BOTH, Quality { stall: Some(GATE), ..healthy() };
    tells_a_flapping_link: BOTH, Quality { flap: Some(GATE), ..healthy() };
    tells_a_link_that_is_cut_once: BOTH, Quality { flap: Some(Gate { first_us: 100_000, closed_us: 400_000, open_us: 0 }), ..healthy() };
    tells_reset_connections: BOTH, Quality { resets: 1, ..healthy() };
    tells_refused_connections: BOTH, Quality { refuse: true, ..healthy() };
    tells_a_client_that_is_cut_off: &[(CLIENTS, "n1"), ("n1", CLIENTS)], Quality::cut();
    tells_ports_that_are_cut: &[(CLIENTS, "n1"), ("n1", "n2")], Quality { cut_ports: [7000, 7001].into(), ..healthy() };
    tells_loss_behind_a_delay: BOTH, Quality { loss_ppm: 200_000, delay_us: 50_000, ..healthy() };
}

#[test]
fn what_a_cut_hides_is_neither_proved_nor_refuted() {
    const NAME: &str = "what_a_cut_hides_is_neither_proved_nor_refuted";
    inside(NAME, || {
        if let Err(error) = can_open() {
            return skip(NAME, &error.to_string());
        }
        let (star, switch) = Star::switched(2, 11).unwrap();
        let mut bench = Bench {
            switch,
            prober: LinkProber::open(&star.targets).unwrap(),
            _star: star,
        };
        let (there, back) = (Pair::new("n1", "n2"), Pair::new("n2", "n1"));
        let lossy = Quality {
            loss_ppm: 500_000,
            ..Quality::cut()
        };
        let hidden = Turn {
            before: lossy,
            now: Quality::cut(),
        };
        let cut = BTreeMap::from([(there.clone(), Quality::cut())]);
        let report = bench.probe(&cut, &BTreeMap::from([(there.clone(), hidden)]), SHORT);
        assert!(!report.ok && report.saw_nothing(), "{report:?}");
        // A connection needs both ways, and one of them is cut.
        let refused = Quality {
            refuse: true,
            ..Quality::default()
        };
        let healed = Turn {
            before: refused,
            now: Quality::default(),
        };
        let report = bench.probe(&cut, &BTreeMap::from([(back, healed)]), SHORT);
        assert!(!report.ok && report.saw_nothing(), "{report:?}");
    });
}

#[test]
fn a_part_of_the_links_is_not_enough() {
    const NAME: &str = "a_part_of_the_links_is_not_enough";
    inside(NAME, || {
        if let Err(error) = can_open() {
            return skip(NAME, &error.to_string());
        }
        let (star, switch) = Star::switched(2, 11).unwrap();
        let mut bench = Bench {
            switch,
            prober: LinkProber::open(&star.targets).unwrap(),
            _star: star,
        };
        let slow = Quality {
            delay_us: 30_000,
            ..Quality::default()
        };
        let (there, back) = (Pair::new("n1", "n2"), Pair::new("n2", "n1"));
        let turn = Turn {
            before: Quality::default(),
            now: slow.clone(),
        };
        let claimed = BTreeMap::from([(there.clone(), turn.clone()), (back.clone(), turn)]);
        let report = bench.probe(&BTreeMap::from([(there.clone(), slow)]), &claimed, SHORT);
        assert!(!report.ok && report.links[&there].iter().all(|bound| bound.holds()));
        assert!(report.links[&back].iter().any(|bound| !bound.holds()));
    });
}
