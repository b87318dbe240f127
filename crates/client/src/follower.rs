//! The events of an order, each once and in order, to its end.

use orderstream_core::{Epoch, Event, Incarnation, OrderKey, OrderSpec, Seq, Timestamp};
use orderstream_rpc::convert::{DRAINING, event_from_wire, spec_to_wire};
use orderstream_rpc::v1;
use tonic::{Status, Streaming};

use crate::backoff::RetryTimer;
use crate::error::judged;
use crate::{Client, Error};

/// The role in which an order is followed.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// As an observer. An unknown order is refused.
    Watch,
    /// As its one tracker, which opens it where it is not open. A stream with the same or a higher
    /// epoch takes over. A controller or a requestor, where one runs, has this role.
    Track {
        /// The content of the order.
        spec: Box<OrderSpec>,
        /// The order's incarnation; absent for the current one, or a new one.
        incarnation: Option<Incarnation>,
        /// The epoch under which it is opened.
        epoch: Epoch,
    },
}

/// A follower of one order, which connects again after every break.
#[derive(Debug)]
pub struct OrderFollower {
    client: Client,
    key: OrderKey,
    start: Start,
    seen: Option<(Seq, Timestamp)>,
    stream: Option<Streaming<v1::OrderStreamResponse>>,
    backoff: RetryTimer,
    is_over: bool,
}

impl Client {
    /// Follows an order from its first event.
    ///
    /// ```no_run
    /// use orderstream_client::{Client, OrderKey, Start};
    ///
    /// # async fn run(client: Client) -> Result<(), orderstream_client::Error> {
    /// let order = OrderKey::new("default", "SB1029436")?;
    /// let mut events = client.follow(order, Start::Watch);
    /// while let Some(event) = events.next().await? {
    ///     println!("{} {}", event.seq, event.kind.as_str());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(&self, key: OrderKey, start: Start) -> OrderFollower {
        let (client, backoff) = (self.clone(), RetryTimer::default());
        OrderFollower { client, key, start, seen: None, stream: None, backoff, is_over: false }
    }
}

impl OrderFollower {
    /// Goes on after an event that was received before, given by its sequence number and its time.
    #[must_use]
    pub const fn after(mut self, seq: Seq, at: Timestamp) -> Self {
        self.seen = Some((seq, at));
        self
    }

    /// Returns the next event; `None` after the order's last one. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    /// A refusal: the order is not known, another tracker took over, or its list was set back.
    pub async fn next(&mut self) -> Result<Option<Event>, Error> {
        while !self.is_over {
            self.backoff.wait().await;
            let status = match self.read().await {
                Ok(Some(response)) => match self.take(response)? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                },
                Ok(None) => {
                    // A cut between two events looks like an end.
                    self.stream = None;
                    self.backoff.failed();
                    continue;
                }
                Err(status) => status,
            };
            self.stream = None;
            self.backoff.failed();
            if let Ok(refused) = judged(&status) {
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

    fn take(&mut self, response: v1::OrderStreamResponse) -> Result<Option<Event>, Error> {
        if response.streaming_response_status == DRAINING {
            self.stream = None;
            self.backoff.told_to_leave();
            return Ok(None);
        }
        let event = event_from_wire(response).map_err(Error::Unreadable)?;
        let seen = self.seen.map_or(Seq(0), |(seq, _)| seq);
        if event.seq <= seen {
            return Ok(None);
        }
        self.backoff.succeeded();
        self.seen = Some((event.seq, event.at));
        self.is_over = event.kind.ends().is_some();
        Ok(Some(event))
    }

    fn request(&self) -> v1::OrderStreamRequest {
        let (after, at) = self.seen.unwrap_or((Seq(0), Timestamp(0)));
        let request = v1::OrderStreamRequest {
            order_req_id: self.key.order_req_id.to_string(),
            tenant: self.key.tenant.to_string(),
            after_seq: after.0,
            after_at_ms: at.0,
            ..v1::OrderStreamRequest::default()
        };
        match &self.start {
            Start::Watch => v1::OrderStreamRequest { observer: true, ..request },
            Start::Track { spec, incarnation, epoch } => v1::OrderStreamRequest {
                order: Some(spec_to_wire(spec)),
                incarnation: incarnation.as_ref().map(ToString::to_string).unwrap_or_default(),
                epoch: epoch.0,
                ..request
            },
        }
    }
}
