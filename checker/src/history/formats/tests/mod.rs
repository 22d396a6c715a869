//! The tests of the formats: what each reader makes of a file, what it refuses, and that exports come back.

mod edn;
mod export;
mod fuzz;
mod operation_lines;
mod other;

use super::{Import, ReadOptions, read};

/// Reads a file of a format that is guessed.
fn import(text: &str) -> Import {
    read(text.as_bytes(), &ReadOptions::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The error of a file.
fn refused(text: &str) -> String {
    read(text.as_bytes(), &ReadOptions::default())
        .expect_err("the file is broken")
        .to_string()
}

/// Each operation on a line: `process f key argument observed outcome`.
fn told(import: &Import) -> Vec<String> {
    let history = &import.history;
    let value = |value| history.value(value).into_owned();
    let each = history.operations.iter().map(|operation| {
        format!(
            "{} {} {} {} {} {:?}",
            operation.process,
            history.function(operation),
            history.key(operation).unwrap_or("-"),
            value(operation.argument),
            operation.observed().map_or_else(|| "-".into(), value),
            operation.outcome
        )
    });
    each.collect()
}
