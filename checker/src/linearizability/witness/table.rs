//! The witness as text: the sentence, then one row per operation.

use super::{Outcome, SHOWN_CHARS_MAX, Witness, WitnessOperation, described};
use crate::escape::visible;
use crate::seconds::with_digits;

/// More compare-and-sets than these between the operations that matter are shown as one line.
const LINKS_SHOWN_MAX: usize = 3;

const TITLES: [&str; 6] = ["invoked", "returned", "process", "node", "operation", "lines"];

impl Witness {
    /// What stands in `witness.txt`. Every line ends; control characters of keys, values and names are spelled out.
    pub fn text(&self) -> String {
        let count = match self.operations.len() {
            1 => "1 operation".to_owned(),
            count => format!("{count} operations"),
        };
        let mut text = format!(
            "{} is not linearizable, as these {count} show\n\n  {}\n",
            self.key_name(),
            self.sentence
        );
        if self.operations.len() == 1 {
            text = text.replacen("these 1 operation show", "this operation shows", 1);
        }
        for fact in &self.because {
            text += &format!("  {fact}\n");
        }
        text.push('\n');
        let links = self
            .operations
            .iter()
            .filter(|operation| operation.link && operation.f == "cas")
            .count();
        let is_folded = |operation: &&WitnessOperation| links > LINKS_SHOWN_MAX && operation.link && operation.f == "cas";
        let rows: Vec<[String; 6]> = std::iter::once(TITLES.map(str::to_owned))
            .chain(
                self.operations
                    .iter()
                    .filter(|operation| !is_folded(operation))
                    .map(|operation| self.row(operation)),
            )
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text += format!("  {}", cells.join("  ")).trim_end();
            text.push('\n');
        }
        if links > LINKS_SHOWN_MAX {
            text += &format!("  and {links} compare-and-sets that lead from one value to the next\n");
        }
        text
    }

    fn row(&self, operation: &WitnessOperation) -> [String; 6] {
        let returned = operation
            .returned_ns
            .map_or_else(|| "unknown".to_owned(), |time_ns| with_digits(time_ns, self.digits));
        let value = visible(&operation.value, SHOWN_CHARS_MAX);
        let shown = match (operation.f.as_str(), operation.outcome) {
            _ if operation.asked.is_some() => described::operation(operation),
            ("read", _) => format!("read -> {value}"),
            ("cas", Outcome::Fail) => match &operation.seen {
                Some(seen) => format!("cas {value} (failed, saw {})", visible(seen, SHOWN_CHARS_MAX)),
                None => format!("cas {value} (failed)"),
            },
            ("cas", _) => format!("cas {value}"),
            (_, Outcome::Fail) => format!("write {value} (refused)"),
            _ => format!("write {value}"),
        };
        [
            with_digits(operation.invoked_ns, self.digits),
            returned,
            if operation.folded == 0 {
                operation.process.to_string()
            } else {
                "-".to_owned()
            },
            operation
                .node
                .as_deref()
                .map_or_else(|| "-".to_owned(), |node| visible(node, SHOWN_CHARS_MAX)),
            shown,
            operation.complete_line.map_or_else(
                || operation.invoke_line.to_string(),
                |complete_line| format!("{}, {complete_line}", operation.invoke_line),
            ),
        ]
    }
}
