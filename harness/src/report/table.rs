//! Columns for people: names to the left, numbers to the right.

/// A table with one heading row. Cells hold text that is fit for a terminal already.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// So many leading columns hold names and stand to the left; the others hold numbers.
    n_names: usize,
}

impl Table {
    /// A table of these headings, of which the first `n_names` stand over names.
    pub(super) fn new<'a>(n_names: usize, headings: impl IntoIterator<Item = &'a str>) -> Table {
        Table {
            rows: vec![headings.into_iter().map(str::to_owned).collect()],
            n_names,
        }
    }

    /// Adds a row with a cell for each heading.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// One line per row, headings first, without trailing blanks.
    pub(super) fn lines(&self) -> Vec<String> {
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..n_columns).map(width).collect();
        self.rows.iter().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(widths).enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            match column < self.n_names {
                true => line.push_str(&format!("{cell:<width$}")),
                false => line.push_str(&format!("{cell:>width$}")),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_to_the_left_and_numbers_to_the_right() {
        let mut table = Table::new(1, ["node", "drops"]);
        table.row(["n1".into(), "7".into()]);
        table.row(["клиент".into(), "1 234".into()]);
        assert_eq!(table.lines(), ["node    drops", "n1          7", "клиент  1 234"]);
    }
}
