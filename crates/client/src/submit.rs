//! Submits many proposals in one call.

use futures_util::{Stream, StreamExt as _};
use orderstream_core::command::ProposalContent;
use orderstream_core::{IdempotencyKey, Incarnation, OrderKey, Seq};
use orderstream_rpc::convert::proposal_to_wire;
use orderstream_rpc::v1;

use crate::seller::{Receipt, receipt};
use crate::{Client, Error, RequestRefusal, fresh_key};

/// One proposal for one order.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmittedProposal {
    /// The order's tenant and id.
    pub order: OrderKey,
    /// The order's incarnation; absent for the current one.
    pub incarnation: Option<Incarnation>,
    /// The idempotency key: a repetition under the same key has no further effect. If absent, a key
    /// is generated for this call.
    pub key: Option<IdempotencyKey>,
    /// The content of the proposal.
    pub proposed: ProposalContent,
    /// The version that is amended; absent for a new proposal.
    pub amends: Option<u32>,
}

impl SubmittedProposal {
    /// Creates a submission of a new proposal for an order.
    pub const fn new(order: OrderKey, proposed: ProposalContent) -> Self {
        Self { order, incarnation: None, key: None, proposed, amends: None }
    }

    pub(crate) fn into_wire(self) -> v1::ProposalSubmission {
        v1::ProposalSubmission {
            order_req_id: self.order.order_req_id.to_string(),
            tenant: self.order.tenant.to_string(),
            incarnation: self.incarnation.map(String::from).unwrap_or_default(),
            idempotency_key: self.key.map_or_else(fresh_key, String::from),
            proposal: Some(proposal_to_wire(&self.proposed, self.amends.unwrap_or(0))),
        }
    }
}

/// The result of a call with many proposals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubmissionSummary {
    /// The number of stored proposals.
    pub accepted: u64,
    /// The number of refused proposals.
    pub refused: u64,
    /// The results by a proposal's index in the call, from 0: all results for up to 1 000
    /// proposals, beyond that only refusals, and never more than 2 000.
    pub results: Vec<(u64, Result<Receipt, RequestRefusal>)>,
    /// Some results were omitted.
    pub is_truncated: bool,
}

impl Client {
    /// Submits proposals from a stream; at most a few hundred are in flight at a time, and the
    /// stream is read at the processor's pace. The processor need not own the orders: it forwards
    /// proposals for orders of other processors.
    ///
    /// After an error some proposals are stored and some are not. If each has a key or an id,
    /// repeating the call stores the missing ones and duplicates nothing.
    ///
    /// ```no_run
    /// use orderstream_client::{
    ///     Client, OrderKey, ProposalContent, ProposalInput, SubmittedProposal,
    /// };
    ///
    /// # async fn run(client: Client) -> Result<(), orderstream_client::Error> {
    /// let submissions = (0..5_000).map(|n| {
    ///     let order = OrderKey::new("default", &format!("SB{n}")).expect("it fits");
    ///     let proposed = ProposalContent::try_from(ProposalInput {
    ///         proposal_id: Some(format!("P-{n}")),
    ///         seller: "steel-works".to_owned(),
    ///         price: "10.50".to_owned(),
    ///         currency: "EUR".to_owned(),
    ///         ..ProposalInput::default()
    ///     });
    ///     SubmittedProposal::new(order, proposed.expect("it fits"))
    /// });
    /// let summary = client.submit(futures_util::stream::iter(submissions)).await?;
    /// println!("{} stored, {} refused", summary.accepted, summary.refused);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the call fails. A refused proposal is not an error, but a result.
    pub async fn submit(
        &self,
        submissions: impl Stream<Item = SubmittedProposal> + Send + 'static,
    ) -> Result<SubmissionSummary, Error> {
        let wire = submissions.map(SubmittedProposal::into_wire);
        let called = self.non_streaming().submit_proposals(wire).await;
        let summary = called.map_err(|status| match crate::error::classify_status(&status) {
            Ok(refused) => Error::Refused(refused),
            Err(cause) => Error::Unanswered(cause),
        })?;
        summary_from_wire(summary.into_inner())
    }
}

fn summary_from_wire(summary: v1::SubmitProposalsSummary) -> Result<SubmissionSummary, Error> {
    let mut results = Vec::with_capacity(summary.results.len());
    for entry in summary.results {
        let result = if entry.reason.is_empty() {
            Ok(receipt(Seq(entry.seq), entry.proposal_id)?)
        } else {
            Err(RequestRefusal { reason: entry.reason, message: entry.message, order: None })
        };
        results.push((entry.index, result));
    }
    let (accepted, refused, is_truncated) =
        (summary.accepted, summary.refused, summary.results_cut);
    Ok(SubmissionSummary { accepted, refused, results, is_truncated })
}
