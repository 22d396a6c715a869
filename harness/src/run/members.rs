//! What the nemesis asks of the system itself: to hand its leadership over, to take a member out, to take one in.
//!
//! Unlike a cut or a kill it may be refused, and it may stay without an answer and happen all the same. So a request is repeated until
//! a leader shows that it holds, or until a bound; then the caller says so and undoes it when the fault's time is over.

use std::collections::BTreeSet;
use std::time::Duration;

use squall_nemeses::{Answered, Change, Proof};
use tokio::time::Instant;

use super::nemesis::Nemesis;
use crate::systems::{Ask, Asked, Member, Standing};

/// How long a request may take before the fault counts as skipped: a few elections.
pub(crate) const INJECT_BOUND: Duration = Duration::from_secs(2);
/// How long a heal asks for: a healed cluster elects within a second, and a node that was away must catch up first.
pub(crate) const HEAL_BOUND: Duration = Duration::from_secs(10);

/// Between two requests.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// One request to the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// These nodes are members no longer.
    Remove(Vec<String>),
    /// These nodes are members.
    Add(Vec<String>),
    /// This node leads.
    Lead(String),
}

impl Wish {
    /// All that only the system can do of a change, in order.
    pub(crate) fn of(change: &Change) -> Vec<Wish> {
        let names = |nodes: &BTreeSet<String>| nodes.iter().cloned().collect::<Vec<_>>();
        let mut wishes = Vec::new();
        if !change.remove.is_empty() {
            wishes.push(Wish::Remove(names(&change.remove)));
        }
        if !change.add.is_empty() {
            wishes.push(Wish::Add(names(&change.add)));
        }
        wishes.extend(change.transfer.clone().map(Wish::Lead));
        wishes
    }

    /// Whether a leader shows that it has come true.
    pub(crate) fn holds(&self, leader: &str, voters: &[impl AsRef<str>]) -> bool {
        let is_voter = |node: &String| voters.iter().any(|voter| voter.as_ref() == node);
        match self {
            Wish::Remove(nodes) => !nodes.iter().any(is_voter),
            Wish::Add(nodes) => nodes.iter().all(is_voter),
            Wish::Lead(node) => leader == node,
        }
    }
}

impl Nemesis {
    /// Asks for everything in `change` that only the system can do; nothing if there is nothing.
    pub(super) async fn ask_system(&self, change: &Change, bound: Duration) -> Vec<Proof> {
        let mut proofs = Vec::new();
        for wish in Wish::of(change) {
            proofs.push(Proof::from(self.ask_until(&wish, bound).await));
        }
        proofs
    }

    async fn ask_until(&self, wish: &Wish, bound: Duration) -> Answered {
        let began = Instant::now();
        let mut said = String::from("no node takes itself for the leader");
        let mut ok = false;
        while !ok && began.elapsed() < bound {
            if let Some((leader, standing)) = self.newest_leader().await {
                if wish.holds(&leader.id, &standing.voters) {
                    (ok, said) = (true, format!("{} shows it", leader.id));
                    break;
                }
                said = match self.ask_leader(&leader, wish).await {
                    Asked::Done => {
                        ok = true;
                        format!("{} did it", leader.id)
                    }
                    Asked::Refused(why) => format!("{} refused: {why}", leader.id),
                    Asked::Unknown(why) => format!("{} did not say: {why}", leader.id),
                };
            }
            if !ok {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Answered {
            ok,
            said,
            duration_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }

    async fn ask_leader(&self, leader: &Member, wish: &Wish) -> Asked {
        let system = self.cluster().system();
        match wish {
            Wish::Remove(nodes) => twice(|| system.change_members(leader, &[], nodes)).await,
            Wish::Add(nodes) => twice(|| system.change_members(leader, nodes, &[])).await,
            Wish::Lead(node) => system.transfer(leader, node).await,
        }
    }

    /// Of the nodes that take themselves for the leader the one with the newest term: an old leader that is cut off may not know better.
    async fn newest_leader(&self) -> Option<(Member, Standing)> {
        let cluster = self.cluster();
        let mut newest: Option<(Member, Standing)> = None;
        for member in cluster.members().iter().filter(|member| cluster.is_running(&member.id)) {
            let Ok(Some(standing)) = cluster.system().standing(member).await else {
                continue;
            };
            if standing.leads && newest.as_ref().is_none_or(|(_, known)| standing.term > known.term) {
                newest = Some((member.clone(), standing));
            }
        }
        newest
    }
}

/// Asks for the same change twice at once, as whoever loses patience does: the second must not begin before the first is decided.
async fn twice<'a>(ask: impl Fn() -> Ask<'a, Asked>) -> Asked {
    match tokio::join!(ask(), ask()) {
        (Asked::Done, _) | (_, Asked::Done) => Asked::Done,
        (unknown @ Asked::Unknown(_), _) | (_, unknown @ Asked::Unknown(_)) => unknown,
        (refused, _) => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_holds_when_a_leader_shows_it() {
        let holds = |wish: Wish| wish.holds("n1", &["n1", "n3"]);
        assert!(holds(Wish::Remove(vec!["n2".into()])) && !holds(Wish::Remove(vec!["n3".into()])));
        assert!(holds(Wish::Add(vec!["n3".into()])) && !holds(Wish::Add(vec!["n2".into()])));
        assert!(holds(Wish::Lead("n1".into())) && !holds(Wish::Lead("n3".into())));
    }

    #[tokio::test]
    async fn of_two_answers_the_one_that_binds_counts() {
        let (done, refused, unknown) = (Asked::Done, Asked::Refused("no".into()), Asked::Unknown("late".into()));
        for (one, other, expected) in [
            (&done, &refused, &done),
            (&refused, &done, &done),
            (&unknown, &done, &done),
            (&refused, &unknown, &unknown),
            (&refused, &refused, &refused),
        ] {
            let answers = std::cell::RefCell::new(vec![other.clone(), one.clone()]);
            let ask = || -> Ask<'_, Asked> {
                let answer = answers.borrow_mut().pop().expect("it is asked twice");
                Box::pin(async move { answer })
            };
            assert_eq!(twice(ask).await, *expected);
        }
    }

    #[test]
    fn a_change_is_as_many_wishes_as_it_says() {
        assert!(Wish::of(&Change::default()).is_empty());
        let change = Change {
            remove: BTreeSet::from(["n2".into()]),
            transfer: Some("n3".into()),
            ..Change::default()
        };
        assert_eq!(Wish::of(&change), [Wish::Remove(vec!["n2".into()]), Wish::Lead("n3".into())]);
    }
}
