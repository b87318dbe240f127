//! `orderstream apply` and `orderstream delete`: create, change and delete resources, from manifests
//! as kubectl reads them.

use std::path::PathBuf;

use orderstream_api::manifest::{self, Manifest, ManifestDocument};
use orderstream_core::Reason;
use orderstream_core::request_phase::is_end;

use super::confirm::ConfirmArgs;
use super::model::ResourceReport;
use super::print;
use super::server::{BuyerServer, ResourceArgs};
use super::show::{self, OutputFormat};
use super::wait;
use crate::cluster::resources::{ApplyOutcome, Conflicts, ResourceKind};
use crate::exit::CliError;
use crate::lint::read_with_notes;
use crate::output;

/// The manifests that a command reads.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ManifestArgs {
    /// Manifests: files, folders with .yaml, .yml and .json files, or `-` for standard input
    #[arg(required_unless_present = "filenames", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The same, as kubectl has it
    #[arg(long = "filename", short = 'f', num_args = 1.., value_name = "FILE")]
    filenames: Vec<PathBuf>,
}

impl ManifestArgs {
    /// Returns all paths, in the order of the two forms.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().chain(&self.filenames).cloned().collect()
    }
}

/// `orderstream apply FILE…`
#[derive(Debug, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    manifests: ManifestArgs,
    /// On a cluster: take over fields that another field manager owns
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    target: ResourceArgs,
}

impl ApplyArgs {
    /// Reads and checks all manifests, then applies one resource after the other: sellers first, so
    /// that the orders may invite them.
    ///
    /// # Errors
    /// When a manifest is wrong, or the server refuses one or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let mut documents = read_with_notes(&self.manifests.paths())?;
        documents.sort_by_key(|one| matches!(one.manifest, Manifest::OrderRequest(_)));
        let server = self.target.connect().await?;
        let conflicts = if self.force_conflicts { Conflicts::TakeOver } else { Conflicts::Refuse };
        let is_table = self.target.output == OutputFormat::Table;
        if documents.is_empty() && is_table {
            output::line("nothing to apply");
        }
        for document in &documents {
            let (how, applied) = server.apply(document, conflicts).await?;
            if is_table {
                output::line(&applied_message(document, how));
            } else {
                show::one(&applied, self.target.output)?;
            }
        }
        Ok(())
    }
}

/// Returns the kind of a document's resource.
pub(super) const fn kind_of(document: &ManifestDocument) -> ResourceKind {
    match document.manifest {
        Manifest::OrderRequest(_) => ResourceKind::OrderRequest,
        Manifest::Seller(_) => ResourceKind::Seller,
    }
}

/// Returns the name of a document's resource.
pub(super) fn name_of(document: &ManifestDocument) -> &str {
    document.manifest.metadata().name.as_deref().unwrap_or_default()
}

fn applied_message(document: &ManifestDocument, how: ApplyOutcome) -> String {
    let how = match how {
        ApplyOutcome::Created => "created",
        ApplyOutcome::Configured => "configured",
        ApplyOutcome::Unchanged => "unchanged",
    };
    format!("{}/{} {how}", kind_of(document).as_str(), name_of(document))
}

/// `orderstream delete NAME`
#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Name of the order request, or the order's id; `seller/NAME` is a seller
    #[arg(required_unless_present = "filenames")]
    name: Option<String>,
    /// Delete the resources of manifests: files, folders, or `-` for standard input
    #[arg(
        long = "filename",
        short = 'f',
        num_args = 1..,
        value_name = "FILE",
        conflicts_with = "name"
    )]
    filenames: Vec<PathBuf>,
    #[command(flatten)]
    confirm_args: ConfirmArgs,
    #[command(flatten)]
    target: ResourceArgs,
}

/// The most order requests that one question names.
const NAMED_MAX: usize = 5;

impl DeleteArgs {
    /// Deletes the order request or the seller, or all that manifests name. A person is asked
    /// first where that cancels an order.
    ///
    /// # Errors
    /// When it is not confirmed, or the server has none of this name, or is not reached.
    pub async fn run(self) -> Result<(), CliError> {
        let documents = manifest::read_documents(&self.filenames)?;
        let server = self.target.connect().await?;
        if let Some(name) = &self.name {
            let (kind, name) = kind_and_name(name);
            let named = match kind {
                ResourceKind::OrderRequest => Some(server.require(name).await?),
                ResourceKind::Seller => None,
            };
            let is_cancelled = named.as_ref().is_some_and(|it| !is_end(show::phase(it)));
            let name = named.as_ref().and_then(wait::name_of).unwrap_or(name);
            if is_cancelled {
                self.confirm(&[name])?;
            }
            delete(&server, self.target.output, kind, None, name).await?;
        }
        self.confirm(&self.cancelled(&server, &documents).await?)?;
        for document in &documents {
            let namespace = document.manifest.metadata().namespace.as_deref();
            let (kind, name) = (kind_of(document), name_of(document));
            delete(&server, self.target.output, kind, namespace, name).await?;
        }
        Ok(())
    }

    /// Returns the names of the documents' order requests whose orders have not ended. Reads none
    /// where nobody is asked.
    async fn cancelled<'a>(
        &self,
        server: &BuyerServer,
        documents: &'a [ManifestDocument],
    ) -> Result<Vec<&'a str>, CliError> {
        let mut names = Vec::new();
        if !self.confirm_args.asks() {
            return Ok(names);
        }
        for document in documents {
            if !matches!(document.manifest, Manifest::OrderRequest(_)) {
                continue;
            }
            let namespace = document.manifest.metadata().namespace.as_deref();
            match server.get_of(namespace, name_of(document)).await {
                Ok(resource) if is_end(show::phase(&resource)) => {}
                Ok(_) => names.push(name_of(document)),
                // The deletion reports what is not there.
                Err(failure) if failure.reason() == Some(Reason::OrderNotFound) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(names)
    }

    /// Asks before the orders of these order requests are cancelled.
    fn confirm(&self, names: &[&str]) -> Result<(), CliError> {
        let question = match names {
            [] => return Ok(()),
            [name] => format!("Delete orderrequest/{name}? That cancels its order"),
            [..] => {
                let count = print::count(names.len(), "order request");
                let mut named =
                    names.iter().copied().take(NAMED_MAX).collect::<Vec<_>>().join(", ");
                if names.len() > NAMED_MAX {
                    named.push_str(", …");
                }
                format!("Delete {count} ({named})? That cancels their orders")
            }
        };
        self.confirm_args.confirm(&format!("{question} and cannot be undone."))
    }
}

async fn delete(
    server: &BuyerServer,
    format: OutputFormat,
    kind: ResourceKind,
    namespace: Option<&str>,
    name: &str,
) -> Result<(), CliError> {
    server.delete(kind, namespace, name).await?;
    if format == OutputFormat::Table {
        output::line(&format!("{}/{name} deleted", kind.as_str()));
        return Ok(());
    }
    let namespace = namespace.unwrap_or_else(|| server.namespace()).to_owned();
    let (name, state) = (name.to_owned(), "deleted".to_owned());
    print::structured(&ResourceReport { name, namespace, state, phase: None }, format)
}

/// Returns the kind and the name in a text such as `seller/acme`, which `apply` prints; a name alone
/// is that of an order request.
fn kind_and_name(text: &str) -> (ResourceKind, &str) {
    let kinds = [ResourceKind::OrderRequest, ResourceKind::Seller];
    let named = kinds.into_iter().find_map(|kind| {
        let name = text.strip_prefix(kind.as_str())?.strip_prefix('/')?;
        Some((kind, name))
    });
    named.unwrap_or((ResourceKind::OrderRequest, text))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct TestCommand {
        #[command(flatten)]
        manifests: ManifestArgs,
    }

    #[test]
    fn manifests_are_named_in_both_forms() {
        let paths = |args: &[&str]| {
            let parsed = TestCommand::try_parse_from([&["apply"][..], args].concat())?;
            let paths = parsed.manifests.paths().into_iter();
            Ok::<_, clap::Error>(paths.map(|path| path.display().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(paths(&["a.yaml", "b"]).unwrap(), ["a.yaml", "b"]);
        assert_eq!(paths(&["-f", "a.yaml", "b", "-f", "c"]).unwrap(), ["a.yaml", "b", "c"]);
        assert_eq!(paths(&["-"]).unwrap(), ["-"]);
        assert_eq!(paths(&["-f", "-"]).unwrap(), ["-"]);
        assert!(paths(&[]).is_err());
    }

    #[test]
    fn printed_names_have_their_kind() {
        assert_eq!(kind_and_name("seller/acme"), (ResourceKind::Seller, "acme"));
        assert_eq!(kind_and_name("orderrequest/chairs"), (ResourceKind::OrderRequest, "chairs"));
        assert_eq!(kind_and_name("chairs"), (ResourceKind::OrderRequest, "chairs"));
    }
}
