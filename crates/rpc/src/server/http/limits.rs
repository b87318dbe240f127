//! The limits of a plain HTTP port, each with its rationale. Those that it shares with gRPC are in
//! [`crate::limits`].

use std::time::Duration;

/// Connections of one port: a seller or a buyer holds one, a browser six. With full read buffers
/// they take 128 MiB.
pub const CONNECTIONS_MAX: usize = 4_096;

/// The time from the end of a response to the complete head of the next request on the same
/// connection: longer than the 60 s for which common load balancers keep a connection open, which
/// would otherwise occasionally send a request on a closing one.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(65);

/// Headers of one HTTP/1.1 request; browsers behind two proxies send about forty.
pub const HEADERS_MAX: usize = 100;

/// Bytes that are read ahead on one HTTP/1.1 connection, and so the largest head: twice the limit
/// on HTTP/2 headers, with space for a long path and pipelined requests.
pub const BUFFER_BYTES_MAX: usize = 32 * 1024;

/// Bytes of one request's body: three times an order with a hundred items, which takes 20 KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes beyond [`BODY_BYTES_MAX`] that are read and discarded, so that a client that sends its
/// whole body before it reads receives the 413 and not a connection reset. Oversized bodies are
/// rarely larger than one megabyte.
pub const DISCARD_BYTES_MAX: u64 = 1024 * 1024;

/// The time from the first read of a body to its end: the largest body at 64 kbit/s. It is below
/// the 10 s after which most callers give up, so that they receive the reason.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(8);

/// The time for which sent bytes may stay unread or unacknowledged by the peer (the kernel's
/// `TCP_USER_TIMEOUT`): a reader that stalls for longer is disconnected or hostile. Twice the 15 s
/// after which an idle event stream sends a keep-alive. Linux only.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Open streams on one HTTP/2 connection: the minimum that RFC 9113 recommends.
pub const CONCURRENT_STREAMS_MAX: u32 = 100;

/// Bytes that a peer may send on one HTTP/2 stream before they are read: one body.
pub const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// Bytes that a peer may send on all streams of a connection before they are read: the memory that
/// one connection may use.
pub const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes that wait to be sent on one HTTP/2 stream: one window.
pub const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The longest time for refusing a connection beyond the cap.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that are read from a refused connection: one head and a small body.
pub const REFUSAL_READ_BYTES_MAX: u64 = 64 * 1024;
