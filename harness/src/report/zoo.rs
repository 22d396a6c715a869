//! The score of a visit to the zoo, as a table.

use super::table::Table;

/// One row: a bug or a control.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) id: String,
    pub(crate) what: String,
    pub(crate) runs: u32,
    pub(crate) hits: u32,
    /// The interval of the rate of hits, at 95 %.
    pub(crate) rate_percent: (f64, f64),
    /// Seconds of runs until the first hit.
    pub(crate) seconds: Option<f64>,
    /// Of how many simulated runs how many reported something: `(hits, runs)`.
    pub(crate) simulated: Option<(u32, u32)>,
    /// `trace T8 3`.
    pub(crate) rules: Vec<String>,
}

/// The table, and the sentences below it.
pub(crate) fn text(lines: &[Line], summary: &[String]) -> String {
    // Of its own, and only where it was asked for: what is simulated is no find.
    let is_simulated = lines.iter().any(|line| line.simulated.is_some());
    let column = |cell: String| is_simulated.then_some(cell);
    let headings: Vec<&str> = ["id", "what", "runs", "hits", "rate at 95 %", "first hit"]
        .into_iter()
        .chain(is_simulated.then_some("simulated"))
        .collect();
    let mut table = Table::new(2, headings);
    for line in lines {
        let (from, to) = line.rate_percent;
        let cells = [
            line.id.clone(),
            line.what.clone(),
            line.runs.to_string(),
            line.hits.to_string(),
            format!("{from:.0} to {to:.0} %"),
            line.seconds.map_or_else(|| "-".into(), |seconds| format!("{seconds:.0} s")),
        ];
        let simulated = line
            .simulated
            .map_or_else(|| "-".into(), |(hits, runs)| format!("{hits} of {runs}"));
        table.row(cells.into_iter().chain(column(simulated)));
    }
    let by = std::iter::once("by".to_owned()).chain(lines.iter().map(|line| rules(&line.rules)));
    let rows = table.lines().into_iter().zip(by);
    let mut text: String = rows.map(|(row, by)| format!("{row}  {by}").trim_end().to_owned() + "\n").collect();
    text.push('\n');
    text.extend(summary.iter().map(|line| format!("{line}\n")));
    text
}

/// Most rules named in a row; `zoo.json` has them all.
const RULES_MAX: usize = 4;

fn rules(rules: &[String]) -> String {
    let mut text = rules[..rules.len().min(RULES_MAX)].join(", ");
    if rules.len() > RULES_MAX {
        text.push_str(&format!(" and {} more", rules.len() - RULES_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_a_table_with_its_sentences_below() {
        let line = |id: &str, hits, seconds, rules: &[&str]| Line {
            id: id.into(),
            what: "does something wrong".into(),
            runs: 14,
            hits,
            rate_percent: (3.96, 39.9),
            seconds,
            simulated: None,
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        };
        let lines = [
            line("R04", 2, Some(31.4), &["linearizability 1", "trace T8 2"]),
            line(
                "R08",
                9,
                Some(9.2),
                &["trace T1 9", "trace T6 3", "trace T7 3", "trace T9 2", "trace T12 1", "trace T15 1"],
            ),
            line("C2 raft", 0, None, &[]),
        ];
        insta::assert_snapshot!(text(&lines, &["found 1 of 1 bugs".into()]), @r"
    id       what                  runs  hits  rate at 95 %  first hit  by
    R04      does something wrong    14     2     4 to 40 %       31 s  linearizability 1, trace T8 2
    R08      does something wrong    14     9     4 to 40 %        9 s  trace T1 9, trace T6 3, trace T7 3, trace T9 2 and 2 more
    C2 raft  does something wrong    14     0     4 to 40 %          -

    found 1 of 1 bugs
    ");
    }

    #[test]
    fn what_is_simulated_stands_in_a_column_of_its_own() {
        let line = |id: &str, simulated| Line {
            id: id.into(),
            what: "does something wrong".into(),
            runs: 0,
            hits: 0,
            rate_percent: (0.0, 100.0),
            seconds: None,
            simulated,
            rules: Vec::new(),
        };
        insta::assert_snapshot!(text(&[line("R04", Some((7, 20))), line("R05", None)], &[]), @r"
    id   what                  runs  hits  rate at 95 %  first hit  simulated  by
    R04  does something wrong     0     0    0 to 100 %          -    7 of 20
    R05  does something wrong     0     0    0 to 100 %          -          -
    ");
    }
}
