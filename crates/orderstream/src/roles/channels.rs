//! The notification channels: their file of settings is read, and refused when wrong, before any
//! port opens.

use std::path::Path;
use std::sync::Arc;

use orderstream_cli::exit::CliError;
use orderstream_core::notification::Notifier;
use orderstream_notifier::authorities::Authorities;
use orderstream_notifier::guard::AddressPolicy;
use orderstream_notifier::proxy::ProxySettings;
use orderstream_notifier::{Config, ConfigError, NotificationChannels, Outgoing};
use orderstream_processor::{Parts, Processor};
use orderstream_support::SystemClock;

/// Opens the channels of the `--notify-config` file; none without a file. `webhooks` can loosen the
/// file's setting for webhooks, not tighten it. The proxies are those of the environment: the calls
/// of notifications are the only ones that go through them.
pub(super) fn open(
    file: Option<&Path>,
    webhooks: AddressPolicy,
    authorities: Authorities,
) -> Result<Option<Arc<dyn Notifier>>, CliError> {
    let Some(file) = file else {
        tracing::info!("notifications are disabled: --notify-config is not given");
        return Ok(None);
    };
    let wrong = |error: ConfigError| CliError::input(format!("--notify-config: {error}"));
    let mut settings = Config::load(file).map_err(wrong)?;
    settings.webhook.allow_local |= webhooks == AddressPolicy::Open;
    let proxies = ProxySettings::from_variables(|name| std::env::var(name).ok())
        .map_err(|error| CliError::input(error.to_string()))?;
    let outgoing = Outgoing { proxies, authorities };
    let clock = Arc::new(SystemClock);
    let channels = NotificationChannels::new(settings, &outgoing, clock).map_err(wrong)?;
    tracing::info!(channels = channels.summary(), "notifications are enabled");
    Ok(Some(Arc::new(channels)))
}

/// Starts the processor: reads the journal, and sends notifications where channels are set up.
/// Blocks on the disk.
pub(super) fn start(
    parts: Parts,
    notifier: Option<Arc<dyn Notifier>>,
) -> Result<Processor, CliError> {
    let processor = Processor::start(parts).map_err(unexpected)?;
    let started = match notifier {
        Some(notifier) => processor.with_notifications(notifier),
        None => processor.without_notifications(),
    };
    started.map_err(unexpected)
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn unexpected(error: orderstream_processor::Error) -> CliError {
    CliError::unexpected(error.to_string())
}
