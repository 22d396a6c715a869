//! What the proofs of one stage of a fault come to: for one node the worst of them; for several, each node's own.

use serde_json::{Value, json};
use squall_nemeses::{Mechanism, Proof, Resolved};

use super::stages::value;

/// Whether a fault bit. One that is to hit several nodes bit only if each of them was seen to be hit; one that changed nothing (its node was down
/// already) proved nothing.
pub(super) fn of_bite(mechanism: Mechanism, resolved: &Resolved, proofs: Vec<Proof>) -> Value {
    of_stage(mechanism, resolved, proofs, false, "nothing changed")
}

/// Whether a fault is gone from all of its nodes. Of a node of which nothing is to be seen the reason is given.
pub(super) fn of_heal(mechanism: Mechanism, resolved: &Resolved, proofs: Vec<Proof>, reason: &str) -> Value {
    of_stage(mechanism, resolved, proofs, true, reason)
}

fn of_stage(mechanism: Mechanism, resolved: &Resolved, proofs: Vec<Proof>, ok: bool, reason: &str) -> Value {
    if resolved.nodes.len() < 2 || !mechanism.is_of_nodes() {
        let worst = proofs.into_iter().reduce(worse);
        return worst.map_or_else(|| json!({"ok": ok, "reason": reason}), value);
    }
    let is_hit = |proof: &Proof| proof.node.as_ref().is_some_and(|node| resolved.nodes.contains(node));
    let (of_nodes, others): (Vec<Proof>, Vec<Proof>) = proofs.into_iter().partition(is_hit);
    let of_node = |node: &String| {
        let own = of_nodes.iter().filter(|proof| proof.node.as_ref() == Some(node));
        let worst = own.cloned().reduce(worse);
        worst.map_or_else(|| json!({"ok": ok, "node": node, "reason": reason}), value)
    };
    let others = others.into_iter().reduce(worse).map(value);
    all_of(resolved.nodes.iter().map(of_node).chain(others).collect())
}

/// One probe as it is; of several, all of them, as they should be only if each is.
pub(super) fn all_of(mut probes: Vec<Value>) -> Value {
    if probes.len() == 1 {
        return probes.remove(0);
    }
    json!({"ok": probes.iter().all(|probe| probe["ok"] == true), "proofs": probes})
}

/// The one that is not as it should be.
pub(super) fn worse(one: Proof, other: Proof) -> Proof {
    if one.ok { other } else { one }
}

#[cfg(test)]
mod tests {
    use squall_nemeses::State;

    use super::*;

    fn hit(nodes: &[&str]) -> Resolved {
        Resolved {
            nodes: nodes.iter().map(ToString::to_string).collect(),
            key: None,
            state: State::default(),
        }
    }

    fn seen(node: &str, ok: bool) -> Proof {
        Proof { ok, ..Proof::default() }.on(node)
    }

    #[test]
    fn a_fault_of_several_nodes_bit_only_if_each_of_them_was_seen_to_be_hit() {
        let bite = |proofs: Vec<Proof>| of_bite(Mechanism::Life, &hit(&["n1", "n3"]), proofs);
        assert_eq!(
            bite(vec![seen("n1", true), seen("n3", true)]),
            json!({"ok": true, "proofs": [{"ok": true, "node": "n1"}, {"ok": true, "node": "n3"}]})
        );
        assert_eq!(bite(vec![seen("n1", true), seen("n3", false)])["ok"], false);
        assert_eq!(
            bite(vec![seen("n1", true)]),
            json!({"ok": false, "proofs": [{"ok": true, "node": "n1"}, {"ok": false, "node": "n3", "reason": "nothing changed"}]})
        );
        let twice = bite(vec![seen("n1", true), seen("n3", true), seen("n1", false), seen("n3", true)]);
        assert_eq!(
            (&twice["ok"], twice["proofs"].as_array().map(Vec::len)),
            (&json!(false), Some(2)),
            "the worst of each"
        );
        assert_eq!(
            bite(vec![seen("n1", true), seen("n3", true), seen("n2", false)])["ok"],
            false,
            "another node is no less wrong"
        );
        assert_eq!(bite(Vec::new())["ok"], false);
    }

    #[test]
    fn of_one_node_and_of_the_whole_network_the_worst_proof_is_told() {
        assert_eq!(
            of_bite(Mechanism::Life, &hit(&["n1"]), vec![seen("n1", true)]),
            json!({"ok": true, "node": "n1"})
        );
        assert_eq!(
            of_bite(Mechanism::Life, &hit(&["n1"]), Vec::new()),
            json!({"ok": false, "reason": "nothing changed"})
        );
        let links = Proof {
            ok: true,
            ..Proof::default()
        };
        assert_eq!(of_bite(Mechanism::Cuts, &hit(&["n1", "n3"]), vec![links]), json!({"ok": true}));
    }

    #[test]
    fn a_heal_says_of_a_node_why_there_is_nothing_to_be_seen_of_it() {
        let healed = of_heal(Mechanism::Motion, &hit(&["n1", "n3"]), vec![seen("n3", true)], "killed meanwhile");
        assert_eq!(
            healed,
            json!({"ok": true, "proofs": [{"ok": true, "node": "n1", "reason": "killed meanwhile"}, {"ok": true, "node": "n3"}]})
        );
        assert_eq!(
            of_heal(Mechanism::Motion, &hit(&["n1", "n3"]), vec![seen("n3", false)], "")["ok"],
            false
        );
    }
}
