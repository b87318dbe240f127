//! A resource as the API server sends it: parsed once, directly into the cached form. One that
//! cannot be read is a value too, so that one resource harms no other.
//!
//! kube's `DeserializeGuard` builds a tree of every document, copies it, and reads the resource
//! from the copy. This one reads the text, and reads it again only where that failed.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use orderstream_api::controller_name::{effective, is_taken_by};
use orderstream_api::order_request::{OrderRequest, OrderRequestSpec};
use orderstream_api::order_status::OrderRequestStatus;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::ownership::{ManagedFields, is_status_ours};

/// A resource, or the fault of one that cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct GuardedOrderRequest(pub(super) Result<ObservedRequest, UnreadableRequest>);

/// A resource without the fields that are not needed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ObservedRequest {
    /// The resource; of its metadata only names, uid, version, generation and time of creation.
    pub resource: OrderRequest,
    /// Set when its status is what this project's controllers wrote last.
    pub is_status_ours: bool,
}

impl ObservedRequest {
    /// Reports whether a controller has opened the order, as the status shows.
    pub(super) fn is_opened(&self) -> bool {
        self.resource.status.as_ref().is_some_and(|status| status.start_time.is_some())
    }
}

/// A resource that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct UnreadableRequest {
    /// The fault, with its position in the text.
    pub(super) error: String,
    /// The metadata that names it.
    pub(super) metadata: ObjectMeta,
    /// The name of the controller that takes it; absent where that cannot be read either.
    controller_name: Option<String>,
}

#[derive(Deserialize)]
struct OrderRequestDocument {
    metadata: CachedMetadata,
    spec: OrderRequestSpec,
    #[serde(default)]
    status: Option<OrderRequestStatus>,
}

#[derive(Deserialize)]
struct MetadataDocument {
    metadata: CachedMetadata,
}

#[derive(Deserialize)]
struct ControllerNameDocument {
    #[serde(default)]
    spec: ControllerNameSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ControllerNameSpec {
    controller_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CachedMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    #[serde(default)]
    managed_fields: Vec<ManagedFields>,
}

impl From<CachedMetadata> for ObjectMeta {
    fn from(read: CachedMetadata) -> Self {
        Self {
            name: read.name,
            namespace: read.namespace,
            uid: read.uid,
            resource_version: read.resource_version,
            generation: read.generation,
            creation_timestamp: read.creation_timestamp,
            ..Self::default()
        }
    }
}

impl From<OrderRequestDocument> for ObservedRequest {
    fn from(document: OrderRequestDocument) -> Self {
        let OrderRequestDocument { metadata, spec, status } = document;
        let is_status_ours = is_status_ours(status.as_ref(), &metadata.managed_fields);
        Self { resource: OrderRequest { metadata: metadata.into(), spec, status }, is_status_ours }
    }
}

impl GuardedOrderRequest {
    /// Reports whether the controller of a name takes it. One whose own name cannot be read is taken
    /// by each of them, so that it is reported.
    pub(super) fn is_taken_by(&self, controller: &str) -> bool {
        match &self.0 {
            Ok(read) => is_taken_by(read.resource.spec.controller_name.as_deref(), controller),
            Err(wrong) => wrong.controller_name.as_deref().is_none_or(|name| name == controller),
        }
    }
}

impl<'de> Deserialize<'de> for GuardedOrderRequest {
    /// Reads JSON text only, which is all that an API server sends of such resources.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str::<OrderRequestDocument>(text.get()) {
            Ok(document) => Ok(Self(Ok(document.into()))),
            Err(error) => {
                let head: MetadataDocument =
                    serde_json::from_str(text.get()).map_err(D::Error::custom)?;
                let named = serde_json::from_str::<ControllerNameDocument>(text.get()).ok();
                let controller_name =
                    named.map(|it| effective(it.spec.controller_name.as_deref()).to_owned());
                let (error, metadata) = (error.to_string(), head.metadata.into());
                Ok(Self(Err(UnreadableRequest { error, metadata, controller_name })))
            }
        }
    }
}

impl Resource for GuardedOrderRequest {
    type DynamicType = ();
    type Scope = <OrderRequest as Resource>::Scope;

    fn kind(dt: &()) -> Cow<'_, str> {
        OrderRequest::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        OrderRequest::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        OrderRequest::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        OrderRequest::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|wrong| &wrong.metadata, |read| &read.resource.metadata)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|wrong| &mut wrong.metadata, |read| &mut read.resource.metadata)
    }
}

#[cfg(test)]
mod tests {
    use kube::core::WatchEvent;
    use serde_json::{Value, json};

    use super::*;

    fn document(spec: &Value) -> Value {
        json!({
            "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
            "metadata": {
                "name": "a", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
                "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": { "team": "buying" },
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "x" },
                "managedFields": [{
                    "manager": "orderstream-controller", "operation": "Apply",
                    "subresource": "status", "fieldsType": "FieldsV1",
                    "fieldsV1": { "f:status": { "f:phase": {}, "f:conditions": { ".": {} } } },
                }],
            },
            "spec": spec,
            "status": { "phase": "Open", "unknown": { "to": ["us"] } },
        })
    }

    #[test]
    fn unused_metadata_is_not_kept() {
        let document = document(&json!({ "title": "chairs" }));
        let full: OrderRequest = serde_json::from_value(document.clone()).unwrap();
        let GuardedOrderRequest(read) = serde_json::from_str(&document.to_string()).unwrap();
        let ObservedRequest { resource, is_status_ours } = read.unwrap();
        assert!(is_status_ours);
        assert_eq!((resource.spec, resource.status), (full.spec, full.status));
        let metadata = resource.metadata;
        assert_eq!(
            (metadata.labels, metadata.annotations, metadata.managed_fields),
            (None, None, None)
        );
        assert_eq!(
            (metadata.name, metadata.namespace, metadata.uid, metadata.resource_version),
            (
                full.metadata.name,
                full.metadata.namespace,
                full.metadata.uid,
                full.metadata.resource_version
            )
        );
        assert_eq!(
            (metadata.generation, metadata.creation_timestamp),
            (full.metadata.generation, full.metadata.creation_timestamp)
        );
    }

    #[test]
    fn unreadable_resources_keep_name_and_fault() {
        let document = document(&json!({ "title": 7 }));
        // The type comes first, as every API server sends it.
        let event = format!(r#"{{"type":"MODIFIED","object":{document}}}"#);
        let event: WatchEvent<GuardedOrderRequest> = serde_json::from_str(&event).unwrap();
        let WatchEvent::Modified(guarded) = event else { panic!("{event:?}") };
        assert_eq!(guarded.meta().name.as_deref(), Some("a"));
        let UnreadableRequest { error, metadata, .. } = guarded.0.unwrap_err();
        assert_eq!(metadata.uid.as_deref(), Some("u1"));
        assert!(error.contains("expected a string"), "{error}");
    }

    #[test]
    fn each_controller_takes_its_own() {
        let table: [(Value, &[&str]); 7] = [
            (json!({}), &["orderstream"]),
            (json!({ "controllerName": null }), &["orderstream"]),
            (json!({ "controllerName": "team-b" }), &["team-b"]),
            (json!({ "controllerName": "team-c" }), &[]),
            // These cannot be read, and the last one's name cannot be read either.
            (json!({ "title": 7 }), &["orderstream"]),
            (json!({ "title": 7, "controllerName": "team-b" }), &["team-b"]),
            (json!({ "controllerName": 7 }), &["orderstream", "team-b"]),
        ];
        for (spec, takers) in table {
            let read: GuardedOrderRequest =
                serde_json::from_str(&document(&spec).to_string()).unwrap();
            let is_taken = |name: &&str| read.is_taken_by(name);
            let taken: Vec<_> = ["orderstream", "team-b"].into_iter().filter(is_taken).collect();
            assert_eq!(taken, takers, "{spec}");
        }
    }
}
