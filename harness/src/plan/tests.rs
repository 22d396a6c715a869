//! Plans as data: the same twice, read as written, and refused with the place of what is wrong.

use super::*;
use crate::systems::quorum::{Settings, Versions};

fn plan() -> Plan {
    plan_of(&["partition", "kill", "pause"])
}

/// A plan with faults of these kinds.
pub(crate) fn plan_of(kinds: &[&str]) -> Plan {
    let system = SystemPlan::Quorum(Settings {
        nodes: 5,
        n: 3,
        r: 2,
        w: 2,
        write_back: true,
        versions: Versions::Quorum,
        extras: Default::default(),
        domains: Default::default(),
        clock_offset_ms: Default::default(),
        bug: None,
    });
    Plan::draw(Options {
        seed: 7,
        system,
        workload: WorkloadPlan::Register(workloads::Options {
            seed: 7,
            ..Default::default()
        }),
        bind: Bind::Node,
        timing: Timing::of(15_000, 1_000),
        faults: Recipe::from(kinds.iter().map(ToString::to_string).collect::<Vec<_>>()),
        network: None,
        pcap: false,
        topology: None,
        spares: None,
    })
    .expect("every kind finds a place")
}

fn drawn(seed: u64, plan: &Plan) -> Vec<Injection> {
    schedule::draw(
        seed,
        (&plan.system, plan.topology.as_ref()),
        &plan.timing,
        &Recipe::from(plan.requested.clone()),
    )
    .expect("every kind finds a place")
}

#[test]
fn what_was_drawn_can_be_read_again() {
    let drawn = plan();
    assert_eq!(Plan::from_json(&drawn.to_json()), Ok(drawn));
}

#[test]
fn a_plan_in_toml_is_the_same_plan() {
    let drawn = plan();
    assert_eq!(Plan::from_toml(&drawn.to_toml()), Ok(drawn));
}

#[test]
fn a_wrong_word_in_toml_is_shown_where_it_stands() {
    let text = plan().to_toml();
    let typo = Plan::from_toml(&text.replacen("for_ms", "for_mss", 1)).expect_err("a typo");
    let line = text.lines().position(|line| line.starts_with("for_ms")).expect("a length") + 1;
    assert!(
        typo.starts_with(&format!("line {line}, column 1: unknown field `for_mss`, expected one of ")) && !typo.contains('\n'),
        "{typo}"
    );
    let broken = Plan::from_toml(&text.replacen("[timing]", "[timing", 1)).expect_err("no table");
    let line = text.lines().position(|line| line == "[timing]").expect("lengths") + 1;
    assert!(
        broken.starts_with(&format!("line {line}, column ")) && !broken.contains('\n'),
        "{broken}"
    );
    let wrong = Plan::from_toml(&text.replacen("r = 2", "r = 9", 1)).expect_err("a wrong value");
    let line = text.lines().position(|line| line == "r = 2").expect("a setting") + 1;
    assert!(wrong.starts_with(&format!("line {line}, column 1: --r 9")), "{wrong}");
}

#[test]
fn a_word_that_lacks_its_value_is_told_to_take_one() {
    let toml = format!(
        "{}\n[[schedule]]\nid = 99\nat_ms = 3000\nfor_ms = 500\nfault = {{ power = {{ hits = \"one\" }} }}\n",
        plan().to_toml()
    );
    let line = toml.lines().count();
    let which = "`squall plan --schema` says which values there are";
    assert_eq!(
        Plan::from_toml(&toml).unwrap_err(),
        format!("line {line}, column 28: `one` takes a value, and none is given: write `{{ one = … }}`; {which}")
    );
    let both = Plan::from_toml(&toml.replace("power =", "pause = { target = \"leader\" }, power =")).unwrap_err();
    assert!(
        both.starts_with(&format!("line {line}, column 9: several words stand here, and one is wanted")),
        "{both}"
    );
    let node = Plan::from_toml(&toml.replace("\"one\"", "{ one = \"node\" }")).unwrap_err();
    assert!(
        node.contains("`node` takes a value, and none is given: write `{ node = … }`"),
        "{node}"
    );
    assert_eq!(
        Plan::from_toml(&toml.replace("\"one\"", "{ one = \"leader\" }")).unwrap_err(),
        format!(
            "line {}, column 1: injection 99: power: quorum cannot name its leader, and its target depends on it",
            line - 3
        )
    );
    let json = plan()
        .to_json()
        .replacen("\"kill\": {", "\"power\": {\"hits\": \"one\"}, \"kill\": {", 1);
    let error = Plan::from_json(&json).unwrap_err();
    assert!(
        error.contains("`one` takes a value, and none is given: write `{\"one\": …}`"),
        "{error}"
    );
}

#[test]
fn a_plan_by_hand_may_leave_out_what_has_a_usual_value() {
    let by_hand = |system: &str| {
        let text = format!(
            "squall_plan = 1\nseed = 7\nbind = \"node\"\nrequested = []\nschedule = []\n[workload.register]\nseed = 7\n[timing]\n\
             warm_up_ms = 1000\nstorm_ms = 8000\nrecovery_ms = 1500\n[system.{system}"
        );
        Plan::from_toml(&text).expect("all else has a usual value")
    };
    let word = |name: &str| crate::cli::plan::of_words(&[name.to_owned(), "--seed=7".into(), "--faults=none".into()]).expect("a plan");
    for (system, name) in [("raft]", "raft"), ("etcd]", "etcd"), ("quorum]\nn = 3\nr = 2\nw = 2", "quorum")] {
        let (written, drawn) = (by_hand(system), word(name));
        assert_eq!((&written.system, &written.workload), (&drawn.system, &drawn.workload));
        assert_eq!(written.disk_rules, drawn.disk_rules, "{name}");
        assert_eq!(
            Plan::from_toml(&written.to_toml()).map(|read| read.disk_rules),
            Ok(written.disk_rules),
            "{name}"
        );
        assert_eq!((written.version, written.generator), (drawn.version, drawn.generator));
        let bounds = |timing: Timing| (timing.operation_timeout_ms, timing.start_bound_ms, timing.recovery_bound_ms);
        assert_eq!(bounds(written.timing), bounds(drawn.timing));
    }
    let schema: serde_json::Value = serde_json::from_str(&Plan::schema()).expect("JSON");
    let required = |type_name: &str| schema["$defs"][type_name]["required"].clone();
    assert!(
        required("Options").is_null() && required("Timing").is_null(),
        "all of it has a usual value"
    );
    assert!(!schema["required"].as_array().expect("some").contains(&"generator".into()));
}

#[test]
fn the_schema_knows_every_kind_of_fault_and_refuses_other_words() {
    let schema: serde_json::Value = serde_json::from_str(&Plan::schema()).expect("JSON");
    let kinds = schema["$defs"]["Fault"]["oneOf"].as_array().expect("one of the kinds");
    let named: BTreeSet<&str> = kinds.iter().filter_map(|kind| kind["required"][0].as_str()).collect();
    assert_eq!(named, squall_nemeses::FAULTS.iter().map(|info| info.name).collect());
    assert!(kinds.iter().all(|kind| kind["additionalProperties"] == false));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn the_schema_knows_every_event_that_can_be_waited_for() {
    let schema: serde_json::Value = serde_json::from_str(&Plan::schema()).expect("JSON");
    let events = schema["$defs"]["When"]["oneOf"].as_array().expect("one of the events");
    let named: Vec<&str> = events.iter().filter_map(|event| event["required"][0].as_str()).collect();
    assert_eq!(named, ["leader-elected", "append", "before-fsync", "before-packet", "operations"]);
    let of_packet = schema["$defs"]["NthPacket"]["properties"].as_object().expect("its words");
    let words: BTreeSet<&str> = of_packet.keys().map(String::as_str).collect();
    assert_eq!(words, BTreeSet::from(["from", "min_bytes", "nth", "to"]));
}

#[test]
fn every_requested_kind_is_in_the_schedule_and_ends_with_the_storm() {
    for seed in 0..200 {
        let mut options = plan();
        options.schedule = drawn(seed, &options);
        assert_eq!(options.validate(), Ok(()), "seed {seed}");
        for kind in &options.requested {
            assert!(
                options.schedule.iter().any(|injection| injection.fault.kind() == kind),
                "seed {seed}: {kind}"
            );
        }
    }
}

#[test]
fn the_network_is_the_kernels_unless_something_needs_the_switch() {
    let mut plan = plan();
    assert_eq!(plan.network_kind(), NetworkKind::Kernel);
    plan.pcap = true;
    assert_eq!((plan.network_kind(), plan.validate()), (NetworkKind::Switch, Ok(())));
    plan.network = Some(NetworkKind::Kernel);
    assert_eq!(
        plan.validate().unwrap_err(),
        "`pcap`: only the network `switch` writes packets to files"
    );
    plan.pcap = false;
    plan.requested = vec!["delay".into()];
    plan.schedule = drawn(7, &plan);
    assert_eq!(plan.validate(), Ok(()), "what a kernel can do is found out on its machine");
    plan.network = None;
    assert_eq!((plan.network_kind(), plan.validate()), (NetworkKind::Switch, Ok(())));
    plan.requested = vec!["kill".into()];
    plan.schedule = drawn(7, &plan);
    assert_eq!(plan.network_kind(), NetworkKind::Kernel);
    plan.schedule[0].when = Some(serde_json::from_str(r#"{"before-packet":{"nth":3}}"#).expect("an event"));
    assert_eq!((plan.network_kind(), plan.validate()), (NetworkKind::Switch, Ok(())));
    plan.network = Some(NetworkKind::Kernel);
    assert_eq!(
        plan.validate().unwrap_err(),
        "`before-packet`: only the network `switch` holds packets; leave `network` out, and it is taken"
    );
    plan.network = None;
}

#[test]
fn a_wrong_value_is_named_with_its_place() {
    let text = plan().to_json();
    let wrong = [
        (text.replacen("\"partition\"", "\"partitoin\"", 1), "partitoin"),
        (text.replacen("\"r\": 2", "\"r\": 9", 1), "--r 9"),
        (text.replacen("\"at_ms\": ", "\"at_ms\": 9", 1), "injection 0"),
        (text.replacen("\"squall_plan\": 1", "\"squall_plan\": 8", 1), "squall_plan"),
    ];
    for (text, word) in wrong {
        let error = Plan::from_json(&text).expect_err("it is wrong");
        assert!(
            error.starts_with("line ") && error.contains("column ") && error.contains(word),
            "{error}"
        );
    }
}

#[test]
fn a_draw_in_one_place_moves_nothing_elsewhere() {
    let (all, fewer) = (plan(), {
        let mut plan = plan();
        plan.requested.truncate(1);
        plan.schedule = drawn(plan.seed, &plan);
        plan
    });
    let times = |plan: &Plan| {
        plan.schedule
            .iter()
            .map(|injection| (injection.at_ms, injection.for_ms))
            .collect::<Vec<_>>()
    };
    assert_eq!(times(&all), times(&fewer), "kinds do not move times");
}
