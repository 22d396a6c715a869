//! The last events of each node, so that what is around a breach can be shown without keeping all events.

use std::collections::VecDeque;

use super::breach::{Breach, Fact, Node, Sight};
use super::event::{Event, What};
use super::names::Names;
use super::node::NodeState;
use super::tell;
use crate::trace::neighbourhood::{Lane, NeighbourEvent, NeighbourMessage, Neighbourhood};

/// How many events per node lead up to a breach.
const BEFORE: usize = 24;

/// How many follow it, per node.
const AFTER: usize = 6;

/// The last events of each node.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    nodes: Vec<VecDeque<Event>>,
}

/// What is around one breach.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    events: Vec<(Node, Event)>,
    /// How many more are wanted of each node.
    wanted: Vec<usize>,
}

impl Recent {
    /// Of so many nodes.
    pub(super) fn of(n_nodes: usize) -> Recent {
        Recent {
            nodes: vec![VecDeque::with_capacity(BEFORE + 1); n_nodes],
        }
    }

    /// Takes note of an event.
    pub(super) fn add(&mut self, node: Node, event: &Event) {
        let events = &mut self.nodes[node];
        if events.len() == BEFORE {
            events.pop_front();
        }
        events.push_back(event.clone());
    }

    /// What leads up to the present moment.
    pub(super) fn around(&self) -> Around {
        let events = self.nodes.iter().enumerate();
        Around {
            events: events
                .flat_map(|(node, events)| events.iter().map(move |event| (node, event.clone())))
                .collect(),
            wanted: vec![AFTER; self.nodes.len()],
        }
    }
}

impl Around {
    /// Takes an event that follows, if it is still wanted. Says whether any more is.
    pub(super) fn follow(&mut self, node: Node, event: &Event) -> bool {
        if let Some(wanted) = self.wanted.get_mut(node).filter(|wanted| **wanted > 0) {
            *wanted -= 1;
            self.events.push((node, event.clone()));
        }
        self.wanted.iter().any(|wanted| *wanted > 0)
    }
}

/// The neighbourhood of a breach, for a diagram.
pub(super) fn neighbourhood(breach: &Breach, nodes: &[NodeState], names: &Names, origin_ns: u64) -> Neighbourhood {
    let mut picked: Vec<&(Node, Event)> = breach.around.events.iter().collect();
    picked.sort_by_key(|(node, event)| (event.lamport, *node, event.line));
    let events = picked
        .iter()
        .map(|(node, event)| NeighbourEvent {
            lane: *node,
            line: u64::from(event.line),
            time_ns: on_axis(event.mono_ns, origin_ns),
            lamport: event.lamport,
            kind: tell::kind(&event.what).to_owned(),
            label: tell::label(&event.what, names),
            text: tell::what(&event.what, names),
            breaks: breach.facts.iter().any(|fact| is_at(fact, *node, event)),
        })
        .collect();
    Neighbourhood {
        lanes: nodes.iter().map(|node| lane(node, names)).collect(),
        events,
        messages: messages(&picked, nodes),
    }
}

fn is_at(fact: &Fact, node: Node, event: &Event) -> bool {
    let Sight { node: at, line, .. } = fact.sight;
    (usize::from(at), line) == (node, event.line)
}

fn lane(node: &NodeState, names: &Names) -> Lane {
    let member = node.member().map(|member| names.get(member)).filter(|member| *member != node.name);
    Lane {
        node: node.name.clone(),
        member: member.map(str::to_owned),
    }
}

fn on_axis(mono_ns: u64, origin_ns: u64) -> i64 {
    let time_ns = i128::from(mono_ns) - i128::from(origin_ns);
    i64::try_from(time_ns).unwrap_or(if time_ns < 0 { i64::MIN } else { i64::MAX })
}

fn messages(picked: &[&(Node, Event)], nodes: &[NodeState]) -> Vec<NeighbourMessage> {
    let lane_of = |member| nodes.iter().position(|node| node.member() == Some(member));
    let mut messages: Vec<(u64, NeighbourMessage)> = Vec::new();
    for (place, (node, event)) in picked.iter().enumerate() {
        if let What::Send {
            to, stamp, message, term, ..
        } = &event.what
        {
            messages.push((
                *stamp,
                NeighbourMessage {
                    from: Some(*node),
                    to: lane_of(*to),
                    sent: Some(place),
                    received: None,
                    kind: message.word().to_owned(),
                    term: *term,
                },
            ));
        }
    }
    for (place, (node, event)) in picked.iter().enumerate() {
        let What::Receive {
            from,
            stamp,
            message,
            term,
            ..
        } = &event.what
        else {
            continue;
        };
        let from = lane_of(*from);
        let sent = messages.iter_mut().find(|(sent, known)| {
            *sent == *stamp && known.from == from && known.to == Some(*node) && known.received.is_none() && known.kind == message.word()
        });
        match sent {
            Some((_, known)) => known.received = Some(place),
            None => messages.push((
                *stamp,
                NeighbourMessage {
                    from,
                    to: Some(*node),
                    sent: None,
                    received: Some(place),
                    kind: message.word().to_owned(),
                    term: *term,
                },
            )),
        }
    }
    messages.into_iter().map(|(_, message)| message).collect()
}
