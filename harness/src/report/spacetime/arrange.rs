//! Where everything goes: events to x by when they can have happened, nodes to y, messages to arrows.

use std::collections::BTreeMap;

use squall_checker::trace::neighbourhood::{Lane, NeighbourMessage, Neighbourhood};

use crate::report::shapes::CHAR_PX;
use crate::report::timeline::{Axis, Span, compress};
use crate::report::witness::words::{columns, value};

/// Top of the first lane's stretch: above it stands what is broken.
pub(super) const TOP_PX: f64 = 52.0;
/// From lane to lane.
pub(super) const LANE_PX: f64 = 92.0;
/// Between the names and the first event, and after the last.
const MARGIN_PX: f64 = 34.0;
/// No picture is narrower: the sentence needs room.
const WIDTH_MIN_PX: f64 = 760.0;
/// How far a message whose other end is unknown is drawn.
const STUB_PX: f64 = 26.0;
/// Such a message's way towards the other lane, as a part of it.
const STUB_PART: f64 = 0.4;
/// A pause that is marked as left out.
const PAUSE_NS: u64 = 1_000_000_000;

/// A place, in pixels.
pub(super) type Point = (f64, f64);

/// What became of a message, as far as the picture knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Both ends are drawn.
    Received,
    /// No receipt is among the events, though those of the receiver reach back to the sending: lost, or still under way.
    Lost,
    /// The receiver's events begin only after the sending: nobody knows.
    Unseen,
    /// It was sent before the first event.
    Earlier,
}

/// One message.
#[derive(Debug)]
pub(super) struct Arrow<'a> {
    pub(super) message: &'a NeighbourMessage,
    pub(super) from: Point,
    pub(super) to: Point,
    pub(super) fate: Fate,
    /// Whether one of its ends breaks the rule.
    pub(super) breaks: bool,
    /// Whether it was received no later than it was sent: a broken trace.
    pub(super) falls: bool,
}

/// The measures of one picture, in pixels.
#[derive(Debug)]
pub(super) struct Arranged<'a> {
    pub(super) around: &'a Neighbourhood,
    /// One per event.
    pub(super) points: Vec<Point>,
    pub(super) arrows: Vec<Arrow<'a>>,
    /// Where time begins and ends.
    pub(super) span: (f64, f64),
    pub(super) width: f64,
    /// Below the last lane.
    pub(super) bottom: f64,
    /// Middles of stretches over a second, with their lengths in nanoseconds.
    pub(super) pauses: Vec<(f64, u64)>,
}

impl<'a> Arranged<'a> {
    /// Arranges what is around a violation.
    pub(super) fn of(around: &'a Neighbourhood) -> Arranged<'a> {
        let moments_ns = moments(around);
        let axis = axis(around, &moments_ns);
        let names = around.lanes.iter().map(|lane| columns(&lane_name(lane)) * CHAR_PX);
        let left = names.fold(0.0, f64::max) + 26.0 + MARGIN_PX;
        let points: Vec<Point> = around
            .events
            .iter()
            .zip(&moments_ns)
            .map(|(event, &moment_ns)| (left + axis.x(moment_ns), lane_y(event.lane)))
            .collect();
        let right = left + axis.width();
        Arranged {
            arrows: around
                .messages
                .iter()
                .filter_map(|message| arrow(around, &points, message))
                .collect(),
            pauses: pauses(&moments_ns, |moment_ns| left + axis.x(moment_ns)),
            span: (left, right),
            width: (right + MARGIN_PX).max(WIDTH_MIN_PX),
            bottom: lane_y(around.lanes.len()) - LANE_PX / 2.0,
            points,
            around,
        }
    }

    /// The x of the first and the last event that break the rule.
    pub(super) fn zone(&self) -> Option<(f64, f64)> {
        let broken = self.around.events.iter().zip(&self.points).filter(|(event, _)| event.breaks);
        let xs: Vec<f64> = broken.map(|(_, point)| point.0).collect();
        let from = xs.iter().copied().reduce(f64::min)?;
        Some((from, xs.into_iter().fold(from, f64::max)))
    }
}

/// `n2`, or `n2 (n2-b)` where the node is another member.
pub(super) fn lane_name(lane: &Lane) -> String {
    match &lane.member {
        Some(member) => format!("{} ({})", value(&lane.node), value(member)),
        None => value(&lane.node),
    }
}

/// The line of a lane.
pub(super) fn lane_y(lane: usize) -> f64 {
    TOP_PX + LANE_PX * (lane as f64 + 0.5)
}

/// When each event can have happened, in nanoseconds from the first: its own clock's word, but after what caused it.
fn moments(around: &Neighbourhood) -> Vec<u64> {
    let first_ns = around.events.iter().map(|event| event.time_ns).min().unwrap_or(0);
    let causes: BTreeMap<usize, usize> = around
        .messages
        .iter()
        .filter_map(|message| Some((message.received?, message.sent?)))
        .collect();
    let mut last_ns: BTreeMap<usize, u64> = BTreeMap::new();
    let mut moments_ns: Vec<u64> = Vec::with_capacity(around.events.len());
    for (place, event) in around.events.iter().enumerate() {
        let sent_ns = causes.get(&place).and_then(|&sent| moments_ns.get(sent).copied());
        let after_ns = last_ns.get(&event.lane).copied().max(sent_ns);
        let own_ns = event.time_ns.abs_diff(first_ns);
        let moment_ns = after_ns.map_or(own_ns, |after_ns| own_ns.max(after_ns.saturating_add(1)));
        last_ns.insert(event.lane, moment_ns);
        moments_ns.push(moment_ns);
    }
    moments_ns
}

fn axis(around: &Neighbourhood, moments_ns: &[u64]) -> Axis {
    let mut weighed: BTreeMap<u64, bool> = BTreeMap::new();
    for (event, &moment_ns) in around.events.iter().zip(moments_ns) {
        *weighed.entry(moment_ns).or_default() |= event.breaks;
    }
    // The more lanes an arrow crosses, the wider it is: none stands too steep to be followed.
    let spans: Vec<Span> = around
        .messages
        .iter()
        .filter_map(|message| {
            let (from_ns, to_ns) = (*moments_ns.get(message.sent?)?, *moments_ns.get(message.received?)?);
            let crossed = message.from?.abs_diff(message.to?) as f64;
            (from_ns < to_ns).then_some(Span {
                from_ns,
                to_ns,
                width: 10.0 + 14.0 * crossed,
            })
        })
        .collect();
    compress(&weighed, &spans)
}

fn arrow<'a>(around: &Neighbourhood, points: &[Point], message: &'a NeighbourMessage) -> Option<Arrow<'a>> {
    let point = |place: Option<usize>| points.get(place?).copied();
    let towards = |own_y: f64, lane: Option<usize>| {
        // Out of the picture if nobody knows whither, or if it is the own lane.
        let other_y = lane.map(lane_y).filter(|y| *y != own_y).unwrap_or(own_y - LANE_PX);
        own_y + (other_y - own_y).clamp(-LANE_PX, LANE_PX) * STUB_PART
    };
    let (from, to, fate) = match (point(message.sent), point(message.received)) {
        (Some(from), Some(to)) => (from, to, Fate::Received),
        (Some(from), None) => {
            let first = around.events.iter().position(|event| Some(event.lane) == message.to);
            let is_seen = first.and_then(|first| points.get(first)).is_some_and(|first| first.0 <= from.0);
            let fate = if is_seen { Fate::Lost } else { Fate::Unseen };
            (from, (from.0 + STUB_PX, towards(from.1, message.to)), fate)
        }
        (None, Some(to)) => ((to.0 - STUB_PX, towards(to.1, message.from)), to, Fate::Earlier),
        (None, None) => return None,
    };
    let ends = [message.sent, message.received].into_iter().flatten();
    Some(Arrow {
        message,
        from,
        to,
        fate,
        breaks: ends.filter_map(|place| around.events.get(place)).any(|event| event.breaks),
        falls: to.0 <= from.0,
    })
}

fn pauses(moments_ns: &[u64], x: impl Fn(u64) -> f64) -> Vec<(f64, u64)> {
    let mut sorted_ns = moments_ns.to_vec();
    sorted_ns.sort_unstable();
    let long = sorted_ns.windows(2).filter(|pair| pair[1] - pair[0] > PAUSE_NS);
    long.map(|pair| ((x(pair[0]) + x(pair[1])) / 2.0, pair[1] - pair[0])).collect()
}
