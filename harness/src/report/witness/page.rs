//! The page around the picture: the verdict, the sentences, the picture, what its signs mean, and the operations as a table.

use squall_checker::history::History;
use squall_checker::history::operation::Outcome;
use squall_checker::linearizability::Witness;

use super::layout::Layout;
use super::scene::{Part, Scene, Shown};
use super::words::{digits, long, moment};
use crate::report::markup::{Element, element};
use crate::report::page::{frame, sentence};
use crate::report::words::{count, plural};

/// The whole page.
pub(super) fn page(history: &History, witness: &Witness, scene: &Scene<'_>, layout: &Layout, picture: Element) -> String {
    let title = format!("{} is not linearizable", key_name(witness));
    let main = element("main")
        .with_all(crumb(history))
        .with(
            element("h1")
                .with(element("span").text("✕ INVALID"))
                .with(element("b").text(&title)),
        )
        .with(element("p").class("why").text(&sentence(&witness.sentence)))
        .with_all(witness.because.iter().map(|fact| element("p").class("why").text(&sentence(fact))))
        .with(
            element("section")
                .with(element("div").class("panel").with(picture))
                .with(legend(scene))
                .with_all(notes(layout)),
        )
        .with(
            element("section")
                .with(element("h2").text(&operations_title(witness)))
                .with(table(history, scene)),
        );
    frame(&title, main)
}

fn key_name(witness: &Witness) -> String {
    match witness.subject() {
        (noun, Some(name)) => format!("{noun} {}", long(name)),
        (noun, None) => format!("the {noun}"),
    }
}

/// What was run, if the history says so.
fn crumb(history: &History) -> Option<Element> {
    let header = history.header.as_ref()?;
    let facts = [
        long(&header.run),
        long(&header.system),
        long(&header.workload),
        format!("seed {}", header.seed),
    ];
    let facts = facts
        .into_iter()
        .filter(|fact| !fact.is_empty())
        .map(|fact| element("span").text(&fact));
    let operations = element("span").text(&plural(history.operations.len() as u64, "operation"));
    let name = element("b").text("squall");
    Some(element("p").class("crumb").with(name).with_all(facts).with(operations))
}

/// Only the signs that the picture has.
fn legend(scene: &Scene<'_>) -> Element {
    let has = |part: Part| scene.shown.iter().any(|shown| shown.part == part);
    let open = scene.shown.iter().any(|shown| shown.operation.outcome == Outcome::Unknown);
    let refused = scene.shown.iter().any(|shown| shown.operation.outcome == Outcome::Fail);
    let zone = scene.conflict.as_ref().is_some_and(|conflict| conflict.zone_ns.is_some());
    let signs = [
        (!scene.order.is_empty(), "● where an operation takes effect"),
        (has(Part::Impossible), "✕ no place left for this one"),
        (zone, "shaded: the gap that forbids any order"),
        (has(Part::Proof), "blue: needed for the proof"),
        (has(Part::Context), "grey: what else happened to it"),
        (open, "dashed ▸ outcome unknown: may act at any later time"),
        (refused, "dotted ■ refused: certainly did not happen"),
        (!scene.faults.is_empty(), "tinted: a fault in force"),
    ];
    let items = signs
        .into_iter()
        .filter(|(is_there, _)| *is_there)
        .map(|(_, text)| element("li").text(text));
    element("ul").class("legend").with_all(items)
}

fn notes(layout: &Layout) -> Vec<Element> {
    let mut text = "Order and simultaneity are exact; lengths are not, the axis gives the times.".to_owned();
    if layout.hidden > 0 {
        text += &format!(
            " {} of this object in the same stretch of time {} not drawn.",
            plural(layout.hidden, "operation"),
            if layout.hidden == 1 { "is" } else { "are" }
        );
    }
    vec![element("p").class("note").text(&text)]
}

fn operations_title(witness: &Witness) -> String {
    match witness.operations.len() {
        1 => "The operation that proves it".to_owned(),
        operations => format!("The {} operations that prove it", count(operations as u64)),
    }
}

fn table(history: &History, scene: &Scene<'_>) -> Element {
    let proof: Vec<&Shown<'_>> = scene.shown.iter().filter(|shown| shown.part != Part::Context).collect();
    let times_ns: Vec<u64> = proof
        .iter()
        .flat_map(|shown| [Some(shown.operation.invoked_ns), shown.operation.returned_ns()])
        .flatten()
        .collect();
    let digits = digits(&times_ns);
    let titles = [
        "invoked",
        "returned",
        "process",
        "node",
        "operation",
        "value",
        "lines of the history",
    ];
    let head = element("tr").with_all(titles.map(|title| element("th").set("scope", "col").text(title)));
    let rows = proof.into_iter().map(|shown| {
        let operation = shown.operation;
        let returned = operation
            .returned_ns()
            .map_or_else(|| "unknown".to_owned(), |time_ns| moment(time_ns, digits));
        let lines = match operation.complete_line() {
            Some(line) => format!("{}, {line}", operation.invoke_line()),
            None => operation.invoke_line().to_string(),
        };
        let cells = [
            moment(operation.invoked_ns, digits),
            returned,
            operation.process.to_string(),
            history.node(operation).map_or_else(|| "-".to_owned(), long),
            if shown.part == Part::Impossible {
                format!("✕ {}", shown.label)
            } else {
                shown.label.clone()
            },
            shown.full.as_deref().map_or_else(|| "-".to_owned(), long),
            lines,
        ];
        let row = element("tr").with_all(cells.map(|cell| element("td").text(&cell)));
        if shown.part == Part::Impossible { row.class("wrong") } else { row }
    });
    let table = element("table")
        .with(element("thead").with(head))
        .with(element("tbody").with_all(rows));
    element("div").class("panel").with(table)
}
