//! The paths of applied sellers.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{any, get};
use axum::{Json, Router};
use orderstream_api::manifest::{self, API_VERSION, Manifest, ManifestDocument};
use orderstream_api::seller::Seller;
use orderstream_core::{Reason, Refusal};
use serde_json::{Value, json};

use super::{
    ChangeBody, ChangeReply, LocalApiRefusal, PathExtraction, checked_namespace, internal_error,
    one_document, other_kind, path_params, status_of,
};
use crate::{LocalApplyOutcome, LocalSellers};

/// Returns the routes below `base`. Without sellers they refuse all requests.
pub(super) fn router(base: &str, sellers: Option<LocalSellers>) -> Router {
    let all = format!("{base}/sellers");
    let in_namespace = format!("{base}/namespaces/{{namespace}}/sellers");
    let named = format!("{in_namespace}/{{name}}");
    let Some(sellers) = sellers else {
        return Router::new()
            .route(&all, any(no_sellers))
            .route(&in_namespace, any(no_sellers))
            .route(&named, any(no_sellers));
    };
    Router::new()
        .route(&all, get(list_all))
        .route(&in_namespace, get(list))
        .route(&named, get(read).put(replace).patch(apply).delete(delete))
        .with_state(sellers)
}

async fn no_sellers() -> LocalApiRefusal {
    let message = "this server has no sellers of its own; give their file to `processor --sellers`, \
                   or apply them to `dev` or to a cluster";
    LocalApiRefusal::from(Refusal::new(Reason::InvalidRequest, message))
}

async fn list_all(State(sellers): State<LocalSellers>) -> Json<Value> {
    Json(list_of(&sellers.list(None)))
}

async fn list(
    State(sellers): State<LocalSellers>,
    path: PathExtraction<String>,
) -> Result<Json<Value>, LocalApiRefusal> {
    let namespace = path_params(path)?;
    manifest::namespace(&namespace)?;
    Ok(Json(list_of(&sellers.list(Some(&namespace)))))
}

fn list_of(items: &[Seller]) -> Value {
    json!({"apiVersion": API_VERSION, "kind": "SellerList", "metadata": {}, "items": items})
}

async fn read(
    State(sellers): State<LocalSellers>,
    path: PathExtraction<(String, String)>,
) -> Result<Json<Seller>, LocalApiRefusal> {
    let (namespace, name) = path_params(path)?;
    Ok(Json(sellers.get(&namespace, &name)?))
}

async fn apply(
    State(sellers): State<LocalSellers>,
    path: PathExtraction<(String, String)>,
    body: ChangeBody,
) -> ChangeReply<Seller> {
    let (namespace, name) = path_params(path)?;
    let (seller, document) = seller(&namespace, &name, body)?;
    change(move || sellers.apply(seller, &document)).await
}

async fn replace(
    State(sellers): State<LocalSellers>,
    path: PathExtraction<(String, String)>,
    body: ChangeBody,
) -> ChangeReply<Seller> {
    let (namespace, name) = path_params(path)?;
    let (seller, _) = seller(&namespace, &name, body)?;
    change(move || sellers.replace(seller)).await
}

async fn delete(
    State(sellers): State<LocalSellers>,
    path: PathExtraction<(String, String)>,
) -> ChangeReply<Seller> {
    let (namespace, name) = path_params(path)?;
    let outcome = LocalApplyOutcome::Configured;
    change(move || sellers.delete(&namespace, &name).map(|seller| (outcome, seller))).await
}

/// Makes a change on a thread that may block on the disk.
async fn change(
    change: impl FnOnce() -> Result<(LocalApplyOutcome, Seller), Refusal> + Send + 'static,
) -> Result<(StatusCode, Json<Seller>), LocalApiRefusal> {
    let changed = tokio::task::spawn_blocking(change).await;
    let (outcome, seller) = changed.map_err(|_| internal_error())??;
    Ok((status_of(outcome), Json(seller)))
}

/// Reads the one Seller of a body, with its document.
fn seller(
    namespace: &str,
    name: &str,
    body: ChangeBody,
) -> Result<(Seller, Value), LocalApiRefusal> {
    let ManifestDocument { manifest, document } = one_document(body)?;
    let Manifest::Seller(mut resource) = manifest else {
        return Err(other_kind("Seller").into());
    };
    resource.metadata.namespace = Some(checked_namespace(namespace, name, &resource.metadata)?);
    Ok((*resource, document))
}
