//! The frame of every page, one file that fetches nothing and runs nothing, and the parts that pages share.
//!
//! The policy in its head allows the one style sheet, by its hash, and nothing else.

use std::sync::LazyLock;

use squall_checker::history::mark::Header;

use super::markup::{Element, element, style};
use super::tokens::{PAGE, PICTURE, css};
use super::witness::words::long;

/// The style sheet of every page.
pub(super) static STYLE: LazyLock<String> = LazyLock::new(|| css(&format!("{PICTURE}{PAGE}")));

/// SHA-256 of [`STYLE`], base64. A test compares; it also says the right one.
pub(super) const STYLE_HASH: &str = "CMWOyjWBnrnToA+QF10hrwcphfWqI5gpVp+wPndZaQE=";

/// A whole page with this title around its main element.
pub(super) fn frame(title: &str, main: Element) -> String {
    let policy = format!("default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'");
    let head = element("head")
        .with(element("meta").set("charset", "utf-8"))
        .with(element("meta").set("http-equiv", "Content-Security-Policy").set("content", &policy))
        .with(element("meta").set("name", "referrer").set("content", "no-referrer"))
        .with(
            element("meta")
                .set("name", "viewport")
                .set("content", "width=device-width, initial-scale=1"),
        )
        .with(element("title").text(title))
        .with(style(&STYLE));
    let page = element("html").set("lang", "en").with(head).with(element("body").with(main));
    format!("<!doctype html>\n{}", page.render())
}

/// What was run.
pub(super) fn crumb(header: &Header) -> Element {
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
    element("p").class("crumb").with(element("b").text("squall")).with_all(facts)
}

/// The heading of a page that shows what is wrong.
pub(super) fn invalid(what: &str) -> Element {
    element("h1").with(element("span").text("✕ INVALID")).with(element("b").text(what))
}

/// What signs mean: only those that the picture has.
pub(super) fn legend(signs: &[(bool, &str)]) -> Element {
    let shown = signs.iter().filter(|(is_there, _)| *is_there);
    element("ul")
        .class("legend")
        .with_all(shown.map(|(_, text)| element("li").text(text)))
}

/// A table with these titles; each row with whether it is what is wrong.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: impl Iterator<Item = ([String; N], bool)>) -> Element {
    let head = element("tr").with_all(titles.map(|title| element("th").set("scope", "col").text(title)));
    let rows = rows.map(|(cells, is_wrong)| {
        let row = element("tr").with_all(cells.map(|cell| element("td").text(&cell)));
        if is_wrong { row.class("wrong") } else { row }
    });
    let table = element("table")
        .with(element("thead").with(head))
        .with(element("tbody").with_all(rows));
    element("div").class("panel").with(table)
}

/// `key k3` as the beginning of what is said.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
