//! Where order status and follow-ups are projected to: read, and refused when wrong, before any port
//! opens. The only place that brings the driver and the requestor together.

use std::sync::Arc;

use orderstream_core::StoreUrl;
use orderstream_mongo::{MongoProjection, Place};
use orderstream_requestor::Projection;

use crate::exit::Failure;

/// The projection that a role asks for; none where orders are only in the lists. `tenant` is the only
/// one whose orders are projected, or absent for all.
pub(super) async fn open(
    store: Option<&StoreUrl>,
    tenant: Option<&str>,
) -> Result<Option<Projection>, Failure> {
    let Some(store) = store.filter(|store| store.embedded_dir().is_none()) else { return Ok(None) };
    let wrong = |error: orderstream_mongo::Error| Failure::input(format!("--store {error}"));
    let place = Place::new(store.clone()).map_err(wrong)?;
    let projection = MongoProjection::new(&place).await.map_err(wrong)?;
    tracing::info!(%place, "order status and follow-ups are projected");
    Ok(Some(Projection { store: Arc::new(projection), tenant: tenant.map(str::to_owned) }))
}

/// The same for a role whose orders are stored elsewhere: it has no use for a folder.
pub(super) async fn open_beside(
    store: Option<&StoreUrl>,
    tenant: Option<&str>,
) -> Result<Option<Projection>, Failure> {
    if let Some(store) = store.filter(|store| store.embedded_dir().is_some()) {
        return Err(Failure::input(format!(
            "--store '{store}' has no use here; give mongodb://host/database, or leave it out"
        )));
    }
    open(store, tenant).await
}
