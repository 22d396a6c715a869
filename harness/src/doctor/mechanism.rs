//! The catalogue of mechanisms: what each is for, and whether the main job (a run with partitions, kills and pauses) needs it.
//!
//! Main decision: one flat table in the order of the report. What is *absent*: how to probe (`probe/`) and how to mend (`mend.rs`).

use serde::{Deserialize, Serialize};

/// How much the main job depends on a mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// The main job cannot run without it.
    Required,
    /// At least one way to a world of our own: a user namespace, or, as root, namespaces without one.
    OneForIsolation,
    /// At least one way to cut links.
    OneForPartitions,
    /// Something can do more with it; the main job runs without.
    Optional,
}

impl Need {
    /// The word the report prints.
    pub fn word(self) -> &'static str {
        match self {
            Need::Required => "required",
            Need::OneForIsolation => "one of (isolation)",
            Need::OneForPartitions => "one of (partition)",
            Need::Optional => "optional",
        }
    }
}

macro_rules! catalogue {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $need:ident, $purpose:literal;)+) => {
        /// A mechanism of the kernel or of this installation that runs build on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mechanism { $($(#[doc = $doc])+ $variant,)+ }

        impl Mechanism {
            /// Every mechanism, in the order of the report.
            pub const ALL: &[Mechanism] = &[$(Mechanism::$variant,)+];

            /// Its name in reports and on the command line of a probe child.
            pub fn name(self) -> &'static str {
                match self { $(Mechanism::$variant => $name,)+ }
            }

            /// How much the main job depends on it.
            pub fn need(self) -> Need {
                match self { $(Mechanism::$variant => Need::$need,)+ }
            }

            /// What it is for, in a few words.
            pub fn purpose(self) -> &'static str {
                match self { $(Mechanism::$variant => $purpose,)+ }
            }
        }
    };
}

catalogue! {
    /// unshare(NEWUSER), id maps, and a mount inside: the whole of what AppArmor or seccomp may refuse late.
    UserNamespace = "user-namespace", OneForIsolation, "a sandbox without touching the host";
    /// Namespaces without a user namespace: root's fall-back.
    PlainNamespaces = "plain-namespaces", OneForIsolation, "root's sandbox where user namespaces are refused";
    /// Mount, uts and ipc namespaces, with a bind mount made inside.
    PrivateMounts = "private-mounts", Required, "mounts that only the run sees";
    /// mount_setattr(AT_RECURSIVE, RDONLY), Linux 5.12.
    ReadOnlyTree = "read-only-tree", Required, "nodes cannot write to the host";
    /// A tmpfs mounted inside.
    Tmpfs = "tmpfs", Required, "private /tmp, /run and /dev/shm per node";
    /// A pid namespace with a fresh /proc: masked /proc mounts of containers refuse the second half.
    PidNamespace = "pid-namespace", Required, "the run's processes die with it; own /proc";
    /// A network namespace with its loopback up.
    NetworkNamespace = "network-namespace", Required, "a network of its own per node";
    /// A veth pair whose peer is born in another namespace.
    Veth = "veth", Required, "links between nodes and router";
    /// net.ipv4.ip_forward written inside.
    Forwarding = "ip-forwarding", Required, "the router passes packets between nodes";
    /// pidfd_open, pidfd_send_signal and poll, Linux 5.3.
    Pidfd = "pidfd", Required, "kill and pause the right process, never a reused pid";
    /// `iptables-legacy-restore` loads a rule inside.
    IptablesLegacy = "iptables-legacy", OneForPartitions, "partitions by iptables rules (legacy)";
    /// `iptables-nft-restore` loads a rule inside.
    IptablesNft = "iptables-nft", OneForPartitions, "partitions by iptables rules (nft variant)";
    /// A table, a forward chain and a drop rule by one netlink batch.
    Nftables = "nftables", OneForPartitions, "partitions without any program, by nftables netlink";
    /// Policy routing rules: a `blackhole` rule and a `goto` over it.
    PolicyRules = "policy-rules", OneForPartitions, "partitions without any program or netfilter";
    /// A balancer's rules in the nat table, and its flow table flushed.
    Nat = "nat", Optional, "a balancer in front of the nodes";
    /// A VXLAN device with a peer, in an own network namespace.
    Vxlan = "vxlan", Optional, "nodes joined by an overlay";
    /// The NFQUEUE target, and a queue bound to a socket.
    Nfqueue = "nfqueue", Optional, "bad links on the network `kernel` without netem";
    /// A TUN interface with virtio headers in an own network namespace.
    Tun = "tun", Optional, "delay, loss, reordering: the user-space switch";
    /// The netem queueing discipline.
    Netem = "netem", Optional, "bad links on the network `kernel`";
    /// The token bucket filter.
    Tbf = "tbf", Optional, "narrow links on the network `kernel`";
    /// The hierarchical token bucket.
    Htb = "htb", Optional, "a queue per link, for netem and tbf";
    /// The classifier-action qdisc.
    Clsact = "clsact", Optional, "packet drop by BPF";
    /// A FUSE file system mounted inside, as far as it goes without a server.
    Fuse = "fuse", Optional, "disk faults: power loss, EIO, full, slow";
    /// A child traced, stopped and read.
    Ptrace = "ptrace", Optional, "wall-clock faults, installed at exec";
    /// A time namespace with another monotonic base.
    TimeNamespace = "time-namespace", Optional, "each node its own monotonic clock base";
    /// A version 1 cgroup made, joined and removed.
    CgroupV1 = "cgroup-v1", Optional, "CPU and memory limits, freezer (v1)";
    /// A version 2 cgroup made, joined and removed.
    CgroupV2 = "cgroup-v2", Optional, "CPU and memory limits, freezer (v2)";
    /// The `linux.uml` binary.
    UserModeLinux = "user-mode-linux", Optional, "our netem back end against real netem";
    /// The `etcd` binary.
    Etcd = "etcd", Optional, "the system etcd";
}

impl Mechanism {
    /// The mechanism of that name, if the catalogue has one.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.iter().copied().find(|mechanism| mechanism.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_unique_and_finds_its_mechanism() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(*mechanism));
        }
        assert_eq!(Mechanism::from_name("warp-drive"), None);
    }
}
