//! The picture itself: from measures to marks.

use squall_checker::history::operation::Outcome;

use super::layout::{BOX_PX, FAULTS_PX, LANE_PX, Layout, ROW_PX, ribbon_name};
use super::scene::{Fault, Part, Scene, Shown};
use super::words::{columns, duration, long, value};
use crate::report::markup::{Element, element};
use crate::report::shapes::{CHAR_PX, SMALL_PX, line, n, path, rect, text};
use crate::report::words::plural;
use squall_checker::seconds::{digits_of, with_digits};

/// Top and height of the ribbon.
const RIBBON_PX: (f64, f64) = (8.0, 22.0);
/// Least distance of two times below the axis.
const TIMES_APART_PX: f64 = 72.0;

/// The picture as an `<svg>` without style; `name` says what it shows to who cannot see it.
pub(super) fn svg(scene: &Scene<'_>, layout: &Layout, name: &str) -> Element {
    // On a narrow screen: how far it may be scaled down before it is scrolled.
    let class = match layout.width {
        ..=700.0 => "natural",
        ..=1_000.0 => "narrow",
        _ => "wide",
    };
    let (width, height) = (layout.width.round(), layout.height.round());
    let canvas = Canvas { scene, layout };
    element("svg")
        .set("xmlns", "http://www.w3.org/2000/svg")
        .set("viewBox", &format!("0 0 {width} {height}"))
        .at([("width", width), ("height", height)])
        .set("role", "img")
        .set("aria-label", name)
        .class(class)
        .with(element("title").text(name))
        .with(rect(0.0, 0.0, width, height, "ground"))
        .with_all(canvas.faults())
        .with_all(canvas.rows())
        .with_all(canvas.zone())
        .with_all(canvas.breaks())
        .with_all(canvas.ties())
        .with_all(canvas.fault_names())
        .with_all((0..scene.shown.len()).map(|place| canvas.operation(place)))
        .with_all(canvas.points())
        .with_all(canvas.verdict())
        .with_all(canvas.ribbon())
        .with_all(canvas.axis())
}

struct Canvas<'a> {
    scene: &'a Scene<'a>,
    layout: &'a Layout,
}

impl Canvas<'_> {
    /// A bar above the rows, and its shade behind them.
    fn faults(&self) -> Vec<Element> {
        let right = self.layout.span().1;
        let mut marks = Vec::new();
        for (lane, fault) in self.scene.faults.iter().enumerate() {
            let x0 = self.fault_begin(fault);
            let x1 = match fault.to_ns {
                Some(to_ns) if to_ns <= self.scene.to_ns => self.layout.x(to_ns),
                _ => right,
            };
            let class = fault_class(&fault.kind);
            let y = FAULTS_PX + LANE_PX * lane as f64;
            let shade = rect(x0, y, x1 - x0, self.layout.bottom - y, class);
            marks.push(element("g").class("shade").with(shade));
            let bar = rect(x0, y, x1 - x0, 4.0, class).set("rx", "2");
            marks.push(element("g").class("bar").with(bar));
        }
        marks
    }

    /// Their names, on plates: ties pass here.
    fn fault_names(&self) -> Vec<Element> {
        let (left, right) = self.layout.span();
        let mut marks = Vec::new();
        for (lane, fault) in self.scene.faults.iter().enumerate() {
            let y = FAULTS_PX + LANE_PX * lane as f64 + 15.5;
            let width = columns(&fault.label) * SMALL_PX;
            // Beside the bar's begin, or as far right as it still fits.
            let x = (self.fault_begin(fault) + 4.0).min(right - width).max(left);
            marks.push(rect(x - 2.0, y - 9.5, width + 4.0, 12.0, "gap"));
            marks.push(text(x, y, "start", class_of_text(fault_class(&fault.kind)), &fault.label));
        }
        marks
    }

    fn fault_begin(&self, fault: &Fault) -> f64 {
        if fault.from_ns < self.scene.from_ns {
            self.layout.span().0 - 8.0
        } else {
            self.layout.x(fault.from_ns)
        }
    }

    fn rows(&self) -> Vec<Element> {
        let (left, right) = self.layout.span();
        let names = self.scene.rows.iter().enumerate().map(|(row, name)| {
            let y = self.layout.y(row);
            let name = text(left - 18.0, y + 4.0, "end", "quiet", name);
            element("g").with(line(left - 8.0, y, right, y, "row")).with(name)
        });
        names.collect()
    }

    fn zone(&self) -> Vec<Element> {
        let Some((x0, x1)) = self.zone_edges() else { return Vec::new() };
        let top = self.layout.top - 2.0;
        let edges = [x0, x1].map(|x| line(x, top, x, self.layout.bottom, "edge"));
        std::iter::once(rect(x0, top, x1 - x0, self.layout.bottom - top, "zone"))
            .chain(edges)
            .collect()
    }

    fn zone_edges(&self) -> Option<(f64, f64)> {
        let (from_ns, to_ns) = self.scene.conflict.as_ref()?.zone_ns?;
        Some((self.layout.x(from_ns), self.layout.x(to_ns)))
    }

    /// Two zigzags through all rows where more time passed, or more was done, than is drawn.
    fn breaks(&self) -> Vec<Element> {
        let (top, bottom) = (self.layout.top - 2.0, self.layout.bottom);
        let mut marks = Vec::new();
        for stretch in &self.layout.breaks {
            marks.push(rect(stretch.x - 5.0, top, 10.0, bottom - top, "gap"));
            marks.extend([-5.0, 5.0].map(|dx| zigzag(stretch.x + dx, top, bottom)));
        }
        marks
    }

    /// From each point up to the ribbon; drawn under the boxes, so that no text is crossed.
    fn ties(&self) -> Vec<Element> {
        let tie = |(place, x): (usize, f64)| {
            let y = self.layout.y(self.scene.shown[place].row) - BOX_PX / 2.0;
            line(x, RIBBON_PX.0 + RIBBON_PX.1, x, y, "tie")
        };
        self.placed().map(tie).collect()
    }

    fn points(&self) -> Vec<Element> {
        let point = |(place, x): (usize, f64)| {
            let y = self.layout.y(self.scene.shown[place].row) - BOX_PX / 2.0;
            let r = if self.scene.shown[place].part == Part::Context { 3.2 } else { 4.6 };
            element("circle").at([("cx", x), ("cy", y), ("r", r)]).class("point")
        };
        self.placed().map(point).collect()
    }

    /// Places in the scene with the x at which they take effect.
    fn placed(&self) -> impl Iterator<Item = (usize, f64)> {
        self.scene.order.iter().copied().zip(self.layout.points.iter().copied())
    }

    fn operation(&self, place: usize) -> Element {
        let shown = &self.scene.shown[place];
        let (x0, x1) = self.layout.edges(self.scene, place);
        let y = self.layout.y(shown.row);
        // An instant is still seen.
        let width = (x1 - x0).max(3.0);
        let is_open = shown.operation.outcome == Outcome::Unknown;
        let body = rect(x0, y - BOX_PX / 2.0, width, BOX_PX, box_class(shown)).set("rx", "5");
        let mut group = element("g")
            .set("id", &format!("op{}", shown.operation.invoke_line()))
            .with(element("title").text(&title(shown, &self.scene.rows[shown.row])))
            .with(body);
        if is_open {
            let (tip, y) = (n(x1 + 1.0), n(y));
            group = group.with(path(&format!("M{tip} {y}l-9 -6v12z"), "arrow"));
        }
        let (class, char_px, inset) = match shown.part {
            Part::Context => ("small", SMALL_PX, 8.0),
            Part::Impossible => ("wrong", CHAR_PX, 10.0),
            Part::Proof => ("strong", CHAR_PX, 10.0),
        };
        if columns(&shown.label) * char_px + inset <= width + 1.0 {
            group = group.with(text(x0 + inset, y + 4.3, "start", class, &shown.label));
        }
        group
    }

    /// The cross, and why there is no place.
    fn verdict(&self) -> Vec<Element> {
        let Some(conflict) = &self.scene.conflict else { return Vec::new() };
        let (bad, sentence) = (conflict.impossible, conflict.sentence.as_str());
        let row = self.scene.shown[bad].row;
        let (x0, x1) = self.layout.edges(self.scene, bad);
        let (middle, y) = ((x0 + x1) / 2.0, self.layout.y(row));
        let cross = format!("M{} {}l10 10m0 -10l-10 10", n(middle - 5.0), n(y - BOX_PX / 2.0 - 5.0));
        let mut marks = vec![path(&cross, "cross")];
        let Some((z0, z1)) = self.zone_edges() else {
            let (left, right) = self.layout.span();
            let half = columns(sentence) * CHAR_PX / 2.0;
            marks.push(text(
                middle.min(right - half).max(left + half),
                y + 28.0,
                "middle",
                "wrong",
                sentence,
            ));
            return marks;
        };
        let is_free = (0..self.scene.shown.len()).all(|place| {
            let (a, b) = self.layout.edges(self.scene, place);
            self.scene.shown[place].row != row || place == bad || b <= z0 || a >= z1
        });
        let baseline = if is_free { y - 4.0 } else { y + 28.0 };
        // On a plate, since ties of rows below pass here.
        let width = columns(sentence) * CHAR_PX;
        marks.push(rect((z0 + z1 - width) / 2.0 - 2.0, baseline - 11.0, width + 4.0, 14.5, "plate"));
        marks.push(text((z0 + z1) / 2.0, baseline, "middle", "wrong", sentence));
        if !is_free {
            return marks;
        }
        let (tip0, tip1, y1) = (z0 + 3.0, z1 - 3.0, y + 7.0);
        let arrow = format!(
            "M{a} {y1}H{b}M{c} {up}l-7 5l7 5M{d} {up}l7 5l-7 5",
            a = n(tip0),
            b = n(tip1),
            c = n(tip0 + 7.0),
            d = n(tip1 - 7.0),
            y1 = n(y1),
            up = n(y1 - 5.0)
        );
        marks.push(path(&arrow, "mark"));
        marks
    }

    /// What the register held between the points.
    fn ribbon(&self) -> Vec<Element> {
        let (left, right) = self.layout.span();
        let (top, height) = RIBBON_PX;
        let mut marks = vec![text(left - 18.0, top + 15.0, "end", "quiet", &ribbon_name(self.scene))];
        let placed: Vec<(usize, f64)> = self.placed().collect();
        let mut states: Vec<(f64, &Shown<'_>)> = Vec::new();
        for (place, x) in placed {
            let shown = &self.scene.shown[place];
            if shown.writes {
                states.push((x, shown));
            } else if states.is_empty() {
                // A read before any write shows what was there before.
                states.push((left - 8.0, shown));
            }
        }
        for (index, &(x0, shown)) in states.iter().enumerate() {
            let x1 = states.get(index + 1).map_or(right, |(x, _)| *x - 3.0);
            let class = if shown.part == Part::Context { "context" } else { "proof" };
            let full = shown.after.as_deref().unwrap_or_default();
            let title = element("title").text(&long(full));
            let mut group = element("g")
                .with(title)
                .with(rect(x0, top, (x1 - x0).max(1.0), height, class).set("rx", "4"));
            let label = value(full);
            if columns(&label) * CHAR_PX + 6.0 <= x1 - x0 {
                group = group.with(text((x0 + x1) / 2.0, top + 15.5, "middle", "strong", &label));
            }
            marks.push(group);
        }
        marks
    }

    fn axis(&self) -> Vec<Element> {
        let (left, right) = self.layout.span();
        let y = self.layout.bottom + 4.0;
        let mut marks = vec![line(left - 8.0, y, right, y, "axis")];
        let mut ticks: Vec<u64> = Vec::new();
        for shown in &self.scene.shown {
            ticks.push(shown.operation.invoked_ns);
            ticks.extend(shown.operation.returned_ns());
        }
        ticks.sort_unstable();
        ticks.dedup();
        marks.extend(
            ticks
                .iter()
                .map(|&time_ns| line(self.layout.x(time_ns), y, self.layout.x(time_ns), y + 4.0, "axis")),
        );
        marks.extend(self.times(y + 18.0));
        marks.extend(self.left_out(y + 34.0));
        if self.scene.is_witness_alone() {
            let note = "the value is that of the witness alone: the operations around it have no order of their own";
            marks.push(text(left - 8.0, self.layout.height - 10.0, "start", "small", note));
        }
        marks
    }

    /// The moments that carry the proof, those of the zone first; each where it does not touch another.
    fn times(&self, y: f64) -> Vec<Element> {
        let conflict = self.scene.conflict.as_ref();
        let mut wanted: Vec<u64> = conflict
            .and_then(|conflict| conflict.zone_ns)
            .map_or(Vec::new(), |(from_ns, to_ns)| vec![from_ns, to_ns]);
        for shown in self.scene.shown.iter().filter(|shown| shown.part != Part::Context) {
            wanted.push(shown.operation.invoked_ns);
            wanted.extend(shown.operation.returned_ns());
        }
        let digits = digits_of(&wanted);
        let apart = TIMES_APART_PX.max(columns(&with_digits(self.scene.to_ns, digits)) * SMALL_PX + 10.0);
        let mut taken: Vec<f64> = Vec::new();
        let mut marks = Vec::new();
        for time_ns in wanted {
            let x = self.layout.x(time_ns);
            if taken.iter().all(|other| (other - x).abs() >= apart) {
                taken.push(x);
                let label_x = x.min(self.layout.width - apart / 2.0);
                marks.push(text(label_x, y, "middle", "small", &with_digits(time_ns, digits)));
            }
        }
        marks
    }

    fn left_out(&self, y: f64) -> Vec<Element> {
        // A label that would touch the one before goes on the second line.
        let mut ends = [f64::MIN; 2];
        let mut marks = Vec::new();
        for stretch in &self.layout.breaks {
            let label = match stretch.hidden {
                0 => format!("{} left out", duration(stretch.time_ns)),
                hidden => format!("{}, {} left out", duration(stretch.time_ns), plural(hidden, "operation")),
            };
            let half = columns(&label) * SMALL_PX / 2.0;
            let x = stretch.x.max(half + 4.0).min(self.layout.width - half - 4.0);
            if let Some(line) = ends.iter().position(|end| x - half > *end) {
                ends[line] = x + half + 10.0;
                marks.push(text(x, y + 15.0 * line as f64, "middle", "small", &label));
            }
        }
        marks
    }
}

fn zigzag(x: f64, top: f64, bottom: f64) -> Element {
    let turns = 2 * ((bottom - top) / ROW_PX * 2.0).ceil() as usize;
    let points: Vec<String> = (0..=turns)
        .map(|turn| {
            let side = if turn % 2 == 0 { -3.5 } else { 3.5 };
            format!("{},{}", n(x + side), n(top + (bottom - top) * turn as f64 / turns as f64))
        })
        .collect();
    element("polyline").set("points", &points.join(" ")).class("axis")
}

fn box_class(shown: &Shown<'_>) -> &'static str {
    match (shown.part, shown.operation.outcome) {
        (Part::Impossible, _) => "bad",
        (_, Outcome::Unknown) => "open",
        (_, Outcome::Fail) => "refused",
        (Part::Proof, _) => "proof",
        (Part::Context, _) => "context",
    }
}

/// What a pointer at rest on a box shows.
fn title(shown: &Shown<'_>, row: &str) -> String {
    let operation = shown.operation;
    let returned = operation.returned_ns().map_or_else(
        || "outcome unknown".to_owned(),
        |time_ns| format!("returned {}", with_digits(time_ns, 9)),
    );
    let after = shown
        .full
        .as_deref()
        .map_or_else(String::new, |value| format!(", value {}", long(value)));
    let lines = operation.complete_line().map_or_else(String::new, |line| format!(", {line}"));
    format!(
        "{}, {row}: invoked {}, {returned}{after}; lines {}{lines} of the history",
        shown.label,
        with_digits(operation.invoked_ns, 9),
        operation.invoke_line()
    )
}

fn fault_class(kind: &str) -> &'static str {
    match kind {
        "partition" => "partition",
        "kill" => "kill",
        "pause" => "pause",
        "clock" => "clock",
        "disk" => "disk",
        _ => "other",
    }
}

/// Small text in a fault's colour.
fn class_of_text(class: &'static str) -> &'static str {
    match class {
        "partition" => "tiny partition",
        "kill" => "tiny kill",
        "pause" => "tiny pause",
        "clock" => "tiny clock",
        "disk" => "tiny disk",
        _ => "tiny other",
    }
}
