//! The diagram of small stories, as a reader and as an attacker sees it.

use squall_checker::judge::{Class, RuleFinding};
use squall_checker::trace::neighbourhood::{Lane, NeighbourEvent, NeighbourMessage, Neighbourhood};

use super::arrange::{Arranged, Fate};
use super::picture;
use crate::report::witness::Picture;

fn event(lane: usize, at: i64, kind: &str, label: &str, breaks: bool) -> NeighbourEvent {
    NeighbourEvent {
        lane,
        line: at.unsigned_abs() + 1,
        time_ns: at * 1_000_000,
        lamport: at.unsigned_abs() + 1,
        kind: kind.into(),
        label: label.into(),
        text: format!("{label} in full"),
        breaks,
    }
}

fn message(from: usize, to: usize, sent: Option<usize>, received: Option<usize>) -> NeighbourMessage {
    NeighbourMessage {
        from: Some(from),
        to: Some(to),
        sent,
        received,
        kind: "vote request".into(),
        term: 2,
    }
}

/// n1 votes for itself, asks n2 and n3; n2 votes twice; the way to n3 loses the message, and one comes from before.
fn two_votes(name: &str) -> Neighbourhood {
    Neighbourhood {
        lanes: ["n1", name, "n3"]
            .map(|node| Lane {
                node: node.into(),
                member: None,
            })
            .into(),
        events: vec![
            event(2, 0, "role", "follower t1", false),
            event(0, 1, "vote", "vote n1 t2", false),
            event(0, 2, "send", "vote request t2", false),
            event(0, 3, "send", "vote request t2", false),
            event(1, 4, "receive", "vote request t2", false),
            event(1, 5, "vote", "vote n1 t2", true),
            event(1, 9, "receive", "vote request t2", false),
            event(1, 10, "vote", &format!("vote {name} t2"), true),
        ],
        messages: vec![
            message(0, 1, Some(2), Some(4)),
            message(0, 2, Some(3), None),
            message(2, 1, None, Some(6)),
        ],
    }
}

fn finding(around: Neighbourhood) -> RuleFinding {
    let mut finding = RuleFinding::broken("trace T2", Class::Safety, "n2 voted twice in term 2").with_evidence(["one vote".to_owned()]);
    finding.neighbourhood = Some(around);
    finding
}

fn drawn(around: Neighbourhood) -> Picture {
    picture(None, &[finding(around)]).expect("it has events")
}

#[test]
fn two_votes_with_a_lost_message_and_one_from_before() {
    let svg = drawn(two_votes("n2")).svg;
    insta::assert_snapshot!(&svg[..svg.find("<style>").expect("the picture has its style")]);
}

#[test]
fn every_message_is_drawn_once() {
    let around = two_votes("n2");
    let arranged = Arranged::of(&around);
    let fates: Vec<Fate> = arranged.arrows.iter().map(|arrow| arrow.fate).collect();
    assert_eq!(fates, [Fate::Received, Fate::Lost, Fate::Earlier]);
    let svg = drawn(around).svg;
    assert_eq!(svg.matches("<g class=\"message\">").count(), 3, "{svg}");
    assert_eq!(svg.matches("class=\"loss\"").count(), 1, "{svg}");
}

#[test]
fn a_message_to_who_has_no_events_of_that_time_is_not_called_lost() {
    let mut around = two_votes("n2");
    around.events[0].lane = 0;
    let fates: Vec<Fate> = Arranged::of(&around).arrows.iter().map(|arrow| arrow.fate).collect();
    assert_eq!(fates, [Fate::Received, Fate::Unseen, Fate::Earlier]);
    assert!(!drawn(around).svg.contains("class=\"loss\""));
}

#[test]
fn no_arrow_points_back_whatever_the_clocks_show() {
    let mut around = two_votes("n2");
    for event in around.events.iter_mut().filter(|event| event.lane == 1) {
        event.time_ns -= 3_600_000_000_000;
    }
    let arranged = Arranged::of(&around);
    assert!(
        arranged.arrows.iter().all(|arrow| arrow.from.0 < arrow.to.0),
        "{:?}",
        arranged.arrows
    );
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "n\"></script></style></svg><img src=x onerror=alert(1)>'&\u{202e}\u{0}\u{1b}\u{ffff}\r\n";
    let mut finding = finding(two_votes(hostile));
    finding.message = hostile.into();
    finding.evidence = vec![hostile.into()];
    let Picture { svg, html } = picture(None, &[finding]).expect("it has events");
    for markup in [&svg, &html] {
        assert!(!markup.contains("<img") && !markup.contains("<script"), "{markup}");
        assert!(!markup.contains(['\u{202e}', '\u{0}', '\u{1b}', '\u{ffff}', '\r']));
        assert_eq!(markup.matches("</style>").count(), 1);
        assert_eq!(markup.matches("</svg>").count(), 1);
    }
}

#[test]
fn twelve_nodes_full_of_events_stay_within_bounds() {
    let long = "東".repeat(10_000);
    let events: Vec<NeighbourEvent> = (0..360)
        .map(|at| event(at as usize % 12, at, "send", "append t2", at > 350))
        .collect();
    let around = Neighbourhood {
        lanes: vec![
            Lane {
                node: long.clone(),
                member: Some(long)
            };
            12
        ],
        messages: (0..359)
            .map(|place| message(place % 12, (place + 1) % 12, Some(place), Some(place + 1)))
            .collect(),
        events,
    };
    let Picture { svg, html } = drawn(around);
    assert!(
        svg.len() < 500_000 && html.len() < 500_000,
        "{} and {} bytes",
        svg.len(),
        html.len()
    );
}

#[test]
fn the_strongest_broken_rule_that_has_events_is_drawn() {
    let without = RuleFinding::broken("linearizability", Class::Safety, "a stale read");
    let mut weaker = finding(two_votes("n2"));
    weaker.rule = "trace T9".into();
    let svg = picture(None, &[without.clone(), finding(two_votes("n2")), weaker])
        .expect("one has")
        .svg;
    assert!(svg.contains("trace T2") && !svg.contains("trace T9"), "{svg}");
    assert_eq!(picture(None, &[without]), None);
}
