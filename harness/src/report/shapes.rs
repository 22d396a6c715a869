//! The marks that every picture is made of, and how wide its text is.

use super::markup::{Element, element, number};

/// Width of one character of the monospaced text, 12.5 px: layout needs no font.
pub(super) const CHAR_PX: f64 = 7.55;
/// The same at 11.5 px.
pub(super) const SMALL_PX: f64 = 6.95;

/// A rectangle.
pub(super) fn rect(x: f64, y: f64, width: f64, height: f64, class: &'static str) -> Element {
    element("rect")
        .at([("x", x), ("y", y), ("width", width), ("height", height)])
        .class(class)
}

/// A straight line.
pub(super) fn line(x1: f64, y1: f64, x2: f64, y2: f64, class: &'static str) -> Element {
    element("line").at([("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)]).class(class)
}

/// One line of text; `anchor` is `start`, `middle` or `end`.
pub(super) fn text(x: f64, y: f64, anchor: &'static str, class: &'static str, text: &str) -> Element {
    element("text")
        .at([("x", x), ("y", y)])
        .set("text-anchor", anchor)
        .class(class)
        .text(text)
}

/// A path.
pub(super) fn path(d: &str, class: &'static str) -> Element {
    element("path").set("d", d).class(class)
}

/// Numbers of a path with one digit.
pub(super) fn n(value: f64) -> String {
    number(value)
}
