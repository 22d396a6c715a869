//! The picture itself: from measures to marks.

use squall_checker::judge::RuleFinding;
use squall_checker::trace::neighbourhood::NeighbourEvent;

use super::arrange::{Arranged, Arrow, Fate, LANE_PX, Point, TOP_PX, lane_name, lane_y};
use super::labels::{is_end, labels};
use crate::report::markup::{Element, element};
use crate::report::shapes::{CHAR_PX, SMALL_PX, line, n, path, rect, text};
use crate::report::witness::words::{columns, duration, long};
use crate::report::words::shortened;
use squall_checker::seconds::with_digits;

/// Below the last lane: the axis with its times, and what is left out.
const FOOT_PX: (f64, f64) = (30.0, 16.0);
/// Half the height of a diamond, and of one that breaks the rule.
const MARK_PX: (f64, f64) = (4.5, 7.5);
/// An arrow stops this far before the event, so that both are seen.
const STOP_PX: f64 = 4.0;

/// The picture as an `<svg>` without style.
pub(super) fn svg(arranged: &Arranged<'_>, finding: &RuleFinding) -> Element {
    let foot = if arranged.pauses.is_empty() {
        FOOT_PX.0
    } else {
        FOOT_PX.0 + FOOT_PX.1
    };
    let (width, height) = (arranged.width.round(), (arranged.bottom + foot).round());
    // On a narrow screen: how far it may be scaled down before it is scrolled.
    let class = if width <= 1_000.0 { "narrow" } else { "wide" };
    let name = long(&format!("{}: {}", finding.rule, finding.message));
    element("svg")
        .set("xmlns", "http://www.w3.org/2000/svg")
        .set("viewBox", &format!("0 0 {width} {height}"))
        .at([("width", width), ("height", height)])
        .set("role", "img")
        .set("aria-label", &name)
        .class(class)
        .with(element("title").text(&name))
        .with(rect(0.0, 0.0, width, height, "ground"))
        .with_all(head(arranged, finding))
        .with_all(zone(arranged))
        .with_all(lanes(arranged))
        .with_all(pauses(arranged))
        .with_all(arranged.arrows.iter().map(|arrow| message(arranged, arrow)))
        .with_all((0..arranged.points.len()).map(|place| event(arranged, place)))
        .with_all(names(arranged))
        .with_all(axis(arranged))
}

/// What is broken, and what the rule asks.
fn head(arranged: &Arranged<'_>, finding: &RuleFinding) -> Vec<Element> {
    let fit = |text: &str, char_px: f64| shortened(text, ((arranged.width - 24.0) / char_px) as usize);
    let broken = fit(&format!("✕ {}: {}", finding.rule, finding.message), CHAR_PX);
    let mut marks = vec![text(12.0, 20.0, "start", "wrong", &broken)];
    if let Some(rule) = finding.evidence.first() {
        marks.push(text(12.0, 38.0, "start", "small", &fit(rule, SMALL_PX)));
    }
    marks
}

fn lanes(arranged: &Arranged<'_>) -> Vec<Element> {
    let (left, right) = arranged.span;
    let lane = |(place, lane): (usize, &_)| {
        let y = lane_y(place);
        let name = text(left - 26.0, y + 4.0, "end", "strong", &lane_name(lane));
        element("g").with(line(left - 18.0, y, right + 14.0, y, "axis")).with(name)
    };
    arranged.around.lanes.iter().enumerate().map(lane).collect()
}

/// From the first event that breaks the rule to the last.
fn zone(arranged: &Arranged<'_>) -> Vec<Element> {
    let Some((x0, x1)) = arranged.zone() else { return Vec::new() };
    let height = arranged.bottom - TOP_PX;
    let mut marks = vec![
        rect(x0, TOP_PX, x1 - x0, height, "zone"),
        line(x0, TOP_PX, x0, arranged.bottom, "edge"),
    ];
    if x1 > x0 {
        marks.push(line(x1, TOP_PX, x1, arranged.bottom, "edge"));
    }
    marks
}

/// A gap in all lanes where over a second passed.
fn pauses(arranged: &Arranged<'_>) -> Vec<Element> {
    let gap = |&(x, _): &(f64, u64)| {
        let mut group = element("g");
        for lane in 0..arranged.around.lanes.len() {
            let y = lane_y(lane);
            group = group.with(rect(x - 3.0, y - 3.0, 6.0, 6.0, "gap"));
            group = group.with_all([-3.0, 3.0].map(|dx| line(x + dx - 2.0, y + 5.0, x + dx + 2.0, y - 5.0, "axis")));
        }
        group
    };
    arranged.pauses.iter().map(gap).collect()
}

fn message(arranged: &Arranged<'_>, arrow: &Arrow<'_>) -> Element {
    let class = match (arrow.fate, arrow.breaks || arrow.falls) {
        (Fate::Lost, _) => "lost",
        (_, true) => "mark",
        (_, false) => "sent",
    };
    let (x0, y0) = arrow.from;
    let tip = match arrow.fate {
        Fate::Lost => arrow.to,
        Fate::Received | Fate::Earlier | Fate::Unseen => before(arrow.from, arrow.to),
    };
    let group = element("g")
        .class("message")
        .with(element("title").text(&message_title(arranged, arrow)))
        .with(line(x0, y0, tip.0, tip.1, class));
    match arrow.fate {
        Fate::Lost => {
            let (x, y) = (n(tip.0 - 4.0), n(tip.1 - 4.0));
            group.with(path(&format!("M{x} {y}l8 8m0 -8l-8 8"), "loss"))
        }
        Fate::Unseen => {
            let (x, y) = arrow.to;
            group.with(element("circle").at([("cx", x), ("cy", y), ("r", 2.5)]).class("origin"))
        }
        Fate::Received => group.with(tip_of(arrow, tip)),
        Fate::Earlier => {
            let origin = element("circle").at([("cx", x0), ("cy", y0), ("r", 2.5)]).class("origin");
            group.with(tip_of(arrow, tip)).with(origin)
        }
    }
}

/// The point of an arrow: a triangle along its way.
fn tip_of(arrow: &Arrow<'_>, (x, y): Point) -> Element {
    let ((x0, y0), (x1, y1)) = (arrow.from, arrow.to);
    let way = (x1 - x0).hypot(y1 - y0).max(1.0);
    let (dx, dy) = ((x1 - x0) / way, (y1 - y0) / way);
    let side = |turn: f64| {
        let (x, y) = (x - 8.0 * dx - turn * 3.2 * dy, y - 8.0 * dy + turn * 3.2 * dx);
        format!("{},{}", n(x), n(y))
    };
    let points = format!("{},{} {} {}", n(x), n(y), side(1.0), side(-1.0));
    let class = if arrow.breaks || arrow.falls { "tip-wrong" } else { "tip" };
    element("polygon").set("points", &points).class(class)
}

fn before((x0, y0): Point, (x1, y1): Point) -> Point {
    let way = (x1 - x0).hypot(y1 - y0).max(1.0);
    (x1 - (x1 - x0) / way * STOP_PX, y1 - (y1 - y0) / way * STOP_PX)
}

fn message_title(arranged: &Arranged<'_>, arrow: &Arrow<'_>) -> String {
    let around = arranged.around;
    let node = |lane: Option<usize>| {
        lane.and_then(|lane| around.lanes.get(lane))
            .map_or_else(|| "a member that is no node of this run".to_owned(), lane_name)
    };
    let message = arrow.message;
    let fate = match (arrow.fate, arrow.falls) {
        (Fate::Received, true) => ", received before it was sent: one of the traces is broken",
        (Fate::Received, false) => "",
        (Fate::Lost, _) => ", no receipt in the picture: lost, or still under way",
        (Fate::Unseen, _) => ", whether it was received is not in the picture",
        (Fate::Earlier, _) => ", sent before the picture",
    };
    format!(
        "{} from {} to {}, term {}{fate}",
        message.kind,
        node(message.from),
        node(message.to),
        message.term
    )
}

fn event(arranged: &Arranged<'_>, place: usize) -> Element {
    let event = &arranged.around.events[place];
    let (x, y) = arranged.points[place];
    let mark = if is_end(&event.kind) && !event.breaks {
        element("circle").at([("cx", x), ("cy", y), ("r", 2.8)]).class("end")
    } else {
        let (size, class) = if event.breaks { (MARK_PX.1, "bad") } else { (MARK_PX.0, "step") };
        let half = n(size);
        path(
            &format!("M{} {}l{half} {half}l-{half} {half}l-{half} -{half}z", n(x), n(y - size)),
            class,
        )
    };
    let title = element("title").text(&event_title(arranged, event));
    element("g").with(title).with(mark)
}

fn event_title(arranged: &Arranged<'_>, event: &NeighbourEvent) -> String {
    let node = arranged.around.lanes.get(event.lane).map_or_else(String::new, lane_name);
    format!(
        "{}, {}; {node}, line {} of its trace, at {}, Lamport stamp {}",
        event.label,
        long(&event.text),
        event.line,
        at(event.time_ns, 9),
        event.lamport
    )
}

fn names(arranged: &Arranged<'_>) -> Vec<Element> {
    let zone = arranged.zone();
    let mut marks = Vec::new();
    for label in labels(arranged) {
        let [x, y, width, height] = label.plate();
        let is_within = zone.is_some_and(|(from, to)| x >= from && x + width <= to);
        marks.push(rect(x, y, width, height, if is_within { "plate" } else { "gap" }));
        let class = if label.breaks { "tiny wrong" } else { "small" };
        marks.push(text(label.at.0, label.at.1, "start", class, &label.text));
    }
    marks
}

/// The line of time with the moments of what breaks the rule, then of the ends, then of others, where there is room.
fn axis(arranged: &Arranged<'_>) -> Vec<Element> {
    let (left, right) = arranged.span;
    let y = arranged.bottom + 4.0;
    let mut marks = vec![line(left - 18.0, y, right + 14.0, y, "axis")];
    let mut moments: Vec<(f64, i64, bool)> = (arranged.around.events.iter().zip(&arranged.points))
        .map(|(event, point)| (point.0, event.time_ns, event.breaks))
        .collect();
    let ends = [left, right];
    moments.sort_by_key(|(x, time_ns, breaks)| (!breaks, !ends.contains(x), *time_ns));
    let mut taken: Vec<(f64, String)> = Vec::new();
    for (x, time_ns, breaks) in moments {
        let label = at(time_ns, 4);
        let width = columns(&label) * SMALL_PX;
        if taken
            .iter()
            .all(|(other, said)| (other - x).abs() >= width + 14.0 && *said != label)
        {
            let middle = x.clamp(width / 2.0 + 4.0, arranged.width - width / 2.0 - 4.0);
            marks.push(line(x, y, x, y + 5.0, "axis"));
            let class = if breaks { "tiny wrong" } else { "small" };
            marks.push(text(middle, y + 18.0, "middle", class, &label));
            taken.push((x, label));
        }
    }
    let left_out = |&(x, time_ns): &(f64, u64)| text(x, y + 34.0, "middle", "small", &format!("{} left out", duration(time_ns)));
    let mut end = f64::MIN;
    for pause in &arranged.pauses {
        if pause.0 - LANE_PX > end {
            end = pause.0 + LANE_PX / 2.0;
            marks.push(left_out(pause));
        }
    }
    marks
}

/// A moment of the run, negative before its begin.
pub(super) fn at(time_ns: i64, digits: usize) -> String {
    let sign = if time_ns < 0 { "−" } else { "" };
    format!("{sign}{}", with_digits(time_ns.unsigned_abs(), digits))
}
