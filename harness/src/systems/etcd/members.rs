//! Who is a member of an etcd cluster, by the members' API of its gateway: list, add, remove.
//!
//! A member is known by its peer URL, which it has before it is started; its name it tells when it starts. An identity that was removed never comes
//! back (etcd's documentation, "Runtime reconfiguration design"): who enters again is announced again, and begins with an empty folder.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::super::http::{self, HttpError, Response};
use super::super::{ASK_TIMEOUT, Asked, Member, Standing};
use super::{PEER_PORT, endpoint, refusal};

/// A change is refused while a member was not connected for 5 s (`HealthInterval`, `server/etcdserver/server.go`); a start and an election more.
pub(super) const JOIN_BOUND: Duration = Duration::from_secs(8);

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
    let own = super::standing(member).await?;
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

/// Adds and removes members, one request each; ends with the first that is not done.
pub(super) async fn change(leader: &Member, add: &[Member], remove: &[Member]) -> Asked {
    for member in add {
        let asked = send(leader, "/v3/cluster/member/add", &json!({"peerURLs": [peer_url(member.address)]})).await;
        if asked != Asked::Done {
            return asked;
        }
    }
    if remove.is_empty() {
        return Asked::Done;
    }
    let listed = match list(leader).await {
        Ok(listed) => listed,
        Err(error) => return Asked::Unknown(format!("{error:#}")),
    };
    for member in remove {
        let address = member.address.to_string();
        let Some(found) = listed.iter().find(|listed| listed.address == address) else {
            continue;
        };
        let asked = send(leader, "/v3/cluster/member/remove", &json!({"ID": found.id})).await;
        if asked != Asked::Done {
            return asked;
        }
    }
    Asked::Done
}

async fn send(leader: &Member, path: &str, body: &Value) -> Asked {
    conclude(http::post(endpoint(leader.address), path, &body.to_string(), ASK_TIMEOUT).await)
}

fn conclude(response: Result<Response, HttpError>) -> Asked {
    match response {
        Ok(response) if response.status == 200 => Asked::Done,
        Ok(response) => match refusal(&response) {
            (true, note) => Asked::Refused(note.to_string()),
            // A timeout, say: it may have been proposed.
            (false, note) => Asked::Unknown(note.to_string()),
        },
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

    #[test]
    fn a_refusal_binds_only_where_nothing_was_proposed() {
        let of = |code: u32, message: &str| {
            let body = json!({"error": message, "code": code, "message": message}).to_string();
            conclude(Ok(Response::of(503, body)))
        };
        assert_eq!(conclude(Ok(Response::of(200, "{}"))), Asked::Done);
        assert!(matches!(of(14, "etcdserver: unhealthy cluster"), Asked::Unknown(why) if why.contains("unhealthy cluster")));
        assert!(matches!(of(3, "etcdserver: given member URLs are invalid"), Asked::Refused(_)));
    }
}
