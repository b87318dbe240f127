//! Applies documents to the order requests, as `kubectl apply` does, and replaces order requests, as
//! `kubectl replace` does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use orderstream_api::apply_merge::{keep_last_applied, merged_order_request, set_last_applied};
use orderstream_api::convert;
use orderstream_api::manifest::namespace_of;
use orderstream_api::order_request::{OrderRequest, READ_ONLY_ANNOTATION};
use orderstream_api::status::whole_seconds;
use orderstream_api::update::check_edit;
use orderstream_core::{OrderKey, Reason, Refusal, Timestamp};
use serde_json::Value;

use super::{
    LocalApplyOutcome, LocalOrderRequests, LocalReconciler, RESOURCES_MAX, displayed, not_found,
};

/// The time after which a resource that is being deleted may be gone, milliseconds.
const DELETE_RETRY_MS: u64 = 1_000;

/// The way in which a resource changes one that is stored.
#[derive(Clone, Copy, Debug)]
enum LocalChange<'a> {
    /// Its document is merged into the stored one.
    Merge(&'a Value),
    /// It takes the stored one's place.
    Replace,
}

impl LocalOrderRequests {
    /// Creates a resource, or merges the document that it was read from into the stored one: what
    /// was edited beside earlier documents stays. Blocks on the disk; the returned state survives a
    /// crash.
    ///
    /// # Errors
    /// Wrong content, a forbidden edit, an order id that is taken, a failed disk write.
    pub fn apply(
        &self,
        resource: OrderRequest,
        document: &Value,
    ) -> Result<(LocalApplyOutcome, OrderRequest), Refusal> {
        self.0.change(resource, LocalChange::Merge(document))
    }

    /// Creates a resource, or replaces the stored one. Blocks on the disk; the returned state
    /// survives a crash.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn replace(
        &self,
        resource: OrderRequest,
    ) -> Result<(LocalApplyOutcome, OrderRequest), Refusal> {
        self.0.change(resource, LocalChange::Replace)
    }
}

impl LocalReconciler {
    fn change(
        &self,
        resource: OrderRequest,
        change: LocalChange<'_>,
    ) -> Result<(LocalApplyOutcome, OrderRequest), Refusal> {
        let _writing = self.writer.lock();
        let namespace = namespace_of(&resource.metadata).to_owned();
        let name = resource.metadata.name.clone().unwrap_or_default();
        let Some(old) = self.find(&namespace, &name) else {
            let initiated = self.initiated_over_rest(&namespace, &name);
            if let Some(initiated) = initiated.as_ref().filter(|_| is_read_only(&resource)) {
                return unchanged_over_rest(initiated, &resource);
            }
            // The edited resource was deleted, and an edit does not create a new one.
            if initiated.is_none() && resource.metadata.uid.is_some() {
                let mut refusal = not_found(&namespace, &name);
                refusal.message.push_str(" any more; leave metadata.uid out to make a new one");
                return Err(refusal);
            }
            let new = self.created(namespace, resource, change)?;
            self.keep(&new)?;
            return Ok((LocalApplyOutcome::Created, displayed(new)));
        };
        let new = updated(&old, &resource, change)?;
        let shown = displayed(old.clone());
        if displayed(new.clone()) == shown {
            // A document that was read from here asks for nothing, and is not one of an author.
            if new != old && !is_print(&resource.metadata) {
                self.keep(&new)?;
            }
            return Ok((LocalApplyOutcome::Unchanged, shown));
        }
        let former = self.former_key(&old, &new)?;
        self.keep(&new)?;
        if let Some(former) = former {
            self.resources.lock().remove(&former);
            self.wakes.wake(&former);
        }
        Ok((LocalApplyOutcome::Configured, displayed(new)))
    }

    /// Stores a resource, and lets its order be reconciled.
    fn keep(&self, new: &OrderRequest) -> Result<(), Refusal> {
        let key = convert::key(new)?;
        self.store.write(&new.metadata, new)?;
        self.resources.lock().insert(key.clone(), new.clone());
        self.wakes.wake(&key);
        Ok(())
    }

    fn created(
        &self,
        namespace: String,
        resource: OrderRequest,
        change: LocalChange<'_>,
    ) -> Result<OrderRequest, Refusal> {
        let mut metadata = new_metadata(resource.metadata, namespace, self.clock.now());
        if let LocalChange::Merge(document) = change {
            set_last_applied(&mut metadata, document)?;
        }
        let new = OrderRequest { metadata, spec: resource.spec, status: None };
        let desired = convert::desired(&new, convert::incarnation(&new)?)?;
        if self.resources.lock().len() >= RESOURCES_MAX {
            let message = format!("{RESOURCES_MAX} order requests are kept; delete some first");
            return Err(Refusal::new(Reason::LimitReached, message));
        }
        self.check_free(&desired.key)?;
        Ok(new)
    }

    /// Returns the key that a resource no longer has after the correction of its order's id; `None`
    /// where it keeps its key.
    fn former_key(
        &self,
        old: &OrderRequest,
        new: &OrderRequest,
    ) -> Result<Option<OrderKey>, Refusal> {
        let (former, key) = (convert::key(old)?, convert::key(new)?);
        if former == key {
            return Ok(None);
        }
        self.check_free(&key)?;
        Ok(Some(former))
    }

    /// Checks that no other order has an id.
    fn check_free(&self, key: &OrderKey) -> Result<(), Refusal> {
        let resources = self.resources.lock();
        let owner = resources.get(key).map(|owner| owner.metadata.name.clone().unwrap_or_default());
        drop(resources);
        let owner = match owner {
            Some(name) => format!("by OrderRequest {name}"),
            None if self.streams.snapshot(key).is_some() => "over REST".to_owned(),
            None => return Ok(()),
        };
        let field = "spec.orderReqId";
        let id = &key.order_req_id;
        let message = format!("'{id}' is used {owner}; give another one");
        Err(Refusal { reason: Reason::OrderExists, ..Refusal::field(field, message) })
    }
}

/// Returns the metadata of a new resource.
pub(crate) fn new_metadata(given: ObjectMeta, namespace: String, now: Timestamp) -> ObjectMeta {
    let mut metadata = ObjectMeta {
        name: given.name,
        namespace: Some(namespace),
        labels: given.labels.filter(|labels| !labels.is_empty()),
        annotations: given.annotations,
        uid: Some(uuid::Uuid::now_v7().to_string()),
        generation: Some(1),
        creation_timestamp: Some(Time(whole_seconds(now))),
        ..ObjectMeta::default()
    };
    keep_last_applied(&mut metadata, &ObjectMeta::default());
    metadata
}

/// Returns the resource as it will be.
fn updated(
    old: &OrderRequest,
    resource: &OrderRequest,
    change: LocalChange<'_>,
) -> Result<OrderRequest, Refusal> {
    if old.metadata.deletion_timestamp.is_some() {
        let message = "the OrderRequest is being deleted; apply it again when it is gone";
        let refusal = Refusal::new(Reason::OrderExists, message);
        return Err(Refusal { retry_after_ms: Some(DELETE_RETRY_MS), ..refusal });
    }
    let mut new = match change {
        LocalChange::Merge(document) => merged_order_request(old, document)?,
        LocalChange::Replace => {
            check_incarnation(&old.metadata, &resource.metadata)?;
            let mut new = OrderRequest { spec: resource.spec.clone(), ..old.clone() };
            new.metadata.labels.clone_from(&resource.metadata.labels);
            new.metadata.annotations.clone_from(&resource.metadata.annotations);
            keep_last_applied(&mut new.metadata, &old.metadata);
            new
        }
    };
    if new.spec != old.spec {
        check_incarnation(&old.metadata, &resource.metadata)?;
        check_newest(&old.metadata, &resource.metadata)?;
        check_edit(old, &new.spec)?;
        let generation = old.metadata.generation.unwrap_or(1);
        new.metadata.generation = Some(generation.saturating_add(1));
        convert::check(&new)?;
    }
    Ok(new)
}

/// Refuses an edit of a former resource of the same name.
fn check_incarnation(current: &ObjectMeta, submitted: &ObjectMeta) -> Result<(), Refusal> {
    if submitted.uid.is_none() || submitted.uid == current.uid {
        return Ok(());
    }
    let message = "the OrderRequest is another one than the one that was read; read it again, or \
                   leave metadata.uid out";
    Err(Refusal::new(Reason::Changed, message))
}

/// Refuses an edit of an outdated resource: it would undo an edit that was made in between.
fn check_newest(current: &ObjectMeta, submitted: &ObjectMeta) -> Result<(), Refusal> {
    if submitted.generation.is_none() || submitted.generation == current.generation {
        return Ok(());
    }
    let generation = current.generation.unwrap_or(1);
    let message = format!(
        "the OrderRequest was edited since it was read, its generation is {generation}; read it \
         again, or leave metadata.generation out"
    );
    Err(Refusal::new(Reason::Changed, message))
}

/// Reports whether a resource was read from a server, and not written by an author.
fn is_print(metadata: &ObjectMeta) -> bool {
    metadata.uid.is_some() || metadata.generation.is_some()
}

/// Reports whether a resource is what a server shows of an order without one.
fn is_read_only(resource: &OrderRequest) -> bool {
    let annotations = resource.metadata.annotations.as_ref();
    annotations.is_some_and(|annotations| annotations.contains_key(READ_ONLY_ANNOTATION))
}

/// Returns an order that was initiated over REST, if what is applied to it changes nothing.
fn unchanged_over_rest(
    initiated: &OrderRequest,
    resource: &OrderRequest,
) -> Result<(LocalApplyOutcome, OrderRequest), Refusal> {
    if resource.spec == initiated.spec {
        return Ok((LocalApplyOutcome::Unchanged, initiated.clone()));
    }
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let message = format!("{name} was initiated over REST; change it there, or with the commands");
    Err(Refusal::new(Reason::NotAllowed, message))
}
