//! Run folders are made once, found by every name, and written whole.

use super::*;
use crate::report::witness::Picture;

fn noon() -> DateTime<Utc> {
    "2026-02-14T12:00:00Z".parse().unwrap()
}

#[test]
fn names_a_run_by_time_system_and_seed_and_points_latest_at_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("deep/results");
    let first = RunFolder::create_at(&out, "quorum", 7, noon()).unwrap();
    assert_eq!(first.name(), "20260214T120000Z-quorum-seed7");
    assert_eq!(first.typed(), out.join("latest"));
    let second = RunFolder::create_at(&out, "quorum", 7, noon()).unwrap();
    assert_eq!(second.name(), "20260214T120000Z-quorum-seed7-2");
    assert_eq!(second.typed(), out.join("latest"));
    assert_eq!(first.typed(), first.root());
    assert_eq!(second.as_typed(&second.witness_text()), out.join("latest/witness.txt"));
    let entries: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries.len(), 3, "two runs and `latest`, nothing in between: {entries:?}");
}

#[test]
fn never_gives_one_folder_to_two_runs_that_start_together() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| RunFolder::create_at(dir.path(), "etcd", 1, noon()).unwrap().name()))
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), 16, "{names:?}");
    assert!(names.contains(&fs::read_link(dir.path().join(LATEST)).unwrap().to_string_lossy().into_owned()));
}

#[test]
fn keeps_a_folder_named_latest_that_somebody_else_made() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("latest/precious")).unwrap();
    let run = RunFolder::create_at(dir.path(), "quorum", 7, noon()).unwrap();
    assert!(dir.path().join("latest/precious").is_dir());
    assert_eq!(run.typed(), run.root());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no intermediate link is left");
}

#[test]
fn makes_no_path_out_of_a_name() {
    for (hostile, expected) in [
        ("../../etc", "_..-..-etc"),
        ("", "_"),
        ("a/b\n\u{1b}[31m", "a-b--[31m".replace('[', "-").as_str()),
    ] {
        assert_eq!(safe_name(hostile), expected);
    }
    assert_eq!(RunFolder::at("/r").node("..").data(), Path::new("/r/nodes/_../data"));
}

#[test]
fn a_place_that_cannot_hold_results_is_a_usage_error_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("results");
    fs::write(&file, "").unwrap();
    for place in [
        file.as_path(),
        &file.join("below"),
        Path::new("/proc/nope"),
        &dir.path().join("x".repeat(300)),
    ] {
        let error = RunFolder::create_at(place, "quorum", 7, noon()).unwrap_err();
        assert!(error.is_usage(), "{error:?}");
    }
    let error = RunFolder::create_at(&file, "quorum", 7, noon()).unwrap_err();
    assert!(error.to_string().contains("results"), "{error}");
    assert!(error.hint().contains("--out DIR"));
}

#[test]
fn a_full_disk_is_not_the_users_fault() {
    let error = ResultsError::new(Path::new("x"), io::Error::from(io::ErrorKind::StorageFull));
    assert!(!error.is_usage());
}

#[test]
fn opens_a_run_by_path_by_name_and_as_latest_and_a_bare_file() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunFolder::create_at(dir.path(), "quorum", 7, noon()).unwrap();
    let error = open(Path::new("latest"), dir.path()).unwrap_err();
    assert!(
        matches!(error, ResultsError::NotARun { .. }),
        "a run without a history yet: {error:?}"
    );
    fs::write(run.history(), "").unwrap();
    for named in [Path::new("latest"), run.root(), Path::new(&run.name()), &dir.path().join("latest")] {
        let input = open(named, dir.path()).unwrap();
        assert_eq!(input, Input::Folder(run.clone()), "{named:?}");
        assert_eq!(input.history(), run.history());
    }
    assert_eq!(open(&run.history(), dir.path()).unwrap(), Input::File(run.history()));
    let error = open(Path::new("nosuch"), dir.path()).unwrap_err();
    assert!(
        error.is_usage() && error.hint().contains(&dir.path().display().to_string()),
        "{error:?}"
    );
}

#[test]
fn removes_the_witness_of_an_earlier_judgement() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunFolder::create_at(dir.path(), "quorum", 7, noon()).unwrap();
    let mut files = JudgementFiles {
        verdict: "1\n".into(),
        report: "r\n".into(),
        witness: Some(("w\n".into(), "{}\n".into())),
        picture: Some(Picture {
            svg: "s\n".into(),
            html: "h\n".into(),
        }),
        spacetime: Some(Picture {
            svg: "m\n".into(),
            html: "p\n".into(),
        }),
    };
    run.write_judgement(&files).unwrap();
    assert_eq!(fs::read_to_string(run.witness_text()).unwrap(), "w\n");
    assert_eq!(fs::read_to_string(run.witness_history()).unwrap(), "{}\n");
    assert_eq!(fs::read_to_string(run.witness_picture()).unwrap(), "s\n");
    assert_eq!(fs::read_to_string(run.witness_page()).unwrap(), "h\n");
    assert_eq!(fs::read_to_string(run.spacetime_picture()).unwrap(), "m\n");
    assert_eq!(fs::read_to_string(run.spacetime_page()).unwrap(), "p\n");
    files.witness = None;
    files.spacetime = None;
    files.picture = None;
    files.verdict = "2\n".into();
    run.write_judgement(&files).unwrap();
    assert!(!run.witness_text().exists() && !run.witness_history().exists());
    assert!(!run.witness_picture().exists() && !run.witness_page().exists());
    assert!(!run.spacetime_picture().exists() && !run.spacetime_page().exists());
    assert_eq!(fs::read_to_string(run.verdict()).unwrap(), "2\n");
}
