//! The buyer's follow-up, and many proposals in one call.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use orderstream_core::command::Expected;
use orderstream_core::{Act, Answer, OrderKey, Refusal};
use orderstream_rpc::convert::{follow_up_from_wire, proposal_from_wire};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_server::OrderNonStreamingService;
use tonic::{Request, Response, Status, Streaming};

use super::{Grpc, Target, status};
use crate::limits::{RESULTS_MAX, SUBMISSIONS_IN_FLIGHT};
use crate::peers::{FORWARDED, not_meant};

#[tonic::async_trait]
impl OrderNonStreamingService for Grpc {
    async fn process_follow_up(
        &self,
        request: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        let answer = self.follow_up(request.into_inner()).await.map_err(status)?;
        Ok(Response::new(v1::FollowUpResponse {
            success: true,
            message: "Follow-up processed".to_owned(),
            seq: answer.seq.0,
            follow_up_id: answer.follow_up_id.map(String::from).unwrap_or_default(),
        }))
    }

    async fn submit_proposals(
        &self,
        request: Request<Streaming<v1::ProposalSubmission>>,
    ) -> Result<Response<v1::SubmitProposalsSummary>, Status> {
        let mark = request.metadata().get(FORWARDED).map(|mark| mark.to_str().unwrap_or_default());
        if mark.is_some_and(|mark| !self.peers.is_meant(mark)) {
            return Err(status(not_meant()));
        }
        let is_forwarded = mark.is_some();
        let mut submissions = request.into_inner();
        let mut waiting = FuturesOrdered::new();
        let mut summary = v1::SubmitProposalsSummary::default();
        let mut index: u64 = 0;
        loop {
            // Cancel-safe: a message is taken as a whole, and a result stays in the queue. What came
            // in goes to the disk while the caller is still thinking.
            tokio::select! {
                submission = submissions.message(), if waiting.len() < SUBMISSIONS_IN_FLIGHT => {
                    let Some(submission) = submission? else { break };
                    let this = self.clone();
                    waiting.push_back(async move {
                        let submitted = match is_forwarded {
                            true => this.submit_here(submission).await,
                            false => this.submit(submission).await,
                        };
                        (index, submitted)
                    });
                    index = index.saturating_add(1);
                }
                Some(result) = waiting.next() => note(&mut summary, result),
            }
        }
        while let Some(result) = waiting.next().await {
            note(&mut summary, result);
        }
        Ok(Response::new(summary))
    }
}

impl Grpc {
    async fn follow_up(&self, request: v1::FollowUpRequest) -> Result<Answer, Refusal> {
        let order = v1::OrderRef {
            order_req_id: request.order_req_id,
            tenant: request.tenant,
            incarnation: request.incarnation,
        };
        let target = Target::of(Some(order), request.idempotency_key, request.epoch)?;
        // Old clients give no id.
        let id = match request.follow_up_id {
            id if id.is_empty() => uuid::Uuid::now_v7().to_string(),
            id => id,
        };
        let follow_up =
            follow_up_from_wire(id, (request.audience, request.answers), request.message)?;
        self.act(target, Act::FollowUp(follow_up)).await
    }

    /// One seller's proposal, wherever its order is.
    pub(super) async fn submit(
        &self,
        submission: v1::ProposalSubmission,
    ) -> Result<Answer, Refusal> {
        let key = OrderKey::new(&submission.tenant, &submission.order_req_id)?;
        if self.orders.incarnation(&key).is_none()
            && let Some(answer) = self.peers.submit(&key, submission.clone()).await?
        {
            return Ok(answer);
        }
        self.submit_here(submission).await
    }

    /// One seller's proposal for an order of this processor.
    async fn submit_here(&self, submission: v1::ProposalSubmission) -> Result<Answer, Refusal> {
        let order = v1::OrderRef {
            order_req_id: submission.order_req_id,
            tenant: submission.tenant,
            incarnation: submission.incarnation,
        };
        let mut target = Target::of(Some(order), submission.idempotency_key, 0)?;
        let proposal = submission
            .proposal
            .ok_or_else(|| Refusal::field("proposal", "is missing; give what is proposed"))?;
        // The version that is amended; a first proposal names none.
        let version = Some(proposal.version).filter(|version| *version > 0);
        target.expected = version.map(Expected::Version);
        let proposed = proposal_from_wire(proposal).map_err(|e| e.under("proposal"))?;
        let act = if version.is_some() { Act::Amend(proposed) } else { Act::Propose(proposed) };
        self.act(target, act).await
    }
}

/// Counts one result. Each is listed up to a bound, from there on as many refused ones again; the
/// summary says that it was cut.
fn note(summary: &mut v1::SubmitProposalsSummary, (index, result): (u64, Result<Answer, Refusal>)) {
    let bound = if result.is_ok() { RESULTS_MAX } else { 2 * RESULTS_MAX };
    let listed = match result {
        Ok(answer) => {
            summary.accepted = summary.accepted.saturating_add(1);
            v1::ProposalResult {
                index,
                proposal_id: answer.proposal_id.map(String::from).unwrap_or_default(),
                seq: answer.seq.0,
                ..v1::ProposalResult::default()
            }
        }
        Err(refusal) => {
            summary.refused = summary.refused.saturating_add(1);
            v1::ProposalResult {
                index,
                reason: refusal.reason.as_str().to_owned(),
                message: refusal.to_string(),
                ..v1::ProposalResult::default()
            }
        }
    };
    if summary.results.len() < bound {
        summary.results.push(listed);
    } else {
        summary.results_cut = true;
    }
}
