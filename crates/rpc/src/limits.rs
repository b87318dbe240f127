//! The limits of gRPC connections, servers and clients, each with its rationale.

use std::time::Duration;

/// The largest message, bytes, encoded or decoded, after decompression: five times an order of 1000
/// lines, which has about 200 KiB.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// Streams open on one connection: 10 000 order streams of one requestor over four connections.
pub const CONCURRENT_STREAMS_MAX: u32 = 2_500;

/// Streams that a peer reset and that the server has not yet accepted; beyond this number the
/// connection ends (rapid reset, CVE-2023-44487). h2's own default, set because `None` lifts the
/// limit.
pub const PENDING_ACCEPT_RESETS_MAX: usize = 20;

/// Streams that were reset because the peer violated the protocol; beyond this number the
/// connection ends (RUSTSEC-2024-0003). hyper's own default, set because `None` lifts the limit.
pub const LOCAL_ERROR_RESETS_MAX: usize = 1_024;

/// The largest size of all headers of one request, bytes: from the threat model; ten times what our
/// clients send.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 * 1024;

/// The size of a connection's header compression table, bytes: the protocol's default (RFC 7541).
pub const HEADER_TABLE_BYTES: u32 = 4 * 1024;

/// The largest frame, bytes: the protocol's default; larger frames let one stream delay the others.
pub const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// Bytes that a peer may send on one stream before the server has read them: a quarter of the
/// largest message, so that a slow handler holds little memory.
pub const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// Bytes that a peer may send on all streams of a connection before they are read: the memory that
/// one connection may use.
pub const CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Bytes that wait to be sent on one stream: one window.
pub const SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The silence after which a peer is pinged: well below the shortest idle timeout of common load
/// balancers (60 s), with a margin for lost packets.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// The time after which a peer that does not acknowledge a ping counts as disconnected: a round
/// trip around the world, with retransmissions.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The time from accepting a connection to the complete head of its first request, after which it
/// is closed. Later heads that stay incomplete also block the acknowledgements of pings, which ends
/// the connection.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections of one server: a requestor holds four, a seller one; well below the common limit of
/// 65 536 open files.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Connections that the kernel queues until they are accepted: a quarter of the common `somaxconn`.
pub const ACCEPT_BACKLOG: u32 = 1_024;

/// The wait before the server accepts again after an error of the kernel (out of file descriptors).
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The time after the shutdown token for which a port waits for connections that are being
/// established, even if none is open: a round trip within a region.
pub const HANDSHAKE_TIME: Duration = Duration::from_millis(100);

/// The silence after the shutdown token that ends a connection: the time that a request takes
/// around the world, and less than any caller's timeout.
pub const LAST_REQUEST_TIME: Duration = Duration::from_millis(250);

/// The time from the shutdown token to closing all open connections: shorter than the default
/// termination grace period of Kubernetes, 30 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest duration of a unary call, whatever deadline the caller sets: a sync of the journal
/// takes milliseconds, so a longer wait helps nobody.
pub const UNARY_DEADLINE_MAX: Duration = Duration::from_secs(30);

/// The longest duration of a client-streaming call: 100 000 proposals at 200 per second.
pub const CLIENT_STREAM_DEADLINE_MAX: Duration = Duration::from_secs(600);

/// The timeout for establishing a connection: three lost SYN packets.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Requests of one client connection that are queued to be sent.
pub const CLIENT_QUEUE_LEN_MAX: usize = 1_024;

/// The largest number of connections that one client opens to one server.
pub const CLIENT_CONNECTIONS_MAX: usize = 64;

/// The longest request id of a caller, characters: a UUID has 36, a `traceparent` 55.
pub const REQUEST_ID_LEN_MAX: usize = 128;
