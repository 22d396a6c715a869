//! EDN, the notation of Jepsen's histories: read as a stream, told as JSON text, printed.
//!
//! [`reader`] turns bytes into [`Form`]s, [`operations`] turns the forms of a history into entries, [`json`] says which JSON value a form
//! is, so that equal values are equal and different ones stay different, and `print` (the `Display` of a form) writes what Clojure reads.
//! Source of the grammar: the edn-format specification, and what Clojure's `prn` emits beyond it (ratios, regular expressions, symbolic
//! values, namespaced maps).

pub(super) mod json;
pub(super) mod operations;
mod print;
pub(super) mod reader;

/// A value of EDN.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    Nil,
    Bool(bool),
    Integer(i64),
    /// An integer past 64 bits, as its digits: `-123…`.
    Big(String),
    Float(f64),
    /// A number that keeps its digits: `1.50` of `1.50M`.
    Decimal(String),
    /// `1/2`.
    Ratio(String),
    Char(char),
    Text(String),
    /// Without its colon.
    Keyword(String),
    Symbol(String),
    Regex(String),
    List(Vec<Form>),
    Vector(Vec<Form>),
    Set(Vec<Form>),
    Map(Vec<(Form, Form)>),
    /// `#tag form`, records included: `#jepsen.history.Op{…}`.
    Tagged(String, Box<Form>),
}

impl Form {
    /// The form without its tags: what an unknown tag means is what it stands before.
    pub(super) fn untagged(self) -> Form {
        let mut form = self;
        while let Form::Tagged(_, inner) = form {
            form = *inner;
        }
        form
    }

    /// The items of a vector or list of two.
    pub(super) fn as_pair(&self) -> Option<(&Form, &Form)> {
        match self {
            Form::Vector(items) | Form::List(items) => match items.as_slice() {
                [first, second] => Some((first, second)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The name of a keyword, symbol or string.
    pub(super) fn as_name(&self) -> Option<&str> {
        match self {
            Form::Keyword(name) | Form::Symbol(name) | Form::Text(name) => Some(name),
            _ => None,
        }
    }
}
