//! Where everything goes: time to x, rows to y, and a point for each operation that takes effect.

use std::collections::BTreeMap;

use super::scene::{Candidates, Part, Scene};
use super::words::{columns, value};
use crate::report::shapes::{CHAR_PX, SMALL_PX};
use crate::report::timeline::{Axis, Span, compress};

/// Height of a row and of the box in it.
pub(super) const ROW_PX: f64 = 48.0;
/// See [`ROW_PX`].
pub(super) const BOX_PX: f64 = 30.0;
/// Top of the bars of faults, and the height of each with its name.
pub(super) const FAULTS_PX: f64 = 40.0;
/// See [`FAULTS_PX`].
pub(super) const LANE_PX: f64 = 20.0;
/// Between the gutter and the first moment, and after the last.
const MARGIN_PX: f64 = 12.0;
/// What fits a page on a screen of 1440 px at nine tenths of its size; a picture with less context is better than one to be scrolled.
const WIDTH_MAX_PX: f64 = 1420.0;
/// A pause that is marked as left out.
const PAUSE_NS: u64 = 1_000_000_000;
/// Marks of what is left out, at most.
const BREAKS_MAX: usize = 4;

/// A stretch that stands for more than it shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Break {
    /// Its middle.
    pub(super) x: f64,
    /// How long it is.
    pub(super) time_ns: u64,
    /// Operations of the key that began in it and are not drawn.
    pub(super) hidden: u64,
}

/// The measures of one picture, in pixels.
#[derive(Debug)]
pub(super) struct Layout {
    axis: Axis,
    /// The last moment, a step after all others: where open operations end.
    end_ns: u64,
    /// Where time begins.
    left: f64,
    /// Top of the first row.
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Below the last row.
    pub(super) bottom: f64,
    /// One per operation in [`Scene::order`]; empty if they cannot be told apart.
    pub(super) points: Vec<f64>,
    pub(super) breaks: Vec<Break>,
    /// Operations of the key that are not drawn, in all.
    pub(super) hidden: u64,
}

/// The scene with as much context as there is room for.
pub(super) fn fit<'a>(candidates: &Candidates<'a>) -> (Scene<'a>, Layout) {
    for n_context in (1..=candidates.n_context()).rev() {
        let scene = candidates.scene(n_context);
        if gutter(&scene) + compressed(&scene, &[]).width() + 2.0 * MARGIN_PX <= WIDTH_MAX_PX {
            let layout = Layout::of(&scene, candidates);
            return (scene, layout);
        }
    }
    let scene = candidates.scene(0);
    let layout = Layout::of(&scene, candidates);
    (scene, layout)
}

/// All moments of the scene, and whether they belong to what is proved.
fn moments(scene: &Scene<'_>) -> BTreeMap<u64, bool> {
    let mut moments: BTreeMap<u64, bool> = [(end_ns(scene), false)].into();
    for shown in &scene.shown {
        for time_ns in [Some(shown.operation.invoked_ns), shown.operation.returned_ns()]
            .into_iter()
            .flatten()
        {
            *moments.entry(time_ns).or_default() |= shown.part != Part::Context;
        }
    }
    for fault in &scene.faults {
        for time_ns in [Some(fault.from_ns), fault.to_ns].into_iter().flatten() {
            if (scene.from_ns..=scene.to_ns).contains(&time_ns) {
                moments.entry(time_ns).or_default();
            }
        }
    }
    moments
}

fn end_ns(scene: &Scene<'_>) -> u64 {
    // Some room behind the last event, for what stays open.
    scene.to_ns.saturating_add(1_000_000)
}

fn compressed(scene: &Scene<'_>, more: &[Span]) -> Axis {
    let end_ns = end_ns(scene);
    let boxes = scene.shown.iter().map(|shown| Span {
        from_ns: shown.operation.invoked_ns,
        to_ns: shown.operation.returned_ns().unwrap_or(end_ns),
        width: match shown.part {
            Part::Context => columns(&shown.label) * SMALL_PX + 14.0,
            _ => columns(&shown.label) * CHAR_PX + 26.0,
        },
    });
    let zone = scene.conflict.as_ref().and_then(|conflict| {
        let (from_ns, to_ns) = conflict.zone_ns?;
        let width = columns(&conflict.sentence) * CHAR_PX + 28.0;
        Some(Span { from_ns, to_ns, width })
    });
    let spans: Vec<Span> = boxes.chain(zone).chain(more.iter().copied()).collect();
    compress(&moments(scene), &spans)
}

fn gutter(scene: &Scene<'_>) -> f64 {
    let names = scene.rows.iter().map(|name| columns(name) * CHAR_PX);
    names.fold(columns(&ribbon_name(scene)) * CHAR_PX, f64::max) + 32.0
}

/// What stands before the ribbon.
pub(super) fn ribbon_name(scene: &Scene<'_>) -> String {
    if scene.has_value {
        format!("value of {}", scene.key)
    } else {
        scene.key.clone()
    }
}

impl Layout {
    fn of(scene: &Scene<'_>, candidates: &Candidates<'_>) -> Layout {
        let times_ns: Vec<u64> = moments(scene).into_keys().collect();
        let hidden = candidates.hidden(scene, &times_ns);
        let mut left_out: Vec<(u64, u64, usize)> = times_ns
            .windows(2)
            .enumerate()
            .map(|(step, pair)| (hidden.get(&step).copied().unwrap_or(0), pair[1] - pair[0], step))
            .filter(|(hidden, time_ns, _)| *hidden > 0 || *time_ns > PAUSE_NS)
            .collect();
        left_out.sort_by_key(|&(hidden, time_ns, step)| (std::cmp::Reverse((time_ns > PAUSE_NS, hidden, time_ns)), step));
        left_out.truncate(BREAKS_MAX);
        left_out.sort_by_key(|(.., step)| *step);
        let room: Vec<Span> = left_out
            .iter()
            .map(|&(.., step)| Span {
                from_ns: times_ns[step],
                to_ns: times_ns[step + 1],
                width: 34.0,
            })
            .collect();
        let axis = compressed(scene, &room);
        let left = gutter(scene) + MARGIN_PX;
        let breaks: Vec<Break> = left_out
            .iter()
            .map(|&(hidden, time_ns, step)| Break {
                x: left + (axis.x(times_ns[step]) + axis.x(times_ns[step + 1])) / 2.0,
                time_ns,
                hidden,
            })
            .collect();
        let top = FAULTS_PX + 4.0 + LANE_PX * scene.faults.len() as f64;
        let bottom = top + ROW_PX * scene.rows.len() as f64 + 4.0;
        // Below the last row: the axis with its times, up to two lines about what is left out, a note.
        let foot = 32.0 + 16.0 * breaks.len().min(2) as f64 + if scene.is_witness_alone() { 20.0 } else { 0.0 };
        let mut layout = Layout {
            end_ns: end_ns(scene),
            left,
            top,
            width: left + axis.width() + MARGIN_PX,
            height: bottom + foot,
            bottom,
            points: Vec::new(),
            breaks,
            hidden: hidden.values().sum(),
            axis,
        };
        layout.points = layout.place_points(scene);
        layout
    }

    /// The x of a moment.
    pub(super) fn x(&self, time_ns: u64) -> f64 {
        self.left + self.axis.x(time_ns)
    }

    /// Where time begins and where it ends.
    pub(super) fn span(&self) -> (f64, f64) {
        (self.left, self.x(self.end_ns) + MARGIN_PX / 2.0)
    }

    /// The middle of a row.
    pub(super) fn y(&self, row: usize) -> f64 {
        self.top + ROW_PX * (row as f64 + 0.5)
    }

    /// From where to where the box of an operation reaches.
    pub(super) fn edges(&self, scene: &Scene<'_>, place: usize) -> (f64, f64) {
        let operation = scene.shown[place].operation;
        let end = operation.returned_ns().map_or(self.span().1, |returned_ns| self.x(returned_ns));
        (self.x(operation.invoked_ns), end)
    }

    /// A point within each box, in the order of effect, each right of the one before by as much as there is room for.
    fn place_points(&self, scene: &Scene<'_>) -> Vec<f64> {
        let edges: Vec<(f64, f64)> = scene.order.iter().map(|&place| self.edges(scene, place)).collect();
        // Best if what a write leaves can be read on the ribbon.
        let room = |&place: &usize| {
            let shown = &scene.shown[place];
            let label = shown
                .after
                .as_deref()
                .filter(|_| shown.writes)
                .map_or(0.0, |after| columns(&value(after)) * CHAR_PX);
            label + 14.0
        };
        let labeled: Vec<f64> = scene.order.iter().map(room).collect();
        let even = [14.0, 7.0, 3.0, 0.0].map(|gap| vec![gap; edges.len()]);
        std::iter::once(labeled)
            .chain(even)
            .find_map(|gaps| spread(&edges, &gaps))
            .unwrap_or_default()
    }
}

/// One point per interval, each right of the one before by at least that one's gap, as near to the middles as that allows.
fn spread(edges: &[(f64, f64)], gaps: &[f64]) -> Option<Vec<f64>> {
    // A point on the very edge of a box looks as if it were outside.
    let inset = |place: usize| {
        let (from, to) = edges[place];
        let inset = gaps[place].min(8.0).min((to - from) / 4.0);
        (from + inset, to - inset)
    };
    let mut latest: Vec<f64> = (0..edges.len()).map(|place| inset(place).1).collect();
    for place in (1..latest.len()).rev() {
        latest[place - 1] = latest[place - 1].min(latest[place] - gaps[place - 1]);
    }
    let mut points: Vec<f64> = Vec::with_capacity(edges.len());
    for (place, latest) in latest.into_iter().enumerate() {
        let after = points.last().map_or(f64::MIN, |before| before + gaps[place - 1]);
        let earliest = after.max(inset(place).0);
        if earliest > latest + 1e-6 {
            return None;
        }
        let middle = (edges[place].0 + edges[place].1) / 2.0;
        points.push(middle.clamp(earliest, latest.max(earliest)));
    }
    Some(points)
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn points_stay_in_their_boxes_and_in_order() {
        assert_eq!(spread(&[(0.0, 100.0), (0.0, 100.0)], &[14.0; 2]), Some(vec![50.0, 64.0]));
        assert_eq!(spread(&[(0.0, 100.0), (0.0, 40.0)], &[0.0; 2]), Some(vec![40.0, 40.0]));
        assert_eq!(spread(&[(50.0, 100.0), (0.0, 40.0)], &[0.0; 2]), None);
        assert_eq!(spread(&[], &[]), Some(vec![]));
    }
}
