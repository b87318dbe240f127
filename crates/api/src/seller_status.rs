//! The status of a seller, made from facts. Pure: the same facts give the same status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use orderstream_core::{Refusal, Timestamp};

use crate::conditions::{READY, STALLED, reasons};
use crate::seller::SellerStatus;
use crate::status::{UntimedCondition, condition};

/// The types of the conditions that the controller writes. Others may add types of their own.
const CONDITIONS: [&str; 2] = [READY, STALLED];

/// The facts that a seller's status is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SellerFacts {
    /// The generation of the resource that they are about.
    pub generation: i64,
    /// The seller accepts no invitations now.
    pub suspended: bool,
    /// The refusal of the resource; absent while the seller can be read.
    pub refusal: Option<Refusal>,
}

/// Returns the status of a seller that is invited to `open_orders` open orders; `None` keeps the
/// number that was last applied.
pub fn status(
    facts: &SellerFacts,
    open_orders: Option<u32>,
    previous: &SellerStatus,
    now: Timestamp,
) -> SellerStatus {
    let (phase, message) = match (&facts.refusal, facts.suspended) {
        (Some(_), _) => {
            let message = "the seller cannot be read and is invited to nothing new; correct what \
                           the condition Stalled names";
            (reasons::FAILED, message)
        }
        (None, true) => {
            (reasons::SUSPENDED, "the seller is not invited until spec.suspended is false")
        }
        (None, false) => (READY, "the seller can be invited"),
    };
    let stalled = match &facts.refusal {
        Some(refusal) => {
            let field = refusal.field.as_deref().unwrap_or("spec");
            let message = format!("{field}: {}", refusal.message);
            UntimedCondition(STALLED, true, refusal.reason.as_str(), message)
        }
        None => {
            let message = "nothing is wrong with the seller".to_owned();
            UntimedCondition(STALLED, false, reasons::NOTHING_WRONG, message)
        }
    };
    let ready = UntimedCondition(READY, facts.refusal.is_none(), phase, message.to_owned());
    let made = |shown: &UntimedCondition<'_>| {
        condition(shown, facts.generation, &previous.conditions, now)
    };
    SellerStatus {
        observed_generation: Some(facts.generation),
        phase: Some(phase.to_owned()),
        conditions: [ready, stalled].iter().map(made).collect(),
        open_orders: open_orders.or(previous.open_orders),
    }
}

/// Returns the controller's part of a status: its own conditions in their order, without those of
/// others.
pub fn own(mut status: SellerStatus) -> SellerStatus {
    let position = |held: &Condition| CONDITIONS.iter().position(|kind| *kind == held.type_);
    status.conditions.retain(|held| position(held).is_some());
    status.conditions.sort_by_key(position);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp(1_800_000_000_000);

    fn facts() -> SellerFacts {
        SellerFacts { generation: 2, suspended: false, refusal: None }
    }

    fn reason<'a>(status: &'a SellerStatus, kind: &str) -> (&'a str, &'a str) {
        let condition = status.conditions.iter().find(|held| held.type_ == kind).unwrap();
        (condition.status.as_str(), condition.reason.as_str())
    }

    #[test]
    fn sellers_are_ready_suspended_or_failed() {
        let ready = status(&facts(), Some(3), &SellerStatus::default(), T0);
        assert_eq!((ready.phase.as_deref(), ready.open_orders), (Some("Ready"), Some(3)));
        assert_eq!(reason(&ready, "Ready"), ("True", "Ready"));
        assert_eq!(ready.observed_generation, Some(2));

        let asleep = status(&SellerFacts { suspended: true, ..facts() }, Some(3), &ready, T0);
        assert_eq!(reason(&asleep, "Ready"), ("True", "Suspended"));
        assert_eq!(reason(&asleep, "Stalled"), ("False", "NothingWrong"));

        let refusal = Some(Refusal::field("spec.capacity", "\u{7}".repeat(9_000)));
        let failed = status(&SellerFacts { refusal, ..facts() }, None, &asleep, T0);
        assert_eq!(reason(&failed, "Ready"), ("False", "Failed"));
        assert_eq!(reason(&failed, "Stalled"), ("True", "INVALID_FIELD"));
        assert_eq!(failed.open_orders, Some(3), "what is not known stays as it was shown");
        assert!(serde_json::to_vec(&failed).unwrap().len() < 1_024);
        for condition in [ready, asleep, failed].iter().flat_map(|status| &status.conditions) {
            assert!(condition.message.contains(' '), "{condition:?}");
        }
    }

    /// This holds at a later time, and beside conditions of others.
    #[test]
    fn unchanged_statuses_compare_equal() {
        let first = status(&facts(), Some(3), &SellerStatus::default(), T0);
        assert_eq!(status(&facts(), Some(3), &first, T0.plus_ms(60_000)), first);
        let mut mixed = first.clone();
        let theirs = Condition { type_: "Audited".to_owned(), ..mixed.conditions[0].clone() };
        mixed.conditions.insert(0, theirs);
        mixed.conditions.reverse();
        assert_eq!(own(mixed), first);
    }
}
