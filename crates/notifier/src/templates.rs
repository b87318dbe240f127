//! The texts of notifications: one template for each event and language, and for a channel whose
//! text differs.
//!
//! A template's first line is the subject, and the rest is the text. Its file is
//! `LANGUAGE/TEMPLATE.j2`; `LANGUAGE/TEMPLATE.CHANNEL.j2` takes precedence over it, and the
//! operator's folder over the built-in templates. A missing language falls back to shorter tags
//! (`zh-Hant-TW` to `zh-Hant` and `zh`), and then to English; a mail names the language that it is
//! in. Rendering is strict and bounded, and values are escaped for the channel: no party can inject
//! headers, markup or mentions into another party's message, nor turn, hide or forge the text beside
//! its own. Messages, notes and reasons may have several lines; every other value has one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value, context,
};
use orderstream_core::display;
use orderstream_core::notification::{DeliveryError, Notification, Recipient, Template};
use orderstream_core::spec::NotificationType;
use orderstream_core::visible::is_blank;

use crate::config::{ConfigError, read_text};
use crate::example;
use crate::limits::{SUBJECT_CHARS_MAX, TEMPLATE_FILES_MAX, TEMPLATE_STEPS_MAX, TEXT_BYTES_MAX};

/// The built-in templates, by language.
const BUILT_IN: [(&str, &str); 2] =
    [("en", include_str!("templates/en.txt")), ("de", include_str!("templates/de.txt"))];
/// The HTML layout of mail.
const LAYOUT: (&str, &str) = ("mail.html", include_str!("templates/mail.html"));
/// The language that is always available.
const FALLBACK: &str = "en";
/// The languages that are written from right to left, unless their tag names another script.
const RIGHT_TO_LEFT_LANGUAGES: [&str; 12] =
    ["ar", "arc", "ckb", "dv", "fa", "he", "iw", "ps", "sd", "ug", "ur", "yi"];
/// The scripts that are written from right to left, as in language tags.
const RIGHT_TO_LEFT_SCRIPTS: [&str; 7] = ["adlm", "arab", "hebr", "nkoo", "rohg", "syrc", "thaa"];
/// The marker before each built-in template's name.
const MARK: &str = "=== ";
/// The fields of a notification's data that may have several lines.
const BLOCKS: [&str; 3] = ["message", "note", "reason"];
/// The channels in file names.
const CHANNELS: [NotificationType; 4] = [
    NotificationType::GChat,
    NotificationType::Email,
    NotificationType::Sms,
    NotificationType::Webhook,
];

/// The rendered text of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedMessage {
    /// The subject, one line; empty for none.
    pub subject: String,
    /// The text; the same as the subject if the template has no other text.
    pub text: String,
    /// The language of the template, a BCP 47 tag in lower case; the one that was asked for, or the
    /// one that it fell back to.
    pub language: String,
}

/// All templates.
pub struct Templates {
    environment: Environment<'static>,
    /// The names of the templates, `LANGUAGE/TEMPLATE[.CHANNEL]`.
    names: BTreeSet<String>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Templates").field("count", &self.names.len()).finish_non_exhaustive()
    }
}

impl Templates {
    /// Loads the built-in templates and those in the operator's folder; each is rendered once with
    /// example data, so that faulty templates are found at the start.
    ///
    /// # Errors
    /// When a folder or file cannot be read, a name is not a template's, or a template is faulty.
    pub fn load(folder: Option<&Path>) -> Result<Self, ConfigError> {
        let mut sources = BTreeMap::new();
        for (language, text) in BUILT_IN {
            for (name, source) in sections(text) {
                sources.insert(format!("{language}/{name}"), source.to_owned());
            }
        }
        if let Some(folder) = folder {
            read_folder(folder, &mut sources)?;
        }
        let wrong = |name: &str, error: &dyn fmt::Display| {
            ConfigError::field(format!("templates: {name}.j2"), error.to_string())
        };
        let mut environment = environment();
        let (layout, source) = LAYOUT;
        environment.add_template(layout, source).map_err(|error| wrong(layout, &error))?;
        let mut names = BTreeSet::new();
        for (name, source) in sources {
            for channel in CHANNELS {
                let source = source.clone();
                let added = environment.add_template_owned(with_channel(&name, channel), source);
                added.map_err(|error| wrong(&name, &error))?;
            }
            names.insert(name);
        }
        let templates = Self { environment, names };
        templates.render_examples()?;
        Ok(templates)
    }

    /// Renders every template with example data.
    fn render_examples(&self) -> Result<(), ConfigError> {
        for name in &self.names {
            let (language, file) = name.split_once('/').unwrap_or_default();
            let (template, only_channel) = file.split_once('.').unwrap_or((file, ""));
            let Some(template) = Template::parse(template) else { continue };
            let channels = CHANNELS
                .into_iter()
                .filter(|held| only_channel.is_empty() || held.as_str() == only_channel);
            for channel in channels {
                let example = example::notification(template, channel, language);
                let rendered = self.render_named(name, &example).map_err(|error| {
                    ConfigError::field(format!("templates: {name}.j2"), with_causes(&error))
                })?;
                if rendered.subject.is_empty() {
                    let text = "has no subject; write it into the first line";
                    return Err(ConfigError::field(format!("templates: {name}.j2"), text));
                }
            }
        }
        Ok(())
    }

    /// Renders a notification for its channel, in its language.
    ///
    /// # Errors
    /// When the template cannot be rendered with its data; the failure is final.
    pub fn render(&self, notification: &Notification) -> Result<RenderedMessage, DeliveryError> {
        let name = self.name(notification);
        self.render_named(&name, notification).map_err(|error| DeliveryError::Bounced {
            reason: format!("template {name} cannot be rendered: {}", with_causes(&error)),
        })
    }

    /// Renders a text as HTML, for mail. Each paragraph has the direction of its first letter, for
    /// other parties write in languages of their own.
    ///
    /// # Errors
    /// When the text is too long.
    pub fn html(&self, message: &RenderedMessage) -> Result<String, DeliveryError> {
        let paragraphs: Vec<Vec<&str>> = message
            .text
            .split("\n\n")
            .map(|paragraph| paragraph.lines().collect())
            .filter(|lines: &Vec<&str>| !lines.is_empty())
            .collect();
        let RenderedMessage { subject, language, .. } = message;
        let direction = direction(language);
        let values = context! { subject, paragraphs, language, direction };
        self.render_bounded(LAYOUT.0, values).map_err(|error| DeliveryError::Bounced {
            reason: format!("the mail cannot be written: {}", with_causes(&error)),
        })
    }

    /// Returns the name of the most specific template for a notification.
    fn name(&self, notification: &Notification) -> String {
        let template = notification.template.as_str();
        let asked = notification.language.as_deref().unwrap_or(FALLBACK).to_ascii_lowercase();
        let channel = notification.channel.kind.as_str();
        let tags = std::iter::successors(Some(asked.as_str()), |tag| {
            tag.rsplit_once('-').map(|(shorter, _)| shorter)
        });
        for language in tags.chain([FALLBACK]) {
            for name in
                [format!("{language}/{template}.{channel}"), format!("{language}/{template}")]
            {
                if self.names.contains(&name) {
                    return name;
                }
            }
        }
        format!("{FALLBACK}/{template}")
    }

    fn render_named(
        &self,
        name: &str,
        notification: &Notification,
    ) -> Result<RenderedMessage, Error> {
        let full = with_channel(name, notification.channel.kind);
        let text = self.render_bounded(&full, values(notification))?;
        let (subject, text) = text.split_once('\n').unwrap_or((text.as_str(), ""));
        let subject = display::line_of_chars(subject.trim(), SUBJECT_CHARS_MAX);
        let text = text.trim().to_owned();
        // A text message has no subject: the subject is its text if there is no other.
        let text = if text.is_empty() { subject.clone() } else { text };
        let language = name.split('/').next().unwrap_or(FALLBACK).to_owned();
        Ok(RenderedMessage { subject, text, language })
    }

    fn render_bounded(&self, name: &str, values: Value) -> Result<String, Error> {
        let mut text = BoundedBuffer(Vec::new());
        self.environment.get_template(name)?.render_captured_to(values, &mut text)?;
        String::from_utf8(text.0)
            .map_err(|_| Error::new(ErrorKind::InvalidOperation, "gave no text"))
    }

    /// Returns the names and texts of all built-in templates, as a starting point for an operator's
    /// folder.
    pub fn built_in() -> Vec<(String, &'static str)> {
        let of_language = |(language, text): (&str, &'static str)| {
            let named = move |(name, source): (&str, &'static str)| {
                (format!("{language}/{name}.j2"), source)
            };
            sections(text).into_iter().map(named).collect::<Vec<_>>()
        };
        BUILT_IN.into_iter().flat_map(of_language).collect()
    }
}

/// Returns the direction of a language's script, as in HTML.
fn direction(language: &str) -> &'static str {
    let mut subtags = language.split('-');
    let base = subtags.next().unwrap_or_default();
    let is_script =
        |subtag: &&str| subtag.len() == 4 && subtag.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_from_right = match subtags.find(is_script) {
        Some(script) => RIGHT_TO_LEFT_SCRIPTS.contains(&script),
        None => RIGHT_TO_LEFT_LANGUAGES.contains(&base),
    };
    if is_from_right { "rtl" } else { "ltr" }
}

/// Returns the beginning of a text, truncated to a character boundary.
pub(crate) fn truncated(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(TEMPLATE_STEPS_MAX));
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|name| match name.rsplit_once('@') {
        Some((_, "GChat")) => AutoEscape::Custom("chat"),
        Some(_) => AutoEscape::Custom("text"),
        None => AutoEscape::Html,
    });
    environment.set_formatter(format_value);
    environment
}

/// Writes a value, escaped for its channel so that it remains plain text.
fn format_value(
    output: &mut minijinja::Output<'_>,
    state: &State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let AutoEscape::Custom(kind) = state.auto_escape() else {
        return minijinja::escape_formatter(output, state, value);
    };
    if value.is_undefined() {
        return minijinja::escape_formatter(output, state, value);
    }
    if value.is_none() {
        return Ok(());
    }
    for letter in display::block(&value.to_string()).chars() {
        match letter {
            // Google Chat encloses mentions and links in angle brackets.
            '<' if kind == "chat" => output.write_char('‹')?,
            '>' if kind == "chat" => output.write_char('›')?,
            letter => output.write_char(letter)?,
        }
    }
    Ok(())
}

/// Returns the values that templates may use.
fn values(notification: &Notification) -> Value {
    let data = displayed(&notification.data, display::line);
    let title = data["order"]["title"].as_str().filter(|title| !is_blank(title));
    let number = notification.key.order_req_id.as_str();
    let about = match title {
        Some(title) => format!("{title} ({number})"),
        None => number.to_owned(),
    };
    let recipient = match &notification.recipient {
        Recipient::Buyer => "buyer",
        Recipient::Seller(_) => "seller",
        Recipient::Sink => "sink",
    };
    context! {
        about,
        recipient,
        id => notification.id,
        topic => notification.topic.as_str(),
        order => Value::from_serialize(&data["order"]),
        event => Value::from_serialize(&data["event"]),
        failed => Value::from_serialize(&data["failed"]),
    }
}

/// Returns data with its texts as people see them: those in a field of [`BLOCKS`] with their line
/// breaks, and all others in one line.
fn displayed(data: &serde_json::Value, shape: fn(&str) -> String) -> serde_json::Value {
    match data {
        serde_json::Value::String(text) => shape(text).into(),
        serde_json::Value::Array(values) => {
            values.iter().map(|value| displayed(value, shape)).collect()
        }
        serde_json::Value::Object(fields) => {
            let of_field = |(name, value): (&String, &serde_json::Value)| {
                let is_block = BLOCKS.contains(&name.as_str());
                let shape = if is_block { display::block } else { display::line };
                (name.clone(), displayed(value, shape))
            };
            serde_json::Value::Object(fields.iter().map(of_field).collect())
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            data.clone()
        }
    }
}

fn with_channel(name: &str, channel: NotificationType) -> String {
    format!("{name}@{}", channel.as_str())
}

/// Returns the names and texts of the templates in one built-in file.
fn sections(text: &'static str) -> Vec<(&'static str, &'static str)> {
    let parts = text.split(MARK).filter(|part| !part.trim().is_empty());
    parts.filter_map(|part| part.split_once('\n')).map(|(name, text)| (name.trim(), text)).collect()
}

fn read_folder(folder: &Path, sources: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
    let entries = |folder: &Path| {
        let read = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        read.map_err(|error| ConfigError::file(folder, error))
    };
    let mut count = 0_usize;
    for language in entries(folder)?.into_iter().filter(|entry| entry.path().is_dir()) {
        let tag = language.file_name().to_string_lossy().to_ascii_lowercase();
        // A mounted ConfigMap has internal folders, such as ..data.
        if tag.starts_with('.') {
            continue;
        }
        for file in entries(&language.path())? {
            let path = file.path();
            let name = file.file_name().to_string_lossy().into_owned();
            let Some(name) = name.strip_suffix(".j2") else { continue };
            count = count.saturating_add(1);
            if count > TEMPLATE_FILES_MAX {
                let text = format!("has more than {TEMPLATE_FILES_MAX} templates");
                return Err(ConfigError::file(folder, text));
            }
            if !is_known(name) {
                let text = "is named after no template; see `orderstream notify list`";
                return Err(ConfigError::file(&path, text));
            }
            sources.insert(format!("{tag}/{name}"), read_text(&path)?);
        }
    }
    Ok(())
}

fn is_known(name: &str) -> bool {
    let (template, channel) = name.split_once('.').unwrap_or((name, ""));
    let is_channel = CHANNELS.iter().any(|held| held.as_str() == channel);
    Template::parse(template).is_some() && (channel.is_empty() || is_channel)
}

/// Returns an error's text with its causes: the innermost one names what the operator can fix.
fn with_causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

/// A buffer with a limited size.
struct BoundedBuffer(Vec<u8>);

impl io::Write for BoundedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > TEXT_BYTES_MAX {
            return Err(io::Error::other(format!("is longer than {TEXT_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
