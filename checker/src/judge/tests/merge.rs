//! Every combination of verdicts, of complete and of interrupted runs.

use serde_json::json;

use super::{Story, good_but, judged};
use crate::verdict::Verdict;

/// A change that makes a good run worth something else.
type Cause = fn(&mut Story);

/// What makes a good run have each verdict, weakest first; each is independent of the others.
const CAUSES: [(Verdict, Cause); 4] = [
    (Verdict::Vacuous, |story| {
        story.header.as_mut().unwrap()["requested"] = json!(["partition", "kill"])
    }),
    (Verdict::Unknown, Story::foreign_operation),
    (Verdict::HarnessError, |story| story.not_ready("n1", "start")),
    (Verdict::Invalid, Story::stale_read),
];

#[test]
fn the_strongest_of_several_verdicts_wins_and_every_rule_is_still_heard() {
    for subset in 0u32..16 {
        for end in ["complete", "interrupted"] {
            let causes: Vec<_> = (0..4)
                .filter(|bit| subset >> bit & 1 == 1)
                .map(|bit| CAUSES[bit as usize])
                .collect();
            let story = good_but(|story| {
                story.end = Some(end);
                causes.iter().for_each(|(_, cause)| cause(story));
            });
            // What is missing from a prefix may just not have come yet.
            let counts = |verdict: &Verdict| *verdict != Verdict::Vacuous || end == "complete";
            let mut expected: Vec<Verdict> = causes.iter().map(|(verdict, _)| *verdict).filter(counts).collect();
            expected.reverse();
            let judgement = judged(&story);
            let heard: Vec<Verdict> = judgement
                .findings
                .iter()
                .map(|finding| finding.verdict)
                .filter(|verdict| *verdict != Verdict::Valid)
                .collect();
            assert_eq!(heard, expected, "{subset:04b} {end}: {:#?}", judgement.findings);
            assert_eq!(
                judgement.verdict,
                expected.first().copied().unwrap_or(Verdict::Valid),
                "{subset:04b} {end}"
            );
            assert_eq!(judgement.interrupted, end == "interrupted");
            assert_eq!(judgement.witness.is_some(), judgement.verdict == Verdict::Invalid);
        }
    }
}
