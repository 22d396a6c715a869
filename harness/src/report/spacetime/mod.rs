//! The messages and events around a broken trace rule as a picture: a finding in, `spacetime.svg` and `spacetime.html` out.
//!
//! A pure function in the kit of [`super::witness`]: no clock, no file, no font. The judge keeps some thirty events per node, so its
//! size does not depend on the run's. [`arrange`] says where everything goes, [`labels`] which names have room, [`draw`] draws,
//! [`page`] tells.

mod arrange;
mod draw;
mod labels;
mod page;
#[cfg(test)]
mod tests;

use squall_checker::history::mark::Header;
use squall_checker::judge::RuleFinding;
use squall_checker::verdict::Verdict;

use self::arrange::Arranged;
use super::markup::style;
use super::tokens::{PICTURE, css};
use super::witness::Picture;

/// The diagram of the strongest broken rule that has one; `findings` are strongest first.
pub(super) fn picture(header: Option<&Header>, findings: &[RuleFinding]) -> Option<Picture> {
    let broken = findings.iter().filter(|finding| finding.verdict == Verdict::Invalid);
    broken.into_iter().find_map(|finding| of(header, finding))
}

fn of(header: Option<&Header>, finding: &RuleFinding) -> Option<Picture> {
    let around = finding.neighbourhood.as_ref().filter(|around| !around.events.is_empty())?;
    let arranged = Arranged::of(around);
    let drawn = draw::svg(&arranged, finding);
    Some(Picture {
        svg: drawn.clone().with(style(&css(PICTURE))).render(),
        html: page::page(header, finding, &arranged, drawn),
    })
}
