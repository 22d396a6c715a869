//! The two sets of rules by which something becomes durable.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an fsync makes durable, and in which order anything may become so by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rules {
    /// Only what POSIX promises: `fsync` of a file makes its bytes, length and mode durable (`fdatasync` all but the mode), and a name is durable only
    /// after `fsync` of its directory. Whatever is not durable may survive or not, each sector and each name for itself; a rename is one step. Sectors
    /// that follow a truncation survive only with it. (fsync(2); Pillai et al., OSDI 2014, section 2.)
    #[default]
    PosixStrict,
    /// What ext4 does with `data=ordered,auto_da_alloc`: changes of names, lengths and modes are one journal that commits in order, `fsync` of anything
    /// commits the whole of it, and the bytes of a file that is renamed over another one, or is written and closed after it was truncated to nothing,
    /// are on the disk before that commit. Blocks that lengthen a file appear whole. (Documentation/filesystems/ext4, `auto_da_alloc`.)
    Ext4Ordered,
}

/// How the power goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// Everything that is not durable is lost.
    #[default]
    Clean,
    /// A part of it survives, drawn from this seed among what the rules allow: torn and reordered writes.
    Torn(u64),
}
