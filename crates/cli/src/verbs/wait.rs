//! `orderstream wait`: waits until an order request reaches a state, also for one that is not there
//! yet.

use orderstream_api::conditions::{
    PROPOSALS_RECEIVED, READY, RECONCILING, SELLERS_NOTIFIED, STALLED, STREAMING,
};
use orderstream_core::request_phase::{end_reason, is_end};
use orderstream_core::{OrderKey, Reason, RequestPhase};
use serde_json::Value;

use super::POLL_INTERVAL;
use super::flags;
use super::model::ResourceReport;
use super::nearest::nearest;
use super::print;
use super::server::{BuyerServer, ResourceArgs};
use super::show::{self, OutputFormat};
use crate::exit::CliError;
use crate::output;
use crate::progress::Progress;

/// The conditions of an order request.
const CONDITIONS: [&str; 6] =
    [READY, RECONCILING, STALLED, SELLERS_NOTIFIED, STREAMING, PROPOSALS_RECEIVED];

/// The reads without a result between two lists of all resources, which resolve an order's id.
const POLLS_PER_LIST: u32 = 4;

/// `orderstream wait NAME --for …`
#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    /// Name of the order request, or the order's id; it need not be there yet
    name: String,
    /// The state to wait for: `create`, `phase=Finalised`, `proposals=3`, `condition=Ready`, or
    /// `delete`
    #[arg(long = "for", value_name = "STATE", value_parser = WaitCondition::parse)]
    state: WaitCondition,
    /// The longest wait
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    timeout: String,
    #[command(flatten)]
    target: ResourceArgs,
}

impl WaitArgs {
    /// Waits until the order request reaches the state.
    ///
    /// # Errors
    /// When it does not in time, or will not any more.
    pub async fn run(self) -> Result<(), CliError> {
        let timeout = flags::duration("--timeout", &self.timeout)?;
        let server = self.target.connect().await?;
        let mut observed = None;
        let progress = Progress::new(&awaited_text(&self.name, &self.state, None));
        let polling = until_met(&server, &self.name, &self.state, &mut observed, &progress);
        let result = tokio::time::timeout(timeout, progress.during(polling)).await;
        let (name, state, limit) = (&self.name, self.state.to_string(), &self.timeout);
        match result {
            Ok(result) => result?,
            Err(_) => {
                let now = match &observed {
                    Some(resource) => format!("it is {}", show::phase(resource)),
                    None => format!("there is no OrderRequest {name}"),
                };
                let text = format!("{name}: {state} was not reached in {limit}; {now}");
                return Err(CliError::too_late(text));
            }
        }
        let report = ResourceReport {
            name: observed.as_ref().and_then(name_of).unwrap_or(name).to_owned(),
            namespace: server.namespace().to_owned(),
            phase: observed.as_ref().map(|resource| show::phase(resource).to_owned()),
            state,
        };
        match self.target.output {
            OutputFormat::Table => {
                output::line(&format!("orderrequest/{} {}", report.name, report.state));
                Ok(())
            }
            format @ (OutputFormat::Json | OutputFormat::Yaml) => {
                print::structured(&report, format)
            }
        }
    }
}

/// Returns the name of an order request.
pub(super) fn name_of(resource: &Value) -> Option<&str> {
    resource.pointer("/metadata/name").and_then(Value::as_str)
}

/// Reads the order request until it has the state; `observed` is the last one that was read.
async fn until_met(
    server: &BuyerServer,
    name: &str,
    condition: &WaitCondition,
    observed: &mut Option<Value>,
    progress: &Progress,
) -> Result<(), CliError> {
    let mut polls = (0..POLLS_PER_LIST).cycle();
    loop {
        // A resource that was found is read by its name; without one, the id is resolved again.
        let known = observed.as_ref().and_then(name_of).map(ToOwned::to_owned);
        let mut found = read(server, known.as_deref().unwrap_or(name)).await?;
        if found.is_none() && known.is_none() && polls.next() == Some(0) {
            found = server.find_by_id(name).await?.resource;
        }
        *observed = found;
        match observed {
            Some(resource) => {
                if condition.is_met(resource) {
                    return Ok(());
                }
                condition.check_still_possible(name, resource)?;
            }
            None => {
                if matches!(condition, WaitCondition::Delete) {
                    return Ok(());
                }
            }
        }
        progress.set(&awaited_text(name, condition, observed.as_ref()));
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Reads the order request of this name; `None` where there is none.
async fn read(server: &BuyerServer, name: &str) -> Result<Option<Value>, CliError> {
    let failure = match server.get(name).await {
        Ok(resource) => return Ok(Some(resource)),
        Err(failure) => failure,
    };
    match failure.reason() {
        Some(Reason::OrderNotFound) => Ok(None),
        // An id need not be a resource's name.
        Some(Reason::InvalidField) if OrderKey::new("default", name).is_ok() => Ok(None),
        Some(_) | None => Err(failure),
    }
}

/// Describes a wait that goes on.
fn awaited_text(name: &str, condition: &WaitCondition, observed: Option<&Value>) -> String {
    let now = match observed {
        Some(resource) => format!("it is {}", show::phase(resource)),
        None => "it is not there yet".to_owned(),
    };
    format!("waiting for {condition} of {name}; {now}")
}

/// A state that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WaitCondition {
    Create,
    Phase(RequestPhase),
    Proposals(u64),
    Condition(&'static str),
    Delete,
}

impl WaitCondition {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is unknown; give create, phase=NAME, proposals=N, condition=NAME or delete".to_owned()
        };
        match text.split_once('=') {
            Some(("phase", name)) => phase(name).map(Self::Phase),
            Some(("proposals", count)) => count.parse().map(Self::Proposals).map_err(|_| wrong()),
            Some(("condition", name)) => {
                one_of("condition", name, CONDITIONS.into_iter()).map(Self::Condition)
            }
            None if text == "create" => Ok(Self::Create),
            None if text == "delete" => Ok(Self::Delete),
            Some(_) | None => Err(wrong()),
        }
    }

    /// Reports whether an order reaches the state only before its deadline.
    const fn is_before_deadline(&self) -> bool {
        match self {
            Self::Proposals(_) => true,
            Self::Phase(phase) => {
                matches!(phase, RequestPhase::Pending | RequestPhase::Open | RequestPhase::Paused)
            }
            Self::Create | Self::Condition(_) | Self::Delete => false,
        }
    }

    fn is_met(&self, resource: &Value) -> bool {
        match self {
            Self::Create => true,
            Self::Phase(phase) => show::phase(resource) == phase.as_str(),
            Self::Proposals(count) => show::proposals(resource) >= *count,
            Self::Condition(name) => show::conditions(resource).get(*name) == Some(&"True"),
            Self::Delete => false,
        }
    }

    /// Fails if the order has ended in another state and will not change any more, and if its
    /// deadline has passed and it takes no more proposals.
    fn check_still_possible(&self, name: &str, resource: &Value) -> Result<(), CliError> {
        let phase = show::phase(resource);
        if phase == RequestPhase::Deciding.as_str() && self.is_before_deadline() {
            let message = format!(
                "{name} is {phase}: its deadline has passed, and it takes no more proposals; \
                 {self} is out of reach"
            );
            return Err(CliError::too_late(message));
        }
        if is_end(phase) && !matches!(self, Self::Delete | Self::Condition(_)) {
            let message = format!("{name} is {phase}, which is final; {self} is out of reach");
            return Err(if end_reason(phase) == Reason::DeadlinePassed {
                CliError::too_late(message)
            } else {
                CliError::refused(message)
            });
        }
        Ok(())
    }
}

impl std::fmt::Display for WaitCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create => f.write_str("create"),
            Self::Phase(phase) => write!(f, "phase={phase}"),
            Self::Proposals(count) => write!(f, "proposals={count}"),
            Self::Condition(name) => write!(f, "condition={name}"),
            Self::Delete => f.write_str("delete"),
        }
    }
}

/// Returns the states that can be waited for, but for the numbers of proposals.
pub(crate) fn states() -> Vec<String> {
    let phases = RequestPhase::ALL.iter().map(|phase| format!("phase={phase}"));
    let conditions = CONDITIONS.iter().map(|name| format!("condition={name}"));
    let others = ["create", "delete", "proposals="].map(ToOwned::to_owned);
    others.into_iter().chain(phases).chain(conditions).collect()
}

/// Parses the name of a phase, in any case.
pub(super) fn phase(text: &str) -> Result<RequestPhase, String> {
    let names = RequestPhase::ALL.map(RequestPhase::as_str);
    let name = one_of("phase", text, names.into_iter()).map_err(|error| {
        let former = RequestPhase::read_stored(text);
        let now = former.map(|phase| format!("; earlier versions wrote it for {phase}"));
        format!("{error}{}", now.unwrap_or_default())
    })?;
    RequestPhase::parse(name).ok_or_else(|| format!("'{text}' is not a phase"))
}

/// Finds a word in any case, or names the known ones.
fn one_of(
    noun: &str,
    text: &str,
    known: impl Iterator<Item = &'static str> + Clone,
) -> Result<&'static str, String> {
    let found = known.clone().find(|word| word.eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let meant = nearest(text, known.clone()).map(|word| format!("; did you mean {word}?"));
        let all = known.collect::<Vec<_>>().join(", ");
        format!("'{text}' is not a {noun}; give one of {all}{}", meant.unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    #[test]
    fn unknown_states_are_refused_with_the_known_ones() {
        for (text, expected) in [
            ("create", WaitCondition::Create),
            ("phase=finalised", WaitCondition::Phase(RequestPhase::Finalised)),
            ("proposals=3", WaitCondition::Proposals(3)),
            ("condition=ready", WaitCondition::Condition("Ready")),
            ("delete", WaitCondition::Delete),
        ] {
            assert_eq!(WaitCondition::parse(text), Ok(expected));
        }
        for (text, part) in [
            ("luck", "give create, phase=NAME"),
            ("proposals=many", "proposals=N"),
            ("phase=Bogus", "'Bogus' is not a phase; give one of Pending, "),
            ("phase=Finalized", "; did you mean Finalised?"),
            ("phase=Streaming", "earlier versions wrote it for Open"),
            ("condition=Redy", "; did you mean Ready?"),
        ] {
            let error = WaitCondition::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn ended_orders_reach_no_other_state() {
        let of = |phase: &str| json!({ "status": { "phase": phase } });
        let check = |state: &str, phase: &str| {
            let condition = WaitCondition::parse(state).unwrap();
            condition.check_still_possible("chairs", &of(phase)).map_err(|end| end.code())
        };
        assert_eq!(check("proposals=9", "Expired"), Err(3));
        assert_eq!(check("phase=Finalised", "Cancelled"), Err(4));
        assert_eq!(check("proposals=9", "Paused"), Ok(()));
        assert_eq!(check("delete", "Finalised"), Ok(()));
        for state in ["proposals=9", "phase=Open", "phase=Paused"] {
            assert_eq!(check(state, "Deciding"), Err(3), "{state}");
        }
        for state in ["phase=Finalised", "phase=Expired", "condition=Ready", "delete"] {
            assert_eq!(check(state, "Deciding"), Ok(()), "{state}");
        }
        assert!(WaitCondition::parse("phase=Expired").unwrap().is_met(&of("Expired")));
        assert!(WaitCondition::parse("phase=Open").unwrap().is_met(&of("Streaming")));
    }

    /// Serves order requests of which none is there at first; then there is one whose name is not
    /// its order's id.
    async fn serve_late(listener: TcpListener) {
        let chairs = json!({ "metadata": { "name": "chairs" }, "spec": { "orderReqId": "OR-1" } });
        let mut lists = [json!([]), json!([chairs])].into_iter();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            let request = String::from_utf8(request).unwrap();
            let path = request.split(' ').nth(1).unwrap_or_default();
            let (code, body) = if path.ends_with("/orderrequests") {
                ("200 OK", json!({ "items": lists.next().unwrap() }))
            } else {
                let reason = Reason::OrderNotFound.as_str();
                ("404 Not Found", json!({ "reason": reason, "detail": "there is none" }))
            };
            let body = body.to_string();
            let length = body.len();
            let head = format!("HTTP/1.1 {code}\r\nconnection: close\r\ncontent-length: {length}");
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn waiting_finds_ids_of_later_resources() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = BuyerServer::of_url(&url).unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(serve_late(listener));
        let (mut observed, progress) = (None, Progress::new("waiting"));
        let create = WaitCondition::Create;
        let polling = until_met(&server, "OR-1", &create, &mut observed, &progress);
        tokio::time::timeout(Duration::from_secs(20), polling).await.unwrap().unwrap();
        assert_eq!(observed.as_ref().and_then(name_of), Some("chairs"));
    }
}
