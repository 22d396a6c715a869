//! The members of a cluster: their names, in one order that every node agrees on.
//!
//! Inside a core a node is a small index into this table; on the wire and in the trace it is always the name.

use std::sync::Arc;

/// Text that is shared, not copied: keys, values, node names.
pub type Text = Arc<str>;

/// The longest node name, in bytes. A name stands in every version, so it has to stay small.
pub const NAME_BYTES_MAX: usize = 64;

/// Place of a node in [`Members`]: the same number on every node that was started with the same member list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIndex(pub u16);

/// All members, sorted by name, without doubles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    names: Vec<Text>,
}

impl Members {
    /// Sorts the names and checks them.
    ///
    /// # Errors
    /// A sentence for the user: no member, more than 1,024, a double name, or a name that is empty, longer than [`NAME_BYTES_MAX`] or
    /// made of other characters than letters, digits, `.`, `_` and `-`.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Members, String> {
        let mut names: Vec<Text> = names.into_iter().map(Text::from).collect();
        names.sort();
        if names.is_empty() {
            return Err("no member is given".to_owned());
        }
        if names.len() > 1024 {
            return Err(format!("{} members are given, at most 1024 are supported", names.len()));
        }
        if let Some(name) = names.iter().find(|name| !is_a_name(name)) {
            return Err(format!(
                "`{}` is no node name: 1 to {NAME_BYTES_MAX} of a-z A-Z 0-9 . _ - are",
                name.escape_default()
            ));
        }
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("member `{}` is given twice", pair[0]));
        }
        Ok(Members { names })
    }

    /// The index of a name, or `None` for a stranger.
    pub fn index(&self, name: &str) -> Option<NodeIndex> {
        let place = self.names.binary_search_by(|candidate| candidate.as_ref().cmp(name)).ok()?;
        Some(NodeIndex(u16::try_from(place).expect("at most 1024 members exist")))
    }

    /// The name behind an index made by this table.
    pub fn name(&self, index: NodeIndex) -> &Text {
        &self.names[usize::from(index.0)]
    }

    /// All names, sorted.
    pub fn names(&self) -> &[Text] {
        &self.names
    }

    /// All indices, ascending.
    pub fn indices(&self) -> impl Iterator<Item = NodeIndex> + use<> {
        (0..u16::try_from(self.names.len()).expect("at most 1024 members exist")).map(NodeIndex)
    }

    /// How many members there are, at least one.
    pub fn count(&self) -> usize {
        self.names.len()
    }
}

fn is_a_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_the_names_so_that_every_node_counts_alike() {
        let members = Members::new(["n3", "n1", "n2"]).unwrap();
        assert_eq!(members.index("n1"), Some(NodeIndex(0)));
        assert_eq!(members.name(NodeIndex(2)).as_ref(), "n3");
        assert_eq!(members.index("n4"), None);
    }

    #[test]
    fn refuses_bad_names_and_says_which() {
        assert!(Members::new(["n1", "n1"]).unwrap_err().contains("`n1` is given twice"));
        assert!(Members::new(["n 1"]).unwrap_err().contains("`n 1`"));
        assert!(Members::new([""]).is_err());
        assert!(Members::new([]).is_err());
    }
}
