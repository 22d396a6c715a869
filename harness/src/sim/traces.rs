//! From what simulated nodes told to what the trace rules take: values, not text, which costs more to print and read than to judge.
//!
//! A test holds this to the lines that real nodes write: both ways lead the rules to the same state. What quorum nodes told still
//! goes by way of their lines.

use squall_checker::trace::NodeTraces;
use squall_checker::trace::raft::event::{Ack, Apply, Basis, By, Command, Config, Message, Outcome, Role, Stage, Start, Told, What};
use squall_checker::trace::raft::{MessageId, NameId, RaftRules};
use squall_node::members::Text;
use squall_node::sim::TraceLog;
use squall_node::trace::{Origin, RaftEvent, TraceEvent};

/// Every node's trace, and what the rules say of Raft nodes.
pub(super) fn read(logs: &[TraceLog]) -> NodeTraces {
    let is_raft = |log: &TraceLog| matches!(log.entries().first().map(|entry| &entry.event), Some(TraceEvent::Raft(_)));
    if logs.iter().any(is_raft) {
        return NodeTraces::of_raft(tell(logs));
    }
    let mut traces = NodeTraces::default();
    let mut lines = Vec::new();
    for log in logs.iter().filter(|log| !log.entries().is_empty()) {
        lines.clear();
        log.write_lines(&mut lines).expect("a vector takes every byte");
        traces.add(log.node(), Ok(&lines[..]));
    }
    traces
}

/// Tells the rules all that Raft nodes told.
fn tell(logs: &[TraceLog]) -> RaftRules {
    let mut rules = RaftRules::new(logs.iter().map(|log| log.node().as_ref()));
    for log in logs {
        for entry in log.entries() {
            let TraceEvent::Raft(event) = &entry.event else { continue };
            let told = Told {
                incarnation: entry.incarnation,
                seq: entry.seq,
                mono_ns: entry.mono_ns,
                lamport: entry.lamport,
            };
            if let Some(what) = what(event, entry.incarnation, &mut rules) {
                rules.tell(log.node(), &told, what);
            }
        }
    }
    rules
}

/// What an event is to the rules; `None` if it is nothing to them.
fn what(event: &RaftEvent, incarnation: u64, rules: &mut RaftRules) -> Option<What> {
    Some(match event {
        RaftEvent::RaftStart { .. } => What::Start(Box::new(start(event, incarnation, rules)?)),
        RaftEvent::Hard { term, vote } => What::Hard {
            term: *term,
            vote: vote.as_ref().map(|vote| rules.name(vote)),
        },
        RaftEvent::Role { role, term, last } => What::Role {
            role: Role::of_word(role)?,
            term: *term,
            last: *last,
        },
        RaftEvent::Append {
            index,
            term,
            digest,
            entry,
            replayed,
            ..
        } => What::Append {
            index: *index,
            term: *term,
            digest: digest.0,
            is_config: *entry == "config",
            replayed: *replayed,
        },
        RaftEvent::Truncate { from, term } => What::Truncate { from: *from, term: *term },
        RaftEvent::Fsync { upto, term_at, replayed } => What::Fsync {
            upto: *upto,
            term_at: *term_at,
            replayed: *replayed,
        },
        RaftEvent::Commit { to, term_at, by, term } => What::Commit {
            to: *to,
            term_at: *term_at,
            by: By::of_word(by),
            term: *term,
        },
        RaftEvent::Apply {
            index,
            term_at,
            digest,
            state_hash,
            origin,
            effect,
        } => What::Apply(Apply {
            index: *index,
            term_at: *term_at,
            digest: digest.0,
            state_hash: state_hash.0,
            command: command(origin, rules),
            effect: effect.unwrap_or(false),
        }),
        RaftEvent::SnapTake {
            index,
            term_at,
            state_hash,
        } => What::SnapTake {
            index: *index,
            term_at: *term_at,
            state_hash: state_hash.0,
        },
        RaftEvent::SnapInstall {
            index,
            term_at,
            state_hash,
            ..
        } => What::SnapInstall {
            index: *index,
            term_at: *term_at,
            state_hash: state_hash.0,
        },
        RaftEvent::Config {
            index,
            voters,
            voters_old,
            stage,
            ..
        } => What::Config {
            index: *index,
            stage: Stage::of_word(stage),
            config: Box::new(config(voters, voters_old.as_deref(), rules)),
        },
        RaftEvent::Ack {
            client,
            sequence,
            session,
            index,
            term_at,
            digest,
            outcome,
            f,
        } => What::Ack(Ack {
            index: *index,
            term_at: *term_at,
            digest: digest.0,
            command: asked((client.as_ref(), *sequence, *session), rules),
            outcome: Outcome::of_word(outcome)?,
            always_takes_effect: matches!(*f, "put" | "append"),
        }),
        RaftEvent::Read {
            index,
            applied,
            basis,
            begun_ns,
            term,
            ..
        } => What::Read {
            index: *index,
            applied: *applied,
            basis: Basis::of_word(basis),
            begun_ns: *begun_ns,
            term: *term,
        },
        RaftEvent::Send { to, id, m, term, ok, .. } => What::Send {
            to: rules.name(to),
            stamp: MessageId::read(id)?.stamp,
            message: Message::of_word(m),
            term: *term,
            ok: *ok,
        },
        RaftEvent::Receive { id, m, term, .. } => {
            let id = MessageId::read(id)?;
            What::Receive {
                from: rules.name(id.member),
                incarnation: id.incarnation,
                stamp: id.stamp,
                message: Message::of_word(m),
                term: *term,
            }
        }
        RaftEvent::Health {
            commit, messages, appends, ..
        } => What::Health {
            commit: *commit,
            messages: *messages,
            appends: *appends,
        },
    })
}

fn start(event: &RaftEvent, incarnation: u64, rules: &mut RaftRules) -> Option<Start> {
    let RaftEvent::RaftStart {
        member,
        term,
        vote,
        base,
        last,
        commit,
        applied,
        state_hash,
        voters,
        voters_old,
        sessions,
        election_ms,
        heartbeat_ms,
        ..
    } = event
    else {
        return None;
    };
    Some(Start {
        incarnation,
        member: rules.name(member),
        term: *term,
        vote: vote.as_ref().map(|vote| rules.name(vote)),
        base: *base,
        last: *last,
        commit: *commit,
        applied: *applied,
        state_hash: state_hash.0,
        config: config(voters, voters_old.as_deref(), rules),
        sessions: *sessions,
        election_ms: *election_ms,
        heartbeat_ms: *heartbeat_ms,
    })
}

fn config(voters: &[Text], voters_old: Option<&[Text]>, rules: &mut RaftRules) -> Config {
    let mut members = |texts: &[Text]| -> Vec<NameId> {
        let mut ids: Vec<NameId> = texts.iter().map(|text| rules.name(text)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    Config {
        voters: members(voters),
        voters_old: voters_old.map(members),
    }
}

fn command(origin: &Origin, rules: &mut RaftRules) -> Option<Command> {
    asked((origin.client.as_ref(), origin.sequence, origin.session), rules)
}

fn asked((client, sequence, session): (Option<&Text>, Option<u64>, Option<u64>), rules: &mut RaftRules) -> Option<Command> {
    Some(Command {
        client: rules.name(client?),
        session,
        sequence: sequence?,
    })
}
