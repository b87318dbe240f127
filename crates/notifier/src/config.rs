//! The settings of all channels: one YAML file, validated before anything is sent. Secrets are in
//! files of their own.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use orderstream_core::limits::SINKS_MAX;
use orderstream_core::spec::{Channel, NotificationType};
use serde::Deserialize;

use crate::limits::FILE_BYTES_MAX;
use crate::secret::Secret;

/// The settings of all channels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// The mail server; if absent, no mail is sent.
    pub smtp: Option<SmtpConfig>,
    /// The provider of text messages; if absent, none are sent.
    pub sms: Option<SmsConfig>,
    /// The signatures of webhooks, and their allowed addresses.
    pub webhook: WebhookConfig,
    /// The URLs of the operator's own programs, which receive every topic.
    pub sinks: Vec<String>,
    /// The folder of templates that replace the built-in ones.
    pub templates: Option<PathBuf>,
}

/// The settings of the mail server.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SmtpConfig {
    /// `smtp://user@host:587?tls=required` (STARTTLS), `?tls=optional`, `?tls=none`, or
    /// `smtps://host:465`.
    pub url: Secret,
    /// The file with the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The PEM file with certificates that are trusted in addition to the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The sender, such as `Purchasing <rfq@example.com>`.
    pub from: String,
}

/// The settings of a provider of text messages with an HTTP interface.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SmsConfig {
    /// The URL that each message is sent to.
    pub url: String,
    /// `POST` (the default) or `PUT`.
    #[serde(default)]
    pub method: Option<String>,
    /// Headers that are not secret.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are in files.
    #[serde(default)]
    pub header_files: BTreeMap<String, PathBuf>,
    /// The body, a template with the values `to`, `text` and `id`, such as
    /// `{"to": {{ to|tojson }}, "text": {{ text|tojson }}}`.
    pub body: String,
}

/// The settings of webhooks: their signatures, and their allowed addresses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct WebhookConfig {
    /// Files with one `whsec_…` secret each; every secret signs, so that secrets can be rotated.
    pub secret_files: Vec<PathBuf>,
    /// Allows webhooks to loopback and link-local addresses.
    pub allow_local: bool,
}

/// An error in the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    File {
        /// The file's path.
        path: String,
        /// The cause, from the system or the parser.
        cause: String,
    },
    /// A field is invalid.
    #[error("{field}: {text}")]
    Field {
        /// The field's path in the settings file.
        field: String,
        /// The fault, and its fix.
        text: String,
    },
}

impl ConfigError {
    pub(crate) fn field(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Field { field: field.into(), text: text.into() }
    }

    #[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
    pub(crate) fn file(path: &Path, cause: impl ToString) -> Self {
        Self::File { path: path.display().to_string(), cause: cause.to_string() }
    }
}

impl Config {
    /// Reads the settings file.
    ///
    /// # Errors
    /// When the file cannot be read, or has an unknown field.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_text(path)?;
        serde_saphyr::from_str(&text).map_err(|error| {
            // The first line has the field and the position; the following lines would show the
            // content.
            let text = error.to_string();
            ConfigError::file(path, text.lines().next().unwrap_or_default())
        })
    }
}

/// Reads a small text file.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let file = std::fs::File::open(path).map_err(|error| ConfigError::file(path, error))?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX.saturating_add(1)).read_to_string(&mut text);
    match read {
        Ok(bytes) if bytes as u64 > FILE_BYTES_MAX => {
            Err(ConfigError::file(path, format!("has more than {FILE_BYTES_MAX} bytes")))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(ConfigError::file(path, error)),
    }
}

/// Reads a file that contains only a secret, without the line break at its end.
pub(crate) fn read_secret(path: &Path) -> Result<Secret, ConfigError> {
    let text = read_text(path)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(ConfigError::file(path, "is empty; write the secret into it")),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

/// Returns the channels of the operator's programs.
pub(crate) fn sinks(urls: &[String]) -> Result<Vec<Channel>, ConfigError> {
    if urls.len() > SINKS_MAX {
        let (count, text) = (urls.len(), "are given; give at most");
        return Err(ConfigError::field("sinks", format!("{count} {text} {SINKS_MAX}")));
    }
    let sink = |(index, url): (usize, &String)| {
        let wrong = |text: &str| ConfigError::field(format!("sinks[{index}]"), text);
        let parsed = url::Url::parse(url).map_err(|_| wrong("is not a URL; write https://…"))?;
        match parsed.scheme() {
            "http" | "https" if parsed.has_host() => {}
            "nats" if cfg!(feature = "nats") && parsed.has_host() => {}
            "nats" => return Err(wrong("needs a build with the feature nats")),
            _ => return Err(wrong("is not http, https or nats")),
        }
        Ok(Channel { kind: NotificationType::Webhook, address: url.clone() })
    };
    urls.iter().enumerate().map(sink).collect()
}
