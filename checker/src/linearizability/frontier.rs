//! Any register, values repeated or not: one sweep through time with all states that are still possible.
//!
//! Sources: Lowe, "Testing for Linearizability", CCPE 2017 (just-in-time); the absorption below is ours.
//!
//! **The sweep.** Events in the order of time, invocations first. A *configuration* is one way in which everything so far may have gone:
//! the register's value, which operations under way have taken effect, and which reads under way have seen their value. At an invocation
//! nothing happens but that a read which finds its value has seen it. At the return of x every configuration in which x has not taken
//! effect is continued by all sequences of operations under way that end with x; if none is left, x cannot be placed and the history is not
//! linearizable. Nothing needs to take effect before somebody else's return forces it to, which is why looking only there is enough: moved
//! to the next return at which it is needed, an operation stays within its interval and behind everything it stood behind.
//!
//! **What helps.** Of the sequences only those are tried whose every change helps somebody: it is x, or leaves a value that a read under way
//! still has to see or a compare-and-set under way still has to find, or is a compare-and-set that returns. Any other change can wait: as
//! the last of its sequence it can as well be the first of a later one, where by then somebody may want it, and a write before another
//! write can as well go by unseen.
//!
//! **Absorption.** That is, a write may take effect directly before another write, unseen. So a write that returns has taken effect either
//! visibly, or unseen at any visible write since its invocation: `written_at` is all that must be known, and no configuration has to say
//! which writes went by unseen. Both branches are kept where somebody still looks for its value. A compare-and-set is no such moment:
//! nothing fits between it and what it found, except a write of that same value.
//!
//! **Forgotten values.** A value that no operation to come or under way looks for, nor for anything else than it, is like any other such
//! value; they count as one.
//!
//! **Dominance.** Of two configurations with the same value and the same compare-and-sets done, the one that used up no more writes, served
//! no fewer reads, and was written no earlier can do whatever the other can; the other is dropped.
//!
//! **Unknown outcomes** never return, so they are never forced and two of the same kind differ in nothing but their invocation. They are
//! counted per class (write v; replace a by b), used earliest first, and one whose value nobody looks for any more is never used. A write
//! under way of the same value is used before them, the one that must return first before the others: exchanged, they do no worse. How
//! many were used up is compared only where they ran out ([`search`]).
//!
//! Memory is the configurations of one moment and one step per operation; the problem is NP-complete (Gibbons and Korach 1997), so a
//! [`Meter`] counts the work and ends it.

mod antichain;
mod compared;
mod configuration;
mod counts;
mod register;
mod step;
mod sweep;
mod trail;
mod wanted;

use self::compared::Compared;
use self::register::Act;
pub(super) use self::register::Item;
pub(super) use self::register::Register;
use self::sweep::Sweep;
use super::budget::{Ended, Meter};

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Linearizable, in this order: places in the history.
    Valid(Vec<u32>),
    /// Not linearizable: this item of the register is the first that could not be placed.
    Invalid(usize),
    /// Nobody knows.
    Open(Unfinished),
}

/// How far the search came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) why: Ended,
    /// The item at whose return the search ended: everything that returned before is linearizable.
    pub(super) at: usize,
    /// The item whose event was the last after which one configuration was left, if there was one.
    pub(super) since: Option<usize>,
    /// How many operations were under way.
    pub(super) open: usize,
    /// How many operations of unknown outcome were open besides.
    pub(super) unknown: usize,
}

/// Searches for an order of the register's operations.
///
/// What the configurations have used up of operations of unknown outcome is not compared at first: of two that are alike otherwise one
/// stays. An order that is found then is one. If none is found, and some configuration wanted more of a class than there was, then one
/// that was dropped might have had it. So the search begins again and compares more ([`Compared::more`]). What is not linearizable although
/// nothing ran out, but what was compared from the beginning, is not.
pub(super) fn search(register: &Register, meter: &Meter<'_>) -> Found {
    let mut compared = Compared::nothing(register.classes.len());
    loop {
        let (found, event, blocked) = sweep(register, meter, &compared);
        if !matches!(found, Found::Invalid(_)) || blocked.iter().all(|event| *event == 0) {
            return found;
        }
        compared.more(event, &blocked);
    }
}

/// One sweep, with as many words of 64 slots as there are operations under way at once.
fn sweep(register: &Register, meter: &Meter<'_>, compared: &Compared) -> (Found, u32, Vec<u32>) {
    let compared = compared.clone();
    match register.width {
        0..=64 => Sweep::<[u64; 1]>::of(register, meter, compared).run(),
        65..=128 => Sweep::<[u64; 2]>::of(register, meter, compared).run(),
        129..=512 => Sweep::<[u64; 8]>::of(register, meter, compared).run(),
        _ => Sweep::<Box<[u64]>>::of(register, meter, compared).run(),
    }
}
