//! K4: with R + W > N, does every read meet every write that was answered before?
//!
//! W home replicas acknowledged the write and R home replicas replied to the read, out of N: they share one. If a reply or an
//! acknowledgement came from somewhere else (a hint, a stranger), they need not. The read is compared with the last put that was answered
//! ok before its replies were counted, in Lamport's order: another node's smaller stamp alone would also do, for a fixed set of homes.

use std::collections::BTreeMap;

use super::breaches::Breaches;
use super::event::{Done, Function, Name, Outcome, What};
use super::scene::{Scene, Sight};

pub(super) fn check<'a>(scene: &'a Scene<'a>) -> Breaches<'a> {
    let mut breaches = Breaches::default();
    let puts = acknowledged(scene);
    for trace in scene.traces() {
        let mut open: BTreeMap<u64, Sight<'a>> = BTreeMap::new();
        for event in &trace.events {
            let sight = Sight { trace, event };
            match &event.what {
                What::Start => open.clear(),
                What::Get { op, .. } => {
                    open.insert(*op, sight);
                }
                What::Done(done) if done.f == Function::Get => {
                    let get = open.remove(&done.op);
                    if let (Some(get), Outcome::Ok) = (get, done.outcome) {
                        check_get(scene, get, puts.get(&done.key), &mut breaches);
                    }
                }
                _ => {}
            }
        }
    }
    breaches
}

/// The puts answered ok, by key, in the order of their stamps.
fn acknowledged<'a>(scene: &Scene<'a>) -> BTreeMap<&'a Name, Vec<(Sight<'a>, &'a Done)>> {
    let mut puts: BTreeMap<&Name, Vec<(Sight<'a>, &Done)>> = BTreeMap::new();
    for sight in scene.sights() {
        if let What::Done(done) = &sight.event.what
            && (done.f, done.outcome) == (Function::Put, Outcome::Ok)
        {
            puts.entry(&done.key).or_default().push((sight, done));
        }
    }
    for puts in puts.values_mut() {
        puts.sort_by_key(|(sight, _)| sight.event.lamport);
    }
    puts
}

fn check_get<'a>(scene: &'a Scene<'a>, get: Sight<'a>, puts: Option<&Vec<(Sight<'a>, &'a Done)>>, breaches: &mut Breaches<'a>) {
    let What::Get { key, replies, .. } = &get.event.what else { return };
    let settings = get.settings();
    if settings.r.saturating_add(settings.w) <= settings.n {
        return;
    }
    let Some(puts) = puts else { return };
    let n_before = puts.partition_point(|(put, _)| put.event.lamport < get.event.lamport);
    let Some((put, done)) = n_before.checked_sub(1).map(|last| puts[last]) else {
        return;
    };
    let meets = replies.iter().any(|reply| done.acks.contains(&reply.node));
    if !meets {
        breaches.add(get, move || {
            let message = format!("a get of key `{key}` was decided by replies of nodes none of which acknowledged the last put before it");
            (message, vec![scene.tell(put), scene.tell(get)])
        });
    }
}
