//! Follows an order's events, each once and in order, to its end.

use orderstream_core::{Epoch, Event, Incarnation, OrderKey, OrderSpec, Seq, Timestamp};
use orderstream_rpc::convert::{DRAINING, event_from_wire, spec_to_wire};
use orderstream_rpc::v1;
use tonic::{Status, Streaming};

use crate::backoff::RetryTimer;
use crate::error::classify_status;
use crate::{Client, Error};

/// The role in which an order is followed.
#[derive(Clone, Debug, PartialEq)]
pub enum FollowRole {
    /// As an observer. An unknown order is refused.
    Observer,
    /// As the order's tracker, which opens it if it is not open. A stream with the same or a higher
    /// epoch takes over. If a controller or a requestor runs, it has this role.
    Tracker {
        /// The content of the order.
        spec: Box<OrderSpec>,
        /// The order's incarnation; absent for the current one, or a new one.
        incarnation: Option<Incarnation>,
        /// The epoch under which the order is opened.
        epoch: Epoch,
    },
}

/// A follower of one order, which reconnects after every interruption.
#[derive(Debug)]
pub struct OrderFollower {
    client: Client,
    key: OrderKey,
    role: FollowRole,
    cursor: Option<(Seq, Timestamp)>,
    stream: Option<Streaming<v1::OrderStreamResponse>>,
    backoff: RetryTimer,
    is_over: bool,
}

impl Client {
    /// Follows an order from its first event.
    ///
    /// ```no_run
    /// use orderstream_client::{Client, FollowRole, OrderKey};
    ///
    /// # async fn run(client: Client) -> Result<(), orderstream_client::Error> {
    /// let order = OrderKey::new("default", "SB1029436")?;
    /// let mut events = client.follow(order, FollowRole::Observer);
    /// while let Some(event) = events.next().await? {
    ///     println!("{} {}", event.seq, event.kind.as_str());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(&self, key: OrderKey, role: FollowRole) -> OrderFollower {
        let (client, backoff) = (self.clone(), RetryTimer::default());
        OrderFollower { client, key, role, cursor: None, stream: None, backoff, is_over: false }
    }
}

impl OrderFollower {
    /// Resumes after an event that was received before, given by its sequence number and its time.
    #[must_use]
    pub const fn after(mut self, seq: Seq, at: Timestamp) -> Self {
        self.cursor = Some((seq, at));
        self
    }

    /// Returns the next event; `None` after the order's last one. Dropping the future loses no
    /// event.
    ///
    /// # Errors
    /// When the stream is refused: the order is not known, another tracker took over, or the
    /// order's list was reset to an earlier state.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        while !self.is_over {
            self.backoff.wait().await;
            let status = match self.read().await {
                Ok(Some(response)) => match self.handle_response(response)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                },
                Ok(None) => {
                    // An interruption between two events looks like the end.
                    self.stream = None;
                    self.backoff.failed();
                    continue;
                }
                Err(status) => status,
            };
            self.stream = None;
            self.backoff.failed();
            if let Ok(refused) = classify_status(&status) {
                return Err(refused.into());
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<Option<v1::OrderStreamResponse>, Status> {
        if self.stream.is_none() {
            let request = self.request();
            let opened = self.client.streaming().process_order_stream(request).await?;
            self.stream = Some(opened.into_inner());
        }
        match &mut self.stream {
            Some(stream) => stream.message().await,
            None => Ok(None),
        }
    }

    fn handle_response(
        &mut self,
        response: v1::OrderStreamResponse,
    ) -> Result<Option<Event>, Error> {
        if response.streaming_response_status == DRAINING {
            self.stream = None;
            self.backoff.server_draining();
            return Ok(None);
        }
        let event = event_from_wire(response).map_err(Error::Unreadable)?;
        let last_seq = self.cursor.map_or(Seq(0), |(seq, _)| seq);
        if event.seq <= last_seq {
            return Ok(None);
        }
        self.backoff.succeeded();
        self.cursor = Some((event.seq, event.at));
        self.is_over = event.kind.ends().is_some();
        Ok(Some(event))
    }

    fn request(&self) -> v1::OrderStreamRequest {
        let (after, at) = self.cursor.unwrap_or((Seq(0), Timestamp(0)));
        let request = v1::OrderStreamRequest {
            order_req_id: self.key.order_req_id.to_string(),
            tenant: self.key.tenant.to_string(),
            after_seq: after.0,
            after_at_ms: at.0,
            ..v1::OrderStreamRequest::default()
        };
        match &self.role {
            FollowRole::Observer => v1::OrderStreamRequest { observer: true, ..request },
            FollowRole::Tracker { spec, incarnation, epoch } => v1::OrderStreamRequest {
                order: Some(spec_to_wire(spec)),
                incarnation: incarnation.as_ref().map(ToString::to_string).unwrap_or_default(),
                epoch: epoch.0,
                ..request
            },
        }
    }
}
