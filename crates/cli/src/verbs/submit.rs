//! `orderstream submit`: submits a new order, from a manifest or from flags.

use std::path::PathBuf;

use orderstream_api::manifest::{self, API_VERSION, Manifest};
use serde_json::{Map, Value, json};

use super::nearest::nearest;
use super::print;
use super::server::ResourceArgs;
use super::show::{self, OutputFormat};
use crate::cluster::resources::{ApplyOutcome, Conflicts};
use crate::exit::CliError;
use crate::output;

/// The most characters of a generated name, without its random suffix.
const NAME_CHARS_MAX: usize = 40;

/// `orderstream submit`
#[derive(Debug, clap::Args)]
pub struct SubmitArgs {
    /// A manifest with one OrderRequest; the flags below replace one
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
    target: ResourceArgs,
}

/// The wanted order.
#[derive(Debug, clap::Args)]
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
    /// An article, its quantity and unit; repeat for each article
    #[arg(help_heading = "What is wanted", long = "item", value_name = "SKU:QUANTITY[:UNIT]", value_parser = item)]
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
    /// The latest time of delivery, RFC 3339
    #[arg(help_heading = "What is wanted", long, value_name = "TIME")]
    deliver_by: Option<String>,
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
    /// A message to the sellers
    #[arg(help_heading = "What is wanted", long, value_name = "TEXT")]
    message: Option<String>,
    /// The time from the opening to the expiry: 10s to 7d
    #[arg(help_heading = "What is wanted", long, value_name = "DURATION")]
    expires_in: Option<String>,
    /// Hide prices and the proposing sellers until the deadline
    #[arg(help_heading = "What is wanted", long)]
    sealed: bool,
    /// The channel that notifies the buyer, such as Email:buyer@example.com
    #[arg(help_heading = "What is wanted", long = "notify", value_name = "CHANNEL:ADDRESS", value_parser = channel)]
    notify: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct ItemFlag {
    sku: String,
    quantity: String,
    unit: Option<String>,
}

fn item(text: &str) -> Result<ItemFlag, String> {
    let mut parts = text.splitn(3, ':').map(str::to_owned);
    let (sku, quantity, unit) = (parts.next(), parts.next(), parts.next());
    match (sku, quantity) {
        (Some(sku), Some(quantity)) if !sku.is_empty() && !quantity.is_empty() => {
            Ok(ItemFlag { sku, quantity, unit: unit.filter(|unit| !unit.is_empty()) })
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
        format!("'{kind}' is no channel; use {}{suggestion}", KINDS.join(", "))
    })?;
    Ok((known.to_owned(), address.to_owned()))
}

impl SubmitArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let (manifest, document) = match &self.file {
            Some(file) => one_order(file)?,
            None => {
                let document = self.order_request.document(self.key.as_deref())?;
                (manifest::manifest(document.clone())?, document)
            }
        };
        if self.dry_run {
            let format = if self.target.output == OutputFormat::Table {
                OutputFormat::Yaml
            } else {
                self.target.output
            };
            return print::structured(&document, format);
        }
        let server = self.target.connect().await?;
        let (how, applied) = server.apply(&manifest, &document, Conflicts::Refuse).await?;
        if self.target.output != OutputFormat::Table {
            return show::one(&applied, self.target.output);
        }
        print_applied(&manifest, how);
        Ok(())
    }
}

fn print_applied(manifest: &Manifest, how: ApplyOutcome) {
    let Manifest::OrderRequest(request) = manifest else { return };
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let spec = &request.spec;
    let id = spec.order_req_id.as_deref().filter(|id| *id != name);
    let id = id.map(|id| format!(" ({id})")).unwrap_or_default();
    let how = match how {
        ApplyOutcome::Created => "submitted",
        ApplyOutcome::Configured => "was there and is changed",
        ApplyOutcome::Unchanged => "was there already",
    };
    let items = print::count(spec.items.len(), "item");
    let sealed = if spec.sealed { ", sealed" } else { "" };
    output::line(&format!("order {name}{id} {how}: {items}, open for {}{sealed}", spec.expires_in));
    print::next(&format!("orderstream status {name}"));
}

/// Reads the one order request of a file.
fn one_order(file: &std::path::Path) -> Result<(Manifest, Value), CliError> {
    let mut documents = manifest::read_documents(file)?;
    let is_order = matches!(documents.first(), Some((Manifest::OrderRequest(_), _)));
    match documents.pop() {
        Some(document) if documents.is_empty() && is_order => Ok(document),
        _ => Err(CliError::input(format!(
            "{} is not one OrderRequest; `orderstream apply -f` takes several documents and sellers",
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
        put("expiresIn", json!(self.expires_in));
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
        if limits.is_empty() { Value::Null } else { Value::Object(limits) }
    }

    /// Returns the given name, or generates one from the key, or from the title with a random
    /// suffix.
    fn name(&self, key: Option<&str>) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let text = key.or(self.title.as_deref()).unwrap_or("order");
        let mut name = slug(text);
        if key.is_none() {
            name.push_str(&format!("-{:05x}", fastrand::u32(..) >> 12));
        }
        name
    }
}

fn item_document(item: &ItemFlag) -> Value {
    let quantity = match item.quantity.parse::<i32>() {
        Ok(whole) => json!(whole),
        Err(_) => json!(item.quantity),
    };
    let mut document = json!({"sku": item.sku, "quantity": quantity});
    if let Some(unit) = &item.unit {
        document["unit"] = json!(unit);
    }
    document
}

/// Converts a text to a name: lower-case letters, digits and single dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
        if slug.len() >= NAME_CHARS_MAX {
            break;
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "order".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_makes_a_name() {
        assert_eq!(slug("Office chairs, 2nd floor!"), "office-chairs-2nd-floor");
        assert_eq!(slug("Bürostühle"), "b-rost-hle");
        assert_eq!(slug("椅子"), "order");
        assert!(slug(&"long ".repeat(40)).len() <= NAME_CHARS_MAX);
    }

    #[test]
    fn items_are_parsed_with_optional_unit() {
        let read = item("STEEL:2.5:t").unwrap();
        assert_eq!((read.quantity.as_str(), read.unit.as_deref()), ("2.5", Some("t")));
        assert_eq!(item("CHAIR:40").unwrap().unit, None);
        assert!(item("CHAIR").unwrap_err().contains("CHAIR-01:40"));
    }
}
