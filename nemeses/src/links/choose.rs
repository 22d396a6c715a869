//! Which back ends work here: found by doing, because versions, modules and permissions all promise more than they hold.

use std::os::fd::AsFd;
use std::path::PathBuf;

use super::{AddressCuts, BackEnd, LinkBackEnd, Links, iptables, nftables, policy_rules};
use crate::{Error, Result, netns};

/// What a try of one back end showed.
#[derive(Debug)]
pub struct Detected {
    /// Which one was tried.
    pub back_end: BackEnd,
    /// Nothing, or why it cannot be used here.
    pub outcome: Result<()>,
}

/// Tries every back end, each in a fresh network namespace, so that one that half works leaves nothing that could disturb another.
/// `folders` are searched for programs ([`crate::program_folders`]).
///
/// # Errors
/// If no network namespace can be made.
pub fn detect(folders: &[PathBuf]) -> Result<Vec<Detected>> {
    let mut found = Vec::new();
    for back_end in BackEnd::ALL {
        let namespace = netns::new_namespace()?;
        found.push(Detected {
            back_end,
            outcome: Links::start(namespace.as_fd(), back_end, folders).map(drop),
        });
    }
    Ok(found)
}

/// Opens a back end in the calling thread's namespace and proves that it takes, lists and loses a cut.
pub(super) fn open_here(back_end: BackEnd, folders: &[PathBuf]) -> Result<Box<dyn LinkBackEnd>> {
    let mut opened: Box<dyn LinkBackEnd> = match back_end {
        BackEnd::IptablesLegacy | BackEnd::IptablesNft => Box::new(iptables::Iptables::open(back_end, folders)?),
        BackEnd::Nftables => Box::new(nftables::Nftables::open()?),
        BackEnd::PolicyRules => Box::new(policy_rules::PolicyRules::open()?),
    };
    match try_out(opened.as_mut()) {
        Ok(()) => Ok(opened),
        Err(error) => {
            opened.remove();
            Err(error)
        }
    }
}

fn try_out(back_end: &mut dyn LinkBackEnd) -> Result<()> {
    // Addresses that belong to nobody (RFC 5737).
    let cut = AddressCuts::from([([192, 0, 2, 1].into(), [192, 0, 2, 2].into())]);
    for wanted in [cut, AddressCuts::new()] {
        back_end.apply(&wanted)?;
        let standing = back_end.standing()?;
        if !standing.keys().eq(wanted.iter()) {
            return Err(Error::Unusable(format!(
                "asked for the cuts {wanted:?}, the kernel lists {:?}",
                standing.keys()
            )));
        }
    }
    Ok(())
}
