//! The operator's numbers as a compact block of text.

use serde_json::Value;

use super::Limits;
use super::numbers::{FaultRow, Felt, FirstSuccess, LatencyRow, Numbers};
use super::table::Table;
use super::words::{count, millis, percent, plural, seconds, shortened, shown};

/// Longest name of an operation's kind, a phase or an error, in characters: they may come from a foreign file.
const NAME_CHARS_MAX: usize = 20;

/// The block, one line per entry.
pub(super) fn lines(numbers: &Numbers, limits: &Limits) -> Vec<String> {
    let mut lines = latency_lines(&numbers.latency);
    lines.extend(fault_lines(&numbers.faults, limits));
    let facts = [error_line(numbers), counter_line(numbers), network_line(numbers)];
    lines.extend(facts.into_iter().flatten().map(|line| shortened(&line, limits.line_chars)));
    lines
}

fn name(text: &str) -> String {
    shortened(&shown(text), NAME_CHARS_MAX)
}

fn latency_lines(rows: &[LatencyRow]) -> Vec<String> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(2, ["latency, ms", "phase", "p50", "p95", "p99", "p99.9", "ok", "failed", "unknown"]);
    for row in rows {
        let all = row.outcomes.all();
        let quantiles = [row.p50_us, row.p95_us, row.p99_us, row.p999_us];
        // A kind that never succeeded has no latency, and 0.00 would look like a very good one.
        let quantiles = quantiles.map(|time_us| if row.outcomes.ok == 0 { "-".into() } else { millis(time_us) });
        let outcomes = [
            count(row.outcomes.ok),
            percent(row.outcomes.failed, all),
            percent(row.outcomes.unknown, all),
        ];
        table.row([name(&row.f), name(&row.phase)].into_iter().chain(quantiles).chain(outcomes));
    }
    table.lines()
}

fn fault_lines(faults: &[FaultRow], limits: &Limits) -> Vec<String> {
    if faults.is_empty() {
        return Vec::new();
    }
    let headings = [
        "fault",
        "on",
        "at, s",
        "for, s",
        "served",
        "first ok, ms",
        "worst client",
        "healed: first ok, ms",
        "worst client",
    ];
    let mut table = Table::new(2, headings);
    for fault in faults.iter().take(limits.faults) {
        let names = [format!("{} {}", fault.id, name(&fault.kind)), what(fault, limits)];
        let numbers = fault.felt.as_ref().map_or_else(|| ["-"; 7].map(str::to_owned), felt_cells);
        table.row(names.into_iter().chain(numbers));
    }
    let mut lines = table.lines();
    if let Some(more) = faults.len().checked_sub(limits.faults).filter(|more| *more > 0) {
        lines.push(format!("… and {}", plural(more as u64, "more fault")));
    }
    lines
}

fn felt_cells(felt: &Felt) -> [String; 7] {
    [
        seconds(felt.applied_ns),
        seconds(felt.lasted_ms.saturating_mul(1_000_000)),
        percent(felt.availability.ok, felt.availability.attempted),
        first_success(felt.first_success),
        first_success(felt.first_success_worst_client),
        first_success(felt.first_success_healed),
        first_success(felt.first_success_healed_worst_client),
    ]
}

fn first_success(first: FirstSuccess) -> String {
    match first {
        FirstSuccess::NothingTried => "-".into(),
        FirstSuccess::AfterMs(time_ms) => count(time_ms),
        FirstSuccess::Never => "never".into(),
    }
}

/// What a fault was resolved to, or why it was not injected, or that it failed to bite or heal.
fn what(fault: &FaultRow, limits: &Limits) -> String {
    let text = match &fault.skipped {
        Some(reason) => format!("skipped: {reason}"),
        None => target(&fault.kind, fault.asked.as_ref(), fault.resolved.as_ref()),
    };
    let text = shortened(&shown(&text), limits.fault_chars);
    match (fault.skipped.is_some(), fault.bit, fault.healed) {
        (true, ..) => text,
        (false, true, true) if fault.by_proxy => format!("{text}, by proxy"),
        (false, true, true) => text,
        (false, false, _) => format!("{text}, did not bite"),
        (false, true, false) => format!("{text}, not healed"),
    }
}

/// The shape a fault was asked to have, the links it was asked to be on, or its failure domain, and the nodes it came to (`isolate-one n3`, `around n2`,
/// `rack2`, `n1, n3`); the nodes that joined by it (`n4 n5`, `n1 by n4`) or are members no longer (`without n2, n3`); where it has none of them, how many links
/// it named, or all that was resolved.
pub(super) fn target(kind: &str, asked: Option<&Value>, resolved: Option<&Value>) -> String {
    let fault = asked.and_then(|asked| asked.get(kind));
    if let Some(spine) = fault.and_then(|fault| fault.get("spine")?.as_u64()) {
        return format!("spine {spine}");
    }
    let shape = fault.and_then(|fault| ["shape", "on", "domain"].iter().find_map(|name| fault.get(name)));
    let n_links = fault.and_then(|fault| Some(format!("{} links", fault.get("links")?.as_object()?.len())));
    // A shape with parameters is an object of its name.
    let shape = shape.and_then(|shape| shape.as_str().or_else(|| shape.as_object()?.keys().next().map(String::as_str)));
    let resolved = resolved.map(|receipt| receipt.get("resolved").unwrap_or(receipt));
    let hit = resolved.and_then(nodes_hit);
    let node = hit.as_deref();
    let joined = resolved.and_then(|resolved| resolved.get("state")?.get("joined")).map(plain);
    if let Some(joined) = joined {
        return node.map_or_else(|| joined.clone(), |node| format!("{node} by {joined}"));
    }
    match (shape, node) {
        (Some(shape), Some(node)) => format!("{shape} {node}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => {
            let several = n_links.or_else(|| resolved.and_then(|resolved| named(resolved, "down")));
            let several = several.or_else(|| Some(format!("without {}", named(resolved?, "removed")?)));
            several.or_else(|| resolved.map(plain)).unwrap_or_else(|| "?".into())
        }
    }
}

/// The nodes that were chosen: `n1, n3`; in older histories it was one, under another name.
fn nodes_hit(resolved: &Value) -> Option<String> {
    let chosen = resolved.get("nodes").or_else(|| resolved.get("node"))?;
    let nodes: Vec<&str> = match chosen {
        Value::Array(nodes) => nodes.iter().filter_map(Value::as_str).collect(),
        node => node.as_str().into_iter().collect(),
    };
    (!nodes.is_empty()).then(|| nodes.join(", "))
}

/// The nodes of which a fault of several asks this: `n1, n3`.
fn named(resolved: &Value, what: &str) -> Option<String> {
    let named = resolved.get("state")?.get(what)?.as_array()?;
    let nodes: Vec<&str> = named.iter().filter_map(Value::as_str).collect();
    (!nodes.is_empty()).then(|| nodes.join(", "))
}

/// A JSON value without its punctuation, for people: `{"node":"n3","pairs":[["n1","n2"]]}` is `node n3 pairs n1 n2`.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn error_line(numbers: &Numbers) -> Option<String> {
    const ERRORS_MAX: usize = 6;
    let shown_errors: Vec<String> = numbers
        .errors
        .iter()
        .take(ERRORS_MAX)
        .map(|(kind, n)| format!("{} {}", name(kind), count(*n)))
        .collect();
    let more = if numbers.errors.len() > ERRORS_MAX { ", …" } else { "" };
    (!shown_errors.is_empty()).then(|| format!("errors: {}{more}", shown_errors.join(", ")))
}

fn counter_line(numbers: &Numbers) -> Option<String> {
    let mut facts: Vec<String> = numbers
        .clients
        .iter()
        .map(|(counter, value)| format!("{} {}", name(counter), count(*value)))
        .collect();
    if let Some((node, depth)) = numbers.worst_node("queue_depth_max") {
        facts.push(format!("deepest queue {} ({})", count(depth), name(node)));
    }
    if let Some((node, time_us)) = numbers.worst_node("slowest_fsync_us") {
        facts.push(format!("slowest fsync {} ms ({})", millis(time_us), name(node)));
    }
    if numbers.worst_stall_ms > 0 {
        facts.push(format!("harness held up for {} ms at worst", count(numbers.worst_stall_ms)));
    }
    (!facts.is_empty()).then(|| facts.join(", "))
}

/// Retransmits and drops of every node, worst first.
fn network_line(numbers: &Numbers) -> Option<String> {
    let of = |counter: &str| {
        let mut values: Vec<(&String, u64)> = numbers
            .nodes
            .iter()
            .filter_map(|(node, counters)| Some((node, *counters.get(counter)?)))
            .collect();
        // Stable: nodes that are equally bad stay in the order of their names.
        values.sort_by_key(|(_, value)| std::cmp::Reverse(*value));
        let values: Vec<String> = values
            .into_iter()
            .map(|(node, value)| format!("{} {}", name(node), count(value)))
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let retransmits = of("retransmits").map(|values| format!("tcp retransmits: {values}"));
    let drops = of("drops").map(|values| format!("drops: {values}"));
    let facts: Vec<String> = retransmits.into_iter().chain(drops).collect();
    (!facts.is_empty()).then(|| facts.join("; "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::target;

    #[test]
    fn a_fault_of_several_nodes_names_them_and_not_what_did_it() {
        let receipt = json!({"back_end": "fuse", "resolved": {"state": {"down": ["n1", "n3"], "disks": {"n1": {"power": "clean"}}}}});
        assert_eq!(target("power", Some(&json!({"power": {"hits": "all"}})), Some(&receipt)), "n1, n3");
        let shrunk = json!({"back_end": "system", "resolved": {"state": {"removed": ["n2", "n3"]}}});
        assert_eq!(
            target("shrink", Some(&json!({"shrink": {"to": 1}})), Some(&shrunk)),
            "without n2, n3"
        );
        assert_eq!(target("kill", None, None), "?");
    }

    #[test]
    fn who_joined_is_the_target_of_a_fault_that_let_nodes_in() {
        let receipt = |resolved: serde_json::Value| json!({ "resolved": resolved });
        let grown = receipt(json!({"state": {"joined": ["n4", "n5"]}}));
        assert_eq!(target("grow", Some(&json!({"grow": {"by": 2}})), Some(&grown)), "n4 n5");
        let replaced = receipt(json!({"node": "n1", "state": {"down": ["n1"], "joined": ["n4"], "removed": ["n1"]}}));
        assert_eq!(target("replace", None, Some(&replaced)), "n1 by n4");
        let killed = receipt(json!({"node": "n1", "state": {"down": ["n1"]}}));
        assert_eq!(target("kill", None, Some(&killed)), "n1");
    }

    #[test]
    fn all_nodes_that_were_chosen_are_named() {
        let paused = json!({"resolved": {"nodes": ["n4", "n1", "n2"], "state": {"paused": ["n1", "n2", "n4"]}}});
        assert_eq!(
            target("pause", Some(&json!({"pause": {"target": "majority"}})), Some(&paused)),
            "n4, n1, n2"
        );
        let alone = json!({"partition": {"shape": {"isolate-one": {"target": "minority"}}}});
        assert_eq!(target("partition", Some(&alone), Some(&paused)), "isolate-one n4, n1, n2");
    }
}
