//! The rule of keys that hold several values, as findings of all keys together. See [`crate::siblings`].

use super::finding::{Class, RuleFinding};
use crate::history::History;
use crate::history::operation::{KeyId, Operation};
use crate::model::Value;
use crate::seconds::seconds;
use crate::siblings::{self, Flaw};
use crate::verdict::Verdict;

const RULE: &str = "siblings";

/// The findings, at most one per verdict.
pub(super) fn findings(history: &History) -> Vec<RuleFinding> {
    let flaws = siblings::check(history);
    let (unjudged, broken): (Vec<_>, Vec<_>) = flaws.iter().partition(|(_, flaw)| matches!(flaw, Flaw::Unjudged(_)));
    let mut findings = Vec::new();
    if let Some((key, flaw)) = broken.iter().min_by_key(|(_, flaw)| certain_ns(history, flaw)) {
        findings.push(told(history, *key, flaw).with_evidence(others(broken.len(), "keys break the rule")));
    }
    if let Some((key, Flaw::Unjudged(reason))) = unjudged.first() {
        let message = format!("{} could not be judged: {reason}", name(history, *key));
        let more = others(unjudged.len(), "keys could not be judged");
        findings.push(RuleFinding::new(RULE, Verdict::Unknown, message).with_evidence(more));
    }
    if flaws.is_empty() && !history.operations.is_empty() {
        let message = "each acknowledged value is in every later read of its key, or one that may have replaced it is";
        findings.push(RuleFinding::new(RULE, Verdict::Valid, message));
    }
    findings
}

fn others(count: usize, what: &str) -> Option<String> {
    (count > 1).then(|| format!("{count} {what} in all; this is the first"))
}

/// The read after whose end there was no doubt.
fn certain_ns(history: &History, flaw: &Flaw) -> Option<u64> {
    match flaw {
        Flaw::Phantom { read, .. } | Flaw::Lost { read, .. } => history.operations[*read].returned_ns(),
        Flaw::Unjudged(_) => None,
    }
}

fn told(history: &History, key: Option<KeyId>, flaw: &Flaw) -> RuleFinding {
    let name = name(history, key);
    let operation = |place: &usize| &history.operations[*place];
    let (message, evidence) = match flaw {
        Flaw::Phantom { read, value } => {
            let message = format!("a read of {name} shows {value}, which no write of it can have left there");
            (message, vec![tell(history, "read", operation(read))])
        }
        Flaw::Lost { read, write } => {
            let value = Value::of(history, operation(write).argument);
            let message = format!(
                "{value} was acknowledged and is lost: a later read of {name} shows neither it nor anything that may have replaced it"
            );
            let evidence = vec![tell(history, "write", operation(write)), tell(history, "read", operation(read))];
            (message, evidence)
        }
        Flaw::Unjudged(reason) => (reason.clone(), Vec::new()),
    };
    RuleFinding::broken(RULE, Class::Safety, message).with_evidence(evidence)
}

fn name(history: &History, key: Option<KeyId>) -> String {
    match key.and_then(|key| history.keys.get(key.index())) {
        Some(key) => format!("key `{key}`"),
        None => "the operations without a key".into(),
    }
}

fn tell(history: &History, f: &str, operation: &Operation) -> String {
    let value = match f {
        "read" => operation.observed().map_or(Value::Null, |seen| Value::of(history, seen)),
        _ => Value::of(history, operation.argument),
    };
    let end = operation.returned_ns().map_or_else(|| "the end of time".into(), seconds);
    let line = operation.invoke_line();
    format!(
        "process {} had the {f} of {value} from {} to {end}, line {line}",
        operation.process,
        seconds(operation.invoked_ns)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Traces, judge};

    const HEADER: &str = r#"{"squall_history":1,"reads":"sets"}"#;

    fn judged(header: &str, seen: &str) -> (Verdict, Vec<RuleFinding>) {
        let lines = [
            header.to_owned(),
            r#"{"time":1000000,"type":"invoke","process":0,"f":"write","key":"k","value":17}"#.into(),
            r#"{"time":2000000,"type":"ok","process":0,"f":"write","key":"k","value":17}"#.into(),
            r#"{"time":3000000,"type":"invoke","process":1,"f":"read","key":"k","value":null}"#.into(),
            format!(r#"{{"time":4000000,"type":"ok","process":1,"f":"read","key":"k","value":{seen}}}"#),
        ];
        let history = History::read(lines.join("\n").as_bytes()).unwrap();
        let judgement = judge(&history, Traces::Missing);
        (judgement.verdict, judgement.findings)
    }

    #[test]
    fn decides_in_place_of_linearizability_where_reads_are_sets() {
        assert_eq!(judged(HEADER, "[17]").0, Verdict::Valid);
        let (verdict, findings) = judged(HEADER, "[]");
        assert_eq!(verdict, Verdict::Invalid);
        assert_eq!(
            findings[0].message,
            "17 was acknowledged and is lost: a later read of key `k` shows neither it nor anything that may have replaced it"
        );
        assert_eq!(
            findings[0].evidence,
            [
                "process 0 had the write of 17 from 0.001 s to 0.002 s, line 2",
                "process 1 had the read of [] from 0.003 s to 0.004 s, line 4"
            ]
        );
        let (verdict, findings) = judged(HEADER, "[17,18]");
        assert_eq!(verdict, Verdict::Invalid);
        assert!(findings[0].message.contains("shows 18, which no write"));
    }

    #[test]
    fn a_header_that_says_nothing_leaves_keys_registers() {
        assert_eq!(judged(r#"{"squall_history":1}"#, "17").0, Verdict::Valid);
        assert_eq!(judged(r#"{"squall_history":1}"#, "[17]").0, Verdict::Invalid);
    }
}
