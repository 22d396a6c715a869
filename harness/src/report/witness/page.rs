//! The page around the picture: the verdict, the sentences, the picture, what its signs mean, and the operations as a table.

use squall_checker::history::History;
use squall_checker::history::operation::Outcome;
use squall_checker::linearizability::Witness;

use super::layout::Layout;
use super::scene::{Part, Scene, Shown};
use super::words::long;
use crate::report::markup::{Element, element};
use crate::report::page::{crumb, frame, invalid, legend, sentence, table};
use crate::report::words::{count, plural};
use squall_checker::seconds::{digits_of, with_digits};

/// The whole page.
pub(super) fn page(history: &History, witness: &Witness, scene: &Scene<'_>, layout: &Layout, picture: Element) -> String {
    let title = format!("{} is not linearizable", key_name(witness));
    let main = element("main")
        .with_all(run(history))
        .with(invalid(&title))
        .with(element("p").class("why").text(&sentence(&witness.sentence)))
        .with_all(witness.because.iter().map(|fact| element("p").class("why").text(&sentence(fact))))
        .with(
            element("section")
                .with(element("div").class("panel").with(picture))
                .with(signs(scene))
                .with_all(notes(layout)),
        )
        .with(
            element("section")
                .with(element("h2").text(&operations_title(witness)))
                .with(operations(history, scene)),
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
fn run(history: &History) -> Option<Element> {
    let operations = element("span").text(&plural(history.operations.len() as u64, "operation"));
    Some(crumb(history.header.as_ref()?).with(operations))
}

fn signs(scene: &Scene<'_>) -> Element {
    let has = |part: Part| scene.shown.iter().any(|shown| shown.part == part);
    let open = scene.shown.iter().any(|shown| shown.operation.outcome == Outcome::Unknown);
    let refused = scene.shown.iter().any(|shown| shown.operation.outcome == Outcome::Fail);
    let zone = scene.conflict.as_ref().is_some_and(|conflict| conflict.zone_ns.is_some());
    legend(&[
        (!scene.order.is_empty(), "● where an operation takes effect"),
        (has(Part::Impossible), "✕ no place left for this one"),
        (zone, "shaded: the gap that forbids any order"),
        (has(Part::Proof), "blue: needed for the proof"),
        (has(Part::Context), "grey: what else happened to it"),
        (open, "dashed ▸ outcome unknown: may act at any later time"),
        (refused, "dotted ■ refused: certainly did not happen"),
        (!scene.faults.is_empty(), "tinted: a fault in force"),
    ])
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

fn operations(history: &History, scene: &Scene<'_>) -> Element {
    let proof: Vec<&Shown<'_>> = scene.shown.iter().filter(|shown| shown.part != Part::Context).collect();
    let times_ns: Vec<u64> = proof
        .iter()
        .flat_map(|shown| [Some(shown.operation.invoked_ns), shown.operation.returned_ns()])
        .flatten()
        .collect();
    let digits = digits_of(&times_ns);
    let rows = proof.into_iter().map(|shown| {
        let operation = shown.operation;
        let returned = operation
            .returned_ns()
            .map_or_else(|| "unknown".to_owned(), |time_ns| with_digits(time_ns, digits));
        let lines = match operation.complete_line() {
            Some(line) => format!("{}, {line}", operation.invoke_line()),
            None => operation.invoke_line().to_string(),
        };
        let cells = [
            with_digits(operation.invoked_ns, digits),
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
        (cells, shown.part == Part::Impossible)
    });
    let titles = [
        "invoked",
        "returned",
        "process",
        "node",
        "operation",
        "value",
        "lines of the history",
    ];
    table(titles, rows)
}
