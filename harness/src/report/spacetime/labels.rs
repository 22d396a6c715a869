//! Which names have room, and where: first fit among a few places, so that no text crosses another, a mark or an arrow.
//!
//! What breaks the rule is named first and in any case, then local steps, then messages. A name without a place stays in the title of
//! its mark and in the page's table.

use super::arrange::{Arranged, Arrow, Point, lane_y};
use crate::report::shapes::SMALL_PX;
use crate::report::witness::words::{columns, value};

/// Height of small text above and below its base line.
const TEXT_PX: (f64, f64) = (9.5, 3.0);
/// Room that a mark takes around its middle.
const MARK_PX: f64 = 6.0;
/// From an event to the base line of its name, nearest first.
const EVENT_DY_PX: [f64; 4] = [-11.0, 20.0, -25.0, 34.0];
/// Places along an arrow.
const ARROW_PARTS: [f64; 5] = [0.5, 0.35, 0.65, 0.22, 0.78];

/// A name with its place.
#[derive(Debug, PartialEq)]
pub(super) struct Label {
    /// Where its text begins: left end of the base line.
    pub(super) at: Point,
    pub(super) width: f64,
    pub(super) text: String,
    pub(super) breaks: bool,
}

/// A rectangle from its left upper to its right lower corner.
#[derive(Debug, Clone, Copy)]
struct Room(Point, Point);

impl Label {
    fn room(&self) -> Room {
        let (x, y) = self.at;
        Room((x - 3.0, y - TEXT_PX.0), (x + self.width + 3.0, y + TEXT_PX.1))
    }

    /// Left, top, width and height of the plate under it.
    pub(super) fn plate(&self) -> [f64; 4] {
        let Room((left, top), (right, bottom)) = self.room();
        [left + 1.0, top, right - left - 2.0, bottom - top]
    }
}

impl Room {
    fn touches(&self, other: &Room) -> bool {
        self.0.0 < other.1.0 && other.0.0 < self.1.0 && self.0.1 < other.1.1 && other.0.1 < self.1.1
    }

    /// Whether a straight line passes through: cut to the rectangle's stretch of each axis in turn.
    fn crosses(&self, (from, to): (Point, Point)) -> bool {
        let mut parts = (0.0_f64, 1.0_f64);
        for (start, way, low, high) in [
            (from.0, to.0 - from.0, self.0.0, self.1.0),
            (from.1, to.1 - from.1, self.0.1, self.1.1),
        ] {
            if way == 0.0 {
                if start <= low || start >= high {
                    return false;
                }
                continue;
            }
            let (one, other) = ((low - start) / way, (high - start) / way);
            parts = (parts.0.max(one.min(other)), parts.1.min(one.max(other)));
        }
        parts.0 < parts.1
    }
}

/// The names that have room.
pub(super) fn labels(arranged: &Arranged<'_>) -> Vec<Label> {
    let mut desk = Desk {
        arranged,
        labels: Vec::new(),
    };
    let events = arranged.around.events.iter().zip(&arranged.points);
    for (event, &point) in events.clone().filter(|(event, _)| event.breaks) {
        desk.name_event(&format!("✕ {}", event.label), point, true);
    }
    for (event, &point) in events.filter(|(event, _)| !event.breaks && !is_end(&event.kind)) {
        desk.name_event(&event.label, point, false);
    }
    // Nearest to what is broken first: there the names are needed.
    let middle = arranged.zone().map_or(0.0, |(from, to)| (from + to) / 2.0);
    let mut arrows: Vec<&Arrow<'_>> = arranged.arrows.iter().collect();
    arrows.sort_by(|one, other| {
        let away = |arrow: &Arrow<'_>| (along(arrow, 0.5).0 - middle).abs();
        away(one).total_cmp(&away(other))
    });
    for arrow in arrows {
        desk.name_message(arrow);
    }
    desk.labels
}

/// Whether an event is the end of a message, which has a name of its own.
pub(super) fn is_end(kind: &str) -> bool {
    matches!(kind, "send" | "receive")
}

struct Desk<'a> {
    arranged: &'a Arranged<'a>,
    labels: Vec<Label>,
}

impl Desk<'_> {
    fn name_event(&mut self, name: &str, (x, y): Point, breaks: bool) {
        let text = cut(name);
        let width = columns(&text) * SMALL_PX;
        let starts = [x - 5.0, x - width / 2.0, x + 5.0 - width];
        let places = EVENT_DY_PX.iter().flat_map(|dy| starts.map(|x| (x, y + dy)));
        // Away from its mark a name would be taken for another's, but what breaks the rule stands out.
        let places: Vec<Point> = places.take(if breaks { 12 } else { 6 }).collect();
        let label = |at| Label {
            at,
            width,
            text: text.clone(),
            breaks,
        };
        let free = places.iter().map(|&at| label(at)).find(|label| self.is_free(label));
        let apart = || places.iter().map(|&at| label(at)).find(|label| self.is_apart(label));
        let forced = || places.first().map(|&at| label(at));
        let found = if breaks { free.or_else(apart).or_else(forced) } else { free };
        self.labels.extend(found);
    }

    fn name_message(&mut self, arrow: &Arrow<'_>) {
        let text = cut(&format!("{} t{}", arrow.message.kind, arrow.message.term));
        let width = columns(&text) * SMALL_PX;
        let places = ARROW_PARTS.iter().flat_map(|part| {
            let (x, y) = along(arrow, *part);
            [(x + 7.0, y + 4.0), (x - 7.0 - width, y + 4.0)]
        });
        let found = places
            .map(|at| Label {
                at,
                width,
                text: text.clone(),
                breaks: arrow.breaks,
            })
            .find(|label| self.is_free(label));
        self.labels.extend(found);
    }

    /// Within the picture and clear of all other names.
    fn is_apart(&self, label: &Label) -> bool {
        let room = label.room();
        let is_inside = room.0.0 > self.arranged.span.0 - 30.0 && room.1.0 < self.arranged.width;
        is_inside && !self.labels.iter().any(|other| other.room().touches(&room))
    }

    /// Clear of everything.
    fn is_free(&self, label: &Label) -> bool {
        let room = label.room();
        let lanes = 0..self.arranged.around.lanes.len();
        let on_lane = lanes.map(lane_y).any(|y| room.0.1 < y + 1.0 && y - 1.0 < room.1.1);
        let on_mark = self
            .arranged
            .points
            .iter()
            .any(|&(x, y)| room.touches(&Room((x - MARK_PX, y - MARK_PX), (x + MARK_PX, y + MARK_PX))));
        let on_edge = self.arranged.zone().is_some_and(|(from, to)| {
            // What breaks the rule may stand on its own edges.
            !label.breaks && [from, to].iter().any(|x| room.0.0 < *x && *x < room.1.0)
        });
        let on_arrow = self.arranged.arrows.iter().any(|arrow| room.crosses((arrow.from, arrow.to)));
        !on_lane && !on_mark && !on_edge && !on_arrow && self.is_apart(label)
    }
}

fn along(arrow: &Arrow<'_>, part: f64) -> Point {
    let ((x0, y0), (x1, y1)) = (arrow.from, arrow.to);
    (x0 + (x1 - x0) * part, y0 + (y1 - y0) * part)
}

/// Names of members are as long as somebody made them.
fn cut(name: &str) -> String {
    match name.chars().count() {
        ..=24 => name.to_owned(),
        _ => value(name),
    }
}
