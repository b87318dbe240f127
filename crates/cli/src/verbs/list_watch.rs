//! `orderstream list --watch`: the order requests, and then each one that is new, changes or is
//! deleted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use orderstream_core::date::rfc3339_seconds;
use serde_json::Value;

use super::list::ListArgs;
use super::print;
use super::server::{BuyerServer, failure};
use super::show::{self, OutputFormat, Presence, ResourceFormat};
use super::table::{self, GrowingTable};
use super::watch::Outage;
use crate::clock;
use crate::cluster::resources::{ResourceChange, ResourceKind, ResourceList, Resources};
use crate::exit::CliError;
use crate::output;

/// The interval between two lists of a server that has no stream of them, and between two watches.
const LIST_INTERVAL: Duration = Duration::from_secs(2);

/// A list whose order requests are printed as they change.
pub(super) struct ListWatch<'a> {
    server: &'a BuyerServer,
    args: &'a ListArgs,
    printed: PrintedRequests,
    /// The table, once it has a row; absent in other formats.
    table: Option<GrowingTable<'static>>,
    outage: Outage,
    has_connected: bool,
}

impl<'a> ListWatch<'a> {
    pub(super) fn new(server: &'a BuyerServer, args: &'a ListArgs) -> Self {
        let (printed, outage) = (PrintedRequests::default(), Outage::default());
        Self { server, args, printed, table: None, outage, has_connected: false }
    }

    /// Prints until Ctrl-C, or until nobody reads on.
    pub(super) async fn run(mut self) -> Result<(), CliError> {
        tokio::select! {
            end = self.follow() => end,
            _ = tokio::signal::ctrl_c() => Err(CliError::interrupted("interrupted".to_owned())),
        }
    }

    async fn follow(&mut self) -> Result<(), CliError> {
        loop {
            let result = match self.server.cluster() {
                Some(cluster) => self.watch(cluster).await,
                None => self.list().await,
            };
            match result {
                Ok(()) if output::is_closed() => return Ok(()),
                Ok(()) => tokio::time::sleep(LIST_INTERVAL).await,
                Err(failure) => self.outage.wait_after(failure, self.has_connected).await?,
            }
        }
    }

    /// Prints what has changed since the last list of a server.
    async fn list(&mut self) -> Result<(), CliError> {
        let mut list = self.server.list(self.args.scope()).await?;
        self.outage = Outage::default();
        let items = list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
        self.print_list(items.unwrap_or_default())
    }

    /// Prints what has changed since the last list of a cluster, and each change from then on,
    /// until the API server ends the watch.
    async fn watch(&mut self, cluster: &Resources) -> Result<(), CliError> {
        let namespace = self.server.namespace_in(self.args.scope());
        let kind = ResourceKind::OrderRequest;
        let ResourceList { items, version } =
            cluster.list_to_watch(kind, namespace).await.map_err(failure)?;
        self.print_list(items)?;
        let mut changes = cluster.watch(kind, namespace, &version).await.map_err(failure)?;
        let began = Instant::now();
        loop {
            let change = changes.next().await;
            // One that lasts, or brings something, shows that the API server is there again.
            if change.is_ok() || began.elapsed() > LIST_INTERVAL {
                self.outage = Outage::default();
            }
            let Some(change) = change.map_err(failure)? else { return Ok(()) };
            let rows = match change {
                ResourceChange::Stored(resource) if self.args.is_listed(&resource) => {
                    self.printed.changed(vec![self.row(resource, Presence::Stored)], self.shown())
                }
                // It is in none of the phases that are asked for.
                ResourceChange::Stored(resource) => {
                    self.printed.forget(&resource);
                    Vec::new()
                }
                ResourceChange::Removed(resource) => match self.printed.forget(&resource) {
                    Some(_) => vec![self.row(resource, Presence::Removed)],
                    None => Vec::new(),
                },
            };
            self.print(&rows)?;
            if output::is_closed() {
                return Ok(());
            }
        }
    }

    /// Prints what differs in a list from what was printed.
    fn print_list(&mut self, mut items: Vec<Value>) -> Result<(), CliError> {
        let is_first = !self.has_connected;
        self.has_connected = true;
        let gone = self.printed.take_absent(&items, |resource| self.args.is_listed(resource));
        self.args.select(&mut items);
        let stored: Vec<RequestRow> =
            items.into_iter().map(|resource| self.row(resource, Presence::Stored)).collect();
        let mut rows = self.printed.changed(stored, self.shown());
        rows.extend(gone.into_iter().map(|resource| self.row(resource, Presence::Removed)));
        if is_first && rows.is_empty() && self.args.format().document().is_none() {
            output::note("no order requests yet");
        }
        self.print(&rows)
    }

    /// Returns the row of an order request. One that was removed has a time of deletion in its
    /// document, by which programs tell it from a change.
    fn row(&self, mut resource: Value, presence: Presence) -> RequestRow {
        let metadata = resource.get_mut("metadata").and_then(Value::as_object_mut);
        if let Some(metadata) = metadata.filter(|_| presence == Presence::Removed) {
            let deletion = metadata.entry("deletionTimestamp");
            deletion.or_insert_with(|| Value::String(rfc3339_seconds(clock::now())));
        }
        let (format, columns) = (self.args.format(), self.args.columns());
        let cells = show::cells(&resource, presence, format, columns);
        RequestRow { resource, cells }
    }

    /// Returns the part of an order request whose changes are printed.
    const fn shown(&self) -> ShownPart {
        match self.args.format() {
            ResourceFormat::Json | ResourceFormat::Yaml => ShownPart::Resource,
            ResourceFormat::Table | ResourceFormat::Wide | ResourceFormat::Name => ShownPart::Cells,
        }
    }

    fn print(&mut self, rows: &[RequestRow]) -> Result<(), CliError> {
        match self.args.format() {
            ResourceFormat::Json => {
                rows.iter().for_each(|row| output::document(&row.resource.to_string()));
            }
            ResourceFormat::Yaml => {
                for row in rows {
                    output::document("---");
                    print::structured(&row.resource, OutputFormat::Yaml)?;
                }
            }
            ResourceFormat::Name => rows.iter().for_each(|row| show::print_name(&row.resource)),
            format @ (ResourceFormat::Table | ResourceFormat::Wide) => {
                self.print_rows(rows, format);
            }
        }
        Ok(())
    }

    fn print_rows(&mut self, rows: &[RequestRow], format: ResourceFormat) {
        if let Some(table) = &mut self.table {
            rows.iter().for_each(|row| table.add(&row.cells));
            return;
        }
        if rows.is_empty() {
            return;
        }
        let columns = self.args.columns();
        let (heads, usual) = (show::heads(format, columns), show::usual_cells(format, columns));
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.cells.clone()).collect();
        let width = table::terminal_width().filter(|_| format != ResourceFormat::Wide);
        self.table = Some(GrowingTable::print(heads, &rows, usual, width));
    }
}

/// An order request and its cells in a table.
#[derive(Clone, Debug, PartialEq)]
struct RequestRow {
    resource: Value,
    cells: Vec<String>,
}

/// The part of an order request whose changes are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ShownPart {
    /// The whole resource.
    Resource,
    /// Its cells.
    Cells,
}

/// The order requests as they were printed, by namespace and name.
#[derive(Debug, Default)]
struct PrintedRequests(BTreeMap<(String, String), RequestRow>);

impl PrintedRequests {
    /// Returns the rows that differ from what was printed, and remembers them.
    fn changed(&mut self, mut rows: Vec<RequestRow>, shown: ShownPart) -> Vec<RequestRow> {
        rows.retain(|row| {
            let before = self.0.insert(key(&row.resource), row.clone());
            before.is_none_or(|before| match shown {
                ShownPart::Resource => before.resource != row.resource,
                ShownPart::Cells => before.cells != row.cells,
            })
        });
        rows
    }

    /// Takes those that are not printed any more, and returns those of them that a whole list does
    /// not have. The others have left the phases that are asked for.
    fn take_absent(&mut self, list: &[Value], is_listed: impl Fn(&Value) -> bool) -> Vec<Value> {
        let stored: BTreeMap<_, _> =
            list.iter().map(|resource| (key(resource), resource)).collect();
        let mut absent = Vec::new();
        self.0.retain(|key, row| match stored.get(key) {
            Some(resource) => is_listed(resource),
            None => {
                absent.push(std::mem::take(&mut row.resource));
                false
            }
        });
        absent
    }

    /// Forgets an order request; returns what was printed of it.
    fn forget(&mut self, resource: &Value) -> Option<RequestRow> {
        self.0.remove(&key(resource))
    }
}

/// Returns the namespace and the name of a resource.
fn key(resource: &Value) -> (String, String) {
    let text = |pointer: &str| resource.pointer(pointer).and_then(Value::as_str);
    let text = |pointer: &str| text(pointer).unwrap_or_default().to_owned();
    (text("/metadata/namespace"), text("/metadata/name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verbs::show::ListColumns;

    fn resource(name: &str, phase: &str, version: &str) -> Value {
        json!({
            "metadata": { "name": name, "namespace": "default", "resourceVersion": version },
            "status": { "phase": phase },
        })
    }

    fn names(resources: &[Value]) -> Vec<&str> {
        resources.iter().filter_map(|one| one.pointer("/metadata/name")?.as_str()).collect()
    }

    /// Returns the names of what is printed of a list.
    fn printed(
        printed: &mut PrintedRequests,
        list: &[Value],
        shown: ShownPart,
    ) -> (Vec<String>, Vec<String>) {
        let is_listed = |one: &Value| show::phase(one) != "Closed";
        let gone = printed.take_absent(list, is_listed);
        let row = |resource: &Value| {
            let (format, columns) = (ResourceFormat::Table, ListColumns::default());
            let cells = show::cells(resource, Presence::Stored, format, columns);
            RequestRow { resource: resource.clone(), cells }
        };
        let rows = list.iter().filter(|one| is_listed(one)).map(row).collect();
        let changed: Vec<Value> =
            printed.changed(rows, shown).into_iter().map(|row| row.resource).collect();
        let owned = |resources: &[Value]| names(resources).into_iter().map(str::to_owned).collect();
        (owned(&changed), owned(&gone))
    }

    #[test]
    fn only_changes_are_printed_again() {
        let (chairs, desks) = (resource("chairs", "Open", "1"), resource("desks", "Open", "2"));
        // Nothing of it is in a table.
        let touched = resource("chairs", "Open", "3");
        let paused = resource("desks", "Paused", "4");
        let closed = resource("desks", "Closed", "5");
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (shown, of_touched) in
            [(ShownPart::Cells, &[][..]), (ShownPart::Resource, &["chairs"][..])]
        {
            let mut requests = PrintedRequests::default();
            let mut check = |list: &[&Value], changed: &[&str], gone: &[&str]| {
                let list: Vec<Value> = list.iter().map(|one| (*one).clone()).collect();
                let found = printed(&mut requests, &list, shown);
                assert_eq!((found.0, found.1), (owned(changed), owned(gone)), "{list:?}");
            };
            check(&[&chairs, &desks], &["chairs", "desks"], &[]);
            check(&[&chairs, &desks], &[], &[]);
            check(&[&touched, &desks], of_touched, &[]);
            check(&[&touched, &paused], &["desks"], &[]);
            // It is not in the phases that are asked for, and comes back.
            check(&[&touched, &closed], &[], &[]);
            check(&[&touched, &paused], &["desks"], &[]);
            check(&[&paused], &[], &["chairs"]);
            check(&[], &[], &["desks"]);
        }
    }

    #[test]
    fn removed_requests_are_forgotten_once() {
        let chairs = resource("chairs", "Open", "1");
        let mut requests = PrintedRequests::default();
        printed(&mut requests, std::slice::from_ref(&chairs), ShownPart::Cells);
        assert!(requests.forget(&chairs).is_some());
        assert!(requests.forget(&chairs).is_none());
    }
}
