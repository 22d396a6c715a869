//! Orders that a plan leaves out: who comes first where a fault looks for nodes. Drawn from the plan's seed, once, when the plan is read; what is
//! stored of a run says them.

use super::{Plan, node_names};
use crate::schedule;

impl Plan {
    /// Draws every order that was left out, each from its injection's number alone, so that another injection moves nothing.
    pub(super) fn draw_open_orders(&mut self) {
        let nodes = node_names(self.system.nodes());
        for injection in &mut self.schedule {
            let Some(order) = injection.fault.open_order() else { continue };
            let mut chance = schedule::generator(self.seed, &format!("order.{}", injection.id));
            order.clone_from(&nodes);
            schedule::shuffle(order, &mut chance);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::plan_of;
    use super::*;

    fn read(seed: u64, faults: &[Value]) -> Plan {
        let mut plan = serde_json::to_value(plan_of(&[])).expect("JSON");
        plan["seed"] = json!(seed);
        let injection = |(id, fault): (usize, &Value)| json!({"id": id, "at_ms": 3_000, "for_ms": 500, "fault": fault});
        plan["schedule"] = faults.iter().enumerate().map(injection).collect();
        Plan::from_json(&plan.to_string()).expect("a plan")
    }

    #[test]
    fn an_order_that_is_left_out_is_drawn_from_the_seed_and_the_injections_number_alone() {
        let kill = json!({"kill": {"target": "majority"}});
        let all = [
            kill.clone(),
            json!({"power": {"hits": "minority"}}),
            json!({"partition": {"shape": {"halves": {}}}}),
            kill,
        ];
        let plan = read(7, &all);
        let order = |plan: &Plan, at: usize| serde_json::to_value(&plan.schedule[at].fault).expect("JSON");
        let drawn = order(&plan, 0)["kill"]["target"]["majority"]["order"].clone();
        let mut names: Vec<String> = serde_json::from_value(drawn.clone()).expect("names");
        names.sort();
        assert_eq!(names, node_names(5));
        assert_eq!(order(&read(7, &all), 0), order(&plan, 0), "the same seed");
        assert_eq!(order(&read(7, &all[..1]), 0), order(&plan, 0), "whatever else there is");
        assert_ne!(order(&plan, 3), order(&plan, 0), "another injection");
        assert_ne!(order(&read(8, &all), 0), order(&plan, 0), "another seed");
        assert_eq!(Plan::from_json(&plan.to_json()), Ok(plan), "what was drawn stands in the plan");
    }

    #[test]
    fn an_order_that_is_said_stays() {
        let said = json!({"pause": {"target": {"minority": {"order": ["n5", "n4", "n3", "n2", "n1"], "leader": false}}}});
        let mut plan = read(7, &[json!({"pause": {"target": "minority"}})]);
        assert!(plan.schedule[0].fault.open_order().is_none());
        let system = serde_json::from_value(json!({"raft": {"nodes": 5}})).expect("a system");
        plan.system = system;
        plan.schedule[0].fault = serde_json::from_value(said.clone()).expect("a fault");
        let read = Plan::from_json(&plan.to_json()).expect("a plan");
        assert_eq!(serde_json::to_value(&read.schedule[0].fault).expect("JSON"), said);
    }
}
