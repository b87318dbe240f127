//! Every limit of the channels, each with the source of its number.

use std::time::Duration;

/// One attempt, from resolving the name to the last byte of the reply. Standard Webhooks asks for
/// 15 to 30 s; the shorter, so that a destination that hangs costs little.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest time to make a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The bytes of a reply that are read, so that the connection can be used again; the rest is
/// dropped with the connection.
pub const RESPONSE_BYTES_MAX: usize = 16 * 1024;
/// The connections to one host that are held for the next message.
pub const IDLE_CONNECTIONS_MAX: usize = 4;
/// The time for which an unused connection is held.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The connections to the mail server at one time.
pub const SMTP_CONNECTIONS_MAX: u32 = 8;
/// Steps of the template engine for one text, so that a template cannot run for ever: the longest
/// built-in one takes a few thousand for an order with a hundred items.
pub const TEMPLATE_STEPS_MAX: u64 = 200_000;
/// The bytes of one rendered text.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The bytes of one text to Google Chat (its limit of a message is 32 000).
pub const CHAT_BYTES_MAX: usize = 16 * 1024;
/// The characters of one text message: four parts of 153.
pub const SMS_CHARS_MAX: usize = 612;
/// The characters of a subject.
pub const SUBJECT_CHARS_MAX: usize = 200;
/// The bytes of the file of settings, of a secret's file and of a template's.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;
/// The secrets that sign a webhook at one time: the new one, the old one, and one to spare.
pub const SECRETS_MAX: usize = 3;
/// The files of templates in the folder of the operator.
pub const TEMPLATE_FILES_MAX: usize = 1_000;
