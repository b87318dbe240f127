//! Converts resources into the core's strict types and back, through the core's one conversion. Its
//! refusals name fields as the wire spells them; here they get the manifest's paths.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use orderstream_core::command::Award;
use orderstream_core::date::DateOrTime;
use orderstream_core::input::{
    AwardInput, ChannelInput, ContactInput, DeliveryInput, FollowUpInput, ItemInput, MessageInput,
    SellersInput, SpecInput, check_date, check_new_order, check_new_seller, coordinates,
    display_name, language, optional_text,
};
use orderstream_core::limits::{ID_CHARS_MAX, TEXT_CHARS_MAX};
use orderstream_core::plan::{DesiredAward, DesiredClose, DesiredOrder};
use orderstream_core::price::{Currency, Decimal};
use orderstream_core::spec::{self, FollowUp, MessageType, NotificationType, OrderSpec};
use orderstream_core::{Incarnation, OrderKey, Refusal, SellerId};

use crate::duration;
use crate::manifest::namespace_of;
use crate::new_order;
use crate::order_request::{
    ContactSpec, DeliverySpec, FollowUpSpec, ItemSpec, MessageSpec, NotificationChannel,
    OrderRequest, OrderRequestSpec, SellersSpec, TextType,
};
use crate::seller::{Seller, SellerChannel};

/// Returns the desired state of an OrderRequest, whose uid is given.
///
/// # Errors
/// Names the wrong field by its path in the manifest.
pub fn desired(resource: &OrderRequest, incarnation: Incarnation) -> Result<DesiredOrder, Refusal> {
    Ok(read(resource)?(incarnation))
}

/// Checks an OrderRequest that may have no uid yet, such as one from a file.
///
/// # Errors
/// Names the wrong field by its path in the manifest.
pub fn check(resource: &OrderRequest) -> Result<(), Refusal> {
    let incarnation = match &resource.metadata.uid {
        Some(_) => incarnation(resource)?,
        None => Incarnation::new("new")?,
    };
    let desired = read(resource)?(incarnation);
    // What was opened stays as it is, by whichever rules it was taken.
    if is_placed(resource) {
        return Ok(());
    }
    new_order::check_forms(&resource.spec)?;
    check_unplaced(resource, &desired)
}

/// Reports whether a processor has the resource's order, or had it.
fn is_placed(resource: &OrderRequest) -> bool {
    let status = resource.status.as_ref();
    status.is_some_and(|status| status.processor().is_some() && !status.is_refused())
}

/// Checks the content of an order that no processor has yet, by the rules for new orders.
///
/// # Errors
/// Names the wrong field by its path in the manifest.
pub fn check_unplaced(resource: &OrderRequest, desired: &DesiredOrder) -> Result<(), Refusal> {
    check_new_order(&desired.key.order_req_id, &desired.spec).map_err(|refusal| {
        match refusal.field.as_deref() {
            Some("order_req_id") => with_field(id_field(resource), refusal),
            Some(_) | None => in_spec(refusal),
        }
    })
}

/// Returns a resource's uid as the incarnation.
///
/// # Errors
/// Names `metadata.uid`, where it is absent too.
pub fn incarnation(resource: &OrderRequest) -> Result<Incarnation, Refusal> {
    let uid = resource.metadata.uid.as_deref().unwrap_or_default();
    Incarnation::new(uid).map_err(|refusal| with_field("metadata.uid", refusal))
}

fn read(resource: &OrderRequest) -> Result<impl FnOnce(Incarnation) -> DesiredOrder, Refusal> {
    let desired_spec = &resource.spec;
    let key = key(resource)?;
    let mut input = spec_input(desired_spec)?;
    if is_placed(resource) {
        input.items.iter_mut().for_each(respell_quantity);
    }
    let spec = OrderSpec::try_from(input).map_err(in_spec)?;
    let follow_ups = follow_ups(&desired_spec.follow_ups)?;
    let suspend = desired_spec.suspend;
    let suspend_reason = reason_text("", "suspend_reason", desired_spec.suspend_reason.as_ref())?;
    let cancel = desired_spec.cancel;
    let cancel_reason = reason_text("", "cancel_reason", desired_spec.cancel_reason.as_ref())?;
    let (close, award) = (closing(desired_spec)?, award(desired_spec)?);
    let generation = resource.metadata.generation.unwrap_or(1);
    let ttl_after_finished_ms = duration::ttl_ms(&desired_spec.ttl_after_finished)?;
    Ok(move |incarnation| DesiredOrder {
        key,
        incarnation,
        spec,
        follow_ups,
        suspend,
        suspend_reason,
        cancel,
        cancel_reason,
        close,
        award,
        generation,
        ttl_after_finished_ms,
    })
}

/// Returns the tenant and the id of a resource's order.
///
/// # Errors
/// Names `spec.orderReqId`, or `metadata.name` where that is used instead, or `metadata.namespace`.
pub fn key(resource: &OrderRequest) -> Result<OrderKey, Refusal> {
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let id = match resource.spec.order_req_id.as_deref() {
        Some(id) => id,
        None if name.len() > ID_CHARS_MAX => {
            let length = name.len();
            let message = format!(
                "is missing, and the name has {length} characters, {ID_CHARS_MAX} at most for an \
                 order's id; give orderReqId, or a shorter name"
            );
            return Err(Refusal::field("spec.orderReqId", message));
        }
        None => name,
    };
    OrderKey::new(namespace_of(&resource.metadata), id).map_err(|refusal| {
        let is_tenant = refusal.field.as_deref() == Some("tenant");
        with_field(if is_tenant { "metadata.namespace" } else { id_field(resource) }, refusal)
    })
}

/// Returns the path of the field that has the order's id.
const fn id_field(resource: &OrderRequest) -> &'static str {
    if resource.spec.order_req_id.is_some() { "spec.orderReqId" } else { "metadata.name" }
}

fn with_field(field: &str, refusal: Refusal) -> Refusal {
    Refusal { field: Some(field.to_owned()), ..refusal }
}

/// Replaces the field of a core refusal by its path in the manifest.
fn in_spec(refusal: Refusal) -> Refusal {
    let field = refusal.field.as_deref().map(|field| format!("spec.{}", manifest_path(field)));
    Refusal { field, ..refusal }
}

fn manifest_path(field: &str) -> String {
    // Entries of a list of plain texts have no field names of their own in a manifest.
    let field = field
        .strip_suffix(".seller")
        .or_else(|| field.strip_suffix(".url"))
        .map_or(field, |list| if list.ends_with(']') { list } else { field });
    let field = field.replace("follow_up_id", "id").replace("expires_in_ms", "expires_in");
    let mut path = String::with_capacity(field.len());
    let mut raise = false;
    for c in field.chars() {
        match c {
            '_' => raise = true,
            _ if raise => {
                path.push(c.to_ascii_uppercase());
                raise = false;
            }
            _ => path.push(c),
        }
    }
    path
}

fn spec_input(spec: &OrderRequestSpec) -> Result<SpecInput, Refusal> {
    let expires_in_ms = duration::expires_in_ms(&spec.expires_in)?;
    let decide_within = spec.decide_within.as_deref();
    Ok(SpecInput {
        title: spec.title.clone(),
        notification_type: Some(notification_type(spec.notification_type).as_str().to_owned()),
        session: spec.session.clone(),
        items: spec.items.iter().map(item).collect(),
        category: spec.category.clone(),
        delivery: spec.delivery.as_ref().map(delivery).transpose()?,
        sellers: spec.sellers.as_ref().map(|sellers| SellersInput {
            max_count: Some(sellers.max_count),
            max_distance_km: sellers.max_distance_km,
            names: sellers.names.clone(),
            excluded: sellers.excluded.clone(),
            open_to_all: sellers.open_to_all,
            late: Some(sellers.late),
        }),
        message: spec.message.as_ref().map(message),
        expires_in_ms: Some(expires_in_ms),
        decide_within_ms: decide_within.map(duration::decide_within_ms).transpose()?,
        sealed: spec.sealed,
        buyer: spec.buyer.as_ref().map(|buyer| ContactInput {
            channels: buyer.channels.iter().map(channel).collect(),
            language: buyer.language.clone(),
        }),
        currency: spec.currency.as_deref().map(capital_currency).transpose()?,
        time_zone: spec.time_zone.clone(),
    })
}

/// Checks a currency's code; a manifest has it in capital letters.
fn capital_currency(code: &str) -> Result<String, Refusal> {
    let known = Currency::new(code).map_err(|e| e.under("spec"))?;
    if known.as_str() != code {
        let message = format!("'{code}' has small letters; write {}", known.as_str());
        return Err(Refusal::field("spec.currency", message));
    }
    Ok(code.to_owned())
}

fn channel(channel: &SellerChannel) -> ChannelInput {
    let kind = notification_type(channel.kind).as_str().to_owned();
    ChannelInput { kind, address: channel.address.clone() }
}

fn item(item: &ItemSpec) -> ItemInput {
    let quantity = match &item.quantity {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let (sku, description) = (item.sku.clone(), item.description.clone());
    ItemInput { sku, description, quantity, unit: item.unit.clone(), line: item.line.clone() }
}

/// Respells a quantity as its order was opened with it: earlier versions read looser decimals, such
/// as `1_5`, `+5` and `.5`.
fn respell_quantity(item: &mut ItemInput) {
    if let Ok(quantity) = Decimal::from_str_exact(item.quantity.trim()) {
        item.quantity = quantity.to_string();
    }
}

fn delivery(delivery: &DeliverySpec) -> Result<DeliveryInput, Refusal> {
    // An order that was opened by earlier rules may have other formats.
    if let Some(by) = delivery.by.as_deref()
        && DateOrTime::read_stored(by).is_none()
    {
        check_date("spec.delivery.by", by)?;
    }
    Ok(DeliveryInput {
        latitude: delivery.latitude,
        longitude: delivery.longitude,
        address: delivery.address.clone(),
        by: delivery.by.clone(),
    })
}

fn message(message: &MessageSpec) -> MessageInput {
    let kind = match message.kind {
        TextType::Text => MessageType::Text,
        TextType::Html => MessageType::Html,
        TextType::Markdown => MessageType::Markdown,
    };
    let kind = Some(kind.as_str().to_owned());
    MessageInput { kind, message: message.message.clone(), urls: message.urls.clone() }
}

pub(crate) const fn notification_type(channel: NotificationChannel) -> NotificationType {
    match channel {
        NotificationChannel::GChat => NotificationType::GChat,
        NotificationChannel::Email => NotificationType::Email,
        NotificationChannel::Sms => NotificationType::Sms,
        NotificationChannel::Webhook => NotificationType::Webhook,
    }
}

fn follow_ups(specs: &[FollowUpSpec]) -> Result<Vec<FollowUp>, Refusal> {
    specs
        .iter()
        .enumerate()
        .map(|(index, follow_up)| {
            FollowUp::try_from(FollowUpInput {
                id: follow_up.id.clone(),
                audience: follow_up.audience.clone(),
                message: message(&follow_up.message),
                answers: follow_up.answers.clone(),
            })
            .map_err(|refusal| in_spec(refusal.under(&format!("follow_ups[{index}]"))))
        })
        .collect()
}

fn award(spec: &OrderRequestSpec) -> Result<Option<DesiredAward>, Refusal> {
    let Some(award_spec) = &spec.award else { return Ok(None) };
    if spec.cancel && !award_spec.undo {
        let message = "stands beside cancel; an order ends one way, remove one of the two, or undo \
                       the award with spec.award.undo: true";
        return Err(Refusal::field("spec.award", message));
    }
    let lines = award_spec.lines.iter().map(|line| (line.sku.clone(), line.proposal_id.clone()));
    let input = AwardInput { proposal_id: award_spec.proposal_id.clone(), lines: lines.collect() };
    let award = Option::<Award>::try_from(input).map_err(|e| in_spec(e.under("award")))?;
    if award.is_some() == award_spec.none {
        let message = "is not one decision; give proposalId, or lines, or none: true";
        return Err(Refusal::field("spec.award", message));
    }
    let reason = reason_text("award", "reason", award_spec.reason.as_ref())?;
    let undo_reason = reason_text("award", "undo_reason", award_spec.undo_reason.as_ref())?;
    let undo_within_ms =
        award_spec.undo_within.as_deref().map(duration::undo_within_ms).transpose()?;
    Ok(Some(DesiredAward { award, reason, undo_within_ms, undo: award_spec.undo, undo_reason }))
}

fn closing(spec: &OrderRequestSpec) -> Result<Option<DesiredClose>, Refusal> {
    let Some(close_spec) = &spec.close else { return Ok(None) };
    if spec.cancel || spec.award.as_ref().is_some_and(|award| !award.undo) {
        let message = "stands beside another end; an order ends one way, remove one of them, or \
                       undo the award with spec.award.undo: true";
        return Err(Refusal::field("spec.close", message));
    }
    Ok(Some(DesiredClose { reason: reason_text("close", "reason", close_spec.reason.as_ref())? }))
}

/// Checks the reason in a part of the spec; an empty `part` means the spec itself.
fn reason_text(part: &str, field: &str, text: Option<&String>) -> Result<Option<String>, Refusal> {
    optional_text(field, text.cloned(), TEXT_CHARS_MAX)
        .map_err(|refusal| in_spec(if part.is_empty() { refusal } else { refusal.under(part) }))
}

/// Converts a seller's resource into the seller of the processor's selection.
///
/// # Errors
/// Names the wrong field by its path in the manifest.
pub fn seller(resource: &Seller) -> Result<spec::Seller, Refusal> {
    let name = resource.metadata.name.as_deref().unwrap_or_default();
    let place = resource.spec.location.map(|location| {
        coordinates(location.latitude, location.longitude).map_err(|e| e.under("spec.location"))
    });
    resource.spec.currency.as_deref().map(capital_currency).transpose()?;
    for (index, tag) in resource.spec.languages.iter().enumerate() {
        language(tag.clone()).map_err(|e| with_field(&format!("spec.languages[{index}]"), e))?;
    }
    let contact = spec::Contact::try_from(ContactInput {
        channels: resource.spec.channels.iter().map(channel).collect(),
        language: resource.spec.languages.first().cloned(),
    })
    .map_err(in_spec)?;
    let currency = resource.spec.currency.as_deref().map(Currency::new).transpose();
    let id = SellerId::new(name).and_then(|id| check_new_seller(&id).map(|()| id));
    Ok(spec::Seller {
        id: id.map_err(|e| with_field("metadata.name", e))?,
        display_name: display_name(resource.spec.display_name.clone()).map_err(in_spec)?,
        place: place.transpose()?,
        categories: resource.spec.categories.clone(),
        contact,
        currency: currency.map_err(|e| e.under("spec"))?,
        capacity: resource.spec.capacity,
        suspended: resource.spec.suspended,
    })
}

/// Returns the spec to display for an order without a resource of its own.
pub fn spec_of(order_req_id: &str, order: &OrderSpec) -> OrderRequestSpec {
    let degrees = |udeg: i32| f64::from(udeg) / 1e6;
    let line = |text: &Option<Box<str>>| text.as_deref().map(ToOwned::to_owned);
    OrderRequestSpec {
        order_req_id: Some(order_req_id.to_owned()),
        session: line(&order.session),
        notification_type: kind_of(order.notification_type),
        title: line(&order.title),
        items: order.items.iter().map(item_of).collect(),
        category: line(&order.category),
        delivery: order.delivery.as_ref().map(|delivery| DeliverySpec {
            latitude: delivery.place.map(|place| degrees(place.latitude_udeg)),
            longitude: delivery.place.map(|place| degrees(place.longitude_udeg)),
            address: delivery.address.clone(),
            by: delivery.by.clone(),
        }),
        sellers: Some(SellersSpec {
            max_count: order.sellers.max_count,
            max_distance_km: order.sellers.max_distance_m.map(|metres| f64::from(metres) / 1e3),
            names: order.sellers.names.iter().map(ToString::to_string).collect(),
            excluded: order.sellers.excluded.iter().map(ToString::to_string).collect(),
            open_to_all: order.sellers.open_to_all,
            late: order.sellers.late,
        }),
        message: order.message.as_ref().map(|message| MessageSpec {
            kind: text_type(message.kind),
            message: message.message.clone(),
            urls: message.urls.clone(),
        }),
        expires_in: duration::format_ms(order.expires_in_ms),
        decide_within: order.decide_within_ms.map(duration::format_ms),
        sealed: order.sealed,
        buyer: order.buyer.as_ref().map(|buyer| ContactSpec {
            channels: buyer.channels.iter().map(channel_of).collect(),
            language: buyer.language.clone(),
        }),
        currency: order.currency.map(|code| code.as_str().to_owned()),
        time_zone: line(&order.time_zone),
        ..OrderRequestSpec::default()
    }
}

const fn kind_of(kind: NotificationType) -> NotificationChannel {
    match kind {
        NotificationType::GChat => NotificationChannel::GChat,
        NotificationType::Email => NotificationChannel::Email,
        NotificationType::Sms => NotificationChannel::Sms,
        NotificationType::Webhook => NotificationChannel::Webhook,
    }
}

fn channel_of(channel: &spec::Channel) -> SellerChannel {
    SellerChannel { kind: kind_of(channel.kind), address: channel.address.clone() }
}

pub(crate) const fn text_type(kind: MessageType) -> TextType {
    match kind {
        MessageType::Text => TextType::Text,
        MessageType::Html => TextType::Html,
        MessageType::Markdown => TextType::Markdown,
    }
}

fn item_of(item: &spec::Item) -> ItemSpec {
    ItemSpec {
        sku: item.sku.clone(),
        description: item.description.clone(),
        quantity: IntOrString::String(item.quantity.value().to_string()),
        unit: item.unit.clone(),
        line: item.line.clone(),
    }
}
