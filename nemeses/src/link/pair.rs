//! The name of a directed link: `n1>n2` carries what `n1` sends to `n2`.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The end of a link at which all clients are.
pub const CLIENTS: &str = "clients";

/// A directed link between two ends; an end is a node's name or [`CLIENTS`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(into = "String", try_from = "String")]
#[schemars(with = "String")]
pub struct Pair {
    /// Who sends.
    pub from: String,
    /// Who receives.
    pub to: String,
}

impl Pair {
    /// The link from one end to another.
    #[must_use]
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Pair {
        Pair {
            from: from.into(),
            to: to.into(),
        }
    }

    /// The link the other way.
    #[must_use]
    pub fn back(&self) -> Pair {
        Pair::new(self.to.clone(), self.from.clone())
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}>{}", self.from, self.to)
    }
}

impl From<Pair> for String {
    fn from(pair: Pair) -> String {
        pair.to_string()
    }
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Pair, String> {
        match text.split_once('>') {
            Some((from, to)) if !from.is_empty() && !to.is_empty() && from != to && !to.contains('>') => Ok(Pair::new(from, to)),
            _ => Err(format!(
                "`{text}` is no link; write it as `n1>n2`, or `{CLIENTS}>n2`, with two different ends"
            )),
        }
    }
}

impl TryFrom<String> for Pair {
    type Error = String;

    fn try_from(text: String) -> Result<Pair, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn is_written_as_an_arrow_and_can_be_a_key() {
        let map = BTreeMap::from([(Pair::new("n1", CLIENTS), 7)]);
        let text = serde_json::to_string(&map).unwrap();
        assert_eq!(text, r#"{"n1>clients":7}"#);
        assert_eq!(serde_json::from_str::<BTreeMap<Pair, u32>>(&text).unwrap(), map);
    }

    #[test]
    fn refuses_what_is_no_link() {
        for text in ["", "n1", ">n1", "n1>", "n1>n1", "n1>n2>n3"] {
            assert!(text.parse::<Pair>().unwrap_err().starts_with(&format!("`{text}` is no link")));
        }
        assert_eq!("n1>n2".parse(), Ok(Pair::new("n1", "n2")));
    }
}
