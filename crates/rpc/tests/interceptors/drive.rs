//! Makes one call of a kind, and reads the series of both sides.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _, stream};
use http::uri::PathAndQuery;
use orderstream_rpc::client::{self, ClientStack};
use orderstream_rpc::method::{MethodInfo, RpcKind, method_of};
use orderstream_rpc::observe::{AllowAll, RpcMetrics, RpcSide};
use orderstream_rpc::{limits, server, v1};
use prometheus::Registry;
use tokio::sync::Notify;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::memory::Memory;
use crate::stub::{Case, Stub, oversize, paced};

pub(crate) const KINDS: [RpcKind; 4] =
    [RpcKind::Unary, RpcKind::ClientStream, RpcKind::ServerStream, RpcKind::BidiStream];

/// Returns one method of each kind.
pub(crate) fn method_under_test(kind: RpcKind) -> &'static MethodInfo {
    method_of(match kind {
        RpcKind::Unary => "/orderstream.v1.OrderControlService/Pause",
        RpcKind::ClientStream => "/orderstream.v1.OrderNonStreamingService/SubmitProposals",
        RpcKind::ServerStream => "/orderstream.v1.OrderStreamingService/ProcessOrderStream",
        RpcKind::BidiStream => "/orderstream.v1.OrderStreamingService/SellerSession",
        RpcKind::Unknown => "",
    })
}

/// Returns the encoding in which both sides compress.
fn encoding(case: Case) -> Option<CompressionEncoding> {
    let zstd = (case == Case::ZstdCompressed).then_some(Zstd);
    zstd.or_else(|| (case == Case::GzipCompressed).then_some(Gzip))
}

/// Both sides, with their own registry.
pub(crate) struct Rig {
    case: Case,
    registry: Registry,
    waits: Arc<Notify>,
    pub(crate) stub: Stub,
    pub(crate) memory: Memory,
    pub(crate) client: ClientStack<Memory>,
}

impl Rig {
    pub(crate) fn new(case: Case) -> Self {
        let registry = Registry::new();
        let waits = Arc::new(Notify::new());
        let stub = Stub { case, waits: Arc::clone(&waits), received: Arc::default() };
        let (mut streaming, mut non_streaming, mut control) = (
            server::streaming(stub.clone()),
            server::non_streaming(stub.clone()),
            server::control(stub.clone()),
        );
        if let Some(encoding) = encoding(case) {
            streaming = streaming.send_compressed(encoding);
            non_streaming = non_streaming.send_compressed(encoding);
            control = control.send_compressed(encoding);
        }
        let routes = Routes::new(streaming).add_service(non_streaming).add_service(control);
        let metrics = RpcMetrics::new(&registry, RpcSide::Server).unwrap();
        let server = server::stack(routes, &metrics, Arc::new(AllowAll::default()));
        let metrics = RpcMetrics::new(&registry, RpcSide::Client).unwrap();
        let memory = Memory { server, splits: case == Case::SplitByteByByte };
        let client = client::stack(memory.clone(), &metrics);
        Self { case, registry, waits, stub, memory, client }
    }

    /// Makes the call; `None` if it was dropped.
    pub(crate) async fn call(&self, kind: RpcKind) -> Option<Code> {
        let call = self.finish(kind);
        if self.case != Case::ClientCancels {
            // The clock is paused: a call that hangs fails here at once.
            return Some(tokio::time::timeout(Duration::from_secs(60), call).await.unwrap());
        }
        // Biased: the call is polled first, until the handler waits.
        tokio::select! {
            biased;
            code = call => Some(code),
            () = self.waits.notified() => None,
        }
    }

    async fn finish(&self, kind: RpcKind) -> Code {
        let text = if self.case == Case::OversizeRequest { oversize() } else { "a".to_owned() };
        let ended = match kind {
            RpcKind::Unary => {
                let message = v1::PauseRequest { reason: text, ..Default::default() };
                self.unary(message).await
            }
            RpcKind::ClientStream => {
                let message = v1::ProposalSubmission { tenant: text, ..Default::default() };
                self.client_stream(message).await
            }
            RpcKind::ServerStream => {
                let message = v1::OrderStreamRequest { session: text, ..Default::default() };
                self.server_stream(message).await
            }
            RpcKind::BidiStream => {
                let message = v1::SellerMessage { request_id: text, ..Default::default() };
                self.bidi(message).await
            }
            RpcKind::Unknown => Ok(()),
        };
        ended.err().map_or(Code::Ok, |status| status.code())
    }

    /// Returns tonic's client, configured for the case.
    async fn grpc(&self) -> Grpc<ClientStack<Memory>> {
        let mut grpc = Grpc::new(self.client.clone())
            .accept_compressed(Zstd)
            .accept_compressed(Gzip)
            .max_encoding_message_size(usize::MAX)
            .max_decoding_message_size(limits::MESSAGE_BYTES_MAX);
        if let Some(encoding) = encoding(self.case) {
            grpc = grpc.send_compressed(encoding);
        }
        grpc.ready().await.unwrap();
        grpc
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if self.case == Case::Deadline {
            request.set_timeout(Duration::from_secs(1));
        }
        request
    }

    fn path(&self, kind: RpcKind) -> PathAndQuery {
        let path = method_under_test(kind).path;
        if self.case == Case::UnknownMethod {
            return format!("{path}Nope").parse().unwrap();
        }
        PathAndQuery::from_static(path)
    }

    async fn unary(&self, message: v1::PauseRequest) -> Result<(), Status> {
        let codec = ProstCodec::<_, v1::ActResponse>::default();
        let path = self.path(RpcKind::Unary);
        self.grpc().await.unary(self.request(message), path, codec).await.map(drop)
    }

    async fn client_stream(&self, message: v1::ProposalSubmission) -> Result<(), Status> {
        let codec = ProstCodec::<_, v1::SubmitProposalsSummary>::default();
        let path = self.path(RpcKind::ClientStream);
        let request = self.request(three(message));
        self.grpc().await.client_streaming(request, path, codec).await.map(drop)
    }

    async fn server_stream(&self, message: v1::OrderStreamRequest) -> Result<(), Status> {
        let codec = ProstCodec::<_, v1::OrderStreamResponse>::default();
        let path = self.path(RpcKind::ServerStream);
        let response =
            self.grpc().await.server_streaming(self.request(message), path, codec).await?;
        drain(response.into_inner()).await
    }

    async fn bidi(&self, message: v1::SellerMessage) -> Result<(), Status> {
        let codec = ProstCodec::<_, v1::SellerEvent>::default();
        let path = self.path(RpcKind::BidiStream);
        let response =
            self.grpc().await.streaming(self.request(three(message)), path, codec).await?;
        drain(response.into_inner()).await
    }

    /// Returns the sum of a family's values over all series with these labels.
    pub(crate) fn value(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|found| found.name() == family).unwrap();
        let fits = |metric: &&prometheus::proto::Metric| {
            labels.iter().all(|(name, value)| {
                metric
                    .get_label()
                    .iter()
                    .any(|label| label.name() == *name && label.value() == *value)
            })
        };
        let value = |metric: &prometheus::proto::Metric| {
            let histogram = metric.get_histogram().get_sample_count();
            whole(metric.get_counter().get_value() + metric.get_gauge().get_value()) + histogram
        };
        family.get_metric().iter().filter(fits).map(value).sum()
    }

    /// Returns the number of a family's series.
    pub(crate) fn series(&self, family: &str) -> usize {
        let families = self.registry.gather();
        families.iter().find(|found| found.name() == family).unwrap().get_metric().len()
    }
}

/// Returns a stream of three equal messages, one at a time.
fn three<T: Clone + Send + Unpin + 'static>(message: T) -> impl Stream<Item = T> + Send + 'static {
    paced(stream::iter(vec![message; 3]))
}

/// Reads a stream to its end.
async fn drain<T>(mut messages: tonic::Streaming<T>) -> Result<(), Status> {
    while let Some(message) = messages.next().await {
        message?;
    }
    debug_assert!(messages.next().now_or_never().is_some_and(|next| next.is_none()));
    Ok(())
}

/// Returns a counter's value as an integer.
fn whole(value: f64) -> u64 {
    value.to_string().parse().unwrap()
}
