//! Who came into a cluster that served, by being announced to it, and who went out of it.
//!
//! What a cluster that changes its members does to those who come and go is no finding against it: it may refuse who is not in yet, and end who is out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use crate::systems::{Entry, Member};

/// Who came and who went, of a system whose nodes are announced before they run.
#[derive(Debug, Default)]
pub(crate) struct Comings {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// How nodes entered last.
    entries: BTreeMap<String, Entry>,
    /// Nodes that were announced, or may have been, and whose process was not started since.
    announced: BTreeSet<String>,
    /// Nodes that were started to enter, and never served since.
    entering: BTreeSet<String>,
    /// Nodes that are no members, or were announced and do not vote yet.
    out: BTreeSet<String>,
    /// Nodes of which nobody knows whether they were taken out.
    doubtful: BTreeSet<String>,
    /// Nodes of the plan that anybody ever asked to take out.
    touched: BTreeSet<String>,
}

impl Comings {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of this lock panics")
    }

    /// Says that a node was announced, or may have been: what the cluster then knows of it never ran.
    pub(crate) fn is_announced(&self, node: &str) {
        self.known().announced.insert(node.to_owned());
    }

    /// Whether what the cluster knows of a node, if it knows it, never ran.
    pub(crate) fn never_ran(&self, node: &str) -> bool {
        self.known().announced.contains(node)
    }

    /// Lets a node that does not run enter among `members`, with nothing, when it is started next.
    pub(crate) fn begin_life(&self, node: &str, members: Vec<Member>) {
        let mut known = self.known();
        let life = known.entries.get(node).map_or(1, |entry| entry.life + 1);
        known.entries.insert(node.to_owned(), Entry { life, members });
        known.announced.remove(node);
        // It is known as another one than whoever may be taken out yet.
        known.doubtful.remove(node);
        known.entering.insert(node.to_owned());
    }

    /// How a node entered last, if it ever did.
    pub(crate) fn entry(&self, node: &str) -> Option<Entry> {
        self.known().entries.get(node).cloned()
    }

    /// Says that a node is a member that votes. If it ends, it comes back with what it has.
    pub(crate) fn votes(&self, node: &str) {
        self.known().out.remove(node);
    }

    /// Says that a node that votes serves.
    pub(crate) fn has_entered(&self, node: &str) {
        let mut known = self.known();
        known.entering.remove(node);
        known.out.remove(node);
    }

    /// Says that whatever was asked about a node has come about by now, or never will.
    pub(crate) fn settle(&self, node: &str) {
        self.known().doubtful.remove(node);
    }

    /// Whether a node was started to enter, and never served since.
    pub(crate) fn is_entering(&self, node: &str) -> bool {
        self.known().entering.contains(node)
    }

    /// Says that a node of the plan is to be taken out, so that it is to be seen at the end that it is in.
    pub(crate) fn touch(&self, node: &str) {
        self.known().touched.insert(node.to_owned());
    }

    /// The nodes of the plan that anybody ever asked to take out.
    pub(crate) fn touched(&self) -> BTreeSet<String> {
        self.known().touched.clone()
    }

    /// Says that a node is no member, and that nothing is known of it any more.
    pub(crate) fn has_left(&self, node: &str) {
        let mut known = self.known();
        known.out.insert(node.to_owned());
        known.announced.remove(node);
        known.entering.remove(node);
        known.doubtful.remove(node);
    }

    /// Says that nobody knows whether a node was taken out.
    pub(crate) fn may_have_left(&self, node: &str) {
        self.known().doubtful.insert(node.to_owned());
    }

    /// Whether nobody knows whether a node was taken out.
    pub(crate) fn is_doubtful(&self, node: &str) -> bool {
        self.known().doubtful.contains(node)
    }

    /// Whether a node is out: whatever folder it has, it is not started on it again.
    pub(crate) fn is_out(&self, node: &str) -> bool {
        self.known().out.contains(node)
    }

    /// The nodes that are out.
    pub(crate) fn out(&self) -> BTreeSet<String> {
        self.known().out.clone()
    }

    /// Whether a node may end by itself, because it is not in, or perhaps not.
    pub(crate) fn may_end(&self, node: &str) -> bool {
        let known = self.known();
        [&known.entering, &known.out, &known.doubtful]
            .iter()
            .any(|nodes| nodes.contains(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: &str) -> Member {
        Member {
            id: id.into(),
            address: [10, 77, 0, 1].into(),
        }
    }

    #[test]
    fn each_life_begins_with_nothing_and_is_told_who_is_there() {
        let comings = Comings::default();
        assert_eq!(comings.entry("n2"), None);
        comings.is_announced("n2");
        assert!(comings.never_ran("n2"));
        comings.begin_life("n2", vec![member("n1")]);
        assert!(!comings.never_ran("n2"), "what is known of it is about to run");
        comings.begin_life("n2", vec![member("n1"), member("n2")]);
        let entry = comings.entry("n2").expect("it entered twice");
        assert_eq!((entry.life, entry.members.len()), (2, 2));
    }

    #[test]
    fn a_removal_in_doubt_is_one_until_all_is_settled_or_the_node_is_another() {
        let comings = Comings::default();
        comings.may_have_left("n2");
        comings.has_entered("n2");
        assert!(comings.may_end("n2"), "it serves, and the removal may come about all the same");
        comings.settle("n2");
        assert!(!comings.may_end("n2"));
        comings.may_have_left("n2");
        comings.begin_life("n2", Vec::new());
        comings.has_entered("n2");
        assert!(!comings.may_end("n2"), "whoever was to be taken out is another one");
    }

    #[test]
    fn who_is_not_in_may_end_and_who_is_in_again_may_not() {
        let comings = Comings::default();
        comings.may_have_left("n2");
        assert!(comings.may_end("n2") && !comings.is_out("n2"), "it may be a member still");
        comings.has_left("n2");
        assert!(comings.may_end("n2") && comings.is_out("n2") && !comings.is_doubtful("n2"));
        comings.begin_life("n2", Vec::new());
        assert!(comings.may_end("n2"), "a cluster that changes meanwhile may refuse it");
        assert!(comings.is_out("n2") && comings.is_entering("n2"));
        comings.votes("n2");
        assert!(
            !comings.is_out("n2") && comings.may_end("n2"),
            "it votes, and was never seen to serve"
        );
        comings.has_entered("n2");
        assert!(!comings.may_end("n2") && !comings.is_out("n2") && !comings.is_entering("n2"));
    }
}
