//! One line per case: the step that failed, its error, the machine, the advice.

use super::*;
use crate::doctor::host::Distribution;

fn user() -> Host {
    Host {
        kernel: "6.8.0-45-generic".to_owned(),
        euid: 1000,
        has_modules: true,
        exe: "/home/ada/squall".to_owned(),
        ..Host::default()
    }
}

fn container() -> Host {
    Host {
        euid: 0,
        container: Some("docker".to_owned()),
        seccomp_filter: true,
        ..user()
    }
}

/// The commands advised for a step that failed with `errno`.
fn check(mechanism: Mechanism, step: &str, errno: Errno, host: &Host, expected: &[&str]) {
    let explanation = explain(mechanism, &Failure::refused(step, errno), host);
    assert!(explanation.reason.contains(&format!("{errno:?}")), "{explanation:?}");
    let commands: Vec<_> = explanation.mends.iter().map(|mend| mend.command.as_str()).collect();
    assert_eq!(commands, expected, "{mechanism:?}: {step}");
}

#[test]
fn ubuntu_refuses_at_any_of_three_steps_for_one_reason() {
    let ubuntu = Host {
        apparmor_restricts_userns: Some(1),
        distribution: Distribution::Ubuntu,
        ..user()
    };
    for step in ["unshare(NEWUSER)", "write uid_map", "make mounts private"] {
        check(
            Mechanism::UserNamespace,
            step,
            Errno::EPERM,
            &ubuntu,
            &[
                "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
                "printf 'abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile squall /home/ada/squall flags=(unconfined) {\\n  userns,\\n}\\n' \
                 | sudo tee /etc/apparmor.d/squall && sudo apparmor_parser -r /etc/apparmor.d/squall",
                "sudo /home/ada/squall doctor",
            ],
        );
    }
}

#[test]
fn a_path_that_needs_quoting_gets_no_profile() {
    let odd = Host {
        exe: "/home/ada/my 'squall".to_owned(),
        ..user()
    };
    assert_eq!(apparmor_profile(&odd), None);
}

#[test]
fn settings_that_forbid_user_namespaces_are_named() {
    let debian = Host {
        unprivileged_userns_clone: Some(0),
        ..user()
    };
    let advice = ["sudo sysctl -w kernel.unprivileged_userns_clone=1", "sudo /home/ada/squall doctor"];
    check(Mechanism::UserNamespace, "unshare(NEWUSER)", Errno::EPERM, &debian, &advice);
    let hardened = Host {
        max_user_namespaces: Some(0),
        ..user()
    };
    let advice = ["sudo sysctl -w user.max_user_namespaces=15000", "sudo /home/ada/squall doctor"];
    check(Mechanism::UserNamespace, "unshare(NEWUSER)", Errno::ENOSPC, &hardened, &advice);
    check(
        Mechanism::Veth,
        "unshare(NEWNET)",
        Errno::ENOSPC,
        &user(),
        &["sudo sysctl -w user.max_net_namespaces=15000"],
    );
}

#[test]
fn a_container_is_given_its_engines_flags() {
    let flags = "docker run --cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
                 --security-opt systempaths=unconfined --device /dev/fuse --device /dev/net/tun …";
    check(
        Mechanism::UserNamespace,
        "unshare(NEWUSER)",
        Errno::EPERM,
        &container(),
        &["docker run --privileged …", flags],
    );
    check(
        Mechanism::PidNamespace,
        MOUNT_PROC,
        Errno::EPERM,
        &container(),
        &["docker run --security-opt systempaths=unconfined …"],
    );
    check(
        Mechanism::Tun,
        "open /dev/net/tun",
        Errno::EPERM,
        &container(),
        &["docker run --device /dev/net/tun …"],
    );
    let podman = Host {
        container: Some("podman".to_owned()),
        ..container()
    };
    check(
        Mechanism::PidNamespace,
        MOUNT_PROC,
        Errno::EPERM,
        &podman,
        &["podman run --security-opt unmask=ALL …"],
    );
}

#[test]
fn root_is_never_told_to_become_root() {
    let root = Host { euid: 0, ..user() };
    check(Mechanism::UserNamespace, "unshare(NEWUSER)", Errno::EPERM, &root, &[]);
    check(
        Mechanism::UserNamespace,
        "unshare(NEWUSER)",
        Errno::ENOSPC,
        &root,
        &["sysctl -w user.max_user_namespaces=15000"],
    );
    check(Mechanism::CgroupV1, "mkdir in /x", Errno::EACCES, &root, &[]);
}

#[test]
fn netem_is_in_another_package_per_distribution() {
    let on = |distribution| Host { distribution, ..user() };
    let ubuntu = "sudo apt-get install linux-modules-extra-$(uname -r) && sudo modprobe sch_netem";
    check(
        Mechanism::Netem,
        "add qdisc netem",
        Errno::ENOENT,
        &on(Distribution::Ubuntu),
        &[ubuntu],
    );
    let fedora = "sudo dnf install kernel-modules-extra-$(uname -r) && sudo modprobe sch_netem";
    check(
        Mechanism::Netem,
        "add qdisc netem",
        Errno::ENOENT,
        &on(Distribution::Fedora),
        &[fedora],
    );
    check(
        Mechanism::Netem,
        "add qdisc netem",
        Errno::ENOENT,
        &on(Distribution::Debian),
        &["sudo modprobe sch_netem"],
    );
    let bare = Host {
        has_modules: false,
        ..user()
    };
    check(
        Mechanism::Netem,
        "add qdisc netem",
        Errno::ENOENT,
        &bare,
        &["boot a kernel with CONFIG_NET_SCH_NETEM"],
    );
}

#[test]
fn groups_devices_and_tracing_have_their_own_mends() {
    let delegate = "systemd-run --user --scope -p Delegate=yes /home/ada/squall doctor";
    check(Mechanism::CgroupV2, "mkdir in /x", Errno::EACCES, &user(), &[delegate]);
    check(
        Mechanism::Fuse,
        "open /dev/fuse",
        Errno::EACCES,
        &user(),
        &["sudo chmod 0666 /dev/fuse"],
    );
    let yama = Host {
        ptrace_scope: Some(2),
        ..user()
    };
    check(
        Mechanism::Ptrace,
        "ptrace(TRACEME)",
        Errno::EPERM,
        &yama,
        &["sudo sysctl -w kernel.yama.ptrace_scope=1"],
    );
    check(Mechanism::Pidfd, "pidfd_open", Errno::ENOSYS, &user(), &["boot Linux 5.3 or later"]);
}

#[test]
fn a_missing_program_is_installed_by_the_distributions_tool() {
    let on = |distribution| {
        explain(
            Mechanism::IptablesLegacy,
            &Failure::absent("iptables-legacy-restore"),
            &Host { distribution, ..user() },
        )
    };
    assert_eq!(on(Distribution::Debian).reason, "iptables-legacy-restore is missing");
    assert_eq!(on(Distribution::Debian).mends[0].command, "sudo apt-get install iptables");
    assert_eq!(on(Distribution::Fedora).mends[0].command, "sudo dnf install iptables-legacy");
    assert_eq!(on(Distribution::Other).mends[0].command, "install the package iptables");
}

#[test]
fn what_needs_another_mechanism_is_left_to_its_mend() {
    let mut failure = Failure::refused("write uid_map", Errno::EPERM);
    failure.stage = Stage::Enter;
    let explanation = explain(Mechanism::Veth, &failure, &user());
    assert_eq!(explanation.reason, "not tried: needs user-namespace");
    assert_eq!(
        (explanation.blocked_by, explanation.mends),
        (Some(Mechanism::UserNamespace), Vec::new())
    );
    let masked = explain(Mechanism::Forwarding, &Failure::refused(MOUNT_PROC, Errno::EPERM), &container());
    assert_eq!(masked.blocked_by, Some(Mechanism::PidNamespace));
}
