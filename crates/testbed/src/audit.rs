//! Reads the requests to the API server from its audit log.

use serde::Deserialize;

/// One request with a response of the API server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditedRequest {
    /// The user's name.
    pub user: String,
    /// get, list, watch, create, update, patch, delete.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name of the resource type; empty for paths without a resource.
    pub resource: String,
    /// The subresource, such as `status`; usually empty.
    pub subresource: String,
    /// The namespace; empty for requests without one.
    pub namespace: String,
    /// The resource's name; empty for lists and watches.
    pub name: String,
    /// The HTTP status of the response.
    pub code: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    stage: String,
    verb: String,
    user: AuditUser,
    #[serde(default)]
    object_ref: ObjectReference,
    response_status: Option<AuditStatus>,
}

#[derive(Deserialize)]
struct AuditUser {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Deserialize)]
struct AuditStatus {
    #[serde(default)]
    code: u16,
}

/// Reads a log: one entry for each request with a response, and for each watch that began.
pub(crate) fn read(log: &str) -> Vec<AuditedRequest> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<AuditEvent>(line).ok())
        .filter(|line| match line.verb.as_str() {
            "watch" => line.stage == "ResponseStarted",
            _ => line.stage == "ResponseComplete",
        })
        .map(|line| AuditedRequest {
            user: line.user.username,
            verb: line.verb,
            group: line.object_ref.api_group,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            code: line.response_status.map_or(0, |status| status.code),
        })
        .collect()
}
