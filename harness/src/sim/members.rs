//! What the nemesis asks of the simulated system itself. The counterpart of `run/members.rs`: the same requests, repeated until a leader shows
//! that they hold, or until the same bounds.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use squall_nemeses::{Answered, Change, Proof};
use squall_node::core::ClientRef;
use squall_node::members::{NodeIndex, Text};
use squall_node::message::{Outcome as Answer, RequestBody, RequestHeader};
use squall_node::status::Standing;

use super::play::{NS_PER_MS, Play, Timer};
use super::store::Store;
use crate::run::members::{NO_LEADER, PAUSE, Roll, Wish};
use crate::systems::ASK_TIMEOUT;

/// The connection by which the nemesis asks: no client's.
pub(super) const CONNECTION: u64 = u64::MAX;

/// Why the system is asked: what is done with its answer. By the place of the injection in the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A fault begins.
    Inject(usize),
    /// A fault ends.
    Heal(usize),
    /// A fault that nobody confirmed is undone.
    Undo,
}

/// Requests under way, each with all its repetitions.
#[derive(Debug, Default)]
pub(super) struct Asking {
    open: BTreeMap<u64, Question>,
    /// The last question's or request's number.
    last: u64,
}

impl Asking {
    /// Whether an answer is awaited.
    pub(super) fn is_under_way(&self) -> bool {
        !self.open.is_empty()
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// All that one change asks of the system.
#[derive(Debug)]
struct Question {
    purpose: Purpose,
    /// What is still to come true, the present one first.
    wishes: VecDeque<Wish>,
    bound_ns: u64,
    /// When the present wish was first asked for.
    began_ns: u64,
    /// The request that is not answered yet, and who was asked.
    request: Option<(u64, String)>,
    said: String,
    proofs: Vec<Proof>,
}

impl<S: Store> Play<'_, S> {
    /// Asks for everything in `change` that only the system can do, each for as long as `bound`; [`Play::was_asked`] follows.
    pub(super) fn ask_system(&mut self, purpose: Purpose, change: &Change, bound: Duration) {
        let number = self.asking.number();
        let question = Question {
            purpose,
            wishes: Wish::of(change).into(),
            bound_ns: ns(bound),
            began_ns: self.cluster.now_ns(),
            request: None,
            said: NO_LEADER.into(),
            proofs: Vec::new(),
        };
        self.asking.open.insert(number, question);
        self.ask_again(number);
    }

    /// Looks whether the present wish of a question holds, and asks the leader for it if not.
    pub(super) fn ask_again(&mut self, number: u64) {
        let now_ns = self.cluster.now_ns();
        let leader = self.newest_leader();
        let Some(question) = self.asking.open.get_mut(&number) else {
            return;
        };
        let Some(wish) = question.wishes.front() else {
            return self.end_question(number);
        };
        if now_ns - question.began_ns >= question.bound_ns {
            return self.wish_ends(number, false);
        }
        let Some((at, standing)) = leader else {
            return self.call_at(now_ns + ns(PAUSE), Timer::Ask(number));
        };
        let name = self.store.members().name(at).to_string();
        let roll = Roll {
            voters: &standing.voters,
            learners: &standing.learners,
            changing: standing.changing,
        };
        if wish.holds(&name, &roll) {
            question.said = format!("{name} shows it");
            return self.wish_ends(number, true);
        }
        let Some(body) = body_of(&wish.rest(&roll)) else {
            return self.call_at(now_ns + ns(PAUSE), Timer::Ask(number));
        };
        self.asking.last += 1;
        let request = self.asking.last;
        question.request = Some((request, name));
        let header = RequestHeader {
            id: request,
            client: None,
            seq: None,
            session: None,
            deadline_ms: None,
            lamport: None,
        };
        let reference = ClientRef {
            connection: CONNECTION,
            request,
        };
        self.cluster.request(at, reference, header, body);
        self.call_at(now_ns + ns(ASK_TIMEOUT), Timer::Unheard { question: number, request });
    }

    /// The system answers a request of the nemesis.
    pub(super) fn system_answered(&mut self, request: u64, answer: &Answer) {
        let is_of = |question: &Question| question.request.as_ref().is_some_and(|(open, _)| *open == request);
        let Some((number, question)) = self.asking.open.iter_mut().find(|(_, question)| is_of(question)) else {
            return; // too late
        };
        let number = *number;
        let leader = question.request.take().map(|(_, leader)| leader).unwrap_or_default();
        let is_done = matches!(answer, Answer::Members { .. } | Answer::Transferred { .. });
        question.said = match answer {
            Answer::Members { .. } | Answer::Transferred { .. } => format!("{leader} did it"),
            Answer::Failed { kind, message, .. } => format!("{leader} refused: {kind}: {message}"),
            Answer::Unknown { kind, message } => format!("{leader} did not say: {kind}: {message}"),
            other => format!("{leader} did not say: it answered {other:?}"),
        };
        if is_done {
            self.wish_ends(number, true);
        } else {
            self.call_at(self.cluster.now_ns() + ns(PAUSE), Timer::Ask(number));
        }
    }

    /// A request of the nemesis will not be answered any more, unless it was.
    pub(super) fn system_unheard(&mut self, number: u64, request: u64) {
        let question = self.asking.open.get_mut(&number);
        let Some(question) = question.filter(|question| question.request.as_ref().is_some_and(|(open, _)| *open == request)) else {
            return;
        };
        if let Some((_, leader)) = question.request.take() {
            question.said = format!("{leader} did not say: no answer in {} ms", ASK_TIMEOUT.as_millis());
        }
        self.call_at(self.cluster.now_ns() + ns(PAUSE), Timer::Ask(number));
    }

    fn wish_ends(&mut self, number: u64, ok: bool) {
        let now_ns = self.cluster.now_ns();
        let Some(question) = self.asking.open.get_mut(&number) else {
            return;
        };
        question.wishes.pop_front();
        question.proofs.push(Proof::from(Answered {
            ok,
            said: std::mem::replace(&mut question.said, NO_LEADER.into()),
            duration_us: (now_ns - question.began_ns) / 1_000,
        }));
        question.began_ns = now_ns;
        self.ask_again(number);
    }

    fn end_question(&mut self, number: u64) {
        if let Some(question) = self.asking.open.remove(&number) {
            self.was_asked(question.purpose, question.proofs);
        }
    }

    /// Of the nodes that answer and take themselves for the leader the one with the newest term.
    fn newest_leader(&self) -> Option<(NodeIndex, Standing)> {
        let answering = self.cluster.nodes().filter(|at| !self.cluster.is_paused(*at));
        let leading = answering.filter_map(|at| {
            let core = self.cluster.core(at).filter(|core| self.store.is_leader(core))?;
            Some((at, squall_node::core::Core::standing(core)?))
        });
        leading.max_by_key(|(at, standing)| (standing.term, std::cmp::Reverse(*at)))
    }
}

/// The request for what is left of a wish, if anything is.
fn body_of(wish: &Wish) -> Option<RequestBody> {
    let texts = |nodes: &[String]| nodes.iter().map(|node| Text::from(node.as_str())).collect();
    match wish {
        Wish::Members { add, remove } if add.is_empty() && remove.is_empty() => None,
        Wish::Members { add, remove } => Some(RequestBody::Change {
            add: texts(add),
            remove: texts(remove),
        }),
        Wish::Lead(node) => Some(RequestBody::Transfer { to: node.as_str().into() }),
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).saturating_mul(NS_PER_MS)
}
