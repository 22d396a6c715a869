//! Keys of EDN as names, and names as keys of EDN: different keys have different names, and a name comes back as the key it was.
//!
//! `:k3` is `k3` and `17` is `17`, as people say them; a string that would look like one of these keeps its quotes; anything else is its
//! JSON text.

use serde_json::Value;

use super::edn::Form;
use super::edn::json::{form_of, is_keyword, json_of};

/// The name of a key.
pub(super) fn name_of(key: &Form) -> String {
    match key {
        Form::Keyword(name) if is_plain_keyword(name) => name.clone(),
        Form::Keyword(name) => format!(":{name}"),
        Form::Text(text) if looks_like_another(text) => Value::from(text.as_str()).to_string(),
        Form::Text(text) => text.clone(),
        other => json_of(other),
    }
}

/// The key of a name.
pub(super) fn key_of(name: &str) -> Form {
    if let Some(key) = no_text(name) {
        return key;
    }
    let text = quoted(name).filter(|text| looks_like_another(text));
    Form::Text(text.unwrap_or_else(|| name.to_owned()))
}

/// The key that is no string and whose name this is.
fn no_text(name: &str) -> Option<Form> {
    if is_plain_keyword(name) {
        return Some(Form::Keyword(name.to_owned()));
    }
    if let Some(keyword) = name.strip_prefix(':') {
        return (is_keyword(keyword) && !is_plain_keyword(keyword)).then(|| Form::Keyword(keyword.to_owned()));
    }
    if name.starts_with('"') {
        return None;
    }
    let form = form_of(name);
    (!matches!(form, Form::Text(_)) && json_of(&form) == name).then_some(form)
}

/// Whether a string without its quotes would be taken for the name of another key.
fn looks_like_another(text: &str) -> bool {
    no_text(text).is_some() || quoted(text).is_some_and(|inner| looks_like_another(&inner))
}

/// A keyword that nobody takes for a number.
fn is_plain_keyword(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && is_keyword(name)
}

/// The string that this text is in quotes, spelled as we spell it.
fn quoted(text: &str) -> Option<String> {
    if !text.starts_with('"') {
        return None;
    }
    let inner: String = serde_json::from_str(text).ok()?;
    let respelled = Value::from(inner.as_str()).to_string();
    (respelled == text).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_keys_have_different_names_and_come_back() {
        let text = |text: &str| Form::Text(text.to_owned());
        let keys = [
            (Form::Keyword("k3".into()), "k3"),
            (text("k3"), r#""k3""#),
            (text(r#""k3""#), r#""\"k3\"""#),
            (Form::Integer(17), "17"),
            (text("17"), r#""17""#),
            (Form::Keyword("17".into()), ":17"),
            (text(":17"), r#"":17""#),
            (text(":k3"), ":k3"),
            (Form::Float(1.5), "1.5"),
            (text("1.5"), r#""1.5""#),
            (text("{{"), "{{"),
            (text("a b"), "a b"),
            (text("\"a b\""), "\"a b\""),
            (Form::Vector(vec![Form::Integer(1), Form::Integer(2)]), "[1,2]"),
            (text("[1,2]"), r#""[1,2]""#),
        ];
        for (key, name) in keys {
            assert_eq!(name_of(&key), name);
            assert_eq!(key_of(name), key, "{name}");
        }
    }
}
