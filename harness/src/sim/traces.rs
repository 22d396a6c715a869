//! From what simulated nodes told to what the trace rules read.
//!
//! By way of the lines that real nodes write: writer and reader are held together by their golden file, so nothing here can give an
//! event another meaning than it has in a run folder.

use squall_checker::trace::NodeTraces;
use squall_node::sim::TraceLog;

/// Every node's trace.
pub(super) fn read(logs: &[TraceLog]) -> NodeTraces {
    let mut traces = NodeTraces::default();
    let mut lines = Vec::new();
    for log in logs.iter().filter(|log| !log.entries().is_empty()) {
        lines.clear();
        log.write_lines(&mut lines).expect("a vector takes every byte");
        traces.add(log.node(), Ok(&lines[..]));
    }
    traces
}
