//! What every workload offers the runner: the next step of one client, and the reads at the end.

use std::sync::Arc;

use crate::client::{Argument, Function, Operation, Outcome};

/// One client's stream of operations.
pub trait Generator: Send {
    /// What the client does next. `now_ns` is the time since the load began; `last` is the outcome of the operation that the previous step
    /// asked for, `None` after a wait and in the beginning.
    fn next(&mut self, now_ns: u64, last: Option<&Outcome>) -> Step;
}

/// What a client does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It asks the store.
    Invoke(Operation),
    /// It waits until this time, in nanoseconds since the load began, and asks the generator again.
    WaitUntil(u64),
    /// It has nothing left to do.
    Done,
}

/// A read after the storm: of one key, at one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalRead {
    /// The node to ask.
    pub node: String,
    /// The read.
    pub operation: Operation,
}

/// Final reads, by `read`, of every key in `keys`, so that a lost write cannot hide by never being looked for, and at least one at every node in
/// `nodes`, so that no replica goes unquestioned. Empty if either is.
///
/// Source: ARCHITECTURE.md, "Vacuity" (b).
pub fn final_reads(read: Function, keys: impl IntoIterator<Item = Arc<str>>, nodes: &[String]) -> Vec<FinalRead> {
    let keys: Vec<Arc<str>> = keys.into_iter().collect();
    if keys.is_empty() || nodes.is_empty() {
        return Vec::new();
    }
    let count = keys.len().max(nodes.len());
    let pairs = keys.iter().cycle().zip(nodes.iter().cycle()).take(count);
    pairs
        .map(|(key, node)| FinalRead {
            node: node.clone(),
            operation: Operation::new(read, Arc::clone(key), Argument::None),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::final_reads;
    use crate::client::Function;

    fn check(n_keys: usize, n_nodes: usize, expected: usize) {
        let keys: Vec<Arc<str>> = (0..n_keys).map(|number| format!("k{number}").into()).collect();
        let nodes: Vec<String> = (0..n_nodes).map(|number| format!("n{number}")).collect();
        let reads = final_reads(Function::Read, keys.clone(), &nodes);
        assert_eq!(reads.len(), expected);
        if expected > 0 {
            let seen: BTreeSet<&str> = reads.iter().map(|read| &*read.operation.key).collect();
            assert_eq!(seen.len(), n_keys, "every key");
            let asked: BTreeSet<&str> = reads.iter().map(|read| read.node.as_str()).collect();
            assert_eq!(asked.len(), n_nodes, "every node");
        }
    }

    #[test]
    fn reads_every_key_and_asks_every_node() {
        check(7, 3, 7);
        check(2, 5, 5);
        check(3, 3, 3);
        check(1, 1, 1);
    }

    #[test]
    fn reads_nothing_where_there_is_nothing_to_read_or_nobody_to_ask() {
        check(0, 3, 0);
        check(3, 0, 0);
    }
}
