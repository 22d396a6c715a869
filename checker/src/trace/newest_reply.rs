//! K5: does a get return the newest version of replies from at least R replicas, which really hold what they replied, after a write-back
//! where one is needed?
//!
//! The rule is that of Attiya, Bar-Noy and Dolev (1995): a read makes what it returns durable on a write quorum first, or a later read
//! may return something older. It may be skipped where enough replies carry the version already, see
//! [`Settings::holders_enough`](super::event::Settings). Of a node that was started without write-back it is not asked.

use std::collections::{BTreeMap, BTreeSet};

use super::acknowledged::{durable_acks, unbacked};
use super::breaches::Breaches;
use super::event::{Done, Function, Name, Outcome, Reply, Version, What};
use super::read::NodeTrace;
use super::scene::{Scene, Sight};

/// What a get has told before it is answered.
#[derive(Clone, Copy)]
struct Open<'a> {
    sight: Sight<'a>,
    replies: &'a [Reply],
    write_back: Option<bool>,
}

pub(super) fn check<'a>(scene: &'a Scene<'a>) -> Breaches<'a> {
    let mut breaches = Breaches::default();
    for trace in scene.traces() {
        check_node(scene, trace, &mut breaches);
    }
    breaches
}

fn check_node<'a>(scene: &'a Scene<'a>, trace: &'a NodeTrace, breaches: &mut Breaches<'a>) {
    let mut open: BTreeMap<u64, Open<'_>> = BTreeMap::new();
    for event in &trace.events {
        let sight = Sight { trace, event };
        match &event.what {
            // What a former life left open is never answered.
            What::Start => open.clear(),
            What::Get { op, key, replies } => {
                check_replies(scene, sight, key, replies, breaches);
                open.insert(
                    *op,
                    Open {
                        sight,
                        replies,
                        write_back: None,
                    },
                );
            }
            What::WriteBack { op, needed } => {
                if let Some(get) = open.get_mut(op) {
                    get.write_back = Some(*needed);
                }
            }
            What::Done(done) if done.f == Function::Get => {
                let get = open.remove(&done.op);
                if done.outcome == Outcome::Ok {
                    check_answer(scene, sight, done, get, breaches);
                }
            }
            _ => {}
        }
    }
}

/// A replica shows only what is durable.
fn check_replies<'a>(scene: &'a Scene<'a>, sight: Sight<'a>, key: &'a Name, replies: &'a [Reply], breaches: &mut Breaches<'a>) {
    for Reply { node, version } in replies {
        if let Some(version) = version
            && !scene.holdings.shows(node, key, version, sight.event.lamport)
        {
            breaches.add(sight, move || {
                let message = format!("{node} showed version {version} of key `{key}` before it was durable there");
                let put = |shown: &Sight<'_>| {
                    let of = (&shown.trace.node, &shown.event.what);
                    matches!(of, (at, What::Put { key: put, version: held, .. }) if at == node && put == key && held == version)
                };
                let held = scene.sights().find(put).map_or_else(
                    || format!("{node} has no durable event of it"),
                    |put| format!("only later: {}", scene.tell(put)),
                );
                (message, vec![scene.tell(sight), held])
            });
        }
    }
}

fn check_answer<'a>(scene: &'a Scene<'a>, answer: Sight<'a>, done: &'a Done, get: Option<Open<'a>>, breaches: &mut Breaches<'a>) {
    let (r, key) = (answer.settings().r, &done.key);
    let tell_both = move || {
        get.map(|get| get.sight)
            .into_iter()
            .chain([answer])
            .map(|sight| scene.tell(sight))
            .collect()
    };
    let replies = get.map_or(&[][..], |get| get.replies);
    let n_replies = n_nodes(replies.iter());
    let newest = replies.iter().filter_map(|reply| reply.version.as_ref()).max();
    if n_replies < r {
        breaches.add(answer, move || {
            let nodes = if n_replies == 1 { "node" } else { "nodes" };
            let message = format!("a get of key `{key}` was answered after replies of {n_replies} {nodes}, with R={r}");
            (message, tell_both())
        });
    } else if done.version.as_ref() != newest {
        breaches.add(answer, move || {
            let word = |version: Option<_>| version.map_or_else(|| "nothing".into(), |version| format!("version {version}"));
            let (returned, newest) = (word(done.version.as_ref()), word(newest));
            let message = format!("a get of key `{key}` returned {returned}, but the newest of its replies is {newest}");
            (message, tell_both())
        });
    } else if let (Some(get), Some(newest)) = (get, newest) {
        check_write_back(scene, answer, done, (get, newest), breaches);
    }
}

fn check_write_back<'a>(
    scene: &'a Scene<'a>,
    answer: Sight<'a>,
    done: &'a Done,
    (get, newest): (Open<'a>, &'a Version),
    breaches: &mut Breaches<'a>,
) {
    let settings = answer.settings();
    let n_holders = n_nodes(get.replies.iter().filter(|reply| reply.version.as_ref() == Some(newest)));
    let is_due = settings.write_back && n_holders < settings.holders_enough();
    if !is_due && get.write_back != Some(true) {
        return;
    }
    let n_durable = durable_acks(scene, answer, done, newest).len() as u64;
    if n_durable < settings.w {
        breaches.add(answer, move || {
            let message = format!(
                "a get of key `{}` returned version {newest}, which {n_holders} of its {} replies had, before it was durable on W={} \
                 replicas by a write-back; {n_durable} had it",
                done.key,
                n_nodes(get.replies.iter()),
                settings.w
            );
            let get = scene.tell(get.sight);
            (message, [get].into_iter().chain(unbacked(scene, answer, done, newest)).collect())
        });
    }
}

/// How many nodes these replies are of.
fn n_nodes<'a>(replies: impl Iterator<Item = &'a Reply>) -> u64 {
    replies.map(|reply| &reply.node).collect::<BTreeSet<_>>().len() as u64
}
