//! A buyer's commands to an order.

use std::time::Duration;

use orderstream_core::buyer::BuyerCommand;
use orderstream_core::spec::FollowUp;
use orderstream_core::{Command, CommandKind, IdempotencyKey, OrderKey, Seq, Timestamp};
use orderstream_rpc::convert::{CommandRequest, request_for, timestamp_from_wire};
use orderstream_rpc::v1;
use tonic::{Request, Status};

use crate::backoff::RetryTimer;
use crate::error::classify_status;
use crate::{Client, Error, fresh_key};

/// The time for which a command is retried: well above the time of a processor's restart.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// The timeout of one attempt: a processor's wait for its disk, and the network.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// The result of a buyer's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuyerReceipt {
    /// The sequence number of the event that it caused.
    pub seq: Seq,
    /// The order's phase after it, as on the wire; empty for a follow-up.
    pub phase: String,
    /// The time at which the order now expires; absent if it has ended, and for a follow-up.
    pub expires_at: Option<Timestamp>,
}

impl Client {
    /// Sends one command to an order. It is retried until a reply arrives, for at most a minute,
    /// and has one effect, even if the caller repeats it later under the same key.
    ///
    /// ```no_run
    /// use orderstream_client::{Award, BuyerCommand, Client, OrderKey, ProposalId};
    ///
    /// # async fn run(client: Client) -> Result<(), orderstream_client::Error> {
    /// let order = OrderKey::new("default", "SB1029436")?;
    /// let award = BuyerCommand::Finalise {
    ///     award: Some(Award::Whole(ProposalId::new("P-17")?)),
    ///     reason: Some("the earliest delivery".to_owned()),
    ///     undo_within_ms: Some(60_000),
    /// };
    /// let receipt = client.send_command(&order, award, None).await?;
    /// println!("event {}, {}", receipt.seq, receipt.phase);
    /// client.send_command(&order, BuyerCommand::UndoAward(None), None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the command is refused, or no reply arrives in time.
    pub async fn send_command(
        &self,
        order: &OrderKey,
        command: BuyerCommand,
        key: Option<IdempotencyKey>,
    ) -> Result<BuyerReceipt, Error> {
        self.send_until_reply(order, command.into(), key).await
    }

    /// Sends a follow-up to all of an order's sellers or to some, or answers a seller's question,
    /// in the same way as [`Client::send_command`].
    ///
    /// # Errors
    /// When the command is refused, or no reply arrives in time.
    pub async fn follow_up(
        &self,
        order: &OrderKey,
        follow_up: FollowUp,
        key: Option<IdempotencyKey>,
    ) -> Result<BuyerReceipt, Error> {
        self.send_until_reply(order, CommandKind::FollowUp(follow_up), key).await
    }

    async fn send_until_reply(
        &self,
        order: &OrderKey,
        action: CommandKind,
        key: Option<IdempotencyKey>,
    ) -> Result<BuyerReceipt, Error> {
        let key = key.map_or_else(|| IdempotencyKey::new(fresh_key()), Ok)?;
        let command = Command { key: Some(key), ..Command::bare(action) };
        let request = request_for(order, &command)?;
        let (began, mut backoff) = (tokio::time::Instant::now(), RetryTimer::default());
        loop {
            let cause = match tokio::time::timeout(ATTEMPT_TIMEOUT, self.send_once(request.clone()))
                .await
            {
                Ok(Ok(receipt)) => return Ok(receipt),
                Ok(Err(status)) => match classify_status(&status) {
                    Ok(refused) => return Err(refused.into()),
                    Err(cause) => cause,
                },
                Err(_) => format!("nothing came for {ATTEMPT_TIMEOUT:?}"),
            };
            if began.elapsed() >= COMMAND_TIMEOUT {
                return Err(Error::Unanswered(cause));
            }
            backoff.failed();
            backoff.wait().await;
        }
    }

    async fn send_once(&self, request: CommandRequest) -> Result<BuyerReceipt, Status> {
        let mut control = self.control();
        let response = match request {
            CommandRequest::FollowUp(request) => {
                let response = self.non_streaming().process_follow_up(request).await?.into_inner();
                let (phase, expires_at) = (String::new(), None);
                return Ok(BuyerReceipt { seq: Seq(response.seq), phase, expires_at });
            }
            CommandRequest::Pause(request) => control.pause(Request::new(request)).await,
            CommandRequest::Resume(request) => control.resume(Request::new(request)).await,
            CommandRequest::Extend(request) => control.extend(Request::new(request)).await,
            CommandRequest::Award(request) => control.award(Request::new(request)).await,
            CommandRequest::UndoAward(request) => control.undo_award(Request::new(request)).await,
            CommandRequest::Close(request) => control.close(Request::new(request)).await,
            CommandRequest::Cancel(request) => control.cancel(Request::new(request)).await,
        };
        Ok(receipt_from_wire(response?.into_inner()))
    }
}

fn receipt_from_wire(response: v1::ActResponse) -> BuyerReceipt {
    let expires_at = response.expires_at.as_ref().map(timestamp_from_wire);
    BuyerReceipt { seq: Seq(response.seq), phase: response.phase, expires_at }
}
