//! Events in words, for evidence and for the labels of a diagram.

use super::event::{Basis, By, Outcome, Role, Stage, What};
use super::names::Names;

/// A word for the shape of an event.
pub(super) fn kind(what: &What) -> &'static str {
    match what {
        What::Start(_) => "start",
        What::Hard { .. } => "vote",
        What::Role { .. } => "role",
        What::Append { .. } => "append",
        What::Truncate { .. } => "truncate",
        What::Fsync { .. } => "fsync",
        What::Commit { .. } => "commit",
        What::Apply(_) => "apply",
        What::SnapTake { .. } | What::SnapInstall { .. } => "snapshot",
        What::Config { .. } => "config",
        What::Ack(_) => "ack",
        What::Read { .. } => "read",
        What::Send { .. } => "send",
        What::Receive { .. } => "receive",
        What::Health { .. } => "health",
    }
}

/// The least that names an event within a picture: kind, index and term, as far as it has them.
pub(super) fn label(what: &What, names: &Names) -> String {
    match what {
        What::Start(start) => format!("start t{}", start.term),
        What::Hard { term, vote: None } => format!("no vote t{term}"),
        What::Hard { term, vote: Some(vote) } => format!("vote {} t{term}", names.get(*vote)),
        What::Role { role, term, .. } => format!("{} t{term}", role_word(*role)),
        What::Append { index, term, .. } => format!("append {index} t{term}"),
        What::Truncate { from, term } => format!("truncate {from} t{term}"),
        What::Fsync { upto, term_at, .. } => format!("fsync {upto} t{term_at}"),
        What::Commit { to, term_at, .. } => format!("commit {to} t{term_at}"),
        What::Apply(apply) => format!("apply {} t{}", apply.index, apply.term_at),
        What::SnapTake { index, term_at, .. } | What::SnapInstall { index, term_at, .. } => format!("snapshot {index} t{term_at}"),
        What::Config { index, .. } => format!("config {index}"),
        What::Ack(ack) => format!("ack {} t{}", ack.index, ack.term_at),
        What::Read { index, .. } => format!("read {index}"),
        What::Send { message, term, .. } | What::Receive { message, term, .. } => format!("{} t{term}", message.word()),
        What::Health { .. } => "health".to_owned(),
    }
}

/// One short line.
pub(super) fn what(what: &What, names: &Names) -> String {
    match what {
        What::Start(start) => format!(
            "start of incarnation {} as {} in term {}, log up to {}",
            start.incarnation,
            names.get(start.member),
            start.term,
            entry(start.last.0, start.last.1)
        ),
        What::Hard { term, vote: None } => format!("term {term} is durable, no vote"),
        What::Hard { term, vote: Some(vote) } => format!("term {term} is durable, vote for {}", names.get(*vote)),
        What::Role { role, term, last } => format!("{} in term {term}, log up to {}", role_word(*role), entry(last.0, last.1)),
        What::Append { index, term, replayed, .. } => format!("{} {}", if *replayed { "found" } else { "append of" }, entry(*index, *term)),
        What::Truncate { from, term } => format!("removes index {from} and what follows, in term {term}"),
        What::Fsync { upto, term_at, .. } => format!("durable up to {}", entry(*upto, *term_at)),
        What::Commit { to, term_at, by, term } => format!("commits up to {}, {}, in term {term}", entry(*to, *term_at), by_words(*by)),
        What::Apply(apply) => format!(
            "applies {}{}; the state is {:016x}",
            entry(apply.index, apply.term_at),
            if apply.command.is_some() && !apply.effect {
                " without effect"
            } else {
                ""
            },
            apply.state_hash
        ),
        What::SnapTake { index, term_at, .. } => format!("takes a snapshot at {}", entry(*index, *term_at)),
        What::SnapInstall { index, term_at, .. } => format!("installs a snapshot at {}", entry(*index, *term_at)),
        What::Config { index, stage, config } => {
            let set = |members: &[_]| members.iter().map(|member| names.get(*member)).collect::<Vec<_>>().join(" ");
            let old = config
                .voters_old
                .as_deref()
                .map(|old| format!(" jointly with {}", set(old)))
                .unwrap_or_default();
            format!(
                "configuration {} at index {index}: {}{old}",
                stage_word(*stage),
                set(&config.voters)
            )
        }
        What::Ack(ack) => format!("answers {} for {}", outcome_word(ack.outcome), entry(ack.index, ack.term_at)),
        What::Read { index, applied, basis, .. } => format!("{} at index {index}, applied {applied}", basis_words(*basis)),
        What::Send { to, message, term, ok, .. } => format!("{}{} to {}, term {term}", message.word(), yes_or_no(*ok), names.get(*to)),
        What::Receive { from, message, term, .. } => format!("{} from {}, term {term}", message.word(), names.get(*from)),
        What::Health { commit, messages, .. } => format!("health: committed up to {commit}, {messages} messages sent"),
    }
}

/// `index 7 of term 3`.
pub(super) fn entry(index: u64, term: u64) -> String {
    format!("index {index} of term {term}")
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Learner => "learner",
    }
}

fn by_words(by: By) -> &'static str {
    match by {
        By::Count => "counted itself",
        By::Leader => "told by the leader",
        By::Snapshot => "by a snapshot",
        By::Start => "known at the start",
        By::Other => "in a way of a later version",
    }
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Appended => "appended",
        Stage::Committed => "committed",
        Stage::Truncated => "back after a truncation",
        Stage::Other => "set",
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Failed => "failed",
        Outcome::Unknown => "unknown",
    }
}

fn basis_words(basis: Basis) -> &'static str {
    match basis {
        Basis::ReadIndex => "a read by read index",
        Basis::Lease => "a read by lease",
        Basis::Local => "a local read",
        Basis::Other => "a read",
    }
}

fn yes_or_no(ok: Option<bool>) -> &'static str {
    match ok {
        Some(true) => " (yes)",
        Some(false) => " (no)",
        None => "",
    }
}
