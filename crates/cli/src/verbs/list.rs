//! `orderstream get` and `orderstream list`: order requests as they are stored.

use std::cmp::Reverse;

use orderstream_core::RequestPhase;
use serde_json::Value;

use super::list_watch::ListWatch;
use super::server::{ListScope, ServerArgs};
use super::show::{self, ListColumns, ResourceFormat};
use super::wait::{name_of, phase};
use crate::exit::CliError;
use crate::output;

/// `orderstream get NAME`
#[derive(Debug, clap::Args)]
pub struct GetArgs {
    /// Name of the order request, or the order's id
    name: String,
    #[command(flatten)]
    server_args: ServerArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: ResourceFormat,
}

impl GetArgs {
    /// Prints the order request.
    ///
    /// # Errors
    /// When the server has none of this name, or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let resource = self.server_args.connect().await?.require(&self.name).await?;
        match self.output.document() {
            Some(format) => show::one(&resource, format),
            None => {
                show::resources(&[resource], self.output, ListColumns::default());
                Ok(())
            }
        }
    }
}

/// `orderstream list`
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "independent flags")]
pub struct ListArgs {
    /// List all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Only order requests in these phases, such as Paused,Finalised
    #[arg(
        long = "phase",
        visible_alias = "state",
        value_name = "PHASE",
        value_delimiter = ',',
        value_parser = phase
    )]
    phases: Vec<RequestPhase>,
    /// The order of the list
    #[arg(long, default_value = "name")]
    sort: ListOrder,
    /// Go on with each order request that is new, changes or is deleted, until Ctrl-C; in JSON each
    /// one is a line, and a deleted one has a deletionTimestamp
    #[arg(long, short)]
    watch: bool,
    #[command(flatten)]
    server_args: ServerArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: ResourceFormat,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ListOrder {
    /// By name
    Name,
    /// By phase, those of open orders first
    Phase,
    /// The most proposals first
    Proposals,
    /// The next expiry first
    Expires,
    /// The newest first
    Created,
}

impl ListArgs {
    /// Prints the order requests; code 130 when Ctrl-C ends a watch.
    ///
    /// # Errors
    /// When the server is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let server = self.server_args.connect().await?;
        if self.watch {
            return ListWatch::new(&server, &self).run().await;
        }
        let mut list = server.list(self.scope()).await?;
        if let Some(Value::Array(items)) = list.get_mut("items") {
            self.select(items);
        }
        if let Some(format) = self.output.document() {
            return show::one(&list, format);
        }
        let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice);
        let items = items.unwrap_or_default();
        if items.is_empty() && self.output != ResourceFormat::Name {
            let which = if self.phases.is_empty() { "" } else { " in these phases" };
            output::line(&format!("no order requests{which}"));
            return Ok(());
        }
        show::resources(items, self.output, self.columns());
        Ok(())
    }

    pub(super) const fn scope(&self) -> ListScope {
        if self.all_namespaces { ListScope::AllNamespaces } else { ListScope::Namespace }
    }

    pub(super) const fn format(&self) -> ResourceFormat {
        self.output
    }

    pub(super) const fn columns(&self) -> ListColumns {
        ListColumns { namespaces: self.all_namespaces }
    }

    /// Leaves the order requests that are asked for, in the order of the list.
    pub(super) fn select(&self, items: &mut Vec<Value>) {
        items.retain(|resource| self.is_listed(resource));
        self.sort.apply(items);
    }

    /// Reports whether an order request is in one of the phases that are asked for.
    pub(super) fn is_listed(&self, resource: &Value) -> bool {
        let phase = show::phase(resource);
        self.phases.is_empty() || self.phases.iter().any(|listed| listed.as_str() == phase)
    }
}

impl ListOrder {
    /// Sorts resources; equal ones are in the order of their names.
    fn apply(self, items: &mut [Value]) {
        fn text(resource: &Value, pointer: &str) -> Option<String> {
            resource.pointer(pointer).and_then(Value::as_str).map(ToOwned::to_owned)
        }
        items.sort_by_cached_key(|resource| {
            (text(resource, "/metadata/namespace"), name_of(resource).map(ToOwned::to_owned))
        });
        match self {
            Self::Name => {}
            Self::Phase => items.sort_by_key(|resource| RequestPhase::parse(show::phase(resource))),
            Self::Proposals => items.sort_by_key(|resource| Reverse(show::proposals(resource))),
            // RFC 3339 in UTC and in whole seconds: the texts are in the order of their times.
            Self::Expires => items.sort_by_cached_key(|resource| {
                let expires = text(resource, "/status/expiresAt");
                (expires.is_none(), expires)
            }),
            Self::Created => items.sort_by_cached_key(|resource| {
                Reverse(text(resource, "/metadata/creationTimestamp"))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Sorts four resources; returns the order of their names.
    fn sorted(order: ListOrder) -> String {
        let resource = |name: &str, phase: &str, proposals: u64, expires: &str, created: &str| {
            json!({
                "metadata": { "name": name, "namespace": "default", "creationTimestamp": created },
                "status": {
                    "phase": phase,
                    "proposals": { "received": proposals },
                    "expiresAt": expires,
                },
            })
        };
        let mut items = [
            resource("d", "Finalised", 3, "2026-12-01T10:00:00Z", "2026-12-01T08:00:00Z"),
            resource("b", "Paused", 0, "2026-12-03T10:00:00Z", "2026-12-01T09:00:00Z"),
            resource("a", "Paused", 3, "2026-12-02T10:00:00Z", "2026-12-01T07:00:00Z"),
            json!({ "metadata": { "name": "c", "namespace": "default" } }),
        ];
        order.apply(&mut items);
        items.iter().filter_map(name_of).collect()
    }

    #[test]
    fn lists_are_sorted_by_what_is_asked_for() {
        for (order, expected) in [
            (ListOrder::Name, "abcd"),
            (ListOrder::Phase, "cabd"),
            (ListOrder::Proposals, "adbc"),
            (ListOrder::Expires, "dabc"),
            (ListOrder::Created, "bdac"),
        ] {
            assert_eq!(sorted(order), expected, "{order:?}");
        }
    }
}
