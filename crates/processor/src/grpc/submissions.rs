//! The buyer's follow-up, and many proposals in one call.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use orderstream_core::command::Expected;
use orderstream_core::{Act, Answer, OrderKey, Refusal};
use orderstream_rpc::convert::{follow_up_from_wire, proposal_from_wire};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_non_streaming_service_server::OrderNonStreamingService;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tonic::{Request, Response, Status, Streaming};

use super::{Grpc, Target, optional, status};
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
        let mut turns = Turns::default();
        loop {
            // Cancel-safe: a message is taken as a whole, and a result stays in the queue. What has
            // arrived goes to the disk while the caller is idle.
            tokio::select! {
                submission = submissions.message(), if waiting.len() < SUBMISSIONS_IN_FLIGHT => {
                    let Some(submission) = submission? else { break };
                    let this = self.clone();
                    let is_elsewhere = self.is_elsewhere(&submission);
                    let turn = is_elsewhere.then(|| turns.take(&submission)).flatten();
                    waiting.push_back(async move {
                        let _turn = match turn {
                            Some(turn) => Some(turn.come().await),
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
                Some(result) = waiting.next() => note(&mut summary, result),
            }
        }
        while let Some(result) = waiting.next().await {
            note(&mut summary, result);
        }
        Ok(Response::new(summary))
    }
}

/// The last submission under way of one call, for each proposal on an order of another owner.
/// Forwarded submissions travel separately: the next version of a proposal waits for the reply to
/// the one before it, so that a call keeps its order. Submissions on orders of this processor keep
/// it anyway.
#[derive(Debug, Default)]
struct Turns(BTreeMap<(String, String, String), oneshot::Receiver<()>>);

/// A place behind another submission; it ends on drop.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Wakes the next one when it is dropped.
    done: oneshot::Sender<()>,
}

impl Turns {
    /// Queues a submission and returns its place; `None` where the owner assigns the id, so that no
    /// later version can follow.
    fn take(&mut self, submission: &v1::ProposalSubmission) -> Option<Turn> {
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
        Some(Turn { before, done })
    }
}

impl Turn {
    /// Waits for the submission before; returns the guard that ends this turn.
    async fn come(self) -> oneshot::Sender<()> {
        if let Some(before) = self.before {
            // The previous submission sends nothing: its sender is dropped when it ends.
            drop(before.await);
        }
        self.done
    }
}

impl Grpc {
    /// Reports whether a submission is to be forwarded.
    fn is_elsewhere(&self, submission: &v1::ProposalSubmission) -> bool {
        !self.peers.is_alone()
            && OrderKey::new(&submission.tenant, &submission.order_req_id)
                .is_ok_and(|key| !self.orders.is_here(&key, None))
    }

    async fn follow_up(&self, request: v1::FollowUpRequest) -> Result<Answer, Refusal> {
        let order = v1::OrderRef {
            order_req_id: request.order_req_id,
            tenant: request.tenant,
            incarnation: request.incarnation,
        };
        let target = Target::of(Some(order), request.idempotency_key, request.epoch)?;
        // Old clients give no id. It is part of what is repeated: under a key it is the key.
        let by_key = || target.idempotency_key.as_ref().map(ToString::to_string);
        let fresh = || uuid::Uuid::now_v7().to_string();
        let id = optional(request.follow_up_id).or_else(by_key).unwrap_or_else(fresh);
        let follow_up =
            follow_up_from_wire(id, (request.audience, request.answers), request.message)?;
        self.act(target, Act::FollowUp(follow_up)).await
    }

    /// Submits one seller's proposal, to its order's owner.
    pub(super) async fn submit(
        &self,
        submission: v1::ProposalSubmission,
    ) -> Result<Answer, Refusal> {
        let key = OrderKey::new(&submission.tenant, &submission.order_req_id)?;
        if !self.orders.is_here(&key, None)
            && let Some(answer) = self.peers.submit(&key, submission.clone()).await?
        {
            return Ok(answer);
        }
        self.submit_here(submission).await
    }

    /// Submits one seller's proposal for an order of this processor.
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

/// Counts one result. Results are listed up to a limit, refused ones up to twice the limit; beyond
/// that the summary is marked as cut.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn submission(id: &str) -> v1::ProposalSubmission {
        let proposal = v1::Proposal { proposal_id: id.to_owned(), ..v1::Proposal::default() };
        v1::ProposalSubmission { proposal: Some(proposal), ..v1::ProposalSubmission::default() }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn next_version_waits_only_for_predecessor() {
        let mut turns = Turns::default();
        let first = turns.take(&submission("p")).unwrap().come().await;
        let second = turns.take(&submission("p")).unwrap();
        assert!(turns.take(&submission("")).is_none());
        let other = turns.take(&submission("q")).unwrap().come().await;
        let mut second = Box::pin(second.come());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(other);
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
    }

    #[test]
    fn ended_submissions_are_forgotten() {
        let mut turns = Turns::default();
        let _under_way = turns.take(&submission("first"));
        for n in 0..10_000 {
            drop(turns.take(&submission(&n.to_string())));
        }
        assert!(turns.0.len() <= 2 * SUBMISSIONS_IN_FLIGHT, "{}", turns.0.len());
        assert!(turns.0.keys().any(|(_, _, id)| id == "first"));
    }
}
