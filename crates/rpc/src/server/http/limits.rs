//! Every limit of a plain HTTP port, and the origin of its number. Those that gRPC has too are in
//! [`crate::limits`].

use std::time::Duration;

/// Connections of one port: sellers and buyers hold one each, a browser six. With full read
/// buffers they take 128 MiB.
pub const CONNECTIONS_MAX: usize = 4_096;

/// The time from the end of a response to the whole head of the next request on the same
/// connection: longer than the 60 s for which the usual load balancers keep a connection, which
/// would otherwise now and then send a request into a closing one.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(65);

/// Headers of one HTTP/1.1 request; browsers behind two proxies send about forty.
pub const HEADERS_MAX: usize = 100;

/// Bytes that are read ahead on one HTTP/1.1 connection, and so the largest head: twice the
/// headers that HTTP/2 may send, for a long path and requests sent one after the other.
pub const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// Bytes of one request's body: an order with a hundred items takes 20 KiB; times three.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes beyond [`BODY_BYTES_MAX`] that are read and discarded, so that a client that sends its
/// whole body first reads the 413 and not a reset connection. One megabyte is the usual mistake.
pub const DISCARD_BYTES_MAX: u64 = 1024 * 1024;

/// The time from the first read of a body to its end: a full one at 64 kbit/s. It is below the 10 s
/// after which most callers give up, so that they receive the cause.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(8);

/// The time for which sent bytes may stay unread or unacknowledged by the peer (the kernel's
/// `TCP_USER_TIMEOUT`): a reader that stops for longer has gone or is hostile. Twice the 15 s after
/// which a quiet stream of events sends a keep-alive. Linux only.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Streams open on one HTTP/2 connection: the least that RFC 9113 recommends.
pub const CONCURRENT_STREAMS_MAX: u32 = 100;

/// Bytes that a peer may send on one HTTP/2 stream before they are read: one body.
pub const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for all streams of a connection: the memory that one connection may hold.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes that wait to be sent on one HTTP/2 stream: one window.
pub const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The time for which a connection beyond the cap is held to be refused.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that are read from a refused connection: one head and a small body.
pub const REFUSAL_READ_BYTES_MAX: u64 = 64 * 1024;
