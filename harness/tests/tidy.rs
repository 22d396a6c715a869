//! Rules of the house that a compiler does not know: who may depend on whom, headers, and documents that name real files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crate folder, our crates it may use, packages it may use (ARCHITECTURE.md, "The folders"). Development dependencies count too.
const ALLOWED: &[(&str, &[&str], &[&str])] = &[
    (
        "checker",
        &[],
        &[
            "divan",
            "insta",
            "rand",
            "rand_chacha",
            "rustc-hash",
            "serde",
            "serde_json",
            "thiserror",
        ],
    ),
    (
        "nemeses",
        &[],
        &[
            "divan",
            "insta",
            "libc",
            "nix",
            "rand",
            "rand_chacha",
            "rustix",
            "schemars",
            "serde",
            "serde_json",
            "tempfile",
            "thiserror",
            "tracing",
        ],
    ),
    (
        "node",
        &[],
        &[
            "anyhow",
            "clap",
            "crc32fast",
            "insta",
            "rand",
            "rand_chacha",
            "rustix",
            "serde",
            "serde_json",
            "tempfile",
            "thiserror",
            "tokio",
            "tracing",
            "tracing-subscriber",
        ],
    ),
    (
        "workloads",
        &["squall-checker"],
        &["insta", "rand", "rand_chacha", "schemars", "serde", "serde_json"],
    ),
    (
        "harness",
        &["squall-checker", "squall-nemeses", "squall-node", "squall-workloads"],
        &[
            "anstream",
            "anstyle",
            "anyhow",
            "base64",
            "chrono",
            "clap",
            "clap_complete",
            "divan",
            "hdrhistogram",
            "indicatif",
            "insta",
            "libc",
            "nix",
            "rand",
            "rand_chacha",
            "rustix",
            "schemars",
            "serde",
            "serde_json",
            "sha2",
            "tempfile",
            "thiserror",
            "tokio",
            "toml",
            "tracing",
            "tracing-subscriber",
        ],
    ),
];

/// What the judge must never touch, as it is written in code.
const FORBIDDEN_IN_CHECKER: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "Instant::now",
    "SystemTime",
    "std::thread",
    "thread::",
];

/// The checker's one file that may start threads: what it does with them cannot be seen in its answer.
const MAY_START_THREADS: &str = "checker/src/parallel.rs";

/// Folders the owner fixed, and hidden ones; nothing else may stand at the top.
const TOP_FOLDERS: &[&str] = &["harness", "workloads", "nemeses", "checker", "node", "results", "target"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the harness stands in the workspace")
        .to_owned()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("folders of the repository can be read") {
            let path = entry.expect("entries can be read").path();
            let name = path.file_name().expect("entries have names").to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() {
                // Results are data, and hidden folders are not ours to tidy but for the CI's.
                let skipped = name == "target" || (name.starts_with('.') && name != ".ci") || path == root().join("results");
                if !skipped {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("it is in the repository").display().to_string()
}

/// Names in every `[…dependencies]` table of a manifest.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            if let Some((_, name)) = table.split_once("dependencies.") {
                names.insert(name.to_owned());
            }
        } else if inside && let Some((name, _)) = line.split_once('=') {
            names.insert(name.trim().trim_end_matches(".workspace").to_owned());
        }
    }
    names
}

#[test]
fn crates_depend_only_on_what_the_architecture_lets_them_know() {
    let mut wrong = Vec::new();
    for (folder, ours, packages) in ALLOWED {
        let found = dependencies(&read(&root().join(folder).join("Cargo.toml")));
        assert!(!found.is_empty(), "{folder}: the test must see dependencies to judge them");
        for name in found {
            let (kind, allowed) = if name.starts_with("squall") {
                ("crate", ours)
            } else {
                ("package", packages)
            };
            if !allowed.contains(&name.as_str()) {
                wrong.push(format!(
                    "{folder}/Cargo.toml: {kind} `{name}` is not allowed there (harness/tests/tidy.rs, ALLOWED)"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_judge_has_no_clock_file_network_or_thread_of_its_own() {
    let mut wrong = Vec::new();
    let sources = files(&root().join("checker/src"), "rs");
    assert!(sources.len() > 5, "the test must see the checker's sources");
    for path in sources {
        let text = read(&path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in FORBIDDEN_IN_CHECKER {
            let allowed = word.contains("thread") && shown(&path) == MAY_START_THREADS;
            if code.contains(word) && !allowed {
                wrong.push(format!("{}: `{word}`: the checker is pure", shown(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_and_the_report_print_to_stdout() {
    let mut wrong = Vec::new();
    for path in files(&root().join("harness/src"), "rs") {
        let name = shown(&path);
        let text = read(&path);
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        // The links of the sandbox's chain answer each other through their standard output, which is a pipe there.
        let may_print = ["harness/src/cli", "harness/src/report", "harness/src/sandbox"]
            .iter()
            .any(|place| name.starts_with(place));
        if !may_print && ["println!", "print!(", "stdout()"].iter().any(|word| code.contains(word)) {
            wrong.push(format!("{name}: prints; only harness/src/cli and harness/src/report may"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_says_first_what_it_is() {
    let mut wrong = Vec::new();
    for (folder, _, _) in ALLOWED {
        for path in files(&root().join(folder), "rs") {
            if !read(&path).starts_with("//! ") {
                wrong.push(format!("{}: begin with a `//!` line that says what the file is", shown(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_folders_the_owner_fixed_stand_at_the_top() {
    let wrong: Vec<String> = fs::read_dir(root())
        .expect("the repository can be read")
        .map(|entry| entry.expect("entries can be read"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !TOP_FOLDERS.contains(&name.as_str()))
        .collect();
    assert!(wrong.is_empty(), "folders that may not stand at the top: {}", wrong.join(", "));
}

/// Words between backticks and link targets that look like paths of this repository.
fn paths_named_in(text: &str) -> Vec<String> {
    let mut named = Vec::new();
    let mut words: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
    words.extend(text.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    for word in words {
        let path = word.split('#').next().unwrap_or_default().trim_start_matches("./");
        let first = path.split('/').next().unwrap_or_default();
        let ours = ALLOWED.iter().any(|(folder, _, _)| *folder == first) || [".ci", ".github", "results"].contains(&first);
        let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/{},".contains(c));
        let root_file = !path.contains('/') && [".md", ".toml"].iter().any(|end| path.ends_with(end)) && plain;
        if (ours && path.contains('/') && plain) || root_file {
            named.push(path.to_owned());
        }
    }
    named
}

/// `a/{b,c}/d` as `a/b/d`, `a/c/d`.
fn expand(path: &str) -> Vec<String> {
    match (path.find('{'), path.find('}')) {
        (Some(open), Some(close)) if open < close => path[open + 1..close]
            .split(',')
            .flat_map(|middle| expand(&format!("{}{middle}{}", &path[..open], &path[close + 1..])))
            .collect(),
        _ => vec![path.to_owned()],
    }
}

#[test]
fn documents_name_only_files_that_exist() {
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let documents = files(&root(), "md");
    assert!(
        documents.iter().any(|path| path.ends_with("README.md")),
        "the test must see the README"
    );
    for document in documents {
        let beside = document.parent().expect("files have folders").to_owned();
        for path in paths_named_in(&read(&document)).iter().flat_map(|path| expand(path)) {
            // A run's files are named by their place in a results folder, and exist only after a run.
            let of_a_run = path.starts_with("results/") && !path.ends_with(".md");
            if !of_a_run && !root().join(&path).exists() && !beside.join(&path).exists() {
                wrong.entry(shown(&document)).or_default().push(path);
            }
        }
    }
    assert!(wrong.is_empty(), "documents name files that do not exist: {wrong:#?}");
}

#[test]
fn finds_a_path_that_does_not_exist_in_a_document() {
    let text = "see `checker/src/{history,nowhere}.rs`, [this](./node/none.md#part) and `cargo test`, `GONE.md`";
    let named: Vec<String> = paths_named_in(text).iter().flat_map(|path| expand(path)).collect();
    assert_eq!(
        named,
        ["checker/src/history.rs", "checker/src/nowhere.rs", "GONE.md", "node/none.md"]
    );
}
