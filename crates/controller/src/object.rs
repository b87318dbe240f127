//! A resource's key and version, for resources of every kind.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orderstream_api::manifest::namespace_of;

/// A resource's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectKey {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// Returns the key of the resource with this metadata.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            namespace: namespace_of(metadata).into(),
            name: metadata.name.as_deref().unwrap_or_default().into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Returns the number of a resource's version, 0 where it is not one; versions of one resource are
/// numbers that grow (KEP-5504).
pub(crate) fn version_of(metadata: &ObjectMeta) -> u64 {
    parse_version(metadata.resource_version.as_deref())
}

/// Returns the number of a version; 0 where it is absent or not one.
pub(crate) fn parse_version(version: Option<&str>) -> u64 {
    version.and_then(|text| text.parse().ok()).unwrap_or(0)
}
