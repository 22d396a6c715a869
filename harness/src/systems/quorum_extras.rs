//! What a quorum store does beside its quorums: one set of options for the command line, the plan and the nodes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use squall_node::quorum::Upkeep;

/// When a node lets the tombstone of a deleted key go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Reaping {
    /// Once nothing older can come any more
    Safe,
    /// After a time, whatever is still on its way
    Grace,
    /// Never
    Never,
}

/// The options. What is not given is left to the node's own default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub struct Extras {
    /// quorum: with hybrid clocks, a write asks a majority for their versions first
    #[arg(long, help_heading = "System")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub version_read: bool,

    /// quorum: a read asks one replica for the value and the others for a version and a checksum
    #[arg(long, help_heading = "System")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub digest_reads: bool,

    /// quorum: milliseconds between two comparisons of a replica with another; 500, 0 for none
    #[arg(long, value_name = "MS", help_heading = "System")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anti_entropy_ms: Option<u64>,

    /// quorum: coordinators do not keep what a replica did not acknowledge
    #[arg(long, help_heading = "System")]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_hints: bool,

    /// quorum: when tombstones go; `safe` by default
    #[arg(long, value_name = "RULE", value_enum, help_heading = "System")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reaping: Option<Reaping>,

    /// quorum: age in milliseconds at which a tombstone may go; 2000
    #[arg(long, value_name = "MS", help_heading = "System")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reap_after_ms: Option<u64>,
}

impl Extras {
    /// Every option left to the node.
    pub const DEFAULT: Extras = Extras {
        version_read: false,
        digest_reads: false,
        anti_entropy_ms: None,
        no_hints: false,
        reaping: None,
        reap_after_ms: None,
    };

    /// Whether every option has its default.
    pub fn is_default(&self) -> bool {
        *self == Extras::default()
    }

    /// The options that were given, with what they were given, as a node takes them.
    pub(super) fn given(&self) -> Vec<(&'static str, Option<String>)> {
        let reaping = self.reaping.map(|rule| match rule {
            Reaping::Safe => "safe",
            Reaping::Grace => "grace",
            Reaping::Never => "never",
        });
        let flags = [
            ("--version-read", self.version_read),
            ("--digest-reads", self.digest_reads),
            ("--no-hints", self.no_hints),
        ];
        let values = [
            ("--anti-entropy-ms", self.anti_entropy_ms.map(|ms| ms.to_string())),
            ("--reaping", reaping.map(String::from)),
            ("--reap-after-ms", self.reap_after_ms.map(|ms| ms.to_string())),
        ];
        let flags = flags.into_iter().filter(|(_, given)| *given).map(|(flag, _)| (flag, None));
        let values = values.into_iter().filter(|(_, value)| value.is_some());
        flags.chain(values).collect()
    }

    /// What a node does with these options, for a simulated one.
    pub(crate) fn upkeep(&self) -> Upkeep {
        let default = Upkeep::default();
        let reaping = self.reaping.map(|rule| match rule {
            Reaping::Safe => squall_node::quorum::Reaping::Safe,
            Reaping::Grace => squall_node::quorum::Reaping::Grace,
            Reaping::Never => squall_node::quorum::Reaping::Never,
        });
        Upkeep {
            anti_entropy_ms: self.anti_entropy_ms.unwrap_or(default.anti_entropy_ms),
            hints: !self.no_hints,
            reaping: reaping.unwrap_or(default.reaping),
            reap_after_ms: self.reap_after_ms.unwrap_or(default.reap_after_ms),
        }
    }

    /// The names of the options that were given.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.given().into_iter().map(|(flag, _)| flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_reaches_plan_and_node() {
        let none = Extras::default();
        assert_eq!(serde_json::to_string(&none).expect("plain data"), "{}");
        assert!(none.is_default() && none.given().is_empty());
        let some = Extras {
            digest_reads: true,
            anti_entropy_ms: Some(0),
            reaping: Some(Reaping::Grace),
            ..Extras::default()
        };
        let text = serde_json::to_string(&some).expect("plain data");
        assert_eq!(text, r#"{"digest_reads":true,"anti_entropy_ms":0,"reaping":"grace"}"#);
        assert_eq!(serde_json::from_str::<Extras>(&text).expect("our own"), some);
        let names: Vec<&str> = some.names().collect();
        assert_eq!(names, ["--digest-reads", "--anti-entropy-ms", "--reaping"]);
    }
}
