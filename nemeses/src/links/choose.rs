//! Which back ends work here: found by doing, because versions, modules and permissions all promise more than they hold.

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::{AddressCuts, BackEnd, LinkBackEnd, Links, iptables, nftables, policy_rules};
use crate::{Error, Result, netns};

/// Enough to see that a back end works at all.
pub(super) const FEW_NODES: u8 = 2;

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
    for back_end in BackEnd::OF_ROUTER {
        let namespace = netns::new_namespace()?;
        found.push(Detected {
            back_end,
            outcome: Links::start(namespace.as_fd(), back_end, folders, FEW_NODES).map(drop),
        });
    }
    Ok(found)
}

/// Opens a back end in the calling thread's namespace and proves that it takes, lists and loses every cut that `n_nodes` can need.
pub(super) fn open_here(back_end: BackEnd, folders: &[PathBuf], n_nodes: u8) -> Result<Box<dyn LinkBackEnd>> {
    let mut opened: Box<dyn LinkBackEnd> = match back_end {
        BackEnd::IptablesLegacy | BackEnd::IptablesNft => Box::new(iptables::Iptables::open(back_end, folders)?),
        BackEnd::Nftables => Box::new(nftables::Nftables::open()?),
        BackEnd::PolicyRules => Box::new(policy_rules::PolicyRules::open()?),
        BackEnd::Switch => return Err(Error::Unusable("the switch is no back end of a router".into())),
    };
    match try_out(opened.as_mut(), n_nodes) {
        Ok(()) => Ok(opened),
        Err(error) => {
            opened.remove();
            Err(error)
        }
    }
}

fn try_out(back_end: &mut dyn LinkBackEnd, n_nodes: u8) -> Result<()> {
    // Addresses that belong to nobody: the network for benchmarks (RFC 2544, appendix C.2.2).
    let node = |number| Ipv4Addr::new(198, 18, 0, number);
    let pairs = (0..n_nodes)
        .flat_map(|from| (0..n_nodes).map(move |to| (from, to)))
        .filter(|(from, to)| from != to);
    let every_cut = pairs.map(|(from, to)| (node(from), node(to))).collect();
    for wanted in [every_cut, AddressCuts::new()] {
        back_end.apply(&wanted)?;
        let standing = back_end.standing()?;
        if !standing.keys().eq(wanted.iter()) {
            return Err(Error::Unusable(format!(
                "asked for {} cuts, the kernel lists {}, or others",
                wanted.len(),
                standing.len()
            )));
        }
    }
    Ok(())
}
