//! What is known of a seller, as its resource shows it. Pure: the same facts give the same status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use orderstream_core::{Refusal, Timestamp};

use crate::seller::SellerStatus;
use crate::status::{Shown, condition};

/// The conditions that the controller writes. Others may add kinds of their own beside them.
const CONDITIONS: [&str; 2] = ["Ready", "Stalled"];

/// The facts that a seller's status is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The generation that they are about.
    pub(crate) generation: i64,
    /// Whether it takes no invitations now.
    pub(crate) suspended: bool,
    /// Why it cannot be read, if it cannot.
    pub(crate) refusal: Option<Refusal>,
}

/// The status of a seller that is invited to so many open orders; `None` keeps the number that is
/// shown.
pub(crate) fn status(
    facts: &Facts,
    open_orders: Option<u32>,
    previous: &SellerStatus,
    now: Timestamp,
) -> SellerStatus {
    let (phase, message) = match (&facts.refusal, facts.suspended) {
        (Some(_), _) => ("Failed", "the seller cannot be read and is invited to nothing new"),
        (None, true) => ("Suspended", "takes no invitations until spec.suspended is false"),
        (None, false) => ("Ready", "can be invited"),
    };
    let stalled = match &facts.refusal {
        Some(refusal) => {
            let field = refusal.field.as_deref().unwrap_or("spec");
            let message = format!("{field}: {}", refusal.message);
            Shown("Stalled", true, refusal.reason.as_str(), message)
        }
        None => Shown("Stalled", false, "NothingWrong", String::new()),
    };
    let ready = Shown("Ready", facts.refusal.is_none(), phase, message.to_owned());
    let made = |shown: &Shown<'_>| condition(shown, facts.generation, &previous.conditions, now);
    SellerStatus {
        observed_generation: Some(facts.generation),
        phase: Some(phase.to_owned()),
        conditions: [ready, stalled].iter().map(made).collect(),
        open_orders: open_orders.or(previous.open_orders),
    }
}

/// The controller's part of a status: without conditions of others, its own in their order.
pub(crate) fn own(mut status: SellerStatus) -> SellerStatus {
    let place = |held: &Condition| CONDITIONS.iter().position(|kind| *kind == held.type_);
    status.conditions.retain(|held| place(held).is_some());
    status.conditions.sort_by_key(place);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp(1_800_000_000_000);

    fn facts() -> Facts {
        Facts { generation: 2, suspended: false, refusal: None }
    }

    fn reason<'a>(status: &'a SellerStatus, kind: &str) -> (&'a str, &'a str) {
        let held = status.conditions.iter().find(|held| held.type_ == kind).unwrap();
        (held.status.as_str(), held.reason.as_str())
    }

    #[test]
    fn a_seller_is_ready_suspended_or_failed_and_says_why() {
        let ready = status(&facts(), Some(3), &SellerStatus::default(), T0);
        assert_eq!((ready.phase.as_deref(), ready.open_orders), (Some("Ready"), Some(3)));
        assert_eq!(reason(&ready, "Ready"), ("True", "Ready"));
        assert_eq!(ready.observed_generation, Some(2));

        let asleep = status(&Facts { suspended: true, ..facts() }, Some(3), &ready, T0);
        assert_eq!(reason(&asleep, "Ready"), ("True", "Suspended"));
        assert_eq!(reason(&asleep, "Stalled"), ("False", "NothingWrong"));

        let refusal = Some(Refusal::field("spec.capacity", "\u{7}".repeat(9_000)));
        let failed = status(&Facts { refusal, ..facts() }, None, &asleep, T0);
        assert_eq!(reason(&failed, "Ready"), ("False", "Failed"));
        assert_eq!(reason(&failed, "Stalled"), ("True", "INVALID_FIELD"));
        assert_eq!(failed.open_orders, Some(3), "what is not known stays as it was shown");
        assert!(serde_json::to_vec(&failed).unwrap().len() < 1_024);
    }

    #[test]
    fn what_did_not_change_compares_equal_later_and_beside_conditions_of_others() {
        let first = status(&facts(), Some(3), &SellerStatus::default(), T0);
        assert_eq!(status(&facts(), Some(3), &first, T0.plus_ms(60_000)), first);
        let mut mixed = first.clone();
        let theirs = Condition { type_: "Audited".to_owned(), ..mixed.conditions[0].clone() };
        mixed.conditions.insert(0, theirs);
        mixed.conditions.reverse();
        assert_eq!(own(mixed), first);
    }
}
