//! Mends that install or load something: packages per distribution, kernel modules, device files. Pure.

use super::host::{Distribution, Host};
use super::mechanism::Mechanism;
use super::mend::{device, mend, sudo};
use super::report::Mend;

/// What brings a program or device file that is not there.
pub(super) fn absent(mechanism: Mechanism, host: &Host) -> Vec<Mend> {
    let (why, packages, elsewhere) = match mechanism {
        Mechanism::IptablesLegacy | Mechanism::IptablesNft | Mechanism::Nfqueue => {
            let fedora = if mechanism == Mechanism::IptablesLegacy {
                "iptables-legacy"
            } else {
                "iptables-nft"
            };
            let alpine = if mechanism == Mechanism::IptablesLegacy {
                "iptables-legacy"
            } else {
                "iptables"
            };
            let packages = Packages {
                debian: "iptables",
                ubuntu: "iptables",
                fedora,
                alpine,
                arch: "iptables",
            };
            ("iptables is not installed", packages, "install the package iptables")
        }
        Mechanism::Etcd => {
            let packages = Packages {
                debian: "etcd-server",
                ubuntu: "etcd-server",
                fedora: "etcd",
                alpine: "etcd",
                arch: "etcd",
            };
            (
                "etcd is not installed",
                packages,
                "install etcd from https://github.com/etcd-io/etcd/releases",
            )
        }
        Mechanism::UserModeLinux => {
            let packages = Packages {
                debian: "user-mode-linux",
                ubuntu: "user-mode-linux",
                fedora: "",
                alpine: "",
                arch: "",
            };
            (
                "user-mode-linux is not installed",
                packages,
                "build Linux with `make ARCH=um` and put linux.uml in PATH",
            )
        }
        Mechanism::Tun => {
            return device_node(
                "/dev/net/tun",
                "tun",
                "mkdir -p /dev/net && mknod -m 0666 /dev/net/tun c 10 200",
                host,
            );
        }
        Mechanism::Fuse => return device_node("/dev/fuse", "fuse", "mknod -m 0666 /dev/fuse c 10 229", host),
        _ => return Vec::new(),
    };
    vec![mend(why, install(&packages, host).unwrap_or_else(|| elsewhere.to_owned()))]
}

fn device_node(path: &str, module: &str, make: &str, host: &Host) -> Vec<Mend> {
    if host.container.is_some() {
        return device(path, host);
    }
    let command = if host.has_modules {
        format!("modprobe {module}")
    } else {
        format!("sh -c '{make}'")
    };
    vec![mend(format!("{path} does not exist"), sudo(&command, host))]
}

fn install(packages: &Packages, host: &Host) -> Option<String> {
    let (tool, package) = match host.distribution {
        Distribution::Debian => ("apt-get install", packages.debian),
        Distribution::Ubuntu => ("apt-get install", packages.ubuntu),
        Distribution::Fedora => ("dnf install", packages.fedora),
        Distribution::Alpine => ("apk add", packages.alpine),
        Distribution::Arch => ("pacman -S", packages.arch),
        Distribution::Other => return None,
    };
    (!package.is_empty()).then(|| sudo(&format!("{tool} {package}"), host))
}

/// A mechanism that came with a later kernel.
pub(super) fn newer_kernel(what: &str, since: &str, host: &Host) -> Vec<Mend> {
    vec![mend(
        format!("{what} need Linux {since}; this is {}", host.kernel),
        format!("boot Linux {since} or later"),
    )]
}

/// The module is part of every distribution's base kernel and only has to be loaded.
pub(super) fn modules(option: &str, names: &[&str], host: &Host) -> Vec<Mend> {
    if host.has_modules || host.container.is_some() {
        let place = if host.container.is_some() {
            " (on the host of the container)"
        } else {
            ""
        };
        return vec![mend(
            format!("the kernel module may not be loaded{place}"),
            sudo(&format!("modprobe -a {}", names.join(" ")), host),
        )];
    }
    vec![mend(
        format!("this kernel was built without {option} and has no modules"),
        format!("boot a kernel with {option}"),
    )]
}

/// The module may be in a package of its own (actions/runner-images #7587, chaos-mesh #1389).
pub(super) fn extra_module(option: &str, name: &str, host: &Host) -> Vec<Mend> {
    if !host.has_modules && host.container.is_none() {
        return modules(option, &[name], host);
    }
    let place = if host.container.is_some() {
        " (on the host of the container)"
    } else {
        ""
    };
    let package = match host.distribution {
        Distribution::Ubuntu => Some("apt-get install linux-modules-extra-$(uname -r)"),
        Distribution::Fedora => Some("dnf install kernel-modules-extra-$(uname -r)"),
        _ => None,
    };
    let load = sudo(&format!("modprobe {name}"), host);
    match package {
        Some(package) => vec![mend(
            format!("{name} is in an extra package{place}"),
            format!("{} && {load}", sudo(package, host)),
        )],
        None => vec![mend(format!("the module {name} may not be loaded{place}"), load)],
    }
}

/// The package that holds a program, per family; empty where there is none.
struct Packages {
    debian: &'static str,
    ubuntu: &'static str,
    fedora: &'static str,
    alpine: &'static str,
    arch: &'static str,
}
