//! A buyer's commands from the command line, as edits of an `OrderRequest`: the same ones that the
//! buyers' REST makes on a cluster. The resource may be an API server's, or come from a server that
//! stands in for one.

use kube::api::PostParams;
use orderstream_api::convert;
use orderstream_api::order_request::OrderRequest;
use orderstream_core::buyer::{BuyerCommand, FollowUpDraft};
use orderstream_core::request_phase::end_reason;
use orderstream_core::{FollowUpId, OrderKey, Reason, Refusal};
use serde_json::Value;

use super::resources::{ApiServerError, ResourceKind, Resources, for_display};
use orderstream_api::edits;

/// The field manager of edits from the command line.
const FIELD_MANAGER: &str = "orderstream";
/// The tries of an edit whose writes conflict with others.
const TRIES: u32 = 5;

/// A buyer's edit of an order that exists.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Edit {
    /// A command.
    Command(BuyerCommand),
    /// A follow-up, with its id.
    FollowUp(FollowUpId, FollowUpDraft),
}

/// Returns the key of the order that a resource is about.
///
/// # Errors
/// When it is not an `OrderRequest`, or cannot be read.
pub(crate) fn key_of(resource: &Value) -> Result<OrderKey, Refusal> {
    convert::key(&read(resource)?)
}

/// Returns the resource with the edit in its spec. Everything else stays as its author wrote it.
///
/// # Errors
/// When the resource's own rules would refuse it, or its order has ended.
pub(crate) fn edited(resource: &Value, edit: &Edit) -> Result<Value, Refusal> {
    let current = read(resource)?;
    if current.status.as_ref().is_some_and(|status| status.is_terminal()) {
        let phase = current.status.and_then(|status| status.phase).unwrap_or_default();
        let reason = end_reason(&phase);
        let text = format!("the order is {phase}; nothing more is taken");
        return Err(Refusal::new(reason, text));
    }
    let mut spec = current.spec.clone();
    match edit {
        Edit::Command(command) => edits::apply(&mut spec, Some(&current), command)?,
        Edit::FollowUp(id, follow_up) => {
            edits::add_follow_up(&mut spec, &edits::follow_up_spec(id, follow_up))?;
        }
    }
    edits::check_in_time(&current, &spec)?;
    let mut changed = resource.clone();
    edits::merge(&mut changed, &current.spec, &spec).map_err(|error| unreadable(&error))?;
    Ok(changed)
}

fn read(resource: &Value) -> Result<OrderRequest, Refusal> {
    serde_json::from_value(resource.clone()).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Refusal {
    Refusal::new(Reason::Internal, format!("the OrderRequest cannot be read: {error}"))
}

impl Resources {
    /// Edits an order request; retries after a conflict.
    ///
    /// # Errors
    /// When [`edited`] or the API server refuses the edit, or the API server is not reached.
    pub(crate) async fn edit(
        &self,
        namespace: &str,
        name: &str,
        edit: &Edit,
    ) -> Result<Value, ApiServerError> {
        let api = self.api(ResourceKind::OrderRequest, namespace);
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        for _ in 0..TRIES {
            let stored = self.with_timeout(api.get(name)).await?;
            let document = serde_json::to_value(&stored).unwrap_or_default();
            let changed = edited(&document, edit).map_err(ApiServerError::Refused)?;
            if changed == document {
                return Ok(for_display(stored));
            }
            let desired = serde_json::from_value(changed)
                .map_err(|error| ApiServerError::Refused(unreadable(&error)))?;
            match self.with_timeout(api.replace(name, &params, &desired)).await {
                Ok(updated) => return Ok(for_display(updated)),
                // The resource changed in between.
                Err(ApiServerError::Refused(refusal)) if refusal.reason == Reason::OrderExists => {}
                Err(failure) => return Err(failure),
            }
        }
        let text = "others keep editing the OrderRequest; try again";
        Err(ApiServerError::Refused(Refusal::new(Reason::Changed, text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resource() -> Value {
        json!({
            "apiVersion": "orderstream.dev/v1alpha1",
            "kind": "OrderRequest",
            "metadata": {"name": "chairs", "namespace": "default"},
            "spec": {"orderReqId": "OR-1", "items": [{"sku": "a", "quantity": 2}]},
        })
    }

    #[test]
    fn commands_change_only_their_own_fields() {
        let changed = edited(&resource(), &Edit::Command(BuyerCommand::Pause(None))).unwrap();
        let mut expected = resource();
        expected["spec"]["suspend"] = json!(true);
        assert_eq!(changed, expected);
    }

    #[test]
    fn ended_orders_cannot_be_edited() {
        let mut ended = resource();
        ended["status"] = json!({"phase": "Finalised"});
        let refusal = edited(&ended, &Edit::Command(BuyerCommand::Resume)).unwrap_err();
        assert_eq!(refusal.reason, Reason::OrderEnded);
    }

    #[test]
    fn deciding_orders_cannot_be_paused() {
        let mut deciding = resource();
        deciding["status"] = json!({"phase": "Deciding"});
        let refusal = edited(&deciding, &Edit::Command(BuyerCommand::Pause(None))).unwrap_err();
        assert_eq!(refusal.reason, Reason::DeadlinePassed);
    }
}
