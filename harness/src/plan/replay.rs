//! The plan of a run that is played again on the nodes that it struck: every choice that was made while it ran stands in it.
//!
//! Main decision: a plan like any other, with whom each fault struck beside the fault, so that it can be read, changed and run by `--plan`. Not taken: the
//! faults rewritten to name nodes, which would lose what they were aimed at. Events that faults wait for stay: they come when they come.

use squall_checker::history::History;
use squall_checker::judge::timeline::{self, Timeline};
use squall_nemeses::{Receipt, Struck};

use super::{Injection, Plan};

const NS_PER_MS: u64 = 1_000_000;

impl Plan {
    /// The plan that strikes whom this one struck in the run of that history: at the same times, in the same order, or at the same events. What was not
    /// injected then is left out.
    pub fn replay(&self, history: &History) -> Plan {
        let timeline = Timeline::of(history);
        let began_ns = timeline.phase_began_ns("warm-up").unwrap_or(0);
        let again = |injected: &timeline::Injection| {
            let planned = self.schedule.iter().find(|planned| planned.id == injected.id)?;
            let receipt: Receipt = serde_json::from_value(injected.resolved.clone()?).ok()?;
            let asked_ms = injected.asked_ns?.saturating_sub(began_ns) / NS_PER_MS;
            Some(self.again(planned, receipt, asked_ms))
        };
        let mut schedule: Vec<Injection> = timeline.injected().filter_map(again).collect();
        schedule.sort_by_key(|injection| injection.at_ms);
        self.part(&mut schedule);
        let mut plan = Plan { schedule, ..self.clone() };
        let is_struck = |kind: &String| plan.schedule.iter().any(|injection| injection.fault.kind() == kind);
        plan.requested = self.requested.iter().filter(|kind| is_struck(kind)).cloned().collect();
        plan
    }

    fn again(&self, planned: &Injection, receipt: Receipt, asked_ms: u64) -> Injection {
        let end_ms = self.timing.warm_up_ms + self.timing.storm_ms;
        let at_ms = match planned.when {
            Some(_) => planned.at_ms,
            None => (asked_ms + receipt.waited_ms).clamp(self.timing.warm_up_ms, end_ms.saturating_sub(1)),
        };
        let resolved = receipt.resolved;
        Injection {
            at_ms,
            for_ms: planned.for_ms.min(end_ms - at_ms),
            struck: Some(Struck {
                nodes: resolved.nodes,
                spares: resolved.state.joined.into_iter().collect(),
                key: resolved.key,
            }),
            ..planned.clone()
        }
    }

    /// Two that came within a millisecond, one after the other, come so again.
    fn part(&self, schedule: &mut [Injection]) {
        let end_ms = self.timing.warm_up_ms + self.timing.storm_ms;
        let mut next_ms = 0;
        for injection in schedule.iter_mut().filter(|injection| injection.when.is_none()) {
            injection.at_ms = injection.at_ms.max(next_ms).min(end_ms - injection.for_ms.min(end_ms));
            next_ms = injection.at_ms + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::plan_of;
    use super::*;

    /// The history of a run whose load began at 4 s, with these stages at these milliseconds of the load.
    fn history(stages: &[(u64, Value)]) -> History {
        let mark = |ms: u64, process: &str, f: &str, value: &Value| json!({"time": (4_000 + ms) * NS_PER_MS, "type": "info", "process": process, "f": f, "value": value});
        let mut lines = vec![mark(0, "harness", "phase", &json!({"name": "warm-up"}))];
        lines.extend(stages.iter().map(|(ms, value)| mark(*ms, "nemesis", "kill", value)));
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        History::read(text.join("\n").as_bytes()).expect("a history")
    }

    fn plan(schedule: Value) -> Plan {
        let mut plan = serde_json::to_value(plan_of(&["kill"])).expect("JSON");
        plan["schedule"] = schedule;
        Plan::from_json(&plan.to_string()).expect("a plan")
    }

    #[test]
    fn whom_a_run_struck_and_when_stands_in_the_plan_of_its_replay() {
        let coordinator = json!({"kill": {"target": "coordinator"}});
        let plan = plan(json!([
            {"id": 0, "at_ms": 2_500, "for_ms": 900, "fault": coordinator},
            {"id": 1, "at_ms": 2_600, "for_ms": 900, "fault": {"pause": {"target": "majority"}}},
            {"id": 2, "at_ms": 2_700, "for_ms": 900, "fault": {"kill": {"target": {"node": "n1"}}}},
            {"id": 3, "at_ms": 2_800, "for_ms": 900, "when": {"operations": {"completed": 9}}, "fault": {"kill": {"target": "any"}}},
        ]));
        let key = json!({"key": "k3", "replicas": ["n2", "n3", "n4"]});
        let hit = |resolved: Value, waited_ms: u64| json!({"resolved": resolved, "waited_ms": waited_ms});
        let replay = plan.replay(&history(&[
            (2_501, json!({"id": 0, "stage": "asked"})),
            (2_600, json!({"id": 1, "stage": "asked"})),
            (
                2_605,
                json!({"id": 1, "stage": "applied", "resolved": hit(json!({"nodes": ["n5", "n1", "n2"], "state": {}}), 0)}),
            ),
            (2_700, json!({"id": 2, "stage": "asked"})),
            (2_701, json!({"id": 2, "stage": "skipped", "reason": "node n1 is down already"})),
            (
                2_911,
                json!({"id": 0, "stage": "applied", "resolved": hit(json!({"nodes": ["n4"], "key": key, "state": {}}), 400)}),
            ),
            (3_100, json!({"id": 3, "stage": "asked"})),
            (
                3_110,
                json!({"id": 3, "stage": "applied", "resolved": hit(json!({"nodes": ["n2"], "state": {}}), 1)}),
            ),
        ]));
        let told: Vec<(u64, u64, Value)> = (replay.schedule.iter())
            .map(|injection| {
                (
                    injection.id,
                    injection.at_ms,
                    serde_json::to_value(&injection.struck).expect("JSON"),
                )
            })
            .collect();
        let expected = [
            (1, 2_600, json!({"nodes": ["n5", "n1", "n2"]})),
            (3, 2_800, json!({"nodes": ["n2"]})),
            (0, 2_901, json!({"nodes": ["n4"], "key": key})),
        ];
        assert_eq!(
            told, expected,
            "in the order in which they struck, without the one that struck nobody"
        );
        assert_eq!((&replay.requested[..], replay.validate()), (&["kill".to_owned()][..], Ok(())));
        assert_eq!(Plan::from_json(&replay.to_json()).as_ref(), Ok(&replay));
        assert_eq!(Plan::from_toml(&replay.to_toml()), Ok(replay));
    }

    #[test]
    fn what_came_late_ends_with_the_storm_and_what_came_together_comes_in_order() {
        let plan = plan(json!([
            {"id": 0, "at_ms": 3_000, "for_ms": 900, "fault": {"kill": {"target": "any"}}},
            {"id": 1, "at_ms": 3_000, "for_ms": 900, "fault": {"kill": {"target": "any"}}},
            {"id": 2, "at_ms": 9_000, "for_ms": 900, "fault": {"kill": {"target": "any"}}},
        ]));
        let end_ms = plan.timing.warm_up_ms + plan.timing.storm_ms;
        let applied = |id: u64| json!({"id": id, "stage": "applied", "resolved": {"resolved": {"nodes": ["n2"], "state": {}}}});
        let asked = |id: u64| json!({"id": id, "stage": "asked"});
        let replay = plan.replay(&history(&[
            (3_000, asked(1)),
            (3_000, applied(1)),
            (3_000, asked(0)),
            (3_000, applied(0)),
            (end_ms + 700, asked(2)),
            (end_ms + 701, applied(2)),
        ]));
        let times: Vec<(u64, u64, u64)> = replay
            .schedule
            .iter()
            .map(|injection| (injection.id, injection.at_ms, injection.for_ms))
            .collect();
        assert_eq!(times, [(1, 3_000, 900), (0, 3_001, 900), (2, end_ms - 1, 1)]);
        assert_eq!(replay.validate(), Ok(()));
    }

    #[test]
    fn one_that_is_struck_again_needs_no_role_and_is_a_node_there_is() {
        let mut plan = plan(json!([{"id": 0, "at_ms": 3_000, "for_ms": 900, "fault": {"kill": {"target": "any"}}}]));
        let leader = json!({"at_ms": 3_000, "id": 0, "for_ms": 900, "fault": {"kill": {"target": "leader"}}, "struck": {"nodes": ["n2"]}});
        plan.schedule = vec![serde_json::from_value(leader).expect("an injection")];
        assert_eq!(plan.validate(), Ok(()), "who leads is not asked");
        plan.schedule[0].struck.as_mut().expect("it is").nodes = vec!["n9".into()];
        assert!(
            plan.validate()
                .expect_err("a stranger")
                .starts_with("injection 0: `struck`: there is no node `n9`")
        );
        plan.schedule[0].struck.as_mut().expect("it is").nodes = vec!["n2".into(), "n2".into()];
        assert_eq!(plan.validate(), Err("injection 0: `struck`: `n2` stands there twice".into()));
    }
}
