//! Every rule both ways, and every combination of verdicts, on small histories made for it.

mod merge;
mod raft;
mod rules;
mod story;
mod traces;

use super::{Judgement, Traces, judge};
use crate::history::History;
use crate::trace::NodeTraces;
use story::Story;

fn judged(story: &Story) -> Judgement {
    judge(
        &History::read(story.text().as_bytes()).unwrap(),
        Traces::AtHand(&NodeTraces::default()),
    )
}

/// A story that differs from a good run in one thing.
fn good_but(change: impl FnOnce(&mut Story)) -> Story {
    let mut story = Story::good();
    change(&mut story);
    story
}
