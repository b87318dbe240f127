//! The servers that the verbs use, and the resolution of an order: by the name of an order request,
//! or by an order's own id.

use std::time::Duration;

use http::Method;
use orderstream_api::order_request::READ_ONLY_ANNOTATION;
use orderstream_core::buyer::BuyerCommand;
use orderstream_core::command::Award;
use orderstream_core::{FollowUpId, Reason};
use orderstream_rest_types::command::{ActView, PendingView};
use orderstream_rest_types::conversation::ConversationMessageView;
use orderstream_rest_types::order::OrderView;
use orderstream_rest_types::tracking::TrackedView;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::lookup::OrderLookup;
use super::plain::PlainServer;
pub(super) use super::processor_rest::ProcessorRest;
use super::rest::{IdempotentRequest, RestBackend, encoded};
use super::server::{BuyerServer, ListScope, ServerArgs, failure};
use super::{show, stalled};
use crate::cluster::edit::{self, Edit};
use crate::cluster::service_proxy::ServiceProxy;
use crate::exit::CliError;

/// The usual URL of the processors' REST.
const PROCESSOR_URL: &str = "http://127.0.0.1:8005";
/// The time limit of optional requests to the processors.
const OPTIONAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The arguments that choose the buyer's server and the processors.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MarketArgs {
    #[command(flatten)]
    server_args: ServerArgs,
    #[command(flatten)]
    sellers: ProcessorRestArgs,
}

/// The arguments that choose the processors.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ProcessorRestArgs {
    /// URL of the processors' REST, any of which serves all orders; when absent that of the `dev` in
    /// this folder, or `http://127.0.0.1:8005`
    #[arg(help_heading = "Where", long, env = "ORDERSTREAM_PROCESSOR_REST", value_name = "URL")]
    processor_rest: Option<String>,
    /// On a cluster: the processors' Service; when absent the one with the chart's labels
    #[arg(
        help_heading = "Where",
        long,
        env = "ORDERSTREAM_PROCESSOR_SERVICE",
        value_name = "[NAMESPACE/]NAME"
    )]
    processor_service: Option<String>,
}

impl MarketArgs {
    /// Returns the market for a buyer: the server and the processors.
    pub(super) async fn market(&self) -> Result<Market, CliError> {
        let server = self.buyer_server().await?;
        let sellers = self.processor_rest().await?;
        Ok(Market { server, sellers })
    }

    /// Returns the buyer's server, without sending it a request.
    pub(super) async fn buyer_server(&self) -> Result<BuyerServer, CliError> {
        self.server_args.connect().await
    }

    /// Returns the processors for sellers. The buyer's server is not needed.
    pub(super) async fn processor_rest(&self) -> Result<ProcessorRest, CliError> {
        let resources = self.server_args.resources().await?;
        let tenant = self.server_args.tenant(resources.as_ref());
        let rest = match (resources, &self.sellers.processor_service) {
            (None, _) => {
                let given = self.sellers.processor_rest.as_deref();
                let server = PlainServer::of("--processor-rest", given, "rest", PROCESSOR_URL)?;
                RestBackend::Plain(Box::new(server))
            }
            (Some(resources), Some(name)) => {
                let named = ServiceProxy::named(resources, name).map_err(failure)?;
                RestBackend::Proxy(Box::new(named))
            }
            (Some(resources), None) => {
                let found = ServiceProxy::of_processors(resources).await.map_err(failure)?;
                RestBackend::Proxy(Box::new(found))
            }
        };
        Ok(ProcessorRest::new(rest, tenant))
    }
}

/// The buyer's server, which accepts commands, and the processors, which hold the orders.
#[derive(Debug)]
pub(super) struct Market {
    server: BuyerServer,
    sellers: ProcessorRest,
}

/// The immediate result of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VerbReceipt {
    /// It is in the order's list, from this request or from an earlier one with its key.
    Done,
    /// It is stored and not decided yet; its reply can be read at this path.
    Pending(String),
    /// The order request has it since this generation at the latest; the order shows whether it was
    /// carried out.
    Edited(i64),
}

/// The state of a command at the requestor, where it is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RemoteCommandState {
    /// It is in the order's list.
    Done,
    /// It is not decided yet.
    Pending,
    /// The requestor does not know it.
    Unknown,
}

/// An order, and the order request by which its buyer controls it.
#[derive(Debug)]
pub(super) struct Subject {
    /// The order's id at the processors.
    pub(super) id: String,
    /// Its order request; absent where it has none, or a read-only one.
    resource: Option<Value>,
    /// The name that was probably meant, where no order request has the given one.
    meant: Option<String>,
}

impl Subject {
    /// Returns its order request; `None` where it has none, or a read-only one.
    pub(super) const fn resource(&self) -> Option<&Value> {
        self.resource.as_ref()
    }

    /// Adds the name that was probably meant to the failure of an unknown order.
    pub(super) fn explained(&self, failure: CliError) -> CliError {
        match failure.reason() {
            Some(Reason::OrderNotFound) => failure.meaning(self.meant.as_deref()),
            Some(_) | None => failure,
        }
    }

    fn of_id(id: &str) -> Self {
        Self { id: id.to_owned(), resource: None, meant: None }
    }
}

impl Market {
    /// Reads this incarnation of orders; the newest when absent.
    pub(super) fn of_incarnation(mut self, incarnation: Option<String>) -> Self {
        self.sellers = self.sellers.of_incarnation(incarnation);
        self
    }

    /// Reads the ids of all orders that have an order request in the namespace.
    pub(super) async fn order_ids(&self) -> Result<Vec<String>, CliError> {
        let all = self.server.list(ListScope::Namespace).await?;
        let items = all.get("items").and_then(Value::as_array).into_iter().flatten();
        let keys = items.filter_map(|resource| edit::key_of(resource).ok());
        Ok(keys.map(|key| key.order_req_id.to_string()).collect())
    }

    /// Returns the processors.
    pub(super) const fn sellers(&self) -> &ProcessorRest {
        &self.sellers
    }

    /// Resolves the name of an order request or an order's id, for a command.
    pub(super) async fn subject(&self, name: &str) -> Result<Subject, CliError> {
        let OrderLookup { resource, meant } = self.server.find(name).await?;
        let Some(resource) = resource else {
            return Ok(Subject { meant, ..Subject::of_id(name) });
        };
        let key = edit::key_of(&resource).map_err(|refusal| CliError::from_refusal(&refusal))?;
        let annotations = resource.pointer("/metadata/annotations");
        let is_read_only = annotations.and_then(|all| all.get(READ_ONLY_ANNOTATION)).is_some();
        let resource = (!is_read_only).then_some(resource);
        Ok(Subject { id: key.order_req_id.to_string(), resource, meant: None })
    }

    /// Resolves the name of an order request or an order's id, for reading: where the buyer's
    /// server is not reached, the name is taken as the order's id.
    pub(super) async fn subject_to_read(&self, name: &str) -> Result<Subject, CliError> {
        match self.subject(name).await {
            Err(failure) if failure.is_not_reached() => Ok(Subject::of_id(name)),
            found => found,
        }
    }

    /// Reads the phase of the order request with this name or order id; `None` where there is none.
    pub(super) async fn phase_of(&self, name: &str) -> Result<Option<String>, CliError> {
        let resource = self.server.find(name).await?.resource;
        Ok(resource.map(|resource| show::phase(&resource).to_owned()))
    }

    /// Reads the order at its processor; `None` if that does not respond soon.
    pub(super) async fn order_if_reachable(
        &self,
        subject: &Subject,
    ) -> Result<Option<OrderView>, CliError> {
        await_optional(self.order(subject)).await
    }

    /// Reads the order at its processor.
    pub(super) async fn order(&self, subject: &Subject) -> Result<OrderView, CliError> {
        let order = self.sellers.read(&subject.id, "", &[]).await;
        order.map_err(|failure| subject.explained(failure))
    }

    /// Reads the order's conversation, the oldest message first.
    pub(super) async fn conversation(
        &self,
        subject: &Subject,
    ) -> Result<Vec<ConversationMessageView>, CliError> {
        let messages = self.sellers.conversation(&subject.id).await;
        messages.map_err(|failure| subject.explained(failure))
    }

    /// Reads the state of the order's stream at the buyer's server; `None` on a cluster, where the
    /// order request has it.
    pub(super) async fn tracking(
        &self,
        subject: &Subject,
    ) -> Result<Option<TrackedView>, CliError> {
        let Some(server) = self.server.plain() else { return Ok(None) };
        server.get(&self.tracking_path(subject)).await.map(known_fields).map(Some)
    }

    /// Returns the path of an order's tracking at a requestor.
    pub(super) fn tracking_path(&self, subject: &Subject) -> String {
        format!("/api/v1/orders/tracking/{}", encoded(&self.path_id(&subject.id)))
    }

    /// Carries out a command: by an edit of the order request, or at the requestor where there is
    /// none. The key is for the requestor; an edit can be repeated without one.
    pub(super) async fn send_command(
        &self,
        subject: &Subject,
        edit: &Edit,
        key: &str,
    ) -> Result<VerbReceipt, CliError> {
        if let Some(resource) = &subject.resource {
            let edited = self.server.edit(resource, edit).await?;
            let generation = edited.pointer("/metadata/generation").and_then(Value::as_i64);
            return Ok(VerbReceipt::Edited(generation.unwrap_or_default()));
        }
        let Some(server) = self.server.plain() else {
            let text = format!("there is no OrderRequest for the order {}", subject.id);
            return Err(CliError::refused(text));
        };
        let request = match edit {
            Edit::FollowUp(id, follow_up) => IdempotentRequest::command(
                Method::POST,
                "/api/v1/orders/followup".to_owned(),
                json!({
                    "order_req_id": subject.id,
                    "tenant": self.sellers.tenant(),
                    "follow_up_id": id,
                    "audience": follow_up.audience,
                    "answers": follow_up.answers,
                    "message": follow_up.message,
                }),
                key,
            ),
            Edit::Command(command) => {
                let (segment, body) = request_of(command);
                let id = encoded(&self.path_id(&subject.id));
                IdempotentRequest::command(
                    Method::POST,
                    format!("/api/v1/orders/{segment}/{id}"),
                    body,
                    key,
                )
            }
        };
        let reply = super::rest::send_plain(server, &request).await;
        let reply = reply.map_err(|failure| subject.explained(failure))?;
        // The reply to a command that is done has no location.
        let PendingView { location, .. } = known_fields(reply);
        Ok(if location.is_empty() { VerbReceipt::Done } else { VerbReceipt::Pending(location) })
    }

    /// Reads the failure of an edit from the order request; `None` where that shows none, or cannot
    /// be read.
    pub(super) async fn edit_failure(
        &self,
        subject: &Subject,
        edit: &Edit,
        generation: i64,
    ) -> Option<CliError> {
        let name = subject.resource().and_then(|held| held.pointer("/metadata/name"));
        let found = self.server.find(name?.as_str()?).await.ok()?;
        stalled::failure_of(&found.resource?, edit, generation)
    }

    /// Reads the state of a pending command at the requestor; fails where it was refused.
    pub(super) async fn command_state(
        &self,
        location: &str,
    ) -> Result<RemoteCommandState, CliError> {
        let Some(server) = self.server.plain() else { return Ok(RemoteCommandState::Unknown) };
        let status: ActView = match server.get(location).await {
            Ok(reply) => known_fields(reply),
            Err(failure) if failure.reason() == Some(Reason::CommandNotFound) => {
                return Ok(RemoteCommandState::Unknown);
            }
            Err(failure) => return Err(failure),
        };
        match status.state.as_str() {
            "done" => Ok(RemoteCommandState::Done),
            "refused" => {
                let reason = status.reason.unwrap_or_default();
                let text = format!("{} [{reason}]", status.detail.unwrap_or_default());
                Err(CliError::from_server(Reason::parse(&reason), text))
            }
            _ => Ok(RemoteCommandState::Pending),
        }
    }

    /// Reports whether the order's list has a follow-up.
    pub(super) async fn has_follow_up(
        &self,
        subject: &Subject,
        id: &FollowUpId,
    ) -> Result<bool, CliError> {
        let messages = self.sellers.conversation(&subject.id).await?;
        Ok(messages.iter().any(|message| message.id.as_deref() == Some(id.as_str())))
    }

    fn path_id(&self, id: &str) -> String {
        format!("{}/{id}", self.server.namespace())
    }
}

/// Reads the fields that this version knows. A reply that cannot be read has their defaults: the
/// command that it is about was taken all the same.
pub(super) fn known_fields<T: DeserializeOwned + Default>(reply: Value) -> T {
    serde_json::from_value(reply).unwrap_or_default()
}

/// Awaits an optional request for up to [`OPTIONAL_TIMEOUT`]; returns `None` if the processors do
/// not respond.
pub(super) async fn await_optional<T>(
    request: impl Future<Output = Result<T, CliError>>,
) -> Result<Option<T>, CliError> {
    match tokio::time::timeout(OPTIONAL_TIMEOUT, request).await {
        Ok(Ok(reply)) => Ok(Some(reply)),
        Ok(Err(failure)) if !failure.is_processor_unreachable() => Err(failure),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

/// Returns a command's segment of the path, and its body.
fn request_of(command: &BuyerCommand) -> (&'static str, Value) {
    match command {
        BuyerCommand::Finalise { award, reason, undo_within_ms } => {
            let mut body = json!({"reason": reason, "undo_within_ms": undo_within_ms});
            match award {
                Some(Award::Whole(id)) => body["proposal_id"] = json!(id),
                Some(Award::Lines(lines)) => body["lines"] = json!(lines),
                None => {}
            }
            ("finalize", body)
        }
        BuyerCommand::UndoAward(reason) => ("undo-award", json!({"reason": reason})),
        BuyerCommand::Pause(reason) => ("pause", json!({"reason": reason})),
        BuyerCommand::Resume => ("resume", json!({})),
        BuyerCommand::Extend(ms) => ("extend", json!({"expires_in_ms": ms})),
        BuyerCommand::Close(reason) => ("close", json!({"reason": reason})),
        BuyerCommand::Cancel(reason) => ("cancel", json!({"reason": reason})),
    }
}
