//! The conditions of the statuses: their types, and the reasons that are not a phase or the code of
//! a refusal. Users and tools match on these names; they never change. Messages are for people:
//! every condition has one, and it may change.

/// The order is followed, or has ended: its phase is the reason, or what it waits for
/// ([`reasons::AWARD_PENDING`], [`reasons::PROPOSALS_OPENED`], [`reasons::DECISION_DUE`]). False
/// with [`reasons::STREAM_DOWN`] while its stream is down. A seller can be invited.
pub const READY: &str = "Ready";
/// The order waits for its processor, or for its stream.
pub const RECONCILING: &str = "Reconciling";
/// A person has to act: the reason is the code of a refusal.
pub const STALLED: &str = "Stalled";
/// At least one seller was notified of the order.
pub const SELLERS_NOTIFIED: &str = "SellersNotified";
/// The stream of the order's events is up.
pub const STREAMING: &str = "Streaming";
/// At least one proposal was received.
pub const PROPOSALS_RECEIVED: &str = "ProposalsReceived";

/// Reasons of conditions.
pub mod reasons {
    /// Ready: an award is pending, and can be undone.
    pub const AWARD_PENDING: &str = "AwardPending";
    /// Ready: a sealed order is opened and awaits a decision.
    pub const PROPOSALS_OPENED: &str = "ProposalsOpened";
    /// Ready: the order's time is over, and it awaits a decision.
    pub const DECISION_DUE: &str = "DecisionDue";
    /// Not reconciling.
    pub const SETTLED: &str = "Settled";
    /// Not stalled.
    pub const NOTHING_WRONG: &str = "NothingWrong";
    /// The order has no event yet.
    pub const NOT_OPENED: &str = "NotOpened";
    /// No seller was notified: none fits the order.
    pub const NO_SELLER_FITS: &str = "NoSellerFits";
    /// No seller was notified yet.
    pub const NOTIFYING: &str = "Notifying";
    /// No seller was notified: every delivery failed.
    pub const NOBODY_REACHED: &str = "NobodyReached";
    /// Every seller was notified.
    pub const NOTIFIED: &str = "Notified";
    /// Some sellers were notified; the delivery to others failed.
    pub const SOME_NOT_REACHED: &str = "SomeNotReached";
    /// The stream is down because the order has ended.
    pub const ORDER_ENDED: &str = "OrderEnded";
    /// The stream is up.
    pub const STREAM_UP: &str = "StreamUp";
    /// The stream broke or cannot be opened; not ready, and reconciling.
    pub const STREAM_DOWN: &str = "StreamDown";
    /// The stream was not opened yet.
    pub const NOT_STARTED: &str = "NotStarted";
    /// At least one proposal was received.
    pub const PROPOSALS_RECEIVED: &str = "ProposalsReceived";
    /// The order expired without a proposal.
    pub const EXPIRED_WITHOUT: &str = "ExpiredWithout";
    /// No proposal was received yet.
    pub const WAITING: &str = "Waiting";
    /// A seller cannot be read.
    pub const FAILED: &str = "Failed";
    /// A seller accepts no invitations.
    pub const SUSPENDED: &str = "Suspended";
}
