//! The limits of the channels, each with its rationale.

use std::time::Duration;

/// The timeout of one attempt, from resolving the name to the last byte of the response. Standard
/// Webhooks recommends 15 to 30 s; the minimum is used, so that a destination that hangs costs
/// little.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// The timeout for connecting.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The size of a response that is read so that the connection can be reused, bytes; a larger one
/// closes the connection.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024;
/// Idle connections to one host that stay open for the next message.
pub const IDLE_CONNECTIONS_MAX: usize = 4;
/// The time for which an idle connection stays open.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Concurrent connections to the mail server.
pub const SMTP_CONNECTIONS_MAX: u32 = 8;
/// Steps of the template engine for one text, so that a template cannot run indefinitely: the
/// longest built-in one takes a few thousand for an order with a hundred items.
pub const TEMPLATE_STEPS_MAX: u64 = 200_000;
/// The size of one rendered text, bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The size of one text to Google Chat, bytes (its message limit is 32 000).
pub const CHAT_BYTES_MAX: usize = 16 * 1024;
/// The length of one text message, characters: four parts of 153.
pub const SMS_CHARS_MAX: usize = 612;
/// The length of a subject, characters.
pub const SUBJECT_CHARS_MAX: usize = 200;
/// The size of the settings file, of a secret's file and of a template's file, bytes.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The size of a file of certificate authorities, bytes. All public ones together take 230 KB.
pub const BUNDLE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The number of files in a folder of certificate authorities.
pub const BUNDLE_FILES_MAX: usize = 1_000;
/// The number of secrets that sign a webhook: the new one, the old one, and a spare.
pub const SECRETS_MAX: usize = 3;
/// The number of template files in the operator's folder.
pub const TEMPLATE_FILES_MAX: usize = 1_000;
