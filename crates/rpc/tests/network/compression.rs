//! Tests with compressed messages: the limit holds for the bytes that they decompress to.

use orderstream_core::refusal::Reason;
use orderstream_rpc::limits::MESSAGE_BYTES_MAX;
use orderstream_rpc::server::ServerLimits;
use orderstream_rpc::status::refusal_from_status;
use orderstream_rpc::v1;
use prost::Message as _;
use tonic::codec::CompressionEncoding;
use tonic::{Code, Status};

use crate::stub::Case;
use crate::{GrpcServer, sum};

/// The encodings that a server accepts.
const ENCODINGS: [CompressionEncoding; 2] = [CompressionEncoding::Zstd, CompressionEncoding::Gzip];

/// Returns a message of this size, which compresses to less than a hundredth of it.
fn message(bytes: usize) -> v1::PauseRequest {
    let mut message = v1::PauseRequest { reason: "x".repeat(bytes), ..Default::default() };
    let excess = message.encoded_len() - bytes;
    message.reason.truncate(bytes - excess);
    assert_eq!(message.encoded_len(), bytes);
    message
}

/// Sends a message of this size, compressed.
async fn send(
    served: &GrpcServer,
    encoding: CompressionEncoding,
    bytes: usize,
) -> Result<(), Status> {
    let (client, _) = served.client(1);
    client.control().send_compressed(encoding).pause(message(bytes)).await.map(drop)
}

#[tokio::test]
async fn compressed_messages_have_the_same_limit() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    for encoding in ENCODINGS {
        send(&served, encoding, MESSAGE_BYTES_MAX).await.unwrap();
        let status = send(&served, encoding, MESSAGE_BYTES_MAX + 1).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding}");
    }
    served.stop().await;
}

/// A few kilobytes that decompress to many times the limit are refused at the limit, as the
/// caller's fault.
#[tokio::test]
async fn decompression_bombs_are_refused() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    for encoding in ENCODINGS {
        let status = send(&served, encoding, 4 * MESSAGE_BYTES_MAX).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{encoding}");
        let refusal = refusal_from_status(&status).unwrap();
        assert_eq!(refusal.reason, Reason::LimitReached, "{encoding}");
        assert!(refusal.message.contains(&MESSAGE_BYTES_MAX.to_string()), "{refusal}");
    }
    served.stop().await;
    let handled = |code| sum(&served.registry, "grpc_server_handled_total", &["Pause", code]);
    assert_eq!((handled("ResourceExhausted"), handled("Internal")), (2, 0));
}
