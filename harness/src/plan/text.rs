//! A plan as text: JSON, TOML, its schema, and where in a text something is wrong.

use serde_json::Value;

use super::Plan;

impl Plan {
    /// The plan as it is stored and printed: the same bytes for the same plan.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a plan has string keys and finite numbers");
        text.push('\n');
        text
    }

    /// The plan as a person edits it.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a plan has string keys and numbers of 63 bits")
    }

    /// Reads a plan in TOML.
    ///
    /// # Errors
    /// As [`Plan::from_json`].
    pub fn from_toml(text: &str) -> Result<Plan, String> {
        let mut plan: Plan = toml::from_str(text).map_err(|error| toml_error(text, &error))?;
        plan.fill(&toml::from_str(text).map_err(|error| toml_error(text, &error))?);
        plan.validate().map_err(|error| placed(text, &error, Form::Toml))?;
        Ok(plan)
    }

    /// The JSON schema of a plan, draft 2020-12.
    pub fn schema() -> String {
        let mut schema = schemars::schema_for!(Plan);
        // What is usual there depends on the system, as their descriptions say.
        for name in ["bind", "disk_rules"] {
            let property = schema.pointer_mut(&format!("/properties/{name}")).and_then(Value::as_object_mut);
            property.expect("a field of a plan").remove("default");
        }
        serde_json::to_string_pretty(&schema).expect("a schema has string keys") + "\n"
    }

    /// Reads a plan in JSON.
    ///
    /// # Errors
    /// Names line, column and the offending word; or the rule that the values break.
    pub fn from_json(text: &str) -> Result<Plan, String> {
        let mut plan: Plan = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let what = error.to_string();
            let what = what.split(" at line ").next().unwrap_or(&what);
            // The place is that of the end of what was read last.
            let before: String = text
                .lines()
                .nth(line.saturating_sub(1))
                .unwrap_or("")
                .chars()
                .take(column)
                .collect();
            let what = explained(what, before.rsplit('"').nth(1), Form::Json);
            format!("line {line}, column {column}: {what}")
        })?;
        plan.fill(&serde_json::from_str(text).map_err(|error| error.to_string())?);
        plan.validate().map_err(|error| placed(text, &error, Form::Json))?;
        Ok(plan)
    }
}

/// What is wrong with a text in TOML, in one line, with its place.
pub(crate) fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let span = error.span().unwrap_or_default();
    let word = text.get(span.clone()).map(|word| word.trim_matches(['"', '\'']));
    let what = explained(&error.message().trim().replace('\n', ", "), word, Form::Toml);
    match error.span() {
        Some(_) => {
            let (line, column) = position(text.get(..span.start).unwrap_or(text));
            format!("line {line}, column {column}: {what}")
        }
        None => what,
    }
}

/// An error about a word that takes a value and has none, or about a table of several words where one is wanted, said in the words of whoever wrote
/// the plan; every other as it is.
fn explained(what: &str, word: Option<&str>, form: Form) -> String {
    let lacks_value = ["newtype variant", "struct variant"]
        .iter()
        .any(|kind| what == format!("invalid type: unit variant, expected {kind}"));
    match word {
        Some(word) if lacks_value => {
            let written = match form {
                Form::Json => format!("{{\"{word}\": …}}"),
                Form::Toml => format!("{{ {word} = … }}"),
            };
            format!("`{word}` takes a value, and none is given: write `{written}`; `squall plan --schema` says which values there are")
        }
        _ if what == "wanted exactly 1 element, more than 1 element" => {
            "several words stand here, and one is wanted: an injection has one fault, a `when` one event, a target one way to choose".into()
        }
        _ => what.to_owned(),
    }
}

/// Line and column of what comes after a text, from 1.
fn position(before: &str) -> (usize, usize) {
    (
        before.matches('\n').count() + 1,
        before.chars().rev().take_while(|char| *char != '\n').count() + 1,
    )
}

/// How a plan is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Toml,
}

/// The error, with its place if it can be found.
fn placed(text: &str, error: &str, form: Form) -> String {
    match place_of(text, error, form) {
        Some((line, column)) => format!("line {line}, column {column}: {error}"),
        None => error.to_owned(),
    }
}

/// Where in a plan's text the thing stands that an error is about: an injection's number, the first of the words in backticks that the text
/// has, or the setting behind a flag.
fn place_of(text: &str, error: &str, form: Form) -> Option<(usize, usize)> {
    let key = |name: &str| match form {
        Form::Json => format!("\"{name}\""),
        // At the beginning of a line.
        Form::Toml => format!("\n{name} ="),
    };
    let quoted = error
        .split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|word| [format!("\"{word}\""), key(word)]);
    let flags = error
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|flag| key(&flag.trim_end_matches([':', ',']).replace('-', "_")));
    let injections = error
        .strip_prefix("injection ")
        .and_then(|rest| rest.split(':').next())
        .map(|id| match form {
            Form::Json => format!("\"id\": {id},"),
            Form::Toml => format!("\nid = {id}\n"),
        });
    let at = injections.into_iter().chain(quoted).chain(flags).find_map(|needle| {
        let at = text.find(&needle)?;
        Some(at + usize::from(needle.starts_with('\n')))
    })?;
    Some(position(&text[..at]))
}
