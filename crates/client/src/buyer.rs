//! A buyer's commands to an order.

use std::time::Duration;

use orderstream_core::buyer::BuyerAct;
use orderstream_core::spec::FollowUp;
use orderstream_core::{Act, Command, IdempotencyKey, OrderKey, Seq, Timestamp};
use orderstream_rpc::convert::{ActRequest, request_for, timestamp_from_wire};
use orderstream_rpc::v1;
use tonic::{Request, Status};

use crate::backoff::RetryTimer;
use crate::error::judged;
use crate::{Client, Error, fresh_key};

/// The time for which a command is tried: well above a processor's restart.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// The longest time of one try: a processor's wait for its disk, and the way there.
const TRY_FOR: Duration = Duration::from_secs(15);

/// The result of a buyer's command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acted {
    /// The sequence number of the event that it caused.
    pub seq: Seq,
    /// The order's phase after it, as on the wire; empty for a follow-up.
    pub phase: String,
    /// The time at which the order expires by itself now; absent when it has ended, and for a
    /// follow-up.
    pub expires_at: Option<Timestamp>,
}

impl Client {
    /// Sends one command to an order. It is sent until a reply comes, for a minute at most, and has
    /// one effect, also where the caller repeats it later under the same key.
    ///
    /// ```no_run
    /// use orderstream_client::{Award, BuyerAct, Client, OrderKey, ProposalId};
    ///
    /// # async fn run(client: Client) -> Result<(), orderstream_client::Error> {
    /// let order = OrderKey::new("default", "SB1029436")?;
    /// let award = BuyerAct::Finalise {
    ///     award: Some(Award::Whole(ProposalId::new("P-17")?)),
    ///     reason: Some("the earliest delivery".to_owned()),
    ///     undo_within_ms: Some(60_000),
    /// };
    /// let acted = client.act(&order, award, None).await?;
    /// println!("event {}, {}", acted.seq, acted.phase);
    /// client.act(&order, BuyerAct::UndoAward(None), None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A refusal, or no reply in time.
    pub async fn act(
        &self,
        order: &OrderKey,
        act: BuyerAct,
        key: Option<IdempotencyKey>,
    ) -> Result<Acted, Error> {
        self.say(order, act.into(), key).await
    }

    /// Sends a follow-up to all of an order's sellers or to some, or answers a seller's question,
    /// in the same way as [`Client::act`].
    ///
    /// # Errors
    /// A refusal, or no reply in time.
    pub async fn follow_up(
        &self,
        order: &OrderKey,
        follow_up: FollowUp,
        key: Option<IdempotencyKey>,
    ) -> Result<Acted, Error> {
        self.say(order, Act::FollowUp(follow_up), key).await
    }

    async fn say(
        &self,
        order: &OrderKey,
        act: Act,
        key: Option<IdempotencyKey>,
    ) -> Result<Acted, Error> {
        let key = key.map_or_else(|| IdempotencyKey::new(fresh_key()), Ok)?;
        let command = Command { key: Some(key), ..Command::bare(act) };
        let request = request_for(order, &command)?;
        let (began, mut backoff) = (tokio::time::Instant::now(), RetryTimer::default());
        loop {
            let why = match tokio::time::timeout(TRY_FOR, self.send(request.clone())).await {
                Ok(Ok(acted)) => return Ok(acted),
                Ok(Err(status)) => match judged(&status) {
                    Ok(refused) => return Err(refused.into()),
                    Err(why) => why,
                },
                Err(_) => format!("nothing came for {TRY_FOR:?}"),
            };
            if began.elapsed() >= GIVE_UP_AFTER {
                return Err(Error::Unanswered(why));
            }
            backoff.failed();
            backoff.wait().await;
        }
    }

    async fn send(&self, request: ActRequest) -> Result<Acted, Status> {
        let mut control = self.control();
        let answer = match request {
            ActRequest::FollowUp(request) => {
                let answer = self.non_streaming().process_follow_up(request).await?.into_inner();
                let (phase, expires_at) = (String::new(), None);
                return Ok(Acted { seq: Seq(answer.seq), phase, expires_at });
            }
            ActRequest::Pause(request) => control.pause(Request::new(request)).await,
            ActRequest::Resume(request) => control.resume(Request::new(request)).await,
            ActRequest::Extend(request) => control.extend(Request::new(request)).await,
            ActRequest::Award(request) => control.award(Request::new(request)).await,
            ActRequest::UndoAward(request) => control.undo_award(Request::new(request)).await,
            ActRequest::Close(request) => control.close(Request::new(request)).await,
            ActRequest::Cancel(request) => control.cancel(Request::new(request)).await,
        };
        Ok(acted(answer?.into_inner()))
    }
}

fn acted(answer: v1::ActResponse) -> Acted {
    let expires_at = answer.expires_at.as_ref().map(timestamp_from_wire);
    Acted { seq: Seq(answer.seq), phase: answer.phase, expires_at }
}
