//! `orderstream submit`: submits a new order, from a manifest or from flags.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use orderstream_api::duration::{format_ms, parse_ms};
use orderstream_api::lint;
use orderstream_api::manifest::{self, API_VERSION, Manifest, ManifestDocument};
use orderstream_core::Reason;
use orderstream_core::limits::{DECIDE_WITHIN_MS_MAX, EXPIRES_IN_MS_MAX, EXPIRES_IN_MS_MIN};
use serde_json::{Map, Value, json};

use super::flags::{self, duration_within};
use super::lines::split_line;
use super::market::MarketArgs;
use super::nearest::nearest;
use super::show::{self, OutputFormat};
use super::{invited, print, shell};
use crate::clock;
use crate::cluster::resources::{ApplyOutcome, Conflicts};
use crate::exit::CliError;
use crate::lint::read_with_notes;
use crate::output;

/// The most characters of a generated name, without its random suffix.
const NAME_CHARS_MAX: usize = 40;

/// `orderstream submit`
#[derive(Debug, clap::Args)]
pub struct SubmitArgs {
    /// A manifest with one OrderRequest, or `-` for standard input; the flags below replace one
    #[arg(long = "filename", short = 'f', value_name = "FILE", conflicts_with = "Wanted")]
    file: Option<PathBuf>,
    #[command(flatten)]
    order_request: OrderRequestArgs,
    /// Print the manifest, and submit nothing
    #[arg(long)]
    dry_run: bool,
    /// Idempotency key: without --name the order is named after it; the same name is submitted only
    /// once
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    market_args: MarketArgs,
    /// Output format
    #[arg(long, short, default_value = "table")]
    output: OutputFormat,
}

/// The wanted order.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "independent flags")]
#[group(id = "Wanted", multiple = true)]
struct OrderRequestArgs {
    /// Name of the order request; made from the title when absent
    #[arg(help_heading = "What is wanted", long)]
    name: Option<String>,
    /// The order's id; the name when absent
    #[arg(help_heading = "What is wanted", long, value_name = "ID")]
    order_id: Option<String>,
    /// The title: one line for people
    #[arg(help_heading = "What is wanted", long, value_name = "TEXT")]
    title: Option<String>,
    /// An article, its quantity and unit; repeat for each article, with lines where it is the same
    #[arg(help_heading = "What is wanted", long = "item", value_name = "[LINE@]SKU:QUANTITY[:UNIT]", value_parser = item)]
    items: Vec<ItemFlag>,
    /// The category that a seller must offer; any when absent
    #[arg(help_heading = "What is wanted", long, value_name = "WORD")]
    category: Option<String>,
    /// The place of delivery, in degrees
    #[arg(help_heading = "What is wanted", long, value_name = "LATITUDE,LONGITUDE", allow_hyphen_values = true, value_parser = place)]
    place: Option<(f64, f64)>,
    /// The place of delivery, in words
    #[arg(help_heading = "What is wanted", long, value_name = "TEXT")]
    address: Option<String>,
    /// The latest time of delivery: RFC 3339, or a date, which counts to its end
    #[arg(help_heading = "What is wanted", long, value_name = "DATE")]
    deliver_by: Option<String>,
    /// The time zone in which dates end, such as Europe/Berlin; UTC when absent
    #[arg(help_heading = "What is wanted", long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// The largest number of sellers to invite
    #[arg(help_heading = "What is wanted", long, value_name = "COUNT")]
    max_sellers: Option<u32>,
    /// The largest distance from the place of delivery, kilometres
    #[arg(help_heading = "What is wanted", long, value_name = "KM")]
    max_distance_km: Option<f64>,
    /// Invite only these sellers
    #[arg(help_heading = "What is wanted", long = "seller", value_name = "NAME")]
    sellers: Vec<String>,
    /// Exclude these sellers
    #[arg(help_heading = "What is wanted", long = "exclude", value_name = "NAME")]
    excluded: Vec<String>,
    /// Take proposals of sellers that are not invited, too
    #[arg(help_heading = "What is wanted", long)]
    open_to_all: bool,
    /// A message to the sellers
    #[arg(help_heading = "What is wanted", long, value_name = "TEXT")]
    message: Option<String>,
    /// The time from the opening to the deadline: 10s to 180d
    #[arg(help_heading = "What is wanted", long, value_name = "DURATION")]
    expires_in: Option<String>,
    /// The time to decide after the deadline: 0s to 180d, 30d by default
    #[arg(help_heading = "What is wanted", long, value_name = "DURATION")]
    decide_within: Option<String>,
    /// The only currency of proposals, ISO 4217; any when absent
    #[arg(help_heading = "What is wanted", long, value_name = "CODE")]
    currency: Option<String>,
    /// The controller that takes the order, on a cluster with several of them
    #[arg(help_heading = "What is wanted", long, value_name = "NAME")]
    controller_name: Option<String>,
    /// Hide prices and the proposing sellers until the deadline
    #[arg(help_heading = "What is wanted", long)]
    sealed: bool,
    /// The channel that notifies the buyer, such as Email:buyer@example.com
    #[arg(help_heading = "What is wanted", long = "notify", value_name = "CHANNEL:ADDRESS", value_parser = channel)]
    notify: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct ItemFlag {
    line: Option<String>,
    sku: String,
    quantity: String,
    unit: Option<String>,
}

fn item(text: &str) -> Result<ItemFlag, String> {
    let (line, text) = split_line(text);
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    let (sku, quantity, unit) = (parts.next(), parts.next(), parts.next());
    match (sku, quantity) {
        (Some(sku), Some(quantity)) if !sku.is_empty() && !quantity.is_empty() => {
            Ok(ItemFlag { line, sku, quantity, unit: unit.filter(|unit| !unit.is_empty()) })
        }
        _ => Err("give an article and a quantity, such as CHAIR-01:40 or STEEL:2.5:t".to_owned()),
    }
}

fn place(text: &str) -> Result<(f64, f64), String> {
    let wrong = || "give degrees, such as 48.137,11.576".to_owned();
    let (latitude, longitude) = text.split_once(',').ok_or_else(wrong)?;
    let degrees = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    Ok((degrees(latitude)?, degrees(longitude)?))
}

fn channel(text: &str) -> Result<(String, String), String> {
    const KINDS: [&str; 4] = ["GChat", "Email", "SMS", "Webhook"];
    let (kind, address) = text.split_once(':').ok_or("give it as Email:buyer@example.com")?;
    let known = KINDS.into_iter().find(|known| known.eq_ignore_ascii_case(kind));
    let known = known.ok_or_else(|| {
        let suggestion = nearest(kind, KINDS.into_iter());
        let suggestion =
            suggestion.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        format!("'{kind}' is not a channel; use {}{suggestion}", KINDS.join(", "))
    })?;
    Ok((known.to_owned(), address.to_owned()))
}

impl SubmitArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let flags: &[_] = if self.file.is_some() { &[] } else { flags::OF_SUBMIT };
        self.submit().await.map_err(|failure| failure.in_flags(flags))
    }

    async fn submit(self) -> Result<(), CliError> {
        let wanted = match &self.file {
            Some(file) => one_order(file)?,
            None => {
                let document = self.order_request.document(self.key.as_deref())?;
                ManifestDocument { manifest: manifest::manifest(document.clone())?, document }
            }
        };
        if self.dry_run {
            let format =
                if self.output == OutputFormat::Table { OutputFormat::Yaml } else { self.output };
            return print::structured(&wanted.document, format);
        }
        let server = self.market_args.buyer_server().await?;
        let applied = server.apply(&wanted, Conflicts::Refuse).await;
        let (how, applied) = match &self.file {
            Some(_) => applied?,
            None => applied.map_err(|failure| name_is_taken(&wanted.manifest, failure))?,
        };
        if self.output != OutputFormat::Table {
            return show::one(&applied, self.output);
        }
        print_applied(&wanted.manifest, how);
        // The notes on a file include it.
        if self.file.is_none()
            && let Some(text) = past_delivery(&wanted.manifest)
        {
            output::note(&format!("warning: {text}"));
        }
        invited::print_of_applied(&self.market_args, &applied).await;
        let name = wanted.manifest.metadata().name.as_deref().unwrap_or_default();
        print::next(&shell::command(&["status", name]));
        Ok(())
    }
}

/// Explains the failure of an edit that was meant as a new order: its name is taken.
fn name_is_taken(manifest: &Manifest, failure: CliError) -> CliError {
    if !failure.detail().contains("cannot change once sellers were asked") {
        return failure;
    }
    let name = manifest.metadata().name.as_deref().unwrap_or_default();
    let code = failure.reason().unwrap_or(Reason::InvalidField);
    let text = format!(
        "--name: {name} exists and wants something else; give another name [{}]",
        code.as_str()
    );
    let see = shell::command(&["get", name]);
    CliError::from_server(Some(code), text).about(Some("--name")).hinting(see)
}

/// Describes a latest time of delivery that is past.
fn past_delivery(manifest: &Manifest) -> Option<String> {
    let Manifest::OrderRequest(request) = manifest else { return None };
    let by = request.spec.delivery.as_ref()?.by.as_deref()?;
    lint::past_delivery(by, request.spec.time_zone.as_deref(), clock::now())
}

fn print_applied(manifest: &Manifest, how: ApplyOutcome) {
    let Manifest::OrderRequest(request) = manifest else { return };
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let spec = &request.spec;
    let id = spec.order_req_id.as_deref().filter(|id| *id != name);
    let id = id.map(|id| format!(" ({id})")).unwrap_or_default();
    let how = match how {
        ApplyOutcome::Created => "submitted",
        ApplyOutcome::Configured => "changed",
        ApplyOutcome::Unchanged => "unchanged",
    };
    let items = print::count(spec.items.len(), "item");
    let sealed = if spec.sealed { ", sealed" } else { "" };
    output::line(&format!("order {name}{id} {how}: {items}, open for {}{sealed}", spec.expires_in));
    output::line(&format!("kept in `list` for {} after its end", spec.ttl_after_finished));
}

/// Reads the one order request of a file.
fn one_order(file: &Path) -> Result<ManifestDocument, CliError> {
    let mut documents = read_with_notes(&[file.to_owned()])?;
    let is_order = |one: &ManifestDocument| matches!(one.manifest, Manifest::OrderRequest(_));
    match documents.pop() {
        Some(document) if documents.is_empty() && is_order(&document) => Ok(document),
        _ => Err(CliError::input(format!(
            "{} is not one OrderRequest; `orderstream apply` takes several documents and sellers",
            file.display()
        ))),
    }
}

impl OrderRequestArgs {
    /// Makes the manifest from the flags.
    fn document(&self, key: Option<&str>) -> Result<Value, CliError> {
        if self.items.is_empty() && self.title.is_none() {
            let text = "nothing is wanted; give --item SKU:QUANTITY or --title, or -f FILE";
            return Err(CliError::input(text.to_owned()));
        }
        let mut spec = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                spec.insert(name.to_owned(), value);
            }
        };
        put("orderReqId", json!(self.order_id));
        put("title", json!(self.title));
        let items: Vec<Value> = self.items.iter().map(item_document).collect();
        put("items", if items.is_empty() { Value::Null } else { json!(items) });
        put("category", json!(self.category));
        put("delivery", self.delivery());
        put("sellers", self.seller_limits());
        put("message", self.message.as_ref().map_or(Value::Null, |text| json!({"message": text})));
        let limits = EXPIRES_IN_MS_MIN..=EXPIRES_IN_MS_MAX;
        put("expiresIn", json!(duration("--expires-in", self.expires_in.as_deref(), limits)?));
        let limits = 0..=DECIDE_WITHIN_MS_MAX;
        let decide_within = self.decide_within.as_deref();
        put("decideWithin", json!(duration("--decide-within", decide_within, limits)?));
        put("currency", json!(self.currency));
        put("timeZone", json!(self.time_zone));
        put("controllerName", json!(self.controller_name));
        put("sealed", if self.sealed { json!(true) } else { Value::Null });
        let channels: Vec<Value> = self
            .notify
            .iter()
            .map(|(kind, address)| json!({"type": kind, "address": address}))
            .collect();
        let buyer = if channels.is_empty() { Value::Null } else { json!({"channels": channels}) };
        put("buyer", buyer);
        Ok(json!({
            "apiVersion": API_VERSION,
            "kind": "OrderRequest",
            "metadata": {"name": self.name(key)},
            "spec": spec,
        }))
    }

    fn delivery(&self) -> Value {
        let mut delivery = Map::new();
        if let Some((latitude, longitude)) = self.place {
            delivery.insert("latitude".to_owned(), json!(latitude));
            delivery.insert("longitude".to_owned(), json!(longitude));
        }
        for (name, text) in [("address", &self.address), ("by", &self.deliver_by)] {
            if let Some(text) = text {
                delivery.insert(name.to_owned(), json!(text));
            }
        }
        if delivery.is_empty() { Value::Null } else { Value::Object(delivery) }
    }

    fn seller_limits(&self) -> Value {
        let mut limits = Map::new();
        if let Some(count) = self.max_sellers {
            limits.insert("maxCount".to_owned(), json!(count));
        }
        if let Some(km) = self.max_distance_km {
            limits.insert("maxDistanceKm".to_owned(), json!(km));
        }
        for (name, list) in [("names", &self.sellers), ("excluded", &self.excluded)] {
            if !list.is_empty() {
                limits.insert(name.to_owned(), json!(list));
            }
        }
        if self.open_to_all {
            limits.insert("openToAll".to_owned(), json!(true));
        }
        if limits.is_empty() { Value::Null } else { Value::Object(limits) }
    }

    /// Returns the given name, or generates one from the key, or from the title with a random
    /// suffix.
    fn name(&self, key: Option<&str>) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let text = key.or(self.title.as_deref()).unwrap_or("order");
        let mut name = latin_name(text);
        if key.is_none() {
            name.push_str(&format!("-{:05x}", fastrand::u32(..) >> 12));
        }
        name
    }
}

fn item_document(item: &ItemFlag) -> Value {
    // Other spellings, such as +5, are left to the definition, which refuses them.
    let quantity = match item.quantity.parse::<i32>() {
        Ok(whole) if whole.to_string() == item.quantity => json!(whole),
        Ok(_) | Err(_) => json!(item.quantity),
    };
    let mut document = json!({"sku": item.sku, "quantity": quantity});
    if let Some(unit) = &item.unit {
        document["unit"] = json!(unit);
    }
    if let Some(line) = &item.line {
        document["line"] = json!(line);
    }
    document
}

/// Returns a flag's duration as a manifest writes it: as it was typed, where a manifest takes that.
fn duration(
    flag: &str,
    text: Option<&str>,
    limits: RangeInclusive<u64>,
) -> Result<Option<String>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let ms = duration_within(flag, text, limits)?;
    Ok(Some(if parse_ms(text).is_some() { text.to_owned() } else { format_ms(ms) }))
}

/// Converts a text of any script to a name: lower-case Latin letters, digits and single dashes.
fn latin_name(text: &str) -> String {
    let slug = slug::slugify(text);
    let slug = slug.get(..NAME_CHARS_MAX).unwrap_or(&slug).trim_end_matches('-');
    if slug.is_empty() { "order".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use orderstream_core::Refusal;

    use super::*;

    #[test]
    fn a_title_makes_a_name() {
        assert_eq!(latin_name("Office chairs, 2nd floor!"), "office-chairs-2nd-floor");
        assert_eq!(latin_name("Bürostühle für München"), "burostuhle-fur-munchen");
        assert_eq!(latin_name("椅子"), "yi-zi");
        assert_eq!(latin_name("…!"), "order");
        assert!(latin_name(&"long ".repeat(40)).len() <= NAME_CHARS_MAX);
    }

    #[test]
    fn taken_names_are_said_to_be_taken() {
        let document = json!({
            "apiVersion": API_VERSION,
            "kind": "OrderRequest",
            "metadata": {"name": "chairs"},
            "spec": {"items": [{"sku": "B", "quantity": 3}]},
        });
        let manifest = manifest::manifest(document).unwrap();
        let refused = |message: &str| {
            let refusal = Refusal::field("spec.title", message);
            name_is_taken(&manifest, CliError::from_refusal(&refusal))
        };
        let failure = refused("cannot change once sellers were asked; create a new OrderRequest");
        let failure = failure.in_flags(flags::OF_SUBMIT);
        let expected =
            "--name: chairs exists and wants something else; give another name [INVALID_FIELD]";
        assert_eq!((failure.code(), failure.to_string().as_str()), (2, expected));
        assert!(refused("is too long").to_string().starts_with("spec.title: is too long"));
    }

    #[test]
    fn manifests_get_durations_that_they_take() {
        let written = |text: &str| {
            duration("--expires-in", Some(text), 10_000..=EXPIRES_IN_MS_MAX)
                .map_err(|failure| failure.to_string())
        };
        for (text, expected) in
            [("1h30m", "1h30m"), ("1d12h", "36h"), ("2w", "14d"), ("90 min", "90m")]
        {
            assert_eq!(written(text).unwrap().as_deref(), Some(expected));
        }
        assert_eq!(written("5s").unwrap_err(), "--expires-in 5s is too short; give 10s to 180d");
        assert_eq!(duration("--expires-in", None, 0..=1).unwrap(), None);
    }

    #[test]
    fn items_are_parsed_with_optional_unit() {
        let read = item("STEEL:2.5:t").unwrap();
        assert_eq!((read.quantity.as_str(), read.unit.as_deref()), ("2.5", Some("t")));
        assert_eq!(item("CHAIR:40").unwrap().unit, None);
        assert!(item("CHAIR").unwrap_err().contains("CHAIR-01:40"));
        let named = item("20@CHAIR:40").unwrap();
        assert_eq!((named.line.as_deref(), named.sku.as_str()), (Some("20"), "CHAIR"));
        assert_eq!(item("@CHAIR:40").unwrap().sku, "@CHAIR");
    }

    #[test]
    fn quantities_are_passed_on_as_written() {
        let quantity = |text: &str| item_document(&item(text).unwrap())["quantity"].clone();
        assert_eq!(quantity("CHAIR:40"), json!(40));
        for text in ["+5", "007", "2.50", "1_5", "99999999999"] {
            assert_eq!(quantity(&format!("CHAIR:{text}")), json!(text));
        }
    }
}
