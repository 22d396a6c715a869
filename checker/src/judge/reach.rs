//! Notes on how far the faults of a run reached: beyond what the system claims to survive, or not as far as the machine, or its clocks.

use std::collections::BTreeMap;

use super::timeline::Timeline;
use crate::escape::visible;
use crate::history::History;
use crate::history::mark::{LEFT_OUT, OUTSIDE_THE_FAULT_MODEL};

/// Longest name in a sentence, in characters.
const NAME_CHARS_MAX: usize = 40;
/// Longest reason of a refusal in a sentence: a path and what the kernel said of it.
const REASON_CHARS_MAX: usize = 300;

/// A sentence if faults were asked for that the system does not claim to survive: what then breaks is no surprise.
pub(super) fn outside_the_fault_model(history: &History) -> Option<String> {
    let header = history.header.as_ref()?;
    let listed = header.extra.get(OUTSIDE_THE_FAULT_MODEL)?.as_array()?;
    let kinds: Vec<String> = listed
        .iter()
        .filter_map(|kind| Some(visible(kind.as_str()?, NAME_CHARS_MAX)))
        .collect();
    (!kinds.is_empty()).then(|| format!("outside the declared fault model: {}", kinds.join(", ")))
}

/// A sentence for each reason by which the machine refused faults that were asked for: the verdict says nothing of them.
pub(super) fn left_out(history: &History) -> Vec<String> {
    let Some(header) = history.header.as_ref() else {
        return Vec::new();
    };
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, why) in header.extra.get(LEFT_OUT).and_then(|kinds| kinds.as_object()).into_iter().flatten() {
        let why = visible(why.as_str().unwrap_or("no reason is given"), REASON_CHARS_MAX);
        by_reason.entry(why).or_default().push(visible(kind, NAME_CHARS_MAX));
    }
    let sentence = |(why, kinds): (String, Vec<String>)| format!("left out, and so not tested: {}: {why}", kinds.join(", "));
    by_reason.into_iter().map(sentence).collect()
}

/// A sentence for each node that was seen to read the time where no fault can move it, or could not be watched.
pub(super) fn past_the_clock_faults(timeline: &Timeline) -> Vec<String> {
    let sentence = |watch: &super::timeline::ClockWatch| {
        let node = visible(&watch.node, NAME_CHARS_MAX);
        if let Some(reason) = &watch.reason {
            return Some(format!(
                "{node}: whether clock faults reach it was not found out: {}",
                visible(reason, 4 * NAME_CHARS_MAX)
            ));
        }
        let program = watch
            .program
            .as_ref()
            .map_or_else(String::new, |name| format!(" (`{}`)", visible(name, NAME_CHARS_MAX)));
        match (watch.n_past, watch.n_unreached) {
            (0, 0) => None,
            (0, n) => Some(format!(
                "{node} runs {n} of its processes without the redirect{program}: clock faults do not reach them"
            )),
            (n, _) => Some(format!(
                "{node} reads the clock past the vDSO{program}: clock faults do not reach it; {n} such readings in {} system calls",
                watch.n_calls
            )),
        }
    };
    timeline.clock_watches.iter().filter_map(sentence).collect()
}
