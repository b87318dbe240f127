//! The pages of `docs/reference/errors`. A reason without a page does not compile.

use orderstream_core::Reason;

macro_rules! pages {
    ($($reason:ident => $name:literal),* $(,)?) => {
        /// Returns the page of a reason, in Markdown.
        pub(super) const fn page(reason: Reason) -> &'static str {
            match reason {
                $(Reason::$reason => {
                    include_str!(concat!("../../../../docs/reference/errors/", $name, ".md"))
                })*
            }
        }
    };
}

pages! {
    InvalidField => "INVALID_FIELD",
    InvalidRequest => "INVALID_REQUEST",
    OrderNotFound => "ORDER_NOT_FOUND",
    ProposalNotFound => "PROPOSAL_NOT_FOUND",
    NotificationNotFound => "NOTIFICATION_NOT_FOUND",
    CommandNotFound => "ACT_NOT_FOUND",
    ProposalExists => "PROPOSAL_EXISTS",
    OrderEnded => "ORDER_ENDED",
    OrderPaused => "ORDER_PAUSED",
    DeadlinePassed => "DEADLINE_PASSED",
    ProposalEnded => "PROPOSAL_ENDED",
    Locked => "LOCKED",
    IdempotencyConflict => "IDEMPOTENCY_CONFLICT",
    OrderSealed => "ORDER_SEALED",
    AlreadyAwarded => "ALREADY_AWARDED",
    AwardPending => "AWARD_PENDING",
    AwardNotPending => "AWARD_NOT_PENDING",
    Changed => "CHANGED",
    ExpiryShrinks => "EXPIRY_SHRINKS",
    OrderExists => "ORDER_EXISTS",
    StaleEpoch => "STALE_EPOCH",
    Superseded => "SUPERSEDED",
    AheadOfList => "AHEAD_OF_LIST",
    LimitReached => "LIMIT_REACHED",
    Overloaded => "OVERLOADED",
    Draining => "DRAINING",
    StorageUnavailable => "STORAGE_UNAVAILABLE",
    RecordsDamaged => "RECORDS_DAMAGED",
    NotAllowed => "NOT_ALLOWED",
    NotInvited => "NOT_INVITED",
    Unreachable => "UNREACHABLE",
    StatusContested => "STATUS_CONTESTED",
    Internal => "INTERNAL",
}

/// Returns the meaning of a reason: the first paragraph of its page.
pub(super) fn summary(reason: Reason) -> String {
    let lines = page(reason).lines().skip(1).skip_while(|line| line.is_empty());
    let paragraph: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    paragraph.join(" ")
}
