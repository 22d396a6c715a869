//! EDN's values as JSON's, so that two are equal exactly if Clojure says so.
//!
//! Integers, strings, lists and vectors, booleans and nil are JSON's own. A keyword is the string with its colon, `":timed-out"`. What JSON
//! lacks is an object of one field that says what it is: `{"set":[1,2]}`, `{"ratio":"1/2"}`; strings and maps that look like one of these
//! are told in that way too, so that nothing collides. Tags are left out: an unknown tag means what it stands before.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Form;

/// The names of the objects that stand for what JSON lacks.
const KINDS: [&str; 11] = [
    "string", "keyword", "symbol", "char", "regex", "float", "decimal", "ratio", "set", "map", "nil",
];

/// The JSON text of a form.
pub(crate) fn json_of(form: &Form) -> String {
    let mut out = String::new();
    push(form, &mut out);
    out
}

fn push(form: &Form, out: &mut String) {
    match form {
        Form::Nil => out.push_str("null"),
        Form::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Form::Integer(integer) => out.push_str(&integer.to_string()),
        Form::Big(digits) => out.push_str(digits),
        Form::Float(float) if float.is_finite() => out.push_str(&format!("{float:?}")),
        Form::Float(float) => tagged("float", &float.to_string(), out),
        Form::Decimal(digits) => tagged("decimal", digits, out),
        Form::Ratio(ratio) => tagged("ratio", ratio, out),
        Form::Char(character) => tagged("char", &character.to_string(), out),
        Form::Text(text) if text.strip_prefix(':').is_some_and(is_keyword) => tagged("string", text, out),
        Form::Text(text) => quoted(text, out),
        Form::Keyword(name) if !is_keyword(name) => tagged("keyword", name, out),
        Form::Keyword(name) => quoted(&format!(":{name}"), out),
        Form::Symbol(name) => tagged("symbol", name, out),
        Form::Regex(pattern) => tagged("regex", pattern, out),
        Form::List(items) | Form::Vector(items) => sequence(items.iter().map(json_of), out),
        Form::Set(items) => {
            let mut items: Vec<String> = items.iter().map(json_of).collect();
            items.sort();
            items.dedup();
            out.push_str("{\"set\":");
            sequence(items.into_iter(), out);
            out.push('}');
        }
        Form::Map(pairs) => map(pairs, out),
        Form::Tagged(_, form) => push(form, out),
    }
}

fn map(pairs: &[(Form, Form)], out: &mut String) {
    let mut pairs: Vec<(String, String)> = pairs.iter().map(|(key, value)| (json_of(key), json_of(value))).collect();
    pairs.sort();
    let looks_like_a_kind = pairs.len() == 1 && KINDS.iter().any(|kind| pairs[0].0 == format!("\"{kind}\""));
    if !looks_like_a_kind && pairs.iter().all(|(key, _)| key.starts_with('"')) {
        out.push('{');
        for (place, (key, value)) in pairs.iter().enumerate() {
            out.push_str(if place == 0 { "" } else { "," });
            out.push_str(&format!("{key}:{value}"));
        }
        out.push('}');
    } else {
        out.push_str("{\"map\":");
        sequence(pairs.iter().map(|(key, value)| format!("[{key},{value}]")), out);
        out.push('}');
    }
}

fn sequence(items: impl Iterator<Item = String>, out: &mut String) {
    out.push('[');
    for (place, item) in items.enumerate() {
        out.push_str(if place == 0 { "" } else { "," });
        out.push_str(&item);
    }
    out.push(']');
}

fn tagged(kind: &str, text: &str, out: &mut String) {
    out.push_str(&format!("{{\"{kind}\":"));
    quoted(text, out);
    out.push('}');
}

fn quoted(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

/// The form that a JSON text stands for: the other way round. Numbers keep their digits.
pub(crate) fn form_of(json: &str) -> Form {
    match json.as_bytes().first() {
        Some(b'[') => {
            if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) {
                return Form::Vector(items.into_iter().map(|item| form_of(item.get())).collect());
            }
        }
        Some(b'{') => {
            if let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) {
                return object(&fields);
            }
        }
        Some(b'"') => {
            if let Ok(text) = serde_json::from_str::<String>(json) {
                return match text.strip_prefix(':') {
                    Some(name) if is_keyword(name) => Form::Keyword(name.to_owned()),
                    _ => Form::Text(text),
                };
            }
        }
        _ => {}
    }
    match json {
        "null" => Form::Nil,
        "true" => Form::Bool(true),
        "false" => Form::Bool(false),
        number => reread(number)
            .filter(|form| matches!(form, Form::Integer(_) | Form::Big(_) | Form::Float(_)))
            // What is no JSON at all (a lone surrogate in a string) is shown as it stands.
            .unwrap_or_else(|| Form::Text(number.to_owned())),
    }
}

fn object(fields: &BTreeMap<String, &RawValue>) -> Form {
    if let (1, Some((kind, value))) = (fields.len(), fields.first_key_value())
        && let Some(form) = of_kind(kind, value.get())
    {
        return form;
    }
    let pairs = fields
        .iter()
        .map(|(key, value)| (form_of(&Value::from(key.as_str()).to_string()), form_of(value.get())));
    Form::Map(pairs.collect())
}

/// What an object of one field stands for, if it is one of ours.
fn of_kind(kind: &str, json: &str) -> Option<Form> {
    if (kind, json) == ("nil", "null") {
        return Some(Form::Nil);
    }
    let text = || serde_json::from_str::<String>(json).ok();
    let form = match kind {
        "set" => match form_of(json) {
            Form::Vector(items) => Form::Set(items),
            _ => return None,
        },
        "map" => match form_of(json) {
            Form::Vector(pairs) => {
                let pairs = pairs
                    .iter()
                    .map(|pair| pair.as_pair().map(|(key, value)| (key.clone(), value.clone())));
                Form::Map(pairs.collect::<Option<_>>()?)
            }
            _ => return None,
        },
        "string" => Form::Text(text()?),
        "keyword" => Form::Keyword(text()?),
        "char" => {
            let text = text()?;
            let mut characters = text.chars();
            characters.next().filter(|_| characters.next().is_none()).map(Form::Char)?
        }
        "float" => match text()?.as_str() {
            "inf" => Form::Float(f64::INFINITY),
            "-inf" => Form::Float(f64::NEG_INFINITY),
            "NaN" => Form::Float(f64::NAN),
            _ => return None,
        },
        // What stands in the text is checked by reading it as what it claims to be.
        "decimal" => reread(&format!("{}M", text()?))?,
        "ratio" | "symbol" => reread(&text()?)?,
        "regex" => reread(&format!("#\"{}\"", text()?))?,
        _ => return None,
    };
    (json_of(&form) == format!("{{\"{kind}\":{json}}}")).then_some(form)
}

/// The one form that this text is.
pub(crate) fn reread(text: &str) -> Option<Form> {
    let mut reader = super::reader::Reader::new(text.as_bytes(), 1);
    let super::reader::Item::Form(form) = reader.item(None, 0).ok()? else {
        return None;
    };
    matches!(reader.item(None, 0), Ok(super::reader::Item::End)).then_some(form)
}

/// Whether Clojure reads `:name` as one keyword.
pub(crate) fn is_keyword(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.*+!?/<>=$&%".contains(&byte))
        && !name.contains("//")
}
