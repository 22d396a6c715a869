//! What it is that does a fault to a node, by the name that receipts give it.

use squall_nemeses::limits::{Controller, Limits, Version};
use squall_nemeses::links::Applied;
use squall_nemeses::{Fault, Mechanism, Resolved};

use super::Nemesis;

impl Nemesis {
    /// What did a fault, whose links were changed by `links` if any were.
    pub(super) fn back_end(&self, fault: &Fault, resolved: &Resolved, links: Option<&Applied>) -> String {
        match fault.mechanism() {
            Mechanism::Cuts => links.map_or(String::new(), |links| links.back_end.name().to_owned()),
            Mechanism::Links => links.map_or(String::new(), |links| match links.shaping {
                Some(shaping) => shaping.name().to_owned(),
                None => links.back_end.name().to_owned(),
            }),
            Mechanism::Life => "sigkill".to_owned(),
            Mechanism::Motion => "sigstop".to_owned(),
            Mechanism::Clocks => "vdso".to_owned(),
            Mechanism::Limits => {
                let limited = resolved.state.limits.iter().next();
                limited.map_or(String::new(), |(node, limits)| self.limited_by(node, limits))
            }
            Mechanism::Disks => "fuse".to_owned(),
            Mechanism::Balancer => "conntrack".to_owned(),
            Mechanism::System => "system".to_owned(),
        }
    }

    fn limited_by(&self, node: &str, limits: &Limits) -> String {
        let controller = match limits {
            Limits { cpu_percent: Some(_), .. } => Controller::Cpu,
            Limits {
                spare_memory_kib: Some(_), ..
            } => Controller::Memory,
            _ => return "prlimit".to_owned(),
        };
        match self.cluster.group(node).version(controller) {
            Some(Version::V1) => "cgroup-v1".to_owned(),
            Some(Version::V2) => "cgroup-v2".to_owned(),
            None => String::new(),
        }
    }
}
