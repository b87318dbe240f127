//! Refusals: one closed list of reasons, and the one table that maps each to a gRPC code and an
//! HTTP status.

use std::fmt;

/// The stable reason of a refusal. The spelling never changes: programs match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A field is missing, malformed or out of its range.
    InvalidField,
    /// The request as a whole cannot be read (not JSON, not the message type, too large).
    InvalidRequest,
    /// There is no such order here.
    OrderNotFound,
    /// The order has no such proposal.
    ProposalNotFound,
    /// There is no such dead letter here.
    NotificationNotFound,
    /// No command was sent to the order under this key.
    CommandNotFound,
    /// The seller has such a proposal already, or its id is taken.
    ProposalExists,
    /// The order has ended; it accepts nothing more.
    OrderEnded,
    /// The order is paused; resume it first.
    OrderPaused,
    /// The order's deadline has passed.
    DeadlinePassed,
    /// The proposal was withdrawn or closed.
    ProposalEnded,
    /// Another seller holds the edit lock.
    Locked,
    /// The idempotency key was used with another body.
    IdempotencyConflict,
    /// The order is sealed: its proposals are not open yet.
    OrderSealed,
    /// The order was awarded already, to another seller.
    AlreadyAwarded,
    /// An award is pending; undo it first.
    AwardPending,
    /// There is no award that can still be undone.
    AwardNotPending,
    /// The state that the caller read is not the current one any more.
    Changed,
    /// An expiry can only be extended.
    ExpiryShrinks,
    /// The order's content differs from what was opened under this id.
    OrderExists,
    /// The caller's epoch is lower than the highest that was granted.
    StaleEpoch,
    /// A newer stream of the same order took over.
    Superseded,
    /// The caller requested events beyond the end of the list.
    AheadOfList,
    /// A limit of one order is reached.
    LimitReached,
    /// The server has more work than it can queue; try again later.
    Overloaded,
    /// The server is stopping; go on at another one, or later.
    Draining,
    /// The disk accepts no records at the moment; nothing was acknowledged.
    StorageUnavailable,
    /// The order's stored records are damaged; an operator must act.
    RecordsDamaged,
    /// The caller is not allowed to do this.
    NotAllowed,
    /// The order invites sellers, and this is not one of them.
    NotInvited,
    /// The other side could not be reached in time.
    Unreachable,
    /// Another program keeps writing what only the owner writes.
    StatusContested,
    /// A fault of the server. The log has the cause.
    Internal,
}

/// Returns a reason's row in the table: spelling, gRPC code number, HTTP status.
const fn row(reason: Reason) -> (&'static str, i32, u16) {
    match reason {
        Reason::InvalidField => ("INVALID_FIELD", 3, 422),
        Reason::InvalidRequest => ("INVALID_REQUEST", 3, 400),
        Reason::OrderNotFound => ("ORDER_NOT_FOUND", 5, 404),
        Reason::ProposalNotFound => ("PROPOSAL_NOT_FOUND", 5, 404),
        Reason::NotificationNotFound => ("NOTIFICATION_NOT_FOUND", 5, 404),
        Reason::CommandNotFound => ("ACT_NOT_FOUND", 5, 404),
        Reason::ProposalExists => ("PROPOSAL_EXISTS", 6, 409),
        Reason::OrderEnded => ("ORDER_ENDED", 9, 409),
        Reason::OrderPaused => ("ORDER_PAUSED", 9, 409),
        Reason::DeadlinePassed => ("DEADLINE_PASSED", 9, 409),
        Reason::ProposalEnded => ("PROPOSAL_ENDED", 9, 409),
        Reason::Locked => ("LOCKED", 9, 423),
        Reason::IdempotencyConflict => ("IDEMPOTENCY_CONFLICT", 10, 409),
        Reason::OrderSealed => ("ORDER_SEALED", 9, 409),
        Reason::AlreadyAwarded => ("ALREADY_AWARDED", 9, 409),
        Reason::AwardPending => ("AWARD_PENDING", 9, 409),
        Reason::AwardNotPending => ("AWARD_NOT_PENDING", 9, 409),
        Reason::Changed => ("CHANGED", 10, 412),
        Reason::ExpiryShrinks => ("EXPIRY_SHRINKS", 9, 409),
        Reason::OrderExists => ("ORDER_EXISTS", 6, 409),
        Reason::StaleEpoch => ("STALE_EPOCH", 9, 409),
        Reason::Superseded => ("SUPERSEDED", 10, 409),
        Reason::AheadOfList => ("AHEAD_OF_LIST", 11, 416),
        Reason::LimitReached => ("LIMIT_REACHED", 8, 429),
        Reason::Overloaded => ("OVERLOADED", 8, 429),
        Reason::Draining => ("DRAINING", 14, 503),
        Reason::StorageUnavailable => ("STORAGE_UNAVAILABLE", 14, 503),
        Reason::RecordsDamaged => ("RECORDS_DAMAGED", 15, 500),
        Reason::NotAllowed => ("NOT_ALLOWED", 7, 403),
        Reason::NotInvited => ("NOT_INVITED", 7, 403),
        Reason::Unreachable => ("UNREACHABLE", 14, 503),
        Reason::StatusContested => ("STATUS_CONTESTED", 10, 409),
        Reason::Internal => ("INTERNAL", 13, 500),
    }
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 33] = [
        Self::InvalidField,
        Self::InvalidRequest,
        Self::OrderNotFound,
        Self::ProposalNotFound,
        Self::NotificationNotFound,
        Self::CommandNotFound,
        Self::ProposalExists,
        Self::OrderEnded,
        Self::OrderPaused,
        Self::DeadlinePassed,
        Self::ProposalEnded,
        Self::Locked,
        Self::IdempotencyConflict,
        Self::OrderSealed,
        Self::AlreadyAwarded,
        Self::AwardPending,
        Self::AwardNotPending,
        Self::Changed,
        Self::ExpiryShrinks,
        Self::OrderExists,
        Self::StaleEpoch,
        Self::Superseded,
        Self::AheadOfList,
        Self::LimitReached,
        Self::Overloaded,
        Self::Draining,
        Self::StorageUnavailable,
        Self::RecordsDamaged,
        Self::NotAllowed,
        Self::NotInvited,
        Self::Unreachable,
        Self::StatusContested,
        Self::Internal,
    ];

    /// Returns the stable spelling, as in `ErrorInfo.reason`, problem+json and conditions.
    pub const fn as_str(self) -> &'static str {
        row(self).0
    }

    /// Returns the number of the gRPC status code.
    pub const fn grpc_code(self) -> i32 {
        row(self).1
    }

    /// Returns the HTTP status.
    pub const fn http_status(self) -> u16 {
        row(self).2
    }

    /// Returns the reason with this spelling; `None` for an unknown one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Reports whether the same request may succeed later without any change.
    pub const fn is_retriable(self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::Draining | Self::StorageUnavailable | Self::Unreachable
        )
    }
}

/// A request that was refused, with what the caller needs to correct it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// The path of the wrong field, as the caller wrote it; absent where no single field is wrong.
    pub field: Option<String>,
    /// The fault, the limit, and the fix, for a person.
    pub message: String,
    /// The time after which a retry makes sense, milliseconds; absent where none does.
    pub retry_after_ms: Option<u64>,
    /// Facts for programs, such as the epoch floor.
    pub metadata: Vec<(String, String)>,
}

impl Refusal {
    /// Makes a refusal with a reason and a message for a person.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let retry_after_ms = reason.is_retriable().then_some(1_000);
        Self { reason, field: None, message: message.into(), retry_after_ms, metadata: Vec::new() }
    }

    /// Makes a refusal of one field: its path, and a message with the limit and the fix.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..Self::new(Reason::InvalidField, message) }
    }

    /// Adds one more fact for programs.
    #[allow(clippy::needless_pass_by_value, reason = "callers give ids and numbers alike")]
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.metadata.push((name.to_owned(), value.to_string()));
        self
    }

    /// Puts the field's path under `parent`.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.field = self.field.map(|field| format!("{parent}.{field}"));
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {field}: {}", self.reason.as_str(), self.message),
            None => write!(f, "{}: {}", self.reason.as_str(), self.message),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_parsed_by_their_spelling() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("order_ended"), None);
    }

    #[test]
    fn retriable_reasons_are_of_servers_that_come_back() {
        let retriable: Vec<_> = Reason::ALL.into_iter().filter(|it| it.is_retriable()).collect();
        let expected =
            [Reason::Overloaded, Reason::Draining, Reason::StorageUnavailable, Reason::Unreachable];
        assert_eq!(retriable, expected);
    }

    /// Clients depend on these numbers.
    #[test]
    fn reasons_have_their_status_codes() {
        for (reason, grpc, http) in [
            (Reason::InvalidField, 3, 422),
            (Reason::OrderNotFound, 5, 404),
            (Reason::OrderEnded, 9, 409),
            (Reason::Locked, 9, 423),
            (Reason::Changed, 10, 412),
            (Reason::AheadOfList, 11, 416),
            (Reason::Overloaded, 8, 429),
            (Reason::StorageUnavailable, 14, 503),
            (Reason::RecordsDamaged, 15, 500),
        ] {
            assert_eq!((reason.grpc_code(), reason.http_status()), (grpc, http), "{reason:?}");
        }
    }

    #[test]
    fn refusals_are_displayed_with_reason_and_field() {
        let refusal = Refusal::new(Reason::Locked, "somebody edits it");
        assert_eq!(refusal.to_string(), "LOCKED: somebody edits it");
        let refusal = Refusal::field("sku", "is missing").under("items[0]");
        assert_eq!(refusal.to_string(), "INVALID_FIELD: items[0].sku: is missing");
    }
}
