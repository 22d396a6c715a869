//! Who is a member of an etcd cluster, by the members' API of its gateway: list, add, promote, remove; and who leads it.
//!
//! A member is known by its peer URL, which it has before it is started; its name it tells when it starts. An identity that was removed never comes
//! back (etcd's documentation, "Runtime reconfiguration design"): who enters again is announced again, and begins with an empty folder. Who enters
//! learns first, as that documentation has it: a learner that never starts costs no majority, and it votes only when it has what the others have.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::super::http::{self, HttpError, Response};
use super::super::{ASK_TIMEOUT, Asked, Member, Standing};
use super::refusal::{Refused, refusal, refused};
use super::{PEER_PORT, endpoint};

/// A change is refused while members were not connected for 5 s (`HealthInterval`, `server/etcdserver/server.go`); a start, an election and what a
/// newcomer must be sent more.
pub(super) const CHANGE_BOUND: Duration = Duration::from_secs(8);

/// A member as the list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    id: String,
    address: String,
    learns: bool,
}

fn peer_url(address: Ipv4Addr) -> String {
    format!("http://{address}:{PEER_PORT}")
}

/// Where a member stands: who leads in which term it says by itself, who votes by the list that it has applied.
pub(super) async fn standing(member: &Member) -> Result<Standing> {
    let own = super::status::standing(member).await?;
    let listed = list(member).await?;
    let addresses = |learns: bool| {
        let some = listed.iter().filter(move |listed| listed.learns == learns);
        some.map(|listed| listed.address.clone()).collect()
    };
    Ok(Standing {
        leads: own.leader == Some(own.member),
        term: own.figures.get("raft_term").copied().unwrap_or_default(),
        voters: addresses(false),
        learners: addresses(true),
        // What is listed was applied, so it is committed; and etcd changes one member at a time, without a joint configuration.
        changing: false,
    })
}

/// Announces members, who learn at first, and removes others, one request each; ends with the first that is not done.
pub(super) async fn change(leader: &Member, add: &[Member], remove: &[Member]) -> Asked {
    for member in add {
        let body = json!({"peerURLs": [peer_url(member.address)], "isLearner": true});
        let asked = send(leader, "/v3/cluster/member/add", &body).await;
        if asked != Asked::Done {
            return asked;
        }
    }
    for member in remove {
        let asked = match find(leader, member).await {
            Ok(Some(found)) => send(leader, "/v3/cluster/member/remove", &json!({"ID": found.id})).await,
            Ok(None) => continue,
            Err(asked) => asked,
        };
        if asked != Asked::Done {
            return asked;
        }
    }
    Asked::Done
}

/// Lets a member that learns vote.
pub(super) async fn promote(leader: &Member, member: &Member) -> Asked {
    match find(leader, member).await {
        Ok(Some(Listed { learns: false, .. })) => Asked::Done,
        Ok(Some(found)) => send(leader, "/v3/cluster/member/promote", &json!({"ID": found.id})).await,
        Ok(None) => Asked::NotYet(format!("{} is no member", member.id)),
        Err(asked) => asked,
    }
}

/// Hands the leadership to a member.
pub(super) async fn transfer(leader: &Member, address: Ipv4Addr) -> Asked {
    let address = address.to_string();
    match list(leader).await {
        Ok(listed) => match listed.iter().find(|listed| listed.address == address) {
            Some(found) => send(leader, "/v3/maintenance/transfer-leadership", &json!({"targetID": found.id})).await,
            None => Asked::NotYet(format!("nobody at {address} is a member")),
        },
        Err(error) => Asked::NotYet(format!("{error:#}")),
    }
}

/// A member by its address; who could not be asked for the list was asked for no change.
async fn find(leader: &Member, member: &Member) -> Result<Option<Listed>, Asked> {
    let address = member.address.to_string();
    let listed = list(leader).await.map_err(|error| Asked::NotYet(format!("{error:#}")))?;
    Ok(listed.into_iter().find(|listed| listed.address == address))
}

async fn send(leader: &Member, path: &str, body: &Value) -> Asked {
    conclude(http::post(endpoint(leader.address), path, &body.to_string(), ASK_TIMEOUT).await)
}

fn conclude(response: Result<Response, HttpError>) -> Asked {
    match response {
        Ok(response) if response.status == 200 => Asked::Done,
        Ok(response) => {
            let said = refusal(&response).1.to_string();
            match refused(&response) {
                Refused::ForNow => Asked::NotYet(said),
                Refused::ForGood => Asked::Refused(said),
                // A timeout, say: it may have been proposed.
                Refused::Perhaps => Asked::Unknown(said),
            }
        }
        Err(error) => Asked::Unknown(error.to_string()),
    }
}

async fn list(member: &Member) -> Result<Vec<Listed>> {
    let response = http::post(endpoint(member.address), "/v3/cluster/member/list", "{}", ASK_TIMEOUT).await?;
    if response.status != 200 {
        bail!("{} answered a question for its members with {}", member.id, refusal(&response).1);
    }
    let fields: Value = serde_json::from_slice(&response.body).with_context(|| format!("read the members of {}", member.id))?;
    listed_in(&fields).with_context(|| format!("{} tells no members", member.id))
}

/// Protobuf's JSON leaves out what is false or empty.
fn listed_in(fields: &Value) -> Option<Vec<Listed>> {
    let members = fields.get("members")?.as_array()?.iter();
    let listed = |member: &Value| {
        let url = member.get("peerURLs")?.get(0)?.as_str()?;
        let address = url.strip_prefix("http://")?.rsplit_once(':')?.0;
        Some(Listed {
            id: member.get("ID")?.as_str()?.to_owned(),
            address: address.to_owned(),
            learns: member.get("isLearner").and_then(Value::as_bool).unwrap_or(false),
        })
    };
    members.map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_known_by_their_peer_urls_before_they_tell_a_name() {
        let fields = json!({"header": {}, "members": [
            {"ID": "8211f1d0f64f3269", "name": "n1", "peerURLs": ["http://10.77.0.1:2380"], "clientURLs": ["http://10.77.0.1:2379"]},
            {"ID": "17", "peerURLs": ["http://10.77.0.4:2380"], "isLearner": true},
        ]});
        let listed = listed_in(&fields).expect("members");
        let found: Vec<_> = listed.iter().map(|listed| (&*listed.id, &*listed.address, listed.learns)).collect();
        assert_eq!(found, [("8211f1d0f64f3269", "10.77.0.1", false), ("17", "10.77.0.4", true)]);
        assert_eq!(listed_in(&json!({"members": [{"ID": "17"}]})), None);
        assert_eq!(listed_in(&json!({"error": "no"})), None);
    }

    fn of(code: u32, message: &str) -> Asked {
        let body = json!({"error": message, "code": code, "message": message}).to_string();
        conclude(Ok(Response::of(503, body)))
    }

    #[test]
    fn asks_again_where_etcd_says_that_nothing_was_proposed_and_that_it_may_be_later() {
        assert_eq!(conclude(Ok(Response::of(200, "{}"))), Asked::Done);
        for (code, message) in [
            (14, "etcdserver: unhealthy cluster"),
            (9, "etcdserver: re-configuration failed due to not enough started members"),
            (9, "etcdserver: can only promote a learner member which is in sync with leader"),
            (9, "etcdserver: too many learner members in cluster"),
            (9, "etcdserver: Peer URLs already exists"),
            (5, "etcdserver: member not found"),
        ] {
            assert!(
                matches!(of(code, message), Asked::NotYet(why) if why.contains(message)),
                "{message}"
            );
        }
    }

    #[test]
    fn what_may_have_been_proposed_is_neither_refused_nor_done() {
        for (code, message) in [
            (14, "etcdserver: request timed out"),
            (14, "etcdserver: leader changed"),
            (14, "etcdserver: server stopped"),
            (2, "context deadline exceeded"),
            (4, "context deadline exceeded"),
        ] {
            assert!(matches!(of(code, message), Asked::Unknown(_)), "{message}");
        }
        assert!(matches!(conclude(Err(HttpError::TooLong("head"))), Asked::Unknown(_)));
    }

    #[test]
    fn what_etcd_will_never_do_is_not_asked_again() {
        for (code, message) in [
            (3, "etcdserver: given member URLs are invalid"),
            (7, "etcdserver: permission denied"),
            (12, "Method Not Allowed"),
        ] {
            assert!(matches!(of(code, message), Asked::Refused(_)), "{message}");
        }
    }
}
