//! The projection of order status and follow-ups: its settings are read, and refused when wrong,
//! before any port opens. The only module that connects the driver and the requestor.

use std::sync::Arc;

use orderstream_cli::exit::CliError;
use orderstream_core::{StoreUrl, TenantScope};
use orderstream_mongo::{MongoEndpoint, MongoProjection};
use orderstream_notifier::authorities::Authorities;
use orderstream_requestor::Projection;

/// Opens the projection of a role; none where orders are in the lists only. Projects the orders of
/// the tenants of a scope.
pub(super) async fn open(
    store: Option<&StoreUrl>,
    scope: TenantScope,
    authorities: &Authorities,
) -> Result<Option<Projection>, CliError> {
    let Some(store) = store.filter(|store| store.embedded_dir().is_none()) else { return Ok(None) };
    let wrong = |error: orderstream_mongo::Error| CliError::input(format!("--store {error}"));
    let place = MongoEndpoint::new(store.clone()).map_err(wrong)?;
    let trusted = authorities.pem_with_system();
    let projection = MongoProjection::new(&place, trusted.as_deref()).await.map_err(wrong)?;
    tracing::info!(%place, "order status and follow-ups are projected");
    Ok(Some(Projection { store: Arc::new(projection), scope }))
}

/// Opens the projection of a role that stores its orders otherwise: a folder is refused.
pub(super) async fn open_beside(
    store: Option<&StoreUrl>,
    scope: TenantScope,
    authorities: &Authorities,
) -> Result<Option<Projection>, CliError> {
    if let Some(store) = store.filter(|store| store.embedded_dir().is_some()) {
        return Err(CliError::input(format!(
            "--store '{store}' has no use here; give mongodb://host/database, or leave it out"
        )));
    }
    open(store, scope, authorities).await
}
