//! Every bound of the channels, each with where its number comes from.

use std::time::Duration;

/// One attempt, from looking up the name to the last byte of the answer. Standard Webhooks asks for
/// 15 to 30 s; the shorter, so that a destination that hangs costs little.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// Connecting.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read, so that the connection can be used again; the rest is dropped
/// with the connection.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Connections to one host that are kept for the next message.
pub const IDLE_CONNECTIONS_MAX: usize = 4;
/// How long an unused connection is kept.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections to the mail server at one time.
pub const SMTP_CONNECTIONS_MAX: u32 = 8;
/// Steps of the template engine for one text, so that a template cannot run for ever: the longest
/// built-in one takes a few thousand for an order with a hundred items.
pub const TEMPLATE_STEPS_MAX: u64 = 200_000;
/// Bytes of one rendered text.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one text to Google Chat (its limit of a message is 32 000).
pub const CHAT_BYTES_MAX: usize = 16 * 1024;
/// Characters of one text message: four parts of 153.
pub const SMS_CHARS_MAX: usize = 612;
/// Characters of a subject.
pub const SUBJECT_CHARS_MAX: usize = 200;
/// Bytes of the file of settings, of a secret's file and of a template's.
pub const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Secrets that sign a webhook at one time: the new one, the old one, and one to spare.
pub const SECRETS_MAX: usize = 3;
/// Files of templates in the folder of the operator.
pub const TEMPLATE_FILES_MAX: usize = 1_000;
