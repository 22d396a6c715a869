//! What of a witness has no place, and the stretch of time that leaves none: worked out from its operations alone, so that every kind of
//! certificate gets its picture.

use squall_checker::history::History;
use squall_checker::history::operation::{Operation, Outcome};
use squall_checker::linearizability::Heart;

use super::arrange::{Effect, Item, order};
use super::words::{duration, value};

/// The heart of the picture; places are those of the operations it was asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    /// The operation without which the others have an order.
    pub(super) impossible: usize,
    /// Why, in the fewest words.
    pub(super) sentence: String,
    /// From the end of one operation to the begin of another, in nanoseconds, if that is what forbids it.
    pub(super) zone_ns: Option<(u64, u64)>,
}

/// The conflict as the judge tells it; `None` if its operation is not drawn.
pub(super) fn told(heart: &Heart, operations: &[&Operation]) -> Option<Conflict> {
    let impossible = operations.iter().position(|operation| operation.invoke_line() == heart.line)?;
    let sentence = match heart.gap {
        Some((from_ns, to_ns, when)) => format!("{} {} {when}", heart.words, duration(to_ns - from_ns)),
        None => heart.words.clone(),
    };
    let zone_ns = heart.gap.map(|(from_ns, to_ns, _)| (from_ns, to_ns));
    Some(Conflict {
        impossible,
        sentence,
        zone_ns,
    })
}

/// The conflict of a witness's operations; `None` if leaving out a single read does not end it.
pub(super) fn conflict(history: &History, operations: &[&Operation]) -> Option<Conflict> {
    let effects: Vec<Option<Effect>> = operations.iter().map(|operation| Effect::of(history, operation)).collect();
    let error_ns = history.clock_error_ns();
    let item = |place: usize| {
        Some(Item {
            effect: effects[place].clone()?,
            invoked_ns: operations[place].invoked_ns,
            returned_ns: operations[place]
                .returned_ns()
                .map(|returned_ns| returned_ns.saturating_add(error_ns)),
        })
    };
    let mut readers: Vec<usize> = (0..operations.len())
        .filter(|&place| operations[place].outcome == Outcome::Ok && effects[place].as_ref().is_some_and(|effect| effect.needs().is_some()))
        .collect();
    readers.sort_by_key(|&place| std::cmp::Reverse((operations[place].invoked_ns, place)));
    readers.into_iter().find_map(|impossible| {
        let places: Vec<usize> = (0..operations.len())
            .filter(|&place| place != impossible && effects[place].is_some())
            .collect();
        let items: Vec<Item> = places.iter().filter_map(|&place| item(place)).collect();
        let order: Vec<usize> = order(&items)?.into_iter().map(|index| places[index]).collect();
        Some(explain(history, operations, &effects, impossible, &order))
    })
}

fn explain(history: &History, operations: &[&Operation], effects: &[Option<Effect>], impossible: usize, order: &[usize]) -> Conflict {
    let bad = operations[impossible];
    let seen = effects[impossible].as_ref().and_then(Effect::needs).unwrap_or("null");
    let of_seen = |place: usize| effects[place].as_ref().and_then(Effect::leaves) == Some(seen);
    let writers: Vec<usize> = (0..operations.len())
        .filter(|&place| place != impossible && of_seen(place))
        .collect();
    let conflict = |sentence, zone_ns| Conflict {
        impossible,
        sentence,
        zone_ns,
    };
    if seen != "null" && writers.is_empty() {
        let refused = operations
            .iter()
            .any(|operation| operation.outcome == Outcome::Fail && history.value(operation.argument) == seen);
        let sentence = if refused {
            format!("write {} was refused", value(seen))
        } else {
            format!("nobody wrote {}", value(seen))
        };
        return conflict(sentence, None);
    }
    let error_ns = history.clock_error_ns();
    let ended_ns = |operation: &Operation| operation.returned_ns().map(|returned_ns| returned_ns.saturating_add(error_ns));
    let begun_after = writers.iter().map(|&writer| operations[writer].invoked_ns).min();
    if let (Some(begin_ns), Some(end_ns)) = (begun_after, bad.returned_ns())
        && ended_ns(bad).is_some_and(|ended_ns| ended_ns < begin_ns)
    {
        let sentence = format!("written only {} later", duration(begin_ns - end_ns));
        return conflict(sentence, Some((end_ns, begin_ns)));
    }
    // Whatever stands after the value's write and ended before the read began had replaced the value.
    let written = order.iter().position(|&place| of_seen(place)).map_or(0, |position| position + 1);
    let replaced = order[written..].iter().copied().filter(|&place| {
        let other = effects[place].as_ref().is_some_and(|effect| effect.after() != seen);
        other && ended_ns(operations[place]).is_some_and(|ended_ns| ended_ns < bad.invoked_ns)
    });
    let Some(first) = replaced.min_by_key(|&place| (operations[place].returned_ns(), place)) else {
        return conflict("no place left".into(), None);
    };
    let end_ns = operations[first].returned_ns().unwrap_or(bad.invoked_ns);
    let effect = effects[first].as_ref();
    let how = if effect.and_then(Effect::leaves).is_some() {
        "acknowledged"
    } else {
        "read"
    };
    let sentence = format!(
        "{} was {how} {} before",
        value(effect.map_or("null", Effect::after)),
        duration(bad.invoked_ns - end_ns)
    );
    conflict(sentence, Some((end_ns, bad.invoked_ns)))
}
