//! What a plan that a person wrote leaves out: the same as where nothing is said on the command line. What is usual depends on what else the plan says,
//! so it is filled in when the plan was read, and stands in what is stored of a run.

use serde_json::Value;

use super::{Bind, Plan, Timing, WorkloadPlan};
use crate::systems::{SystemPlan, quorum};

/// What `--time` is unless it is given, in milliseconds.
const TOTAL_MS: u64 = 15_000;

impl Default for Timing {
    fn default() -> Timing {
        Timing::of(TOTAL_MS, super::timing::operation_timeout_ms())
    }
}

impl Default for WorkloadPlan {
    fn default() -> WorkloadPlan {
        WorkloadPlan::Register(squall_workloads::Options::default())
    }
}

impl Bind {
    /// Whom clients of a system talk to. In a store with a leader one that stayed with its node would mostly be refused.
    pub(crate) fn usual(system: &SystemPlan) -> Bind {
        match system {
            SystemPlan::Raft(_) => Bind::Follow,
            SystemPlan::Quorum(_) | SystemPlan::Etcd(_) => Bind::Node,
        }
    }
}

impl Plan {
    /// Fills in what the text of this plan, as plain data, does not say.
    pub(super) fn fill(&mut self, written: &Value) {
        let is_left_out = |pointer: &str| written.pointer(pointer).is_none();
        if is_left_out("/bind") {
            self.bind = Bind::usual(&self.system);
        }
        if is_left_out("/disk_rules") {
            self.disk_rules = self.system.disk_rules();
        }
        if is_left_out("/requested") {
            for kind in self.schedule.iter().map(|injection| injection.fault.kind()) {
                if !self.requested.iter().any(|known| known == kind) {
                    self.requested.push(kind.to_owned());
                }
            }
        }
        let (seed, workload) = (self.seed, self.workload.name());
        if is_left_out(&format!("/workload/{workload}/seed")) {
            self.workload.options_mut().seed = seed;
        }
        if let SystemPlan::Quorum(settings) = &mut self.system {
            if is_left_out("/system/quorum/n") {
                settings.n = quorum::usual_n(settings.nodes);
            }
            let quorum = quorum::usual_quorum(settings.n);
            for (setting, field) in [(&mut settings.r, "r"), (&mut settings.w, "w")] {
                if is_left_out(&format!("/system/quorum/{field}")) {
                    *setting = quorum;
                }
            }
        }
        self.draw_open_orders();
    }
}

#[cfg(test)]
mod tests {
    use squall_nemeses::disk::Rules;

    use super::*;

    /// What a person would write first.
    const SHORT: &str = r#"
squall_plan = 1
seed = 7
[system.raft]
[[schedule]]
id = 0
at_ms = 4000
for_ms = 1000
fault = { kill = { target = "majority" } }
"#;

    #[test]
    fn a_plan_of_nine_lines_is_what_the_command_line_would_have_made_of_it() {
        let plan = Plan::from_toml(SHORT).expect("all else has a usual value");
        let words = ["raft", "--seed=7", "--faults=none"].map(String::from);
        let mut drawn = crate::cli::plan::of_words(&words).expect("a plan");
        drawn.requested = vec!["kill".into()];
        drawn.schedule.clone_from(&plan.schedule);
        assert_eq!(plan, drawn);
        assert_eq!(plan.workload.options().seed, 7);
        assert_eq!(
            Plan::from_json(&plan.to_json()),
            Ok(plan),
            "and what is stored of it says all of that"
        );
    }

    #[test]
    fn quorums_that_are_left_out_are_majorities_of_the_replicas_that_are_said() {
        let settings = |text: &str| {
            let plan = Plan::from_toml(&SHORT.replace("[system.raft]", &format!("[system.quorum]\n{text}")));
            match plan.expect("a plan").system {
                SystemPlan::Quorum(quorum::Settings { nodes, n, r, w, .. }) => (nodes, n, r, w),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(settings(""), (5, 3, 2, 2));
        assert_eq!(settings("n = 5"), (5, 5, 3, 3));
        assert_eq!(settings("nodes = 2"), (2, 2, 2, 2));
        assert_eq!(settings("r = 1"), (5, 3, 1, 2));
        let none = SHORT.replace("[system.raft]", "[system.quorum]\nr = 0");
        let error = Plan::from_toml(&none).expect_err("nobody replies");
        assert!(error.contains("--r 0: a read waits for at least 1"), "{error}");
    }

    #[test]
    fn what_is_said_is_not_replaced() {
        let said = "bind = \"any\"\nrequested = []\nworkload = { set = { seed = 0 } }\ntiming = { storm_ms = 9000 }\n[system.raft]";
        let plan = Plan::from_toml(&SHORT.replace("[system.raft]", said)).expect("a plan");
        assert_eq!((plan.bind, plan.requested.len(), plan.workload.options().seed), (Bind::Any, 0, 0));
        assert_eq!((plan.workload.name(), plan.timing.storm_ms), ("set", 9_000));
        assert_eq!(plan.timing.warm_up_ms, Timing::default().warm_up_ms);
    }

    #[test]
    fn a_disk_keeps_what_the_system_relies_on_unless_other_rules_are_said() {
        let rules = |text: &str| Plan::from_toml(&SHORT.replace("[system.raft]", text)).map(|plan| plan.disk_rules);
        assert_eq!(rules("[system.raft]"), Ok(Rules::PosixStrict));
        assert_eq!(
            rules("[system.etcd]"),
            Ok(Rules::Ext4Ordered),
            "etcd does not sync the folder of its log"
        );
        assert_eq!(rules("disk_rules = \"posix-strict\"\n[system.etcd]"), Ok(Rules::PosixStrict));
    }

    #[test]
    fn a_start_without_time_is_refused() {
        let error =
            Plan::from_toml(&SHORT.replace("[system.raft]", "timing = { start_bound_ms = 0 }\n[system.raft]")).expect_err("no time");
        assert!(error.contains("give `start_bound_ms` some seconds"), "{error}");
    }

    #[test]
    fn a_fault_that_lasts_no_time_is_refused_unless_it_is_over_at_once() {
        let without = SHORT.replace("for_ms = 1000", "for_ms = 0");
        let error = Plan::from_toml(&without).expect_err("nothing could be seen");
        assert_eq!(
            error,
            "line 6, column 1: injection 0: `for_ms` is 0, and a `kill` that lasts no time cannot be seen to bite; give it at least 1"
        );
        let transfer = without.replace("kill = { target = \"majority\" }", "transfer = { target = \"any\" }");
        assert_eq!(
            Plan::from_toml(&transfer).map(|plan| plan.schedule[0].for_ms),
            Ok(0),
            "nothing of it is to be healed"
        );
    }

    #[test]
    fn the_schema_requires_no_more_than_that() {
        let schema: Value = serde_json::from_str(&Plan::schema()).expect("JSON");
        let required = |of: &Value| of.get("required").cloned().unwrap_or_else(|| serde_json::json!([]));
        assert_eq!(required(&schema), serde_json::json!(["squall_plan", "seed", "system"]));
        for name in ["bind", "disk_rules"] {
            let property = &schema["properties"][name];
            assert!(
                property["description"].is_string() && property["default"].is_null(),
                "it depends on the system: {property}"
            );
        }
        let defs = schema["$defs"].as_object().expect("types");
        for name in ["Timing", "Options", "Settings", "Settings2", "Settings3"] {
            assert_eq!(required(&defs[name]), serde_json::json!([]), "{name}");
        }
        assert_eq!(required(&defs["Injection"]), serde_json::json!(["id", "at_ms", "for_ms", "fault"]));
        let words = |name: &str| defs[name]["oneOf"].as_array().and_then(|ways| ways.last()?.get("enum").cloned());
        let alone = ["any", "follower", "newest", "coordinator", "minority", "majority"];
        assert_eq!(words("TargetChoice"), Some(serde_json::json!(alone)));
        assert_eq!(words("Hits"), Some(serde_json::json!(["minority", "majority"])));
    }
}
