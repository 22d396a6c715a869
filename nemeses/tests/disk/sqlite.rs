//! SQLite in its journal modes, killed in the midst of inserts, its power cut: what it promises holds, and what it does not promise is lost.

use std::io::{BufRead, BufReader};

use squall_nemeses::disk::{Caching, Cut, Rules};

use crate::machine::{Machine, with_machine};

const ACKED: usize = 40;

/// Inserts rows until it is killed, each in a transaction of its own, and tells each commit.
fn inserter(mode: &str, synchronous: &str) -> String {
    format!(
        "import sqlite3\nc=sqlite3.connect('db',isolation_level=None)\nc.execute('pragma journal_mode={mode}')\nc.execute('pragma synchronous={synchronous}')\n\
         c.execute('create table if not exists t(a integer primary key,b text)')\nwhile True:\n c.execute('insert into t(b) values(?)',('x'*300,))\n print('row',flush=True)"
    )
}

const COUNTER: &str = "import sqlite3\nc=sqlite3.connect('db')\ntry:\n print(c.execute('select count(*) from t').fetchone()[0],c.execute('pragma integrity_check').fetchone()[0])\nexcept sqlite3.Error as e:\n print(0,e)";

/// Runs the inserter, kills it after some commits, cuts the power; the commits it told, the rows that are left, and what the check said.
fn survive(machine: &mut Machine, mode: &str, synchronous: &str, cut: Cut) -> Option<(usize, usize, String)> {
    for name in ["db", "db-wal", "db-shm", "db-journal"] {
        let _ = std::fs::remove_file(machine.path(name));
    }
    let mut child = machine.python(&inserter(mode, synchronous))?;
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acked = told.by_ref().take(ACKED).map(Result::unwrap).count();
    child.kill().unwrap();
    child.wait().unwrap();
    acked += told.map_while(Result::ok).count();
    machine.cut_power(cut);
    let output = machine.python(COUNTER)?.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (rows, check) = said.trim().split_once(' ').unwrap();
    Some((acked, rows.parse().unwrap(), check.to_owned()))
}

#[test]
fn loses_no_commit_where_sqlite_promises_it() {
    for rules in [Rules::PosixStrict, Rules::Ext4Ordered] {
        with_machine(rules, Caching::Through, move |machine| {
            for (mode, synchronous) in [
                ("delete", "full"),
                ("truncate", "full"),
                ("persist", "full"),
                ("wal", "full"),
                ("delete", "extra"),
            ] {
                for cut in [Cut::Clean, Cut::Torn(1), Cut::Torn(2)] {
                    let Some((acked, rows, check)) = survive(machine, mode, synchronous, cut) else {
                        return;
                    };
                    assert_eq!(check, "ok", "{rules:?} {mode} {synchronous} {cut:?}");
                    // The commit is the removal of the journal, and only `extra` syncs its directory (sqlite.org/pragma.html#pragma_synchronous).
                    let lost = acked.saturating_sub(rows);
                    let may_lose = usize::from(mode == "delete" && synchronous == "full");
                    assert!(
                        lost <= may_lose,
                        "{rules:?} {mode} {synchronous} {cut:?}: {rows} rows are left of {acked}"
                    );
                }
            }
        });
    }
}

#[test]
fn loses_commits_where_sqlite_promises_none() {
    with_machine(Rules::PosixStrict, Caching::Through, |machine| {
        for (mode, synchronous) in [("wal", "normal"), ("wal", "off"), ("delete", "off")] {
            let Some((acked, rows, _)) = survive(machine, mode, synchronous, Cut::Clean) else {
                return;
            };
            assert!(rows < acked, "{mode} {synchronous}: {rows} rows are left of {acked}");
        }
    });
}
