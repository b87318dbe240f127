//! Checks edits of an `OrderRequest`: the same rules as in the resource's schema, for where there
//! is no API server.

use orderstream_core::{Reason, Refusal};

use crate::controller_name::effective;
use crate::duration;
use crate::order_request::{AwardSpec, OrderRequest, OrderRequestSpec, OrderRequestStatus};

/// Checks an edit of a resource, whose content may be corrected where its order was refused before
/// it was opened, and whose award may be replaced where it was refused.
///
/// # Errors
/// As [`check_update`].
pub fn check_edit(old: &OrderRequest, new: &OrderRequestSpec) -> Result<(), Refusal> {
    let status = old.status.as_ref();
    if !status.is_some_and(OrderRequestStatus::is_refused) {
        check_content(&old.spec, new)?;
        // A controller that has taken an order has written its status.
        if status.is_some() {
            check_controller(&old.spec, new)?;
        }
    }
    check_steering(&old.spec, new, is_award_refused(old))
}

/// Reports whether the award that a resource has was refused. A status that is about an earlier edit
/// does not tell: the award may have been sent since.
pub(crate) fn is_award_refused(resource: &OrderRequest) -> bool {
    resource.status.as_ref().is_some_and(|status| {
        status.observed_generation >= resource.metadata.generation && status.is_award_refused()
    })
}

/// Checks an edit of a spec of which sellers may have been asked.
///
/// # Errors
/// Names the field that may not change like this, and the fix.
pub fn check_update(old: &OrderRequestSpec, new: &OrderRequestSpec) -> Result<(), Refusal> {
    check_content(old, new)?;
    check_controller(old, new)?;
    check_steering(old, new, false)
}

/// Checks that the content stays as sellers were asked for it.
fn check_content(old: &OrderRequestSpec, new: &OrderRequestSpec) -> Result<(), Refusal> {
    let fixed = [
        ("orderReqId", old.order_req_id == new.order_req_id),
        ("session", old.session == new.session),
        ("notificationType", old.notification_type == new.notification_type),
        ("title", old.title == new.title),
        ("items", old.items == new.items),
        ("category", old.category == new.category),
        ("delivery", old.delivery == new.delivery),
        ("sellers", old.sellers == new.sellers),
        ("message", old.message == new.message),
        ("decideWithin", old.decide_within == new.decide_within),
        ("sealed", old.sealed == new.sealed),
        ("buyer", old.buyer == new.buyer),
        ("currency", old.currency == new.currency),
        ("timeZone", old.time_zone == new.time_zone),
    ];
    if let Some((field, _)) = fixed.iter().find(|(_, same)| !same) {
        let message = "cannot change once sellers were asked; create a new OrderRequest";
        return Err(Refusal::field(format!("spec.{field}"), message));
    }
    Ok(())
}

/// Checks that the order stays with the controller that has taken it.
fn check_controller(old: &OrderRequestSpec, new: &OrderRequestSpec) -> Result<(), Refusal> {
    if effective(old.controller_name.as_deref()) == effective(new.controller_name.as_deref()) {
        return Ok(());
    }
    let message = "cannot change once a controller has taken the order; create a new OrderRequest";
    Err(Refusal::field("spec.controllerName", message))
}

/// Checks the fields that steer an order. A refused award had no effect.
#[allow(clippy::fn_params_excessive_bools, reason = "one fact of the status")]
fn check_steering(
    old: &OrderRequestSpec,
    new: &OrderRequestSpec,
    is_award_refused: bool,
) -> Result<(), Refusal> {
    if old.cancel && !new.cancel {
        let message = "cannot be taken back; create a new OrderRequest";
        return Err(Refusal::field("spec.cancel", message));
    }
    if old.close.is_some() && old.close != new.close {
        let message = "cannot be taken back; create a new OrderRequest";
        return Err(Refusal::field("spec.close", message));
    }
    let may_follow = |held: &AwardSpec| may_follow(held, new.award.as_ref(), is_award_refused);
    if old.award.as_ref().is_some_and(|held| !may_follow(held)) {
        let message = "is set once; put the former award back, or undo it first";
        return Err(Refusal::field("spec.award", message));
    }
    let (before, after) =
        (duration::expires_in_ms(&old.expires_in)?, duration::expires_in_ms(&new.expires_in)?);
    if after < before {
        let (was, is) = (&old.expires_in, &new.expires_in);
        let message = format!("is {is} and was {was}; it may only grow, give at least {was}");
        let refusal = Refusal::field("spec.expiresIn", message);
        return Err(Refusal { reason: Reason::ExpiryShrinks, ..refusal });
    }
    follow_ups(old, new)
}

/// Reports whether an award may follow another: it has the same winners, or the former is to be
/// undone or was refused.
#[allow(clippy::fn_params_excessive_bools, reason = "one fact of the status")]
fn may_follow(current: &AwardSpec, new: Option<&AwardSpec>, is_refused: bool) -> bool {
    new.is_some_and(|new| {
        current.undo
            || is_refused
            || (&current.proposal_id, &current.lines, current.none)
                == (&new.proposal_id, &new.lines, new.none)
    })
}

fn follow_ups(old: &OrderRequestSpec, new: &OrderRequestSpec) -> Result<(), Refusal> {
    for former in &old.follow_ups {
        let id = &former.id;
        match new.follow_ups.iter().position(|follow_up| follow_up.id == *id) {
            None => {
                let message = format!("only grow; put the removed follow-up '{id}' back");
                return Err(Refusal::field("spec.followUps", message));
            }
            Some(index) if new.follow_ups.get(index) != Some(former) => {
                return Err(Refusal::field(
                    format!("spec.followUps[{index}]"),
                    format!("'{id}' cannot change once it was sent; add another with a new id"),
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order_request::{CloseSpec, FollowUpSpec, ItemSpec, MessageSpec, SellersSpec};

    fn follow_up(id: &str, text: &str) -> FollowUpSpec {
        let message = MessageSpec { message: text.to_owned(), ..MessageSpec::default() };
        FollowUpSpec { id: id.to_owned(), audience: Vec::new(), message, answers: None }
    }

    fn award(id: &str) -> Option<AwardSpec> {
        Some(AwardSpec { proposal_id: Some(id.to_owned()), ..AwardSpec::default() })
    }

    fn base() -> OrderRequestSpec {
        OrderRequestSpec {
            category: Some("furniture".to_owned()),
            expires_in: "1h".to_owned(),
            follow_ups: vec![follow_up("a", "one"), follow_up("b", "two")],
            ..OrderRequestSpec::default()
        }
    }

    fn edit(change: impl FnOnce(&mut OrderRequestSpec)) -> OrderRequestSpec {
        let mut spec = base();
        change(&mut spec);
        spec
    }

    #[test]
    fn allowed_edits_are_accepted() {
        let edits = [
            base(),
            edit(|s| s.suspend = true),
            edit(|s| s.cancel = true),
            edit(|s| s.award = award("p1")),
            edit(|s| s.close = Some(CloseSpec::default())),
            edit(|s| s.expires_in = "60m".to_owned()),
            edit(|s| s.expires_in = "2d".to_owned()),
            edit(|s| s.ttl_after_finished = "5m".to_owned()),
            edit(|s| s.follow_ups.push(follow_up("c", "three"))),
            edit(|s| s.follow_ups.reverse()),
        ];
        for new in edits {
            check_update(&base(), &new).expect("a good edit");
        }
    }

    #[test]
    fn forbidden_edits_name_field_and_fix() {
        let cancelled = edit(|s| s.cancel = true);
        let awarded = edit(|s| s.award = award("p1"));
        let item = ItemSpec {
            sku: "A".to_owned(),
            description: None,
            quantity: k8s_openapi::apimachinery::pkg::util::intstr::IntOrString::Int(1),
            unit: None,
            line: None,
        };
        let sellers = SellersSpec {
            max_count: 1,
            max_distance_km: None,
            names: Vec::new(),
            excluded: Vec::new(),
            open_to_all: false,
            late: true,
        };
        let table = [
            (
                base(),
                edit(|s| s.order_req_id = Some("B".into())),
                "spec.orderReqId",
                "create a new",
            ),
            (base(), edit(|s| s.category = None), "spec.category", "create a new"),
            (base(), edit(|s| s.items.push(item)), "spec.items", "create a new"),
            (base(), edit(|s| s.sellers = Some(sellers)), "spec.sellers", "create a new"),
            (base(), edit(|s| s.sealed = true), "spec.sealed", "create a new"),
            (cancelled, base(), "spec.cancel", "cannot be taken back"),
            (awarded.clone(), base(), "spec.award", "put the former award back"),
            (awarded, edit(|s| s.award = award("p2")), "spec.award", "put the former award back"),
            (base(), edit(|s| s.expires_in = "59m".into()), "spec.expiresIn", "at least 1h"),
            (base(), edit(|s| s.follow_ups.truncate(1)), "spec.followUps", "put the removed"),
            (
                base(),
                edit(|s| s.follow_ups[1] = follow_up("b", "other")),
                "spec.followUps[1]",
                "with a new id",
            ),
        ];
        for (old, new, field, fix) in table {
            let refusal = check_update(&old, &new).expect_err(field);
            assert_eq!(refusal.field.as_deref(), Some(field));
            assert!(refusal.message.contains(fix), "{refusal}");
        }
    }

    /// Another award may take its place, and no award may be removed: a pending one would count.
    #[test]
    fn refused_awards_may_be_replaced() {
        let held = |condition: serde_json::Value| {
            let mut resource = OrderRequest::new("chairs", edit(|s| s.award = award("p1")));
            let status = serde_json::json!({ "phase": "Open", "conditions": [condition] });
            resource.status = Some(serde_json::from_value(status).unwrap());
            resource
        };
        let stalled = |status: &str, message: &str| {
            held(serde_json::json!({
                "type": "Stalled", "status": status, "reason": "PROPOSAL_NOT_FOUND",
                "message": message, "lastTransitionTime": "2026-10-01T00:00:00Z",
            }))
        };
        let other = edit(|s| s.award = award("p2"));
        for (status, message, is_allowed) in [
            ("True", "award: there is no proposal p1", true),
            ("True", "spec.award.proposalId: is not an id", true),
            ("True", "follow-up f1: there is no seller x", false),
            ("False", "", false),
        ] {
            let resource = stalled(status, message);
            assert_eq!(check_edit(&resource, &other).is_ok(), is_allowed, "{message}");
            let removed = check_edit(&resource, &base()).expect_err("none is removed");
            assert_eq!(removed.field.as_deref(), Some("spec.award"));
        }
        let refused = stalled("True", "award: there is no proposal p1");
        let fixed = edit(|s| s.category = None);
        assert!(check_edit(&refused, &fixed).is_err(), "the content stays");
    }

    #[test]
    fn pending_ended_and_newer_awards_stay() {
        let held = |mut status: serde_json::Value| {
            status["conditions"] = serde_json::json!([{
                "type": "Stalled", "status": "True", "reason": "PROPOSAL_NOT_FOUND",
                "message": "award: there is no proposal p0",
                "lastTransitionTime": "2026-10-01T00:00:00Z",
            }]);
            let mut resource = OrderRequest::new("chairs", edit(|s| s.award = award("p1")));
            resource.metadata.generation = Some(2);
            resource.status = Some(serde_json::from_value(status).unwrap());
            resource
        };
        let other = edit(|s| s.award = award("p2"));
        let started = "2026-10-01T00:00:00Z";
        for (status, is_allowed) in [
            (serde_json::json!({ "observedGeneration": 2, "phase": "Open" }), true),
            (serde_json::json!({ "observedGeneration": 2, "phase": "Deciding" }), true),
            (serde_json::json!({ "observedGeneration": 1, "phase": "Open" }), false),
            (serde_json::json!({ "phase": "Open" }), false),
            (
                serde_json::json!({ "observedGeneration": 2, "phase": "Open",
                    "award": { "pendingUntil": "2026-10-01T00:00:00Z" } }),
                false,
            ),
            (serde_json::json!({ "observedGeneration": 2, "phase": "Finalised" }), false),
            (serde_json::json!({ "observedGeneration": 2, "phase": "Expired" }), false),
            (serde_json::json!({ "observedGeneration": 2, "phase": "Closed" }), false),
            (serde_json::json!({ "observedGeneration": 2, "phase": "Cancelled" }), false),
            (
                serde_json::json!({ "observedGeneration": 2, "phase": "Failed",
                    "startTime": started }),
                false,
            ),
            // Its order was never opened: the spec may be corrected.
            (serde_json::json!({ "observedGeneration": 2, "phase": "Failed" }), true),
        ] {
            let resource = held(status.clone());
            assert_eq!(check_edit(&resource, &other).is_ok(), is_allowed, "{status}");
        }
    }

    /// Sellers were asked of an order that was opened, even if its last edit is refused.
    #[test]
    fn refused_orders_may_be_corrected() {
        let mut resource = OrderRequest::new("chairs", base());
        let corrected = edit(|s| s.category = Some("seating".to_owned()));
        let status = |phase: &str, start_time: Option<&str>| OrderRequestStatus {
            phase: Some(phase.to_owned()),
            start_time: start_time.map(ToOwned::to_owned),
            ..OrderRequestStatus::default()
        };
        for (held, is_allowed) in [
            (None, false),
            (Some(status("Pending", None)), false),
            (Some(status("Open", Some("2026-10-01T00:00:00Z"))), false),
            (Some(status("Failed", Some("2026-10-01T00:00:00Z"))), false),
            (Some(status("Failed", None)), true),
        ] {
            resource.status = held;
            assert_eq!(check_edit(&resource, &corrected).is_ok(), is_allowed, "{resource:?}");
        }
        let shorter = edit(|s| s.expires_in = "1m".to_owned());
        check_edit(&resource, &shorter).expect_err("what steers the order keeps its rules");
    }
}
