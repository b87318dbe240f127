//! A seller's commands in its session. Each is resent after an interruption until its reply
//! arrives, and has one effect.

use orderstream_core::command::ProposalContent;
use orderstream_core::{FollowUpId, OrderKey, ProposalId, Seq};
use orderstream_rpc::convert::order_ref;
use orderstream_rpc::v1;
use orderstream_rpc::v1::seller_message::Kind as Up;

use super::{Receipt, SellerSession};
use crate::{Error, SubmittedProposal, fresh_key};

impl SellerSession {
    /// Creates a proposal. The order may be at any processor.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn propose(
        &mut self,
        order: &OrderKey,
        proposed: ProposalContent,
    ) -> Result<Receipt, Error> {
        self.submit(order, proposed, None).await
    }

    /// Amends a proposal whose newest version is `version`; refused with `CHANGED` if a newer one
    /// exists. The proposal must have its id.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn amend(
        &mut self,
        order: &OrderKey,
        proposed: ProposalContent,
        version: u32,
    ) -> Result<Receipt, Error> {
        self.submit(order, proposed, Some(version)).await
    }

    async fn submit(
        &mut self,
        order: &OrderKey,
        proposed: ProposalContent,
        amends: Option<u32>,
    ) -> Result<Receipt, Error> {
        let submission =
            SubmittedProposal { amends, ..SubmittedProposal::new(order.clone(), proposed) };
        // The session's message has the key.
        let wire =
            v1::ProposalSubmission { idempotency_key: String::new(), ..submission.into_wire() };
        self.send(Up::Proposal(wire)).await
    }

    /// Withdraws a proposal.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn withdraw(
        &mut self,
        order: &OrderKey,
        proposal_id: &ProposalId,
        reason: &str,
    ) -> Result<Receipt, Error> {
        let (order, proposal_id) = (wire_order_ref(order), proposal_id.to_string());
        let reason = reason.to_owned();
        self.send(Up::Withdraw(v1::Withdraw { order, proposal_id, reason, version: 0 })).await
    }

    /// Declines an order.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn decline(&mut self, order: &OrderKey, reason: &str) -> Result<Receipt, Error> {
        let order = wire_order_ref(order);
        self.send(Up::Decline(v1::Decline { order, reason: reason.to_owned() })).await
    }

    /// Answers a follow-up of the buyer.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn answer(
        &mut self,
        order: &OrderKey,
        follow_up_id: &FollowUpId,
        text: &str,
    ) -> Result<Receipt, Error> {
        let answer = v1::Answer {
            order: wire_order_ref(order),
            follow_up_id: follow_up_id.to_string(),
            proposal_id: String::new(),
            message: text_message(text),
        };
        self.send(Up::Answer(answer)).await
    }

    /// Asks the buyer a question; returns the id that the answer will name.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn ask(&mut self, order: &OrderKey, text: &str) -> Result<FollowUpId, Error> {
        let id = FollowUpId::new(fresh_key())?;
        let (order, question_id) = (wire_order_ref(order), id.to_string());
        self.send(Up::Question(v1::Question { order, question_id, message: text_message(text) }))
            .await?;
        Ok(id)
    }

    /// Acquires a proposal's edit lock for a number of milliseconds; 0 means the default.
    ///
    /// # Errors
    /// When the command is refused (`LOCKED` while another seller has the lock), or the wait for
    /// its reply is given up.
    pub async fn lock(
        &mut self,
        order: &OrderKey,
        proposal_id: &ProposalId,
        lease_ms: u64,
    ) -> Result<Receipt, Error> {
        let (order, proposal_id) = (wire_order_ref(order), proposal_id.to_string());
        self.send(Up::Lock(v1::LockRequest { order, proposal_id, lease_ms, version: 0 })).await
    }

    /// Releases a proposal's edit lock.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn unlock(
        &mut self,
        order: &OrderKey,
        proposal_id: &ProposalId,
    ) -> Result<Receipt, Error> {
        let (order, proposal_id) = (wire_order_ref(order), proposal_id.to_string());
        self.send(Up::Unlock(v1::UnlockRequest { order, proposal_id })).await
    }

    /// Acknowledges the events up to this one: the invitation counts as seen, and the cursor is
    /// stored, so that a later session resumes after it.
    ///
    /// # Errors
    /// When the command is refused, or the wait for its reply is given up.
    pub async fn acknowledge(&mut self, order: &OrderKey, seq: Seq) -> Result<(), Error> {
        let is_first = self.store_cursor(order, seq);
        if !is_first {
            return Ok(());
        }
        let (order, seq) = (wire_order_ref(order), seq.0);
        self.send(Up::Acknowledge(v1::Acknowledge { order, seq })).await.map(drop)
    }
}

fn wire_order_ref(order: &OrderKey) -> Option<v1::OrderRef> {
    Some(order_ref(order, None))
}

fn text_message(text: &str) -> Option<v1::Message> {
    Some(v1::Message { message: text.to_owned(), ..v1::Message::default() })
}
