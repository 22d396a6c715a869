//! Cuts by `iptables-restore`: one own chain, refilled by one commit.
//!
//! `--noflush` with a declared chain (`:SQUALL`) flushes and refills that chain and leaves every other alone, all in one commit.
//! The legacy and the nft variant must never be mixed in one namespace: both would take effect, and each would hide its rules from the other.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::rules::Rule;
use super::{AddressCuts, BackEnd, LinkBackEnd, Standing};
use crate::program::{find, run};
use crate::{Error, Result};

const CHAIN: &str = "SQUALL";

/// A commit takes 3 ms; a loaded machine may need a hundred times that.
const PROGRAM_LIMIT: Duration = Duration::from_secs(5);

/// `-w`: another program may hold the lock of the legacy tables; seconds to wait for it.
const RESTORE: [&str; 3] = ["--noflush", "-w", "3"];

pub(super) struct Iptables {
    restore: PathBuf,
    save: PathBuf,
}

impl Iptables {
    /// Finds the programs of a variant and puts a jump to our chain at the head of FORWARD, exactly once.
    pub(super) fn open(variant: BackEnd, folders: &[PathBuf]) -> Result<Iptables> {
        let mut opened = find_variant(variant, folders)?;
        // A commit without that line fails as a whole, so this takes away what a former owner left, and ends.
        while opened.commit(&format!("-D FORWARD -j {CHAIN}\n")).is_ok() {}
        opened.commit(&format!("-I FORWARD 1 -j {CHAIN}\n"))?;
        Ok(opened)
    }

    fn commit(&mut self, lines: &str) -> Result<()> {
        let input = format!("*filter\n:{CHAIN} - [0:0]\n{lines}COMMIT\n");
        run(&self.restore, &RESTORE, &input, PROGRAM_LIMIT).map(drop)
    }
}

impl LinkBackEnd for Iptables {
    fn apply(&mut self, cuts: &AddressCuts) -> Result<()> {
        self.apply_all(cuts, &[])
    }

    fn apply_all(&mut self, cuts: &AddressCuts, rules: &[Rule]) -> Result<()> {
        let mut lines = String::new();
        for (from, to) in cuts {
            writeln!(lines, "-A {CHAIN} -s {from} -d {to} -j DROP").expect("a String takes everything");
        }
        for rule in rules {
            rule.write(CHAIN, &mut lines);
        }
        self.commit(&lines)
    }

    fn standing(&mut self) -> Result<Standing> {
        let listing = run(&self.save, &["-c", "-t", "filter"], "", PROGRAM_LIMIT)?;
        if !listing.lines().any(|line| line.ends_with(&format!("-A FORWARD -j {CHAIN}"))) {
            return Err(Error::Unusable(format!("nothing in FORWARD jumps to the chain {CHAIN}")));
        }
        Ok(listing.lines().filter_map(parse_rule).collect())
    }

    fn remove(&mut self) {
        let _ = self.commit(&format!("-D FORWARD -j {CHAIN}\n-X {CHAIN}\n"));
    }
}

/// `[12:1008] -A SQUALL -s 10.0.0.1/32 -d 10.0.0.2/32 -j DROP`, the form of both variants.
fn parse_rule(line: &str) -> Option<((std::net::Ipv4Addr, std::net::Ipv4Addr), Option<u64>)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [counters, "-A", CHAIN, "-s", from, "-d", to, "-j", "DROP"] = words[..] else {
        return None;
    };
    let packets = counters.strip_prefix('[')?.split(':').next()?.parse().ok()?;
    let address = |text: &str| text.strip_suffix("/32")?.parse().ok();
    Some(((address(from)?, address(to)?), Some(packets)))
}

/// The variant under its own name, or the plain program if that is this variant.
fn find_variant(variant: BackEnd, folders: &[PathBuf]) -> Result<Iptables> {
    let own_name = format!("{}-restore", variant.name());
    let restore = match find(&own_name, folders) {
        Some(restore) => restore,
        None => find("iptables-restore", folders)
            .filter(|plain| variant_of(plain).is_ok_and(|found| found == variant))
            .ok_or_else(|| Error::Unusable(format!("the program `{own_name}` is not installed")))?,
    };
    let save = restore
        .file_name()
        .map(|name| name.to_string_lossy().replace("restore", "save"))
        .unwrap_or_default();
    Ok(Iptables {
        save: restore.with_file_name(save),
        restore,
    })
}

/// Versions since 1.8 say which variant they are; older ones are legacy.
fn variant_of(restore: &Path) -> Result<BackEnd> {
    let version = run(restore, &["--version"], "", PROGRAM_LIMIT)?;
    Ok(if version.contains("nf_tables") {
        BackEnd::IptablesNft
    } else {
        BackEnd::IptablesLegacy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_rules_and_no_others() {
        let rule = parse_rule("[12:1008] -A SQUALL -s 10.0.0.1/32 -d 10.0.0.2/32 -j DROP");
        assert_eq!(rule, Some((([10, 0, 0, 1].into(), [10, 0, 0, 2].into()), Some(12))));
        for line in [
            "",
            "COMMIT",
            "[0:0] -A FORWARD -j SQUALL",
            "[0:0] -A SQUALL -s 10.0.0.0/24 -d 10.0.0.2/32 -j DROP",
            ":SQUALL - [0:0]",
        ] {
            assert_eq!(parse_rule(line), None, "{line}");
        }
    }

    #[test]
    fn says_which_program_is_missing() {
        let error = find_variant(BackEnd::IptablesNft, &[]).err().unwrap();
        assert_eq!(error.to_string(), "the program `iptables-nft-restore` is not installed");
    }

    #[test]
    fn takes_the_plain_program_for_the_variant_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let plain = folder.path().join("iptables-restore");
        for (version, variant) in [
            ("iptables-restore v1.8.9 (nf_tables)", BackEnd::IptablesNft),
            ("iptables-restore v1.8.9 (legacy)", BackEnd::IptablesLegacy),
            ("iptables-restore v1.6.1", BackEnd::IptablesLegacy),
        ] {
            std::fs::write(&plain, format!("#!/bin/sh\necho '{version}'\n")).unwrap();
            std::fs::set_permissions(&plain, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            let folders = [folder.path().to_path_buf()];
            let found = find_variant(variant, &folders).unwrap();
            assert_eq!((found.restore, found.save), (plain.clone(), folder.path().join("iptables-save")));
            let other = if variant == BackEnd::IptablesNft {
                BackEnd::IptablesLegacy
            } else {
                BackEnd::IptablesNft
            };
            assert!(find_variant(other, &folders).is_err());
        }
    }
}
