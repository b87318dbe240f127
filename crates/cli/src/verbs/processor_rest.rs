//! The processors' REST as the verbs use it: orders and what belongs to them, of one tenant.

use orderstream_rest_types::command::CommandReplyView;
use orderstream_rest_types::conversation::{ConversationMessageView, ConversationPage};
use orderstream_rest_types::inbox::InboxPage;
use orderstream_rest_types::notification::DeadLettersPage;
use orderstream_rest_types::order::OrdersPage;
use orderstream_rest_types::proposal::{ProposalView, ProposalsPage};
use serde::de::DeserializeOwned;

use super::market::known_fields;
use super::rest::{IdempotentRequest, RestBackend, encoded};
use crate::exit::CliError;
use crate::streamed::ResponseStream;

/// The most pages of one conversation that are read; each holds many entries.
const PAGES_MAX: usize = 1_000;
/// The most orders of a processor that are read.
const ORDERS_MAX: usize = 200;

/// The processors' REST for one tenant.
#[derive(Debug)]
pub(super) struct ProcessorRest {
    rest: RestBackend,
    tenant: String,
    /// The incarnation of an order that is read; the newest when absent.
    incarnation: Option<String>,
}

impl ProcessorRest {
    pub(super) const fn new(rest: RestBackend, tenant: String) -> Self {
        Self { rest, tenant, incarnation: None }
    }

    /// Reads this incarnation of orders; the newest when absent.
    pub(super) fn of_incarnation(self, incarnation: Option<String>) -> Self {
        Self { incarnation, ..self }
    }

    /// Returns the tenant of the orders.
    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Returns the processors for the orders of another tenant.
    pub(super) fn in_tenant(self, tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), ..self }
    }

    /// Reports whether a named incarnation is read.
    pub(super) const fn reads_named_incarnation(&self) -> bool {
        self.incarnation.is_some()
    }

    /// Sends a command.
    pub(super) async fn send_command(
        &self,
        request: IdempotentRequest,
    ) -> Result<CommandReplyView, CliError> {
        self.rest.send_command(&request).await.map(known_fields)
    }

    /// Reads a part of an order: `""` for the order itself, `/proposals`, `/comparison`, …
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        id: &str,
        part: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CliError> {
        self.rest.get(self.path(id, part, query)).await
    }

    /// Reads a part of an order as text, until `enough` accepts what was read.
    pub(super) async fn text(
        &self,
        id: &str,
        part: &str,
        query: &[(&str, &str)],
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<String, CliError> {
        self.rest.text(self.path(id, part, query), enough).await
    }

    /// Reads a part of an order as its response arrives.
    pub(super) async fn stream(
        &self,
        id: &str,
        part: &str,
        query: &[(&str, &str)],
    ) -> Result<ResponseStream, CliError> {
        self.rest.stream(self.path(id, part, query)).await
    }

    /// Reads an order's conversation, the oldest message first.
    pub(super) async fn conversation(
        &self,
        id: &str,
    ) -> Result<Vec<ConversationMessageView>, CliError> {
        let (mut all, mut after) = (Vec::new(), 0_u64);
        for _ in 0..PAGES_MAX {
            let cursor = after.to_string();
            let page: ConversationPage =
                self.read(id, "/conversation", &[("after", &cursor)]).await?;
            all.extend(page.conversation);
            match page.next.filter(|next| *next > after) {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(all)
    }

    /// Reads the proposals of an order, by id; at most `limit`.
    pub(super) async fn proposals(
        &self,
        id: &str,
        limit: usize,
    ) -> Result<Vec<ProposalView>, CliError> {
        let (mut all, mut after) = (Vec::new(), String::new());
        while all.len() < limit {
            let page: ProposalsPage = self.read(id, "/proposals", &[("after", &after)]).await?;
            all.extend(page.proposals);
            match page.next.filter(|next| !next.is_empty()) {
                Some(next) => after = next,
                None => break,
            }
        }
        all.truncate(limit);
        Ok(all)
    }

    /// Reads one proposal of an order.
    pub(super) async fn proposal<T: DeserializeOwned>(
        &self,
        id: &str,
        proposal_id: &str,
    ) -> Result<T, CliError> {
        let (tenant, id) = (encoded(&self.tenant), encoded(id));
        let proposal_id = encoded(proposal_id);
        let path = format!("/api/v1/proposals/{proposal_id}?order_req_id={id}&tenant={tenant}");
        self.rest.get(path).await
    }

    /// Reads the first orders of the processor that is reached.
    pub(super) async fn orders(&self) -> Result<OrdersPage, CliError> {
        let tenant = encoded(&self.tenant);
        self.rest.get(format!("/api/v1/orders?tenant={tenant}&limit={ORDERS_MAX}")).await
    }

    /// Reads a page of a seller's inbox.
    pub(super) async fn inbox(
        &self,
        seller: &str,
        query: &[(&str, &str)],
    ) -> Result<InboxPage, CliError> {
        self.rest.get(self.inbox_path(seller, "", query)).await
    }

    /// Follows a seller's inbox.
    pub(super) async fn inbox_events(&self, seller: &str) -> Result<ResponseStream, CliError> {
        self.rest.stream(self.inbox_path(seller, "/events", &[])).await
    }

    /// Reads a page of the dead letters of the processor that is reached.
    pub(super) async fn dead_letters(&self, after: &str) -> Result<DeadLettersPage, CliError> {
        let (tenant, after) = (encoded(&self.tenant), encoded(after));
        self.rest.get(format!("/api/v1/dead-letters?tenant={tenant}&after={after}")).await
    }

    fn inbox_path(&self, seller: &str, part: &str, query: &[(&str, &str)]) -> String {
        let (seller, tenant) = (encoded(seller), encoded(&self.tenant));
        let mut path = format!("/api/v1/sellers/{seller}/invitations{part}?tenant={tenant}");
        for (name, value) in query {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
        path
    }

    fn path(&self, id: &str, part: &str, query: &[(&str, &str)]) -> String {
        let mut path =
            format!("/api/v1/orders/{}{part}?tenant={}", encoded(id), encoded(&self.tenant));
        let named = self.incarnation.as_deref().map(|incarnation| ("incarnation", incarnation));
        for (name, value) in query.iter().chain(&named) {
            path.push_str(&format!("&{name}={}", encoded(value)));
        }
        path
    }
}
