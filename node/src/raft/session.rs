//! Client sessions: a retried command takes effect once (Ongaro 2014, §6.3).
//!
//! Everything here is decided by the log alone, never by a clock: a session is opened by an entry and named by its index; when the table
//! is full the session that was not used for longest, counted in entries, is closed. A command of a closed session is refused, because
//! nobody can tell any more whether it took effect before. Each session keeps the answers to its last commands, so that a client may have
//! several on their way; what is older than those is refused as well.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::hash::{extend, fnv1a, spread};
use super::machine::Answer;

/// Answers kept per session, and so the commands that a client may have on their way in one session.
pub(super) const ANSWERS_MAX: usize = 16;

/// One client's session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Session {
    /// The last entry that used it.
    used: u64,
    /// The largest sequence whose answer was dropped: what is not above it cannot be told from a retry.
    floor: u64,
    /// Answers by sequence.
    answers: BTreeMap<u64, Answer>,
}

/// What a command of a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was never applied.
    New,
    /// It was, with this answer.
    Before(Answer),
    /// Nobody knows: the session or the answer is gone.
    Forgotten,
}

/// All open sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions {
    open: BTreeMap<u64, Session>,
    /// (last use, session).
    by_use: BTreeSet<(u64, u64)>,
    /// Sum over the sessions, so that a change costs no walk.
    hash: u64,
}

impl Sessions {
    /// Opens a session named by the entry's index; closes others while there are more than `sessions_max`.
    pub(super) fn open(&mut self, index: u64, sessions_max: u64) {
        self.put(
            index,
            Session {
                used: index,
                ..Session::default()
            },
        );
        while self.open.len() as u64 > sessions_max.max(1) {
            let Some((_, oldest)) = self.by_use.first().copied() else { break };
            self.take(oldest);
        }
    }

    /// Whether a command is new. Uses the session.
    pub(super) fn look_up(&mut self, index: u64, id: u64, sequence: u64) -> Seen {
        let Some(mut session) = self.take(id) else { return Seen::Forgotten };
        session.used = index;
        let seen = match session.answers.get(&sequence) {
            Some(answer) => Seen::Before(answer.clone()),
            None if sequence <= session.floor => Seen::Forgotten,
            None => Seen::New,
        };
        self.put(id, session);
        seen
    }

    /// Keeps the answer to a new command.
    pub(super) fn keep(&mut self, id: u64, sequence: u64, answer: Answer) {
        let Some(mut session) = self.take(id) else { return };
        session.answers.insert(sequence, answer);
        if session.answers.len() > ANSWERS_MAX
            && let Some((dropped, _)) = session.answers.pop_first()
        {
            session.floor = dropped;
        }
        self.put(id, session);
    }

    /// Hash over all sessions.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// For a snapshot.
    pub(super) fn encode(&self) -> impl Serialize {
        &self.open
    }

    /// From a snapshot.
    pub(super) fn decode(text: &str) -> serde_json::Result<Sessions> {
        let mut sessions = Sessions::default();
        let open: BTreeMap<u64, Session> = serde_json::from_str(text)?;
        open.into_iter().for_each(|(id, session)| sessions.put(id, session));
        Ok(sessions)
    }

    fn put(&mut self, id: u64, session: Session) {
        self.hash = self.hash.wrapping_add(hash_of(id, &session));
        self.by_use.insert((session.used, id));
        self.open.insert(id, session);
    }

    fn take(&mut self, id: u64) -> Option<Session> {
        let session = self.open.remove(&id)?;
        self.by_use.remove(&(session.used, id));
        self.hash = self.hash.wrapping_sub(hash_of(id, &session));
        Some(session)
    }
}

/// A session's part in the hash of the state: its name, its use, and which answers it keeps.
fn hash_of(id: u64, session: &Session) -> u64 {
    let newest = session.answers.last_key_value().map_or(0, |(sequence, _)| *sequence);
    let numbers = [id, session.used, session.floor, session.answers.len() as u64, newest];
    spread(
        numbers
            .iter()
            .fold(fnv1a(b"session"), |hash, number| extend(hash, &number.to_be_bytes())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(index: u64) -> Answer {
        Answer::Stored { at: (index, 1) }
    }

    fn apply(sessions: &mut Sessions, index: u64, id: u64, sequence: u64) -> Seen {
        let seen = sessions.look_up(index, id, sequence);
        if seen == Seen::New {
            sessions.keep(id, sequence, answer(index));
        }
        seen
    }

    #[test]
    fn a_retry_gets_the_first_answer() {
        let mut sessions = Sessions::default();
        sessions.open(5, 10);
        assert_eq!(apply(&mut sessions, 6, 5, 2), Seen::New);
        assert_eq!(apply(&mut sessions, 7, 5, 1), Seen::New, "overtaken, not retried");
        assert_eq!(apply(&mut sessions, 8, 5, 2), Seen::Before(answer(6)));
        assert_eq!(apply(&mut sessions, 9, 4, 2), Seen::Forgotten, "no such session");
    }

    #[test]
    fn what_is_older_than_the_kept_answers_is_refused() {
        let mut sessions = Sessions::default();
        sessions.open(1, 10);
        for sequence in 1..=ANSWERS_MAX as u64 + 1 {
            assert_eq!(apply(&mut sessions, sequence + 1, 1, sequence), Seen::New);
        }
        assert_eq!(apply(&mut sessions, 90, 1, 1), Seen::Forgotten);
        assert!(matches!(apply(&mut sessions, 91, 1, 2), Seen::Before(_)));
    }

    #[test]
    fn the_session_that_was_not_used_for_longest_is_closed() {
        let mut sessions = Sessions::default();
        sessions.open(1, 2);
        sessions.open(2, 2);
        apply(&mut sessions, 3, 1, 1);
        sessions.open(4, 2);
        assert_eq!(apply(&mut sessions, 5, 2, 1), Seen::Forgotten);
        assert!(matches!(apply(&mut sessions, 6, 1, 1), Seen::Before(_)));
    }

    #[test]
    fn a_snapshot_brings_everything_back_and_the_hash_tells_tables_apart() {
        let mut sessions = Sessions::default();
        sessions.open(1, 9);
        let empty = sessions.hash();
        apply(&mut sessions, 2, 1, 1);
        assert_ne!(sessions.hash(), empty);
        let text = serde_json::to_string(&sessions.encode()).unwrap();
        assert_eq!(Sessions::decode(&text).unwrap(), sessions);
    }
}
