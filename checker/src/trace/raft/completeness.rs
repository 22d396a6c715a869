//! T7: every leader has what was committed in lower terms.
//!
//! "In lower terms" is the point: a candidate that was paused can win a stale term late, when entries of higher terms are committed long
//! since, and owes nothing to them (evidence-fuzzing §5.2, the false-alarm lesson). Leaders and commits may come in any order: each is
//! compared with all of the other kind that were seen before.

use std::collections::BTreeMap;

use super::breach::{Breaches, Rule, Sight};
use super::event::{Index, Term};
use super::log::{Outline, Outlined};
use super::names::NameId;
use super::scene::Scene;
use super::tell::entry;

/// Most terms kept: the lowest go first.
const TERMS_MAX: usize = 1 << 12;

/// Leaders with their logs at their election, and how far each term's leader counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Completeness {
    elected: BTreeMap<Term, Elected>,
    counted: BTreeMap<Term, (Index, Sight)>,
}

#[derive(Debug, Clone)]
struct Elected {
    member: NameId,
    log: Outline,
    sight: Sight,
}

impl Completeness {
    /// A node leads a term.
    pub(super) fn leader(&mut self, scene: Scene<'_>, term: Term, breaches: &mut Breaches) {
        let me = scene.me();
        let Some(member) = me.member() else { return };
        let elected = Elected {
            member,
            log: me.log.outline(),
            sight: scene.sight,
        };
        // Each lower term's highest index stands for all below it: a log that has it has those too, by T4.
        for (counted_in, (index, at)) in self.counted.range(..term) {
            compare(scene, term, &elected, (*counted_in, *index, *at), breaches);
        }
        self.elected.insert(term, elected);
        if self.elected.len() > TERMS_MAX {
            self.elected.pop_first();
        }
    }

    /// A leader counted an entry of its term.
    pub(super) fn counted(&mut self, scene: Scene<'_>, index: Index, term: Term, breaches: &mut Breaches) {
        let highest = self.counted.entry(term).or_insert((index, scene.sight));
        if highest.0 < index {
            *highest = (index, scene.sight);
        }
        for (led, elected) in self.elected.range(term.saturating_add(1)..) {
            compare(scene, *led, elected, (term, index, scene.sight), breaches);
        }
        if self.counted.len() > TERMS_MAX {
            self.counted.pop_first();
        }
    }
}

fn compare(scene: Scene<'_>, term: Term, elected: &Elected, (counted_in, index, at): (Term, Index, Sight), breaches: &mut Breaches) {
    let has = match elected.log.at(index) {
        // By T8 what a leader counts is of its own term.
        Outlined::Term(own) if own == counted_in => return,
        Outlined::Below => return,
        Outlined::Term(own) => format!("has {}", entry(index, own)),
        Outlined::PastTheEnd => "ends before it".into(),
    };
    breaches.add(Rule::LeaderCompleteness, || {
        let leader = scene.text(elected.member);
        let place = entry(index, counted_in);
        let message = format!("{leader} leads term {term} without {place}, which was committed in term {counted_in}: its log {has}");
        let facts = vec![
            at.says(format!("commits {place}, counted in term {counted_in}")),
            elected.sight.says(format!("{leader} is leader in term {term}")),
        ];
        (message, facts)
    });
}
