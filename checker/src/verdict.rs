//! What a run is worth in one word, and how the words of several rules merge into one.
//!
//! Source of the table: ARCHITECTURE.md, "Verdicts".

use std::fmt;

use serde::{Deserialize, Serialize};

/// The verdict of one rule or of a whole run, ordered by how much it outweighs the others: the greater wins a merge.
///
/// `Invalid` is greatest because a violation is a certificate: nothing that went wrong elsewhere can take it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every rule that applies holds, and there was something to hold for.
    Valid,
    /// Nothing was proved: too few operations, a fault that did not bite.
    Vacuous,
    /// A budget ended or evidence is missing.
    Unknown,
    /// The harness could not do its work; says nothing about the system.
    HarnessError,
    /// A rule is broken and a witness shows it.
    Invalid,
}

impl Verdict {
    /// All verdicts, weakest first.
    pub const ALL: [Verdict; 5] = [
        Verdict::Valid,
        Verdict::Vacuous,
        Verdict::Unknown,
        Verdict::HarnessError,
        Verdict::Invalid,
    ];

    /// Merges the verdicts of several rules: invalid > harness error > unknown > vacuous > valid. No rule at all is `Valid`.
    pub fn merge(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
        verdicts.into_iter().max().unwrap_or(Verdict::Valid)
    }

    /// The word a person reads, lower case.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Vacuous => "vacuous",
            Verdict::Unknown => "unknown",
            Verdict::HarnessError => "harness error",
            Verdict::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{self, *};

    #[test]
    fn merges_every_combination_by_the_order_of_the_table() {
        let strongest_first = [Invalid, HarnessError, Unknown, Vacuous, Valid];
        for subset in 1u32..32 {
            let members: Vec<Verdict> = (0..5)
                .filter(|bit| subset >> bit & 1 == 1)
                .map(|bit| strongest_first[bit])
                .collect();
            let expected = *members.first().expect("subset is not empty");
            let mut reversed = members.clone();
            reversed.reverse();
            assert_eq!(Verdict::merge(members.clone()), expected, "{members:?}");
            assert_eq!(Verdict::merge(reversed), expected, "{members:?} reversed");
        }
        assert_eq!(Verdict::merge([]), Valid);
    }
}
