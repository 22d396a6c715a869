//! The numbers of a sandbox's processes as somebody outside sees them.
//!
//! The inside has a pid namespace of its own and cannot know them. The kernel tells both to whoever looks from outside: `NSpid` in
//! `/proc/PID/status` lists a process's number in each namespace, ours first (proc(5)).

use std::collections::BTreeMap;
use std::fs;

/// The pid, as we see it, of the node's pid 1 whose number in the sandbox is `init_pid`; `below` is the process that started the sandbox.
pub fn of_node(init_pid: u32, below: u32) -> Option<u32> {
    let processes: BTreeMap<u32, Process> = fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, Process::of(&fs::read_to_string(entry.path().join("status")).ok()?)?))
        })
        .collect();
    find(&processes, init_pid, below)
}

/// Options of `nsenter` for the namespaces of a process that are not ours, the user namespace first.
///
/// Its `--all` is not for ordinary users: it also joins the cgroup and time namespaces, which a sandbox shares with the host and which only
/// root may join. And to join the user namespace that one is in already is an error (setns(2)).
pub fn nsenter_options(pid: u32) -> Vec<&'static str> {
    const NAMESPACES: [(&str, &str); 6] = [
        ("user", "-U --preserve-credentials"),
        ("mnt", "-m"),
        ("uts", "-u"),
        ("ipc", "-i"),
        ("net", "-n"),
        ("pid", "-p"),
    ];
    let link = |process: &str, name: &str| fs::read_link(format!("/proc/{process}/ns/{name}")).ok();
    let differs = |name: &str| link(&pid.to_string(), name).is_none_or(|theirs| Some(theirs) != link("self", name));
    NAMESPACES
        .into_iter()
        .filter(|(name, _)| differs(name))
        .map(|(_, option)| option)
        .collect()
}

/// What a process's status says.
struct Process {
    parent: u32,
    /// Its number in each pid namespace, outermost first.
    numbers: Vec<u32>,
}

impl Process {
    fn of(status: &str) -> Option<Process> {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        Some(Process {
            parent: field("PPid:")?.trim().parse().ok()?,
            numbers: field("NSpid:")?
                .split_whitespace()
                .filter_map(|number| number.parse().ok())
                .collect(),
        })
    }
}

fn find(processes: &BTreeMap<u32, Process>, init_pid: u32, below: u32) -> Option<u32> {
    let is_the_init = |process: &Process| process.numbers.len() >= 3 && process.numbers.ends_with(&[init_pid, 1]);
    let descends = |pid: u32| {
        let parent = |pid: &u32| processes.get(pid).map(|process| process.parent);
        // The table was not read in one moment: a cycle must not hold us.
        std::iter::successors(Some(pid), parent).take(64).any(|ancestor| ancestor == below)
    };
    processes
        .iter()
        .find(|(pid, process)| is_the_init(process) && descends(**pid))
        .map(|(pid, _)| *pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_namespaces_need_no_entering() {
        assert_eq!(nsenter_options(std::process::id()), Vec::<&str>::new());
    }

    fn process(parent: u32, numbers: &str) -> Process {
        Process::of(&format!("Name:\tx\nPPid:\t{parent}\nNSpid:\t{numbers}\n")).expect("both fields are there")
    }

    #[test]
    fn finds_the_init_of_a_node_in_its_own_sandbox() {
        let processes = BTreeMap::from([
            (500, process(400, "500")),
            (501, process(500, "501 1")),
            (510, process(501, "510 7")),
            (511, process(510, "511 8 1")),
            (512, process(511, "512 9 2")),
            (611, process(600, "611 8 1")),
            (600, process(400, "600")),
        ]);
        assert_eq!(find(&processes, 8, 500), Some(511));
        assert_eq!(find(&processes, 8, 600), Some(611), "another sandbox has the same numbers");
        assert_eq!(find(&processes, 9, 500), None, "it is no init");
    }
}
