//! What a person reads while frozen nodes are held.

use crate::report::stdout;
use crate::run::freeze::Held;
use crate::sandbox::pids;

/// Prints how to enter each node; `held` is what the inside says, `below` the process that started the sandbox.
pub(super) fn print(held: &str, below: u32) {
    let Ok(held) = serde_json::from_str::<Held>(held) else { return };
    for line in lines(&held, |init_pid| pids::of_node(init_pid, below).map(way_in)) {
        stdout::note(&line);
    }
}

/// `nsenter` joins the namespaces of a node's pid 1, the only process there that is not frozen. It enters the user namespace first, in which
/// whoever started the run has every right, root or not; `--preserve-credentials` keeps it from setting groups, which a namespace
/// of an ordinary user's does not allow.
fn way_in(pid: u32) -> String {
    format!("nsenter -t {pid} {} sh", pids::nsenter_options(pid).join(" "))
}

fn lines(held: &Held, way_in: impl Fn(u32) -> Option<String>) -> Vec<String> {
    let mut lines = vec![
        held.why.clone(),
        "all nodes are frozen and the faults in force stay; to enter one, as the user who started this run:".into(),
    ];
    lines.extend(held.nodes.iter().map(|node| match way_in(node.init_pid) {
        Some(command) => format!("  {}: {command}", node.node),
        None => format!("  {}: it is gone", node.node),
    }));
    lines.push(format!(
        "held for {} s; ctrl-C goes on to the verdict",
        held.hold_ms.div_ceil(1_000)
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::lines;
    use crate::run::freeze::{FrozenNode, Held};

    #[test]
    fn says_what_was_seen_how_to_enter_each_node_and_for_how_long() {
        let node = |node: &str, init_pid| FrozenNode {
            node: node.into(),
            init_pid,
        };
        let held = Held {
            why: "key `k3` is not linearizable, seen online 12 ms after the operation that made it certain".into(),
            nodes: vec![node("n1", 8), node("n2", 9)],
            hold_ms: 600_000,
        };
        let text = lines(&held, |init_pid| (init_pid == 8).then(|| "nsenter -t 4711 -m sh".to_owned())).join("\n");
        insta::assert_snapshot!(text, @"
        key `k3` is not linearizable, seen online 12 ms after the operation that made it certain
        all nodes are frozen and the faults in force stay; to enter one, as the user who started this run:
          n1: nsenter -t 4711 -m sh
          n2: it is gone
        held for 600 s; ctrl-C goes on to the verdict
        ");
    }
}
