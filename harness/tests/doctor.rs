//! `squall doctor` on machines that refuse: each test takes something away for real and looks at the reason and the mend.
//!
//! Without libtest, because this program is also the probe child (`__probe NAME`) and the patient (`__report`): both need a process with
//! one thread and a stdout of their own.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test program without libtest, which clippy cannot know"
)]

use std::collections::BTreeSet;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use squall::doctor::{Finding, Mechanism, Options, Report, examine, render, run_probe};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["__probe", name] => println!("{}", serde_json::to_string(&run_probe(name)).unwrap()),
        ["__report"] => println!("{}", serde_json::to_string(&examine(&Options::default())).unwrap()),
        ["__report", "without-unshare-and-mount"] => {
            seccomp::forbid(&[libc::SYS_unshare, libc::SYS_setns, libc::SYS_mount, libc::SYS_mount_setattr]);
            println!("{}", serde_json::to_string(&examine(&Options::default())).unwrap());
        }
        ["__report", "without-mount"] => {
            seccomp::forbid(&[libc::SYS_mount]);
            println!("{}", serde_json::to_string(&examine(&Options::default())).unwrap());
        }
        ["__render"] => print!("{}", render(&examine(&Options::default()))),
        _ => run_tests(&words),
    }
    ExitCode::SUCCESS
}

/// Runs the tests whose names contain one of the words (as libtest does), or all.
fn run_tests(words: &[&str]) {
    let filters: Vec<&str> = words.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let tests: [(&str, fn()); 9] = [
        (
            "a_killed_examination_leaves_nothing_behind",
            a_killed_examination_leaves_nothing_behind,
        ),
        (
            "examines_this_machine_and_leaves_nothing_behind",
            examines_this_machine_and_leaves_nothing_behind,
        ),
        (
            "an_unknown_probe_is_a_failure_and_no_panic",
            an_unknown_probe_is_a_failure_and_no_panic,
        ),
        (
            "names_the_limit_when_user_namespaces_are_used_up",
            names_the_limit_when_user_namespaces_are_used_up,
        ),
        (
            "names_the_container_flags_under_a_seccomp_filter",
            names_the_container_flags_under_a_seccomp_filter,
        ),
        (
            "a_refusal_after_unshare_is_found_by_the_mount",
            a_refusal_after_unshare_is_found_by_the_mount,
        ),
        ("names_what_covers_proc", names_what_covers_proc),
        (
            "an_ordinary_user_is_told_how_to_open_the_devices",
            an_ordinary_user_is_told_how_to_open_the_devices,
        ),
        ("without_iptables_the_main_job_still_runs", without_iptables_the_main_job_still_runs),
    ];
    for (name, test) in tests {
        if filters.is_empty() || filters.iter().any(|filter| name.contains(filter)) {
            test();
            println!("test {name} ... ok");
        }
    }
}

fn examines_this_machine_and_leaves_nothing_behind() {
    let before = traces();
    let report = report_of(&mut own_program(&["__report"])).expect("runs as a plain child");
    let names: Vec<_> = report.findings.iter().map(|finding| finding.mechanism.as_str()).collect();
    let catalogue: Vec<_> = Mechanism::ALL.iter().map(|mechanism| mechanism.name()).collect();
    assert_eq!(names, catalogue);
    for finding in &report.findings {
        assert!(
            finding.works || !finding.detail.is_empty(),
            "a refusal without a reason: {finding:?}"
        );
        assert!(!finding.detail.contains("no answer"), "{finding:?}");
    }
    let text = render(&report);
    assert!(text.lines().count() >= names.len() && !text.contains('\u{1b}'), "{text}");
    assert_nothing_left(&before);
}

/// Killed after 0, 5, 10 … ms: in the middle of any probe.
fn a_killed_examination_leaves_nothing_behind() {
    let before = traces();
    for delay_ms in (0..100).step_by(5) {
        let mut patient = own_program(&["__report"]).stdout(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(delay_ms) && patient.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        patient.kill().unwrap();
        patient.wait().unwrap();
    }
    assert_nothing_left(&before);
}

fn an_unknown_probe_is_a_failure_and_no_panic() {
    let output = own_program(&["__probe", "warp-drive"]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        r#"{"fails":{"stage":"absent","step":"probe `warp-drive`","errno":null,"said":""}}"#
    );
}

fn names_the_limit_when_user_namespaces_are_used_up() {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" __report";
    let Some(report) = report_of(Command::new("unshare").args(["-Ur", "sh", "-c", script]).arg(own_path())) else {
        return;
    };
    let finding = refused(&report, Mechanism::UserNamespace);
    assert_eq!(finding.detail, "unshare(NEWUSER): No space left on device (ENOSPC)");
    assert_eq!(commands(finding), ["sysctl -w user.max_user_namespaces=15000"]);
    assert!(!report.can_run && report.exit_code() == 255);
    assert_eq!(report.missing, ["user-namespace or plain-namespaces"]);
    assert_eq!(refused(&report, Mechanism::Veth).detail, "not tried: needs user-namespace");
}

fn names_the_container_flags_under_a_seccomp_filter() {
    let report = report_of(&mut own_program(&["__report", "without-unshare-and-mount"])).expect("runs as a plain child");
    let finding = refused(&report, Mechanism::UserNamespace);
    assert_eq!(finding.detail, "unshare(NEWUSER): Operation not permitted (EPERM)");
    assert!(
        commands(finding).iter().any(|command| command.contains("run --privileged")),
        "{finding:?}"
    );
    assert!(
        commands(finding)
            .iter()
            .any(|command| command.contains("--security-opt seccomp=unconfined")),
        "{finding:?}"
    );
    assert!(!report.can_run);
    assert!(report.works(Mechanism::Pidfd), "what needs no namespace is still probed");
}

/// As Ubuntu's AppArmor does it: the namespace is made, and useless.
fn a_refusal_after_unshare_is_found_by_the_mount() {
    let report = report_of(&mut own_program(&["__report", "without-mount"])).expect("runs as a plain child");
    let finding = refused(&report, Mechanism::UserNamespace);
    assert_eq!(finding.detail, "make mounts private: Operation not permitted (EPERM)");
    assert_eq!(report.missing, ["user-namespace or plain-namespaces"]);
}

fn names_what_covers_proc() {
    let script = "mount --bind /dev/null /proc/cmdline && exec \"$0\" __report";
    let Some(report) = report_of(Command::new("unshare").args(["-Urm", "sh", "-c", script]).arg(own_path())) else {
        return;
    };
    let finding = refused(&report, Mechanism::PidNamespace);
    assert_eq!(finding.detail, "mount proc: Operation not permitted (EPERM)");
    if report.host.container.is_none() {
        assert!(
            commands(finding)
                .iter()
                .any(|command| command.contains("umount") && command.contains("/proc/cmdline")),
            "{finding:?}"
        );
    }
    assert_eq!(report.missing, ["pid-namespace"]);
    assert_eq!(refused(&report, Mechanism::Forwarding).detail, "not tried: needs pid-namespace");
}

fn an_ordinary_user_is_told_how_to_open_the_devices() {
    if !nix::unistd::geteuid().is_root() {
        return skip("becoming another user needs root");
    }
    let ids = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let Some(report) = report_of(Command::new("setpriv").args(ids).arg(own_path()).arg("__report")) else {
        return;
    };
    assert_eq!(report.host.euid, 65534);
    for (mechanism, device) in [(Mechanism::Tun, "/dev/net/tun"), (Mechanism::Fuse, "/dev/fuse")] {
        let finding = report.finding(mechanism).unwrap();
        let refused = finding.detail == format!("open {device}: Permission denied (EACCES)");
        if refused && report.host.container.is_none() {
            assert_eq!(commands(finding), [format!("sudo chmod 0666 {device}")]);
        }
    }
    assert!(!report.works(Mechanism::PlainNamespaces));
    assert!(
        refused(&report, Mechanism::PlainNamespaces).mends.is_empty(),
        "a fall-back asks for nothing"
    );
}

/// A machine without iptables: everything in the system folders is hidden, the rest of the machine is as it was.
fn without_iptables_the_main_job_still_runs() {
    let script = "for folder in /usr/sbin /usr/local/sbin; do mount -t tmpfs none $folder; done; PATH=/usr/bin exec \"$0\" __report";
    let Some(report) = report_of(Command::new("unshare").args(["-Urm", "sh", "-c", script]).arg(own_path())) else {
        return;
    };
    for mechanism in [Mechanism::IptablesLegacy, Mechanism::IptablesNft] {
        let finding = refused(&report, mechanism);
        assert_eq!(finding.detail, format!("{}-restore is missing", mechanism.name()));
        assert!(commands(finding).iter().all(|command| command.contains("install")), "{finding:?}");
    }
    assert!(!report.works(Mechanism::Nfqueue));
    let without_program = [Mechanism::Nftables, Mechanism::PolicyRules]
        .iter()
        .any(|mechanism| report.works(*mechanism));
    assert_eq!(report.can_run, without_program, "{:?}", report.missing);
}

fn own_path() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

fn own_program(arguments: &[&str]) -> Command {
    let mut command = Command::new(own_path());
    command.args(arguments);
    command
}

/// The report that the command prints; none, with a line that says so, if this machine cannot run the command.
fn report_of(command: &mut Command) -> Option<Report> {
    let output = match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => {
            skip(&format!("{command:?}: {error}"));
            return None;
        }
    };
    match serde_json::from_slice(&output.stdout) {
        Ok(report) => Some(report),
        Err(_) => {
            skip(&format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
            None
        }
    }
}

fn skip(reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot run in CI: {reason}");
    println!("skipped: {reason}");
}

fn refused(report: &Report, mechanism: Mechanism) -> &Finding {
    let finding = report.finding(mechanism).unwrap();
    assert!(!finding.works, "{finding:?}");
    finding
}

fn commands(finding: &Finding) -> Vec<&str> {
    finding.mends.iter().map(|mend| mend.command.as_str()).collect()
}

/// Within 10 s: what a killed parent leaves ends by itself, a moment later.
fn assert_nothing_left(before: &BTreeSet<String>) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = traces();
        if now == *before {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "changed: {:?}",
            now.symmetric_difference(before).collect::<Vec<_>>()
        );
    }
}

/// What a probe could leave behind: mounts, interfaces, cgroups, processes.
fn traces() -> BTreeSet<String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut traces: BTreeSet<String> = mounts.lines().map(str::to_owned).collect();
    traces.extend(names_in("/sys/class/net"));
    let probes = names_in("/proc").into_iter().filter(|pid| is_probe(pid));
    traces.extend(probes.map(|pid| format!("process {pid}")));
    let mut folders: Vec<_> = mounts
        .lines()
        .filter(|line| line.contains(" - cgroup"))
        .filter_map(|line| line.split(' ').nth(4))
        .map(str::to_owned)
        .collect();
    while let Some(folder) = folders.pop() {
        for name in names_in(&folder) {
            if name.starts_with("squall-doctor-") {
                traces.insert(format!("{folder}/{name}"));
            } else if std::path::Path::new(&folder).join(&name).is_dir() {
                folders.push(format!("{folder}/{name}"));
            }
        }
    }
    traces
}

/// True for another process of this program, dead ones left out (a zombie has no program).
fn is_probe(pid: &str) -> bool {
    pid.parse() != Ok(std::process::id()) && std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| program == own_path())
}

fn names_in(folder: &str) -> Vec<String> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

mod seccomp {
    //! The default profile of a container engine, as far as it matters here.

    /// Makes these system calls fail with EPERM in this process and its children.
    pub(super) fn forbid(forbidden: &[libc::c_long]) {
        let load_number = filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
        let compare = |(place, number): (usize, &libc::c_long)| {
            let jump = u8::try_from(forbidden.len() - place).unwrap();
            filter(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                jump,
                0,
                u32::try_from(*number).unwrap(),
            )
        };
        let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
        let answers = [libc::SECCOMP_RET_ALLOW, refuse].map(|answer| filter(libc::BPF_RET | libc::BPF_K, 0, 0, answer));
        let mut program: Vec<_> = [load_number]
            .into_iter()
            .chain(forbidden.iter().enumerate().map(compare))
            .chain(answers)
            .collect();
        install(&mut program);
    }

    fn filter(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt,
            jf,
            k,
        }
    }

    #[allow(unsafe_code, reason = "installing a seccomp filter has no safe form here")]
    fn install(program: &mut [libc::sock_filter]) {
        let program = libc::sock_fprog {
            len: u16::try_from(program.len()).unwrap(),
            filter: program.as_mut_ptr(),
        };
        // SAFETY: `program` points to `len` instructions that live through the call; the kernel copies and checks them.
        let installed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        assert_eq!(installed, 0, "{}", std::io::Error::last_os_error());
    }
}
