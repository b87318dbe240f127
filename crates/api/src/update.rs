//! Checks edits of an `OrderRequest`: the same rules as in the resource's schema, for where there
//! is no API server.

use orderstream_core::{Reason, Refusal};

use crate::duration;
use crate::order_request::{AwardSpec, OrderRequestSpec};

/// Checks an edit.
///
/// # Errors
/// Names the field that may not change like this, and the fix.
pub fn check_update(old: &OrderRequestSpec, new: &OrderRequestSpec) -> Result<(), Refusal> {
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
        ("sealed", old.sealed == new.sealed),
        ("buyer", old.buyer == new.buyer),
    ];
    if let Some((field, _)) = fixed.iter().find(|(_, same)| !same) {
        let message = "cannot change once sellers were asked; create a new OrderRequest";
        return Err(Refusal::field(format!("spec.{field}"), message));
    }
    if old.cancel && !new.cancel {
        let message = "cannot be taken back; create a new OrderRequest";
        return Err(Refusal::field("spec.cancel", message));
    }
    if old.close.is_some() && old.close != new.close {
        let message = "cannot be taken back; create a new OrderRequest";
        return Err(Refusal::field("spec.close", message));
    }
    if old.award.as_ref().is_some_and(|held| !may_follow(held, new.award.as_ref())) {
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
/// undone.
fn may_follow(current: &AwardSpec, new: Option<&AwardSpec>) -> bool {
    new.is_some_and(|new| {
        current.undo
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
        };
        let sellers = SellersSpec {
            max_count: 1,
            max_distance_km: None,
            names: Vec::new(),
            excluded: Vec::new(),
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
}
