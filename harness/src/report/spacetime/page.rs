//! The page around the picture: what is broken, the picture, what its signs mean, and the events as a table.

use squall_checker::history::mark::Header;
use squall_checker::judge::RuleFinding;
use squall_checker::trace::neighbourhood::NeighbourEvent;

use super::arrange::{Arranged, Fate, lane_name};
use super::draw::at;
use super::labels::is_end;
use crate::report::markup::{Element, element};
use crate::report::page::{crumb, frame, invalid, legend, sentence, table};
use crate::report::witness::words::long;
use crate::report::words::{plural, shortened};

/// Longest line of evidence on the page, in characters.
const LINE_CHARS_MAX: usize = 2_000;

/// The whole page.
pub(super) fn page(header: Option<&Header>, finding: &RuleFinding, arranged: &Arranged<'_>, picture: Element) -> String {
    let message = shortened(&finding.message, LINE_CHARS_MAX);
    // The first line is a sentence about the rule, the others begin with a node's name.
    let why = finding.evidence.iter().enumerate().map(|(place, line)| {
        let line = shortened(line, LINE_CHARS_MAX);
        element("p").class("why").text(&if place == 0 { sentence(&line) } else { line })
    });
    let main = element("main")
        .with_all(header.map(crumb))
        .with(invalid(&format!("{}: {message}", finding.rule)))
        .with_all(why)
        .with(
            element("section")
                .with(element("div").class("panel").with(picture))
                .with(signs(arranged))
                .with(note(arranged)),
        )
        .with(
            element("section")
                .with(element("h2").text("The events that break the rule"))
                .with(events(arranged, |event| event.breaks)),
        )
        .with(
            element("details")
                .with(element("summary").text(&format!("All {} drawn", plural(arranged.points.len() as u64, "event"))))
                .with(events(arranged, |_| true)),
        );
    frame(&format!("{} is broken", long(&finding.rule)), main)
}

fn signs(arranged: &Arranged<'_>) -> Element {
    let events = &arranged.around.events;
    let has = |fate: Fate| arranged.arrows.iter().any(|arrow| arrow.fate == fate);
    legend(&[
        (events.iter().any(|event| event.breaks), "✕ large red diamond: breaks the rule"),
        (events.iter().any(|event| !is_end(&event.kind)), "◇ a step of the node"),
        (has(Fate::Received), "→ a message, from its sending to its receipt"),
        (
            has(Fate::Lost),
            "dashed, ending in ✕: no receipt in the picture; lost, or still under way",
        ),
        (has(Fate::Unseen), "—○ whether it was received is not in the picture"),
        (has(Fate::Earlier), "○→ sent before the picture"),
        (
            arranged.zone().is_some(),
            "shaded: from the first to the last event that breaks the rule",
        ),
        (true, "7 t3: index 7 of term 3"),
    ])
}

fn note(arranged: &Arranged<'_>) -> Element {
    let mut text =
        "Causes stand left of their effects; lengths are not to scale, the axis gives the times of the nodes' clocks.".to_owned();
    let falling = arranged.arrows.iter().filter(|arrow| arrow.falls).count();
    if falling > 0 {
        text += &format!(
            " {} received before being sent: one of the traces is broken.",
            plural(falling as u64, "message")
        );
    }
    element("p").class("note").text(&text)
}

fn events(arranged: &Arranged<'_>, is_in: impl Fn(&NeighbourEvent) -> bool) -> Element {
    let rows = arranged.around.events.iter().filter(|event| is_in(event)).map(|event| {
        let text = shortened(&event.text, LINE_CHARS_MAX);
        let cells = [
            at(event.time_ns, 6),
            arranged.around.lanes.get(event.lane).map_or_else(|| "-".to_owned(), lane_name),
            if event.breaks { format!("✕ {text}") } else { text },
            event.line.to_string(),
            event.lamport.to_string(),
        ];
        (cells, event.breaks)
    });
    table(["time", "node", "event", "line of its trace", "Lamport stamp"], rows)
}
