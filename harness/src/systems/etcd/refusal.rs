//! Errors as the gateway tells them, and what each says of the request that it answers.

use std::borrow::Cow;

use serde::Deserialize;
use squall_workloads::ErrorNote;

use super::super::http::Response;

/// An error as the gateway tells it: gRPC's code and etcd's words.
#[derive(Deserialize)]
struct Refusal {
    code: u32,
    #[serde(default)]
    message: String,
}

/// Whether a refused write certainly never happens, and what the refusal says.
pub(super) fn refusal(response: &Response) -> (bool, ErrorNote) {
    match read(response) {
        Some(Refusal { code, message }) => (is_definite(code, &message), ErrorNote::new(name_of(code), message)),
        None => (
            false,
            ErrorNote::new(format!("http-{}", response.status), String::from_utf8_lossy(&response.body)),
        ),
    }
}

/// What the refusal of a change of the members, or of the leader, says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is not done, and the same may be done when it is asked for again.
    ForNow,
    /// It is not done, and never will be.
    ForGood,
    /// It may be done, or be done later.
    Perhaps,
}

/// What this refusal of a change of the members says.
///
/// By etcd's sources (`etcdserver/server.go`, `mayAddMember`, `mayRemoveMember`, `mayPromote`; `api/v3rpc/rpctypes/error.go`): whatever is a failed
/// precondition or not found was checked before the proposal, or was made nothing of when it was applied (`ValidateConfigurationChange`). So was
/// `unhealthy cluster`, which has the code of a timeout: members were not connected for 5 s.
pub(super) fn refused(response: &Response) -> Refused {
    let Some(Refusal { code, message }) = read(response) else {
        return Refused::Perhaps;
    };
    match name_of(code).as_ref() {
        "failed-precondition" | "not-found" => Refused::ForNow,
        "unavailable" if message == "etcdserver: unhealthy cluster" => Refused::ForNow,
        "unavailable" if message == NOT_FOR_LEARNERS => Refused::ForNow,
        _ if is_definite(code, &message) => Refused::ForGood,
        _ => Refused::Perhaps,
    }
}

fn read(response: &Response) -> Option<Refusal> {
    serde_json::from_slice(&response.body).ok()
}

/// What a member that does not vote says to nearly everything, before it looks at it (`api/v3rpc/interceptor.go`, `newUnaryInterceptor`).
const NOT_FOR_LEARNERS: &str = "etcdserver: rpc not supported for learner";

/// Whether a member that refuses a write in this way has not handed it to Raft, and will not.
///
/// By etcd's sources (`etcdserver/v3_server.go`, `processInternalRaftRequestOnce`; `api/v3rpc`; `api/v3rpc/rpctypes`): what is checked
/// before the proposal is definite. Everything after it is not: every kind of timeout, `leader changed`, `server stopped`. Two that
/// look definite are not. `context deadline exceeded` under code 2 comes from the proposal itself, which may have been taken in.
/// `database space exceeded` is told before the proposal, but also by `quotaApplierV3.Put`, which writes first and complains then.
fn is_definite(code: u32, message: &str) -> bool {
    match name_of(code).as_ref() {
        "invalid-argument" | "permission-denied" | "unauthenticated" | "unimplemented" => true,
        "resource-exhausted" => message == "etcdserver: too many requests",
        "unavailable" => message == NOT_FOR_LEARNERS,
        _ => false,
    }
}

/// A status code after gRPC's names (grpc/grpc, `doc/statuscodes.md`); its `UNKNOWN` is an error here and no outcome.
fn name_of(code: u32) -> Cow<'static, str> {
    const NAMES: [&str; 17] = [
        "ok",
        "cancelled",
        "unknown-error",
        "invalid-argument",
        "deadline-exceeded",
        "not-found",
        "already-exists",
        "permission-denied",
        "resource-exhausted",
        "failed-precondition",
        "aborted",
        "out-of-range",
        "unimplemented",
        "internal",
        "unavailable",
        "data-loss",
        "unauthenticated",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("grpc-{code}").into(), |name| (*name).into())
}
