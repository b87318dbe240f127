//! The documents of the REST interfaces: one type each, for the service that sends it, the OpenAPI
//! document that describes it, and the programs that read it. Also the frames of their streams.
//!
//! A field that an older server leaves out has its default for a reader. A server always sends it,
//! which is why the OpenAPI document requires it all the same. Where a field refers to another type,
//! the fields and not the type have `#[serde(default)]`, or the document would name a default.

pub mod command;
pub mod comparison;
pub mod conversation;
pub mod event;
pub mod inbox;
pub mod notification;
pub mod order;
pub mod proposal;
pub mod sse;
pub mod tracking;

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use super::command::{ActView, CommandReplyView, PendingView};
    use super::comparison::{BestOfCurrencyView, ComparisonView, QuantityGapView, RowView};
    use super::conversation::{ConversationMessageView, ConversationPage};
    use super::inbox::{InboxEntryView, InboxPage, OwnProposalView};
    use super::notification::{NotificationView, OutboxView};
    use super::order::{AwardView, FormerIncarnationView, OrderView, PendingAwardView};
    use super::proposal::{ProposalView, ProposalsPage, VersionView};
    use super::tracking::TrackedView;

    fn assert_readable_without_fields<T: DeserializeOwned + Default + Debug + PartialEq>() {
        assert_eq!(serde_json::from_str::<T>("{}").unwrap(), T::default());
    }

    #[test]
    fn awards_of_later_servers_are_readable() {
        let order = |award: &str| {
            let text = format!(r#"{{"phase":"Finalised","award":{award}}}"#);
            serde_json::from_str::<OrderView>(&text).unwrap().award
        };
        assert_eq!(order(r#"{"Whole":"p1"}"#), Some(AwardView::Whole("p1".to_owned())));
        assert_eq!(order(r#"{"Shares":[["p1",0.5]]}"#), Some(AwardView::Other));
        assert_eq!(order(r#""Nobody""#), Some(AwardView::Other));
        assert_eq!(order("null"), None);
    }

    #[test]
    fn fields_that_a_server_leaves_out_have_defaults() {
        assert_readable_without_fields::<ActView>();
        assert_readable_without_fields::<BestOfCurrencyView>();
        assert_readable_without_fields::<CommandReplyView>();
        assert_readable_without_fields::<ComparisonView>();
        assert_readable_without_fields::<ConversationMessageView>();
        assert_readable_without_fields::<ConversationPage>();
        assert_readable_without_fields::<FormerIncarnationView>();
        assert_readable_without_fields::<InboxEntryView>();
        assert_readable_without_fields::<InboxPage>();
        assert_readable_without_fields::<NotificationView>();
        assert_readable_without_fields::<OrderView>();
        assert_readable_without_fields::<OutboxView>();
        assert_readable_without_fields::<OwnProposalView>();
        assert_readable_without_fields::<PendingAwardView>();
        assert_readable_without_fields::<PendingView>();
        assert_readable_without_fields::<ProposalView>();
        assert_readable_without_fields::<ProposalsPage>();
        assert_readable_without_fields::<QuantityGapView>();
        assert_readable_without_fields::<RowView>();
        assert_readable_without_fields::<TrackedView>();
        assert_readable_without_fields::<VersionView>();
    }
}
