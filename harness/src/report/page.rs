//! The frame of every page: one file that fetches nothing and runs nothing.
//!
//! The policy in its head allows the one style sheet, by its hash, and nothing else.

use std::sync::LazyLock;

use super::markup::{Element, element, style};
use super::tokens::{PAGE, PICTURE, css};

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

/// `key k3` as the beginning of what is said.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
