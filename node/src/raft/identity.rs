//! Who is who: a member that lost its data must not come back under its old id, for it has forgotten its votes and acknowledgements.
//!
//! Each data folder gets a random number at its birth, which stands in every message. Members write down the birth of everybody they
//! meet, and the leader tells all births in the entry that begins its term. Who shows another birth than the known one is a stranger: it
//! gets told and ends. A folder that is new takes no part before enough other members said that they know no older one. What remains: a
//! member that lost its data and reaches only members that never heard of its first life, directly or by a leader. For three nodes no rule
//! could close that gap and let two of them start alone.

use std::collections::{BTreeMap, BTreeSet};

use super::config::RaftConfig;
use super::core::{RaftCore, Step};
use super::membership::{Configs, Membership};
use super::message::RaftBody;
use super::record::{Identity, Record};
use crate::core::Effect;
use crate::members::{NodeIndex, Text};

/// Who this member is and whom it knows.
#[derive(Debug)]
pub(super) struct Acquaintance {
    pub(super) identity: Identity,
    /// False until the disk told of an earlier start.
    is_loaded: bool,
    /// Births of the others.
    pub(super) births: BTreeMap<Text, u64>,
    /// Whether this member may vote and acknowledge.
    pub(super) is_confirmed: bool,
    /// Who knows no older data of this member.
    confirmed_by: BTreeSet<Text>,
    introduce_at_ns: u64,
}

impl Acquaintance {
    pub(super) fn new(config: &RaftConfig) -> Acquaintance {
        let membership = if config.join {
            Membership::default()
        } else {
            Membership::of_voters(config.voters.clone())
        };
        Acquaintance {
            identity: Identity {
                member: config.member.clone(),
                birth: config.birth,
                membership,
            },
            is_loaded: false,
            births: BTreeMap::new(),
            is_confirmed: false,
            confirmed_by: BTreeSet::new(),
            introduce_at_ns: 0,
        }
    }

    pub(super) fn wake_at_ns(&self) -> Option<u64> {
        (!self.is_confirmed).then_some(self.introduce_at_ns)
    }
}

impl RaftCore {
    pub(super) fn load_identity(&mut self, identity: Identity) {
        self.configs = Configs::new(0, identity.membership.clone());
        self.acquaintance.identity = identity;
        self.acquaintance.is_loaded = true;
    }

    /// The disk is read: true if it held nothing, so that this is a new member.
    pub(super) fn settle_identity(&mut self) -> bool {
        let is_new = !self.acquaintance.is_loaded;
        if is_new {
            self.load_identity(self.acquaintance.identity.clone());
        }
        is_new
    }

    /// Makes the birth durable before anybody hears of it.
    pub(super) fn record_identity(&mut self, step: &mut Step<'_>) {
        self.record(step, &Record::Identity(self.acquaintance.identity.clone()));
        self.confirm_if_known(step);
    }

    /// How many others must know nothing: with this member a majority of the first voters.
    fn answers_needed(&self) -> usize {
        let is_alone = !self.config.join && self.config.voters.len() == 1;
        if is_alone { 0 } else { (self.config.voters.len() / 2).max(1) }
    }

    fn confirm_if_known(&mut self, step: &mut Step<'_>) {
        if !self.acquaintance.is_confirmed && self.acquaintance.confirmed_by.len() >= self.answers_needed() {
            self.acquaintance.is_confirmed = true;
            self.record(step, &Record::Confirmed {});
        }
    }

    /// Asks everybody again.
    pub(super) fn introduce_again(&mut self, step: &mut Step<'_>) {
        if self.acquaintance.is_confirmed || step.now.mono_ns < self.acquaintance.introduce_at_ns {
            return;
        }
        self.acquaintance.introduce_at_ns = step.now.mono_ns.saturating_add(self.election_ns());
        for peer in self.config.nodes.indices() {
            self.introduce_to(step, peer);
        }
    }

    /// Asks one node, whichever member it is.
    pub(super) fn introduce_to(&mut self, step: &mut Step<'_>, peer: NodeIndex) {
        if !self.acquaintance.is_confirmed && peer != self.config.me {
            let to = self.config.nodes.name(peer).clone();
            self.send_after_all(step, &to, RaftBody::Introduce {});
        }
    }

    /// Handles what is about births; true if there is nothing else to do with the message.
    pub(super) fn is_about_identity(&mut self, step: &mut Step<'_>, from: &Text, birth: u64, body: &RaftBody) -> bool {
        if let RaftBody::Stranger { birth } = body {
            if *birth == self.acquaintance.identity.birth {
                self.stop_as_stranger(step, from);
            }
            return true;
        }
        if !self.is_known_as(step, from, birth) {
            self.send(step, from, RaftBody::Stranger { birth });
            return true;
        }
        match body {
            RaftBody::Introduce {} => self.send_after_all(step, from, RaftBody::Known {}),
            RaftBody::Known {} => {
                self.acquaintance.confirmed_by.insert(from.clone());
                self.confirm_if_known(step);
            }
            _ => return !self.acquaintance.is_confirmed,
        }
        true
    }

    /// Whether a member's data are those that are known, or the first that are heard of.
    fn is_known_as(&mut self, step: &mut Step<'_>, member: &Text, birth: u64) -> bool {
        if member == self.member() {
            return birth == self.acquaintance.identity.birth;
        }
        match self.acquaintance.births.get(member) {
            Some(known) => *known == birth,
            None => {
                self.acquaintance.births.insert(member.clone(), birth);
                self.record(
                    step,
                    &Record::Met {
                        member: member.clone(),
                        birth,
                    },
                );
                true
            }
        }
    }

    /// The births that a leader tells.
    pub(super) fn births_known(&self) -> BTreeMap<Text, u64> {
        let mut births = self.acquaintance.births.clone();
        births.insert(self.member().clone(), self.acquaintance.identity.birth);
        births
    }

    /// Takes note of what a leader told.
    pub(super) fn learn_births(&mut self, step: &mut Step<'_>, births: &BTreeMap<Text, u64>) {
        for (member, birth) in births {
            if member != self.member() {
                self.is_known_as(step, member, *birth);
            }
        }
    }

    fn stop_as_stranger(&mut self, step: &mut Step<'_>, from: &Text) {
        let member = self.member();
        let node = self.config.nodes.name(self.config.me);
        let reason = format!(
            "`{from}` knows member `{member}` with other data, so those here are new or foreign: a member that lost its data has forgotten \
             its votes; start this node with an empty folder, --join and a new --member {node}.NUMBER, and add that member"
        );
        self.is_stopped = true;
        step.effects.push(Effect::Stop { reason });
    }
}
