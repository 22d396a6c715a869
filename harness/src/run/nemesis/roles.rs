//! Who is hit: settled when a fault is due, from what the nodes that run say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use squall_nemeses::{Asks, Ground, KeyRoles, Resolved, Roles, State, World};
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Nemesis;
use super::trigger::Event;
use crate::plan::Injection;
use crate::systems::{Member, Position, System};

/// How long all nodes together are asked who leads or who holds a key.
const ROLES_BOUND: Duration = Duration::from_millis(500);
/// How long a leader is waited for, and how often it is asked for: two elections of a slow kind, and far less than a fault lasts.
const ELECTION_BOUND: Duration = Duration::from_secs(1);
const ELECTION_POLL: Duration = Duration::from_millis(50);
/// How old an answer may be when the world is had: whoever led a change of the world ago may not lead any more.
const FRESH: Duration = Duration::from_millis(20);

impl Nemesis {
    /// What a fault comes to now, or why it hits nobody, with the world as that was settled in. While a role is waited for the world is let go, for
    /// others to be injected and healed in. The node of the `event` that it waited for may be at its gate, and answers no question.
    pub(super) async fn resolve(&self, injection: &Injection, event: Option<&Event>) -> (MutexGuard<'_, World>, Result<Resolved, String>) {
        let mut asks = injection.asks();
        let leader = event.filter(|event| event.is_leader).and_then(|event| event.node.clone());
        asks.leader &= leader.is_none();
        let mut roles = Roles::default();
        if asks != Asks::default() {
            let now = self.now(&*self.world.lock().await);
            roles = self.find_roles(asks, &now.down).await;
        }
        let answered = Instant::now();
        let world = self.world.lock().await;
        let now = self.now(&world);
        let nodes = self.all_nodes(&now);
        if asks != Asks::default() && answered.elapsed() > FRESH {
            roles = self.ask_roles(asks, &now.down).await;
        }
        roles.leader = leader.or(roles.leader);
        roles.source = event.and_then(|event| event.node.clone());
        if let Some(struck) = &injection.struck {
            roles.key.clone_from(&struck.key);
            roles.struck = Some(struck.clone());
        }
        let ground = Ground {
            nodes: &nodes,
            spares: &self.free_spares(&now),
            topology: self.topology.as_ref(),
        };
        let resolved = injection.fault.resolve(ground, &now, &roles).map_err(|skipped| skipped.to_string());
        (world, resolved)
    }

    /// What faults ask for, with the nodes that are down for other reasons, and the members that are out and not back yet.
    fn now(&self, world: &World) -> State {
        let mut now = world.desired();
        let out = self.cluster.comings().out();
        now.removed.extend(out.into_iter().filter(|node| !self.cluster.is_spare(node)));
        let nodes = self.all_nodes(&now);
        now.down.extend(nodes.into_iter().filter(|node| !self.cluster.is_running(node)));
        now
    }

    /// The nodes of the plan and those that have joined them.
    fn all_nodes(&self, now: &State) -> Vec<String> {
        self.nodes.iter().chain(&now.joined).cloned().collect()
    }

    /// Waits until a node leads, or for `deadline`. The world is nobody's meanwhile: the heals that an election may wait for go on.
    pub(super) async fn await_leader(&self, deadline: Instant) {
        loop {
            let down = self.nodes.iter().filter(|node| !self.cluster.is_running(node)).cloned().collect();
            let leader = self.ask_roles(Asks::LEADER, &down).await.leader;
            if leader.is_some() || Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep(ELECTION_POLL).await;
        }
    }

    /// What the nodes that are not `down` say of who plays a role and who holds a key in use. A leader or candidate who is asked for is waited for: in a
    /// dense storm there is no leader now and then, and a kind of fault whose only injection falls into an election would prove nothing.
    async fn find_roles(&self, asks: Asks, down: &BTreeSet<String>) -> Roles {
        let deadline = Instant::now() + ELECTION_BOUND;
        loop {
            let roles = self.ask_roles(asks, down).await;
            let is_missing = (asks.leader && roles.leader.is_none()) || (asks.candidate && roles.candidate.is_none());
            if !is_missing || Instant::now() >= deadline {
                return roles;
            }
            tokio::time::sleep(ELECTION_POLL).await;
        }
    }

    pub(super) async fn ask_roles(&self, asks: Asks, down: &BTreeSet<String>) -> Roles {
        let key = asks.key_pick.and_then(|pick| self.activity.pick(pick));
        let mut questions = JoinSet::new();
        let is_up = |member: &&Member| !down.contains(&member.id) && self.cluster.is_running(&member.id);
        for member in self.cluster.nodes().iter().filter(is_up) {
            let (system, member, key) = (Arc::clone(self.cluster.system()), member.clone(), key.clone());
            questions.spawn(async move { ask_node(system.as_ref(), member, asks, key.as_deref()).await });
        }
        let mut roles = Roles::default();
        let deadline = Instant::now() + ROLES_BOUND;
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, questions.join_next()).await {
            let Ok(answer) = answer else { continue };
            if answer.leads {
                roles.leader = Some(answer.node.clone());
            }
            if answer.position.campaigns {
                roles.candidate = Some(answer.node.clone());
            }
            roles.logs.extend(answer.position.log_end.map(|end| (answer.node, end)));
            if let (Some(key), Some(replicas)) = (&key, answer.replicas) {
                roles.key = Some(KeyRoles {
                    key: key.to_string(),
                    coordinator: None,
                    replicas,
                });
            }
            let key_known = roles.key.is_some() || key.is_none();
            let leader_known = roles.leader.is_some() || !asks.leader;
            // Which log is the newest is known when all were asked.
            if key_known && leader_known && (roles.candidate.is_some() || !asks.candidate) && !asks.logs {
                break;
            }
        }
        roles
    }
}

/// What one node said.
struct Answer {
    node: String,
    leads: bool,
    position: Position,
    replicas: Option<Vec<String>>,
}

async fn ask_node(system: &dyn System, member: Member, asks: Asks, key: Option<&str>) -> Answer {
    let leads = asks.leader && system.is_leader(&member).await.ok().flatten().unwrap_or(false);
    let position = match asks.candidate || asks.logs {
        true => system.position(&member).await.unwrap_or_default(),
        false => Position::default(),
    };
    let replicas = match key {
        Some(key) => system.replicas(&member, key).await.ok().flatten(),
        None => None,
    };
    Answer {
        node: member.id,
        leads,
        position,
        replicas,
    }
}
