//! The picture, as a reader and as an attacker sees it.

mod models;
mod story;

use base64::Engine;
use sha2::{Digest, Sha256};
use squall_checker::history::History;
use squall_checker::linearizability::{Witness, check, first_violation};

use super::Picture;
use crate::report::page::{STYLE, STYLE_HASH};
use story::Story;

fn picture(story: &Story) -> Picture {
    let history = History::read(story.text().as_bytes()).unwrap();
    let results = check(&history);
    let violation = first_violation(&results).expect("the story breaks the rule");
    let witness = Witness::of(&history, violation).expect("a violation has a witness");
    let picture = Picture::of(&history, &witness).expect("the witness is of this history");
    assert_eq!(Picture::of(&history, &witness).as_ref(), Some(&picture), "a pure function");
    assert_well_formed(&picture.svg);
    assert_well_formed(picture.html.trim_start_matches("<!doctype html>\n"));
    assert!(
        picture.svg.len() < 100_000 && picture.html.len() < 150_000,
        "{} and {} bytes",
        picture.svg.len(),
        picture.html.len()
    );
    picture
}

/// What is between the marks, without style and head, for snapshots that a change of colour leaves alone.
fn drawn(story: &Story) -> String {
    let svg = picture(story).svg;
    svg[..svg.find("<style>").expect("the picture has its style")].to_owned()
}

/// Every tag is closed by its own, and nothing but tags begins with `<`.
fn assert_well_formed(markup: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in markup.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag ends");
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes in <{tag}>");
        let name = tag.split([' ', '/']).next().unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "closed in order");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

#[test]
fn a_stale_read_with_its_context_fault_and_pause() {
    insta::assert_snapshot!(drawn(&Story::stale_read("k3")));
}

#[test]
fn the_page_around_it() {
    let html = picture(&Story::stale_read("k3")).html;
    let (before, rest) = html.split_once("<style>").unwrap();
    let (_, rest) = rest.split_once("</style>").unwrap();
    let (middle, rest) = rest.split_once("<svg").unwrap();
    let (_, after) = rest.split_once("</svg>").unwrap();
    insta::assert_snapshot!(format!("{before}<style></style>{middle}<svg></svg>{after}"));
}

#[test]
fn a_value_nobody_wrote() {
    let mut story = Story::new();
    story.write(1, "k", "17", 10, Some(20));
    story.read(2, "k", "99", 30, 40);
    insta::assert_snapshot!(drawn(&story));
}

#[test]
fn a_read_of_a_refused_write() {
    let mut story = Story::new();
    story.refused(1, "k", "17", 10, 20);
    story.read(2, "k", "17", 30, 40);
    let svg = drawn(&story);
    assert!(svg.contains("write 17 was refused") && svg.contains("write 17, refused"), "{svg}");
}

#[test]
fn a_read_from_the_future() {
    let mut story = Story::new();
    story.read(2, "k", "17", 10, 20);
    story.write(1, "k", "17", 50, Some(60));
    assert!(drawn(&story).contains("written only 30.0 ms later"));
}

#[test]
fn new_then_old() {
    let mut story = Story::new();
    story.write(1, "k", "17", 0, Some(5));
    story.write(2, "k", "18", 10, None);
    story.read(3, "k", "18", 20, 30);
    story.read(4, "k", "17", 40, 50);
    let svg = drawn(&story);
    assert!(svg.contains("18 was read 10.0 ms before"), "{svg}");
    assert!(svg.contains("write 18, unknown") && svg.contains("class=\"arrow\""), "{svg}");
}

#[test]
fn a_write_lost_at_once() {
    let mut story = Story::new();
    story.write(1, "k", "17", 0, Some(5));
    story.read(4, "k", "null", 40, 50);
    assert!(drawn(&story).contains("17 was acknowledged 35.0 ms before"));
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "k\"></script></style></svg><img src=x onerror=alert(1)>'&\u{202e}\u{0}\u{1b}\u{ffff}\r\n";
    let mut story = Story::stale_read(hostile);
    story.header["run"] = hostile.into();
    story.header["system"] = hostile.into();
    let text = serde_json::to_string(hostile).unwrap();
    story.write(90, hostile, &text, 61_990, Some(62_300));
    story.read(91, hostile, &text, 62_301, 62_400);
    let Picture { svg, html } = picture(&story);
    for markup in [&svg, &html] {
        assert!(!markup.contains("<img") && !markup.contains("<script"), "{markup}");
        assert!(!markup.contains(['\u{202e}', '\u{0}', '\u{1b}', '\u{ffff}', '\r']));
        assert_eq!(markup.matches("</style>").count(), 1);
        assert_eq!(markup.matches("</svg>").count(), 1);
    }
}

#[test]
fn keys_and_values_of_ten_kilobytes_are_cut() {
    let long = "東".repeat(3_400);
    let mut story = Story::new();
    let value = |digit: char| format!("\"{long}{digit}\"");
    story.write(1, &long, &value('1'), 0, Some(5));
    story.write(2, &long, &value('2'), 10, Some(15));
    story.read(3, &long, &value('1'), 20, 25);
    let svg = drawn(&story);
    assert!(svg.len() < 20_000, "{} bytes", svg.len());
    assert!(
        svg.contains("東1\"".replace('"', "&quot;").as_str()),
        "the ends tell long values apart: {svg}"
    );
}

#[test]
fn the_page_runs_nothing_and_fetches_nothing() {
    let html = picture(&Story::stale_read("k3")).html;
    for forbidden in [
        " style=",
        " on",
        "<script",
        "href=",
        "src=",
        "url(",
        "@import",
        "<iframe",
        "<foreignObject",
    ] {
        let found = html
            .split('<')
            .any(|piece| format!("<{}", piece.split('>').next().unwrap_or_default()).contains(forbidden));
        assert!(!found, "{forbidden}");
    }
    assert_eq!(
        html.matches("http").count(),
        html.matches("http-equiv").count() + html.matches("http://www.w3.org/2000/svg").count()
    );
}

#[test]
fn the_policy_allows_the_style_of_the_page() {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    assert_eq!(STYLE_HASH, hash, "write the right side into report/page.rs");
    assert!(picture(&Story::stale_read("k3")).html.contains(&format!("sha256-{hash}&#39;")));
}

#[test]
fn two_hundred_thousand_operations_make_no_larger_picture() {
    let mut story = Story::stale_read("k3");
    for turn in 0..100_000_u64 {
        let value = (1_000 + turn).to_string();
        story.write(turn % 40 + 100, "k3", &value, 70_000 + 2 * turn, Some(70_001 + 2 * turn));
        story.read(turn % 40 + 200, "k9", "null", 70_000 + 2 * turn, 70_001 + 2 * turn);
    }
    let Picture { svg, html } = picture(&story);
    assert!(svg.len() < 30_000 && html.len() < 40_000, "{} and {} bytes", svg.len(), html.len());
}

#[test]
fn a_crowd_around_the_violation_stays_within_bounds() {
    let mut story = Story::stale_read("k3");
    for process in 0..3_000 {
        story.write(1_000 + process, "k3", &(10_000 + process).to_string(), 62_000 + process % 300, None);
    }
    let svg = drawn(&story);
    assert!(svg.matches("<g id=\"op").count() <= 40);
    assert!(svg.contains("left out"), "what is not drawn is said");
}
