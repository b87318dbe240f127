//! The buyer's follow-up, and many proposals in one call.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use orderstream_core::command::Precondition;
use orderstream_core::{CommandKind, OrderKey, Refusal, Reply};
use orderstream_rpc::convert::{follow_up_from_wire, proposal_from_wire};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_server::OrderNonStreamingService;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tonic::{Request, Response, Status, Streaming};

use super::{Grpc, OrderTarget, optional, status};
use crate::limits::{RESULTS_MAX, SUBMISSIONS_IN_FLIGHT};
use crate::peers::{FORWARDED, misdirected};

#[tonic::async_trait]
impl OrderNonStreamingService for Grpc {
    async fn process_follow_up(
        &self,
        request: Request<v1::FollowUpRequest>,
    ) -> Result<Response<v1::FollowUpResponse>, Status> {
        let reply = self.follow_up(request.into_inner()).await.map_err(status)?;
        Ok(Response::new(v1::FollowUpResponse {
            success: true,
            message: "Follow-up processed".to_owned(),
            seq: reply.seq.0,
            follow_up_id: reply.follow_up_id.map(String::from).unwrap_or_default(),
        }))
    }

    async fn submit_proposals(
        &self,
        request: Request<Streaming<v1::ProposalSubmission>>,
    ) -> Result<Response<v1::SubmitProposalsSummary>, Status> {
        let mark = request.metadata().get(FORWARDED).map(|mark| mark.to_str().unwrap_or_default());
        if mark.is_some_and(|mark| !self.peers.is_addressed_here(mark)) {
            return Err(status(misdirected()));
        }
        let is_forwarded = mark.is_some();
        let mut submissions = request.into_inner();
        let mut in_flight = FuturesOrdered::new();
        let mut summary = v1::SubmitProposalsSummary::default();
        let mut index: u64 = 0;
        let mut sequencer = SubmissionSequencer::default();
        loop {
            // Cancel-safe: a message is received as a whole, and a result stays in the queue.
            // Submissions that have arrived go to the disk while the caller is idle.
            tokio::select! {
                submission = submissions.message(), if in_flight.len() < SUBMISSIONS_IN_FLIGHT => {
                    let Some(submission) = submission? else { break };
                    let this = self.clone();
                    let is_at_peer = self.is_at_peer(&submission);
                    let ticket = is_at_peer.then(|| sequencer.issue(&submission)).flatten();
                    in_flight.push_back(async move {
                        let _guard = match ticket {
                            Some(ticket) => Some(ticket.wait().await),
                            None => None,
                        };
                        let submitted = match is_forwarded {
                            true => this.submit_here(submission).await,
                            false => this.submit(submission).await,
                        };
                        (index, submitted)
                    });
                    index = index.saturating_add(1);
                }
                Some((index, result)) = in_flight.next() => {
                    count_result(&mut summary, index, result);
                }
            }
        }
        while let Some((index, result)) = in_flight.next().await {
            count_result(&mut summary, index, result);
        }
        Ok(Response::new(summary))
    }
}

/// The last submission under way of one call, for each proposal on an order of another owner.
/// Forwarded submissions travel separately: the next version of a proposal waits for the reply to
/// the one before it, so that a call keeps its order. Submissions on orders of this processor keep
/// it anyway.
#[derive(Debug, Default)]
struct SubmissionSequencer(BTreeMap<(String, String, String), oneshot::Receiver<()>>);

/// A submission's place in the sequence; the next one may proceed once it is dropped.
struct SubmissionTicket {
    before: Option<oneshot::Receiver<()>>,
    /// Wakes the next one when it is dropped.
    done: oneshot::Sender<()>,
}

impl SubmissionSequencer {
    /// Queues a submission and returns its ticket; `None` where the owner assigns the id, so that
    /// no later version can follow.
    fn issue(&mut self, submission: &v1::ProposalSubmission) -> Option<SubmissionTicket> {
        let id = &submission.proposal.as_ref()?.proposal_id;
        if id.is_empty() {
            return None;
        }
        if self.0.len() >= 2 * SUBMISSIONS_IN_FLIGHT {
            self.0.retain(|_, last| matches!(last.try_recv(), Err(TryRecvError::Empty)));
        }
        let (tenant, order) = (submission.tenant.clone(), submission.order_req_id.clone());
        let (done, last) = oneshot::channel();
        let before = self.0.insert((tenant, order, id.clone()), last);
        Some(SubmissionTicket { before, done })
    }
}

impl SubmissionTicket {
    /// Waits for the previous submission; returns the guard that lets the next one proceed.
    async fn wait(self) -> oneshot::Sender<()> {
        if let Some(before) = self.before {
            // The previous submission sends nothing: its sender is dropped when it ends.
            drop(before.await);
        }
        self.done
    }
}

impl Grpc {
    /// Reports whether a submission is to be forwarded.
    fn is_at_peer(&self, submission: &v1::ProposalSubmission) -> bool {
        !self.peers.is_alone()
            && OrderKey::new(&submission.tenant, &submission.order_req_id)
                .is_ok_and(|key| !self.orders.is_here(&key, None))
    }

    async fn follow_up(&self, request: v1::FollowUpRequest) -> Result<Reply, Refusal> {
        let order = v1::OrderRef {
            order_req_id: request.order_req_id,
            tenant: request.tenant,
            incarnation: request.incarnation,
        };
        let target = OrderTarget::of(Some(order), request.idempotency_key, request.epoch)?;
        // Old clients give no id. A repetition must have the same id: under a key it is the key.
        let by_key = || target.idempotency_key.as_ref().map(ToString::to_string);
        let fresh = || uuid::Uuid::now_v7().to_string();
        let id = optional(request.follow_up_id).or_else(by_key).unwrap_or_else(fresh);
        let follow_up =
            follow_up_from_wire(id, request.audience, request.answers, request.message)?;
        self.execute(target, CommandKind::FollowUp(follow_up)).await
    }

    /// Submits one seller's proposal, to its order's owner.
    pub(super) async fn submit(
        &self,
        submission: v1::ProposalSubmission,
    ) -> Result<Reply, Refusal> {
        let key = OrderKey::new(&submission.tenant, &submission.order_req_id)?;
        if !self.orders.is_here(&key, None)
            && let Some(reply) = self.peers.submit(&key, submission.clone()).await?
        {
            return Ok(reply);
        }
        self.submit_here(submission).await
    }

    /// Submits one seller's proposal for an order of this processor.
    async fn submit_here(&self, submission: v1::ProposalSubmission) -> Result<Reply, Refusal> {
        let order = v1::OrderRef {
            order_req_id: submission.order_req_id,
            tenant: submission.tenant,
            incarnation: submission.incarnation,
        };
        let mut target = OrderTarget::of(Some(order), submission.idempotency_key, 0)?;
        let proposal = submission
            .proposal
            .ok_or_else(|| Refusal::field("proposal", "is missing; give what is proposed"))?;
        // The version that is amended; a first proposal names none.
        let version = Some(proposal.version).filter(|version| *version > 0);
        target.expected = version.map(Precondition::Version);
        let proposed = proposal_from_wire(proposal).map_err(|e| e.under("proposal"))?;
        let body = if version.is_some() {
            CommandKind::Amend(proposed)
        } else {
            CommandKind::Propose(proposed)
        };
        self.execute(target, body).await
    }
}

/// Counts one result. Results are listed up to a limit, refused ones up to twice the limit; beyond
/// that the summary is marked as truncated.
fn count_result(
    summary: &mut v1::SubmitProposalsSummary,
    index: u64,
    result: Result<Reply, Refusal>,
) {
    let bound = if result.is_ok() { RESULTS_MAX } else { 2 * RESULTS_MAX };
    let listed = match result {
        Ok(reply) => {
            summary.accepted = summary.accepted.saturating_add(1);
            v1::ProposalResult {
                index,
                proposal_id: reply.proposal_id.map(String::from).unwrap_or_default(),
                seq: reply.seq.0,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(id: &str) -> v1::ProposalSubmission {
        let proposal = v1::Proposal { proposal_id: id.to_owned(), ..v1::Proposal::default() };
        v1::ProposalSubmission { proposal: Some(proposal), ..v1::ProposalSubmission::default() }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn next_version_waits_only_for_predecessor() {
        let mut sequencer = SubmissionSequencer::default();
        let first = sequencer.issue(&submission("p")).unwrap().wait().await;
        let second = sequencer.issue(&submission("p")).unwrap();
        assert!(sequencer.issue(&submission("")).is_none());
        let other = sequencer.issue(&submission("q")).unwrap().wait().await;
        let mut second = Box::pin(second.wait());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(other);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
    }

    #[test]
    fn ended_submissions_are_forgotten() {
        let mut sequencer = SubmissionSequencer::default();
        let _under_way = sequencer.issue(&submission("first"));
        for n in 0..10_000 {
            drop(sequencer.issue(&submission(&n.to_string())));
        }
        assert!(sequencer.0.len() <= 2 * SUBMISSIONS_IN_FLIGHT, "{}", sequencer.0.len());
        assert!(sequencer.0.keys().any(|(_, _, id)| id == "first"));
    }
}
