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
/// The same where nodes join: they are started, get all that the others have, and only then are decided on.
pub(crate) const JOIN_BOUND: Duration = Duration::from_secs(5);
/// How long a heal asks for: a healed cluster elects within a second, and a node that was away must catch up first.
pub(crate) const HEAL_BOUND: Duration = Duration::from_secs(10);

/// What is said where nobody can be asked.
pub(crate) const NO_LEADER: &str = "no node takes itself for the leader";

/// Between two requests.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// One request to the system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Some nodes are members, and others are no longer.
    Members {
        /// Who is to be one.
        add: Vec<String>,
        /// Who is to be none.
        remove: Vec<String>,
    },
    /// This node leads.
    Lead(String),
}

/// Who is a member, as a leader shows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Roll<'a, T> {
    /// Who votes.
    pub(crate) voters: &'a [T],
    /// Who is a member and does not.
    pub(crate) learners: &'a [T],
    /// Whether that may still be taken back, or is on the way to something else.
    pub(crate) changing: bool,
}

impl<T: AsRef<str>> Roll<'_, T> {
    pub(crate) fn votes(&self, node: &str) -> bool {
        self.voters.iter().any(|voter| voter.as_ref() == node)
    }

    pub(crate) fn has(&self, node: &str) -> bool {
        self.votes(node) || self.learners.iter().any(|learner| learner.as_ref() == node)
    }
}

impl Wish {
    /// All that only the system can do of a change, in order. Who comes and who goes is one request: a system that can do both at once is never in between.
    pub(crate) fn of(change: &Change) -> Vec<Wish> {
        let names = |one: &BTreeSet<String>, other: &BTreeSet<String>| one.union(other).cloned().collect::<Vec<_>>();
        let (add, remove) = (names(&change.add, &change.join), names(&change.remove, &change.leave));
        let members = (!add.is_empty() || !remove.is_empty()).then_some(Wish::Members { add, remove });
        members.into_iter().chain(change.transfer.clone().map(Wish::Lead)).collect()
    }

    /// Whether a leader shows that it has come true, for good.
    pub(crate) fn holds<T: AsRef<str>>(&self, leader: &str, roll: &Roll<'_, T>) -> bool {
        match self {
            Wish::Members { add, remove } => {
                let is_out = |node: &String| !roll.has(node);
                !roll.changing && add.iter().all(|node| roll.votes(node)) && remove.iter().all(is_out)
            }
            Wish::Lead(node) => leader == node,
        }
    }

    /// What of it a leader does not show yet; asked for the rest as well, it would refuse all.
    pub(crate) fn rest<T: AsRef<str>>(&self, roll: &Roll<'_, T>) -> Wish {
        match self {
            Wish::Members { add, remove } => Wish::Members {
                add: add.iter().filter(|node| !roll.votes(node)).cloned().collect(),
                remove: remove.iter().filter(|node| roll.has(node)).cloned().collect(),
            },
            lead => lead.clone(),
        }
    }
}

impl Standing {
    pub(crate) fn roll(&self) -> Roll<'_, String> {
        Roll {
            voters: &self.voters,
            learners: &self.learners,
            changing: self.changing,
        }
    }
}

impl Nemesis {
    /// Asks for everything in `change` that only the system can do, each wish for as long as `bound`; nothing if there is nothing.
    pub(super) async fn ask_system(&self, change: &Change, bound: Duration) -> Vec<Proof> {
        let mut proofs = Vec::new();
        for wish in Wish::of(change) {
            proofs.push(Proof::from(self.ask_until(&wish, bound).await));
        }
        proofs
    }

    pub(super) async fn ask_until(&self, wish: &Wish, bound: Duration) -> Answered {
        let began = Instant::now();
        let mut said = String::from(NO_LEADER);
        let mut ok = false;
        while !ok && began.elapsed() < bound {
            if let Some((leader, standing)) = self.newest_leader().await {
                if wish.holds(&leader.id, &standing.roll()) {
                    (ok, said) = (true, format!("{} shows it", leader.id));
                    break;
                }
                said = match self.ask_leader(&leader, &wish.rest(&standing.roll())).await {
                    Asked::Done => {
                        ok = true;
                        format!("{} did it", leader.id)
                    }
                    Asked::NotYet(why) | Asked::Refused(why) => format!("{} refused: {why}", leader.id),
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
            Wish::Members { add, remove } if add.is_empty() && remove.is_empty() => {
                Asked::Unknown("a change of the members is not finished".into())
            }
            Wish::Members { add, remove } => {
                let members = |names: &[String]| names.iter().map(|name| self.cluster().member(name).clone()).collect::<Vec<_>>();
                let (add, remove) = (members(add), members(remove));
                twice(|| system.change_members(leader, &add, &remove)).await
            }
            Wish::Lead(node) => system.transfer(leader, self.cluster().member(node)).await,
        }
    }

    /// Of the nodes that take themselves for the leader the one with the newest term: an old leader that is cut off may not know better.
    pub(super) async fn newest_leader(&self) -> Option<(Member, Standing)> {
        let cluster = self.cluster();
        let mut newest: Option<(Member, Standing)> = None;
        for member in cluster.nodes().iter().filter(|member| cluster.is_running(&member.id)) {
            let Ok(Some(standing)) = cluster.system().standing(member).await else {
                continue;
            };
            let standing = with_names(standing, cluster.nodes());
            if standing.leads && newest.as_ref().is_none_or(|(_, known)| standing.term > known.term) {
                newest = Some((member.clone(), standing));
            }
        }
        newest
    }
}

/// The same, with names in the place of addresses.
fn with_names(standing: Standing, nodes: &[Member]) -> Standing {
    let name = |voter: String| {
        let found = nodes.iter().find(|node| node.address.to_string() == voter);
        found.map_or(voter, |node| node.id.clone())
    };
    Standing {
        voters: standing.voters.into_iter().map(name).collect(),
        learners: standing.learners.into_iter().map(name).collect(),
        ..standing
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

    fn members(add: &[&str], remove: &[&str]) -> Wish {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Wish::Members {
            add: names(add),
            remove: names(remove),
        }
    }

    const ROLL: Roll<'_, &str> = Roll {
        voters: &["n1", "n3"],
        learners: &["n4"],
        changing: false,
    };

    #[test]
    fn a_wish_holds_when_a_leader_shows_it() {
        let holds = |wish: Wish| wish.holds("n1", &ROLL);
        assert!(holds(members(&[], &["n2"])) && !holds(members(&[], &["n3"])));
        assert!(holds(members(&["n3"], &[])) && !holds(members(&["n2"], &[])));
        assert!(holds(members(&["n3"], &["n2"])) && !holds(members(&["n3"], &["n1"])));
        assert!(holds(Wish::Lead("n1".into())) && !holds(Wish::Lead("n3".into())));
        assert!(!holds(members(&["n4"], &[])), "it learns, and does not vote");
        assert!(!holds(members(&[], &["n4"])), "it is still served");
        let changing = Roll { changing: true, ..ROLL };
        assert!(!members(&["n3"], &[]).holds("n1", &changing), "it may still be taken back");
    }

    #[test]
    fn a_leader_is_asked_only_for_what_it_does_not_show() {
        assert_eq!(
            members(&["n3", "n4", "n5"], &["n1", "n2"]).rest(&ROLL),
            members(&["n4", "n5"], &["n1"])
        );
        assert_eq!(members(&["n3"], &[]).rest(&ROLL), members(&[], &[]));
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
        assert_eq!(Wish::of(&change), [members(&[], &["n2"]), Wish::Lead("n3".into())]);
        let replaced = Change {
            remove: BTreeSet::from(["n2".into()]),
            join: BTreeSet::from(["n4".into()]),
            ..Change::default()
        };
        assert_eq!(Wish::of(&replaced), [members(&["n4"], &["n2"])]);
    }

    #[test]
    fn who_told_no_name_yet_is_known_by_the_address() {
        let node = |id: &str, last| Member {
            id: id.into(),
            address: [10, 77, 0, last].into(),
        };
        let standing = Standing {
            leads: true,
            term: 1,
            voters: vec!["n1".into(), "10.77.0.4".into()],
            learners: vec!["10.77.0.5".into()],
            changing: false,
        };
        let named = with_names(standing, &[node("n1", 1), node("n4", 4), node("n5", 5)]);
        assert_eq!(
            (named.voters, named.learners),
            (vec!["n1".into(), "n4".into()], vec!["n5".to_owned()])
        );
    }
}
