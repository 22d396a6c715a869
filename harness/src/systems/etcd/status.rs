//! What a member says of itself: whom it takes for the leader, how far it is, whether it is healthy.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use squall_workloads::ErrorNote;

use super::super::http::{self, HttpError, Response};
use super::super::{ASK_TIMEOUT, Member, NodeStatus};
use super::endpoint;
use super::refusal::refusal;

/// What a member knows by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) member: u64,
    pub(super) leader: Option<u64>,
    pub(super) figures: BTreeMap<String, u64>,
}

pub(super) async fn standing(member: &Member) -> Result<Standing> {
    let response = http::post(endpoint(member.address), "/v3/maintenance/status", "{}", ASK_TIMEOUT).await?;
    if response.status != 200 {
        bail!("{} answered a question for its status with {}", member.id, refusal(&response).1);
    }
    let fields = serde_json::from_slice(&response.body).with_context(|| format!("read the status of {}", member.id))?;
    standing_in(&fields).with_context(|| format!("{} tells no member id", member.id))
}

pub(super) fn standing_in(fields: &Value) -> Option<Standing> {
    let number = |pointer| fields.pointer(pointer).and_then(number_in);
    let figures = [
        ("db_size_bytes", "/dbSize"),
        ("raft_applied_index", "/raftAppliedIndex"),
        ("raft_index", "/raftIndex"),
        ("raft_term", "/raftTerm"),
        ("revision", "/header/revision"),
    ];
    Some(Standing {
        member: number("/header/member_id")?,
        leader: number("/leader").filter(|id| *id != 0),
        figures: figures
            .into_iter()
            .filter_map(|(name, pointer)| Some((name.to_owned(), number(pointer)?)))
            .collect(),
    })
}

/// Protobuf's JSON writes 64-bit numbers as strings, and leaves zeros out.
fn number_in(value: &Value) -> Option<u64> {
    value.as_str().map_or_else(|| value.as_u64(), |text| text.parse().ok())
}

pub(super) fn node_status(standing: &Standing, health: Result<Response, HttpError>) -> NodeStatus {
    let (healthy, health) = match health {
        Ok(response) if says_healthy(&response) => (true, "healthy".to_owned()),
        // Made a note of, because a note is short whatever a node sends.
        Ok(response) => (
            false,
            ErrorNote::new("not healthy", String::from_utf8_lossy(&response.body).trim_end()).to_string(),
        ),
        Err(error) => (false, format!("no health ({error})")),
    };
    let leader = standing.leader.map_or("no leader".to_owned(), |id| format!("leader {id:x}"));
    NodeStatus {
        ready: healthy && standing.leader.is_some(),
        said: format!("member {:x}, {leader}, {health}", standing.member),
        incarnation: None,
        figures: standing.figures.clone(),
    }
}

fn says_healthy(response: &Response) -> bool {
    let health = serde_json::from_slice::<Value>(&response.body)
        .ok()
        .and_then(|fields| fields.get("health").cloned());
    response.status == 200 && health.is_some_and(|health| health == "true" || health == true)
}
