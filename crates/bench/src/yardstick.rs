//! T and TD, the servers with which the product is compared: a bare tonic server that passes each
//! submitted proposal to its order's stream; TD appends it to a file first, with one sync for all
//! proposals that arrived in the meantime.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use futures_util::{Stream, StreamExt as _};
use orderstream_rpc::observe::{AllowAll, RpcMetrics, RpcSide};
use orderstream_rpc::server::{self, ServerLimits};
use orderstream_rpc::v1;
use orderstream_rpc::v1::order_streaming_service_server::{
    OrderStreamingService, OrderStreamingServiceServer,
};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use crate::ComparedServer;

type StreamedResponse = Result<v1::OrderStreamResponse, Status>;

/// An order's last sequence number, and its stream.
type BareStream = (u64, mpsc::Sender<StreamedResponse>);

#[derive(Clone, Debug, Default)]
struct BareServer {
    streams: Arc<Mutex<HashMap<String, BareStream>>>,
    file: Option<std::sync::mpsc::SyncSender<BaselineWrite>>,
}

#[derive(Debug)]
struct BaselineWrite {
    bytes: Vec<u8>,
    synced: oneshot::Sender<()>,
}

/// Serves until the process is killed.
pub(crate) async fn serve(kind: ComparedServer, dir: &Path) -> anyhow::Result<()> {
    let file = if kind == ComparedServer::TonicDurable { Some(start_file(dir)?) } else { None };
    let bare = BareServer { file, ..BareServer::default() };
    let (grpc, rest) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    println!("{} {}", grpc.local_addr()?, rest.local_addr()?);
    let router =
        axum::Router::new().route("/api/v1/proposals", post(submit)).with_state(bare.clone());
    let rest = async { axum::serve(rest, router).await.map_err(anyhow::Error::from) };
    let grpc = async {
        if kind == ComparedServer::TonicLayers {
            let metrics = RpcMetrics::new(&prometheus::Registry::new(), RpcSide::Server)?;
            let routes = Routes::new(OrderStreamingServiceServer::new(bare));
            let stack = server::stack(routes, &metrics, Arc::new(AllowAll::default()));
            server::serve(grpc, stack, ServerLimits::default(), CancellationToken::new()).await;
            return Ok(());
        }
        let incoming = TcpListenerStream::new(grpc).inspect(|stream| {
            if let Ok(stream) = stream
                && let Err(error) = stream.set_nodelay(true)
            {
                eprintln!("nodelay: {error}");
            }
        });
        tonic::transport::Server::builder()
            .add_service(OrderStreamingServiceServer::new(bare))
            .serve_with_incoming(incoming)
            .await
            .map_err(anyhow::Error::from)
    };
    tokio::try_join!(rest, grpc)?;
    Ok(())
}

fn start_file(dir: &Path) -> anyhow::Result<std::sync::mpsc::SyncSender<BaselineWrite>> {
    let mut file = std::fs::File::create(dir.join("lines"))?;
    let (sender, receiver) = std::sync::mpsc::sync_channel::<BaselineWrite>(16_384);
    std::thread::Builder::new().name("file".to_owned()).spawn(move || {
        while let Ok(first) = receiver.recv() {
            let lines: Vec<BaselineWrite> =
                std::iter::once(first).chain(receiver.try_iter()).collect();
            let bytes: Vec<u8> = lines.iter().flat_map(|line| &line.bytes).copied().collect();
            if file.write_all(&bytes).and_then(|()| file.sync_data()).is_err() {
                return;
            }
            for line in lines {
                if line.synced.send(()).is_err() {
                    eprintln!("a submitter went away");
                }
            }
        }
    })?;
    Ok(sender)
}

#[derive(Debug, Deserialize)]
struct PostedProposal {
    order_req_id: String,
    seller: String,
    price: String,
    currency: String,
}

async fn submit(State(bare): State<BareServer>, body: bytes::Bytes) -> http::StatusCode {
    let Ok(submission) = serde_json::from_slice::<PostedProposal>(&body) else {
        return http::StatusCode::BAD_REQUEST;
    };
    if let Some(file) = &bare.file {
        let (synced, done) = oneshot::channel();
        let line = BaselineWrite { bytes: body.to_vec(), synced };
        if file.try_send(line).is_err() || done.await.is_err() {
            return http::StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    let (event, sender) = {
        let mut streams = bare.streams.lock();
        let Some((seq, sender)) = streams.get_mut(&submission.order_req_id) else {
            return http::StatusCode::NOT_FOUND;
        };
        *seq += 1;
        (event(*seq, submission), sender.clone())
    };
    if sender.send(Ok(event)).await.is_err() {
        return http::StatusCode::GONE;
    }
    http::StatusCode::CREATED
}

fn event(seq: u64, submission: PostedProposal) -> v1::OrderStreamResponse {
    let proposal = v1::Proposal {
        proposal_id: format!("p{seq}"),
        seller: submission.seller,
        price: submission.price,
        currency: submission.currency,
        version: 1,
        ..v1::Proposal::default()
    };
    v1::OrderStreamResponse {
        order_req_id: submission.order_req_id,
        streaming_response_status: "NewProposal".to_owned(),
        seq,
        detail: Some(v1::order_stream_response::Detail::Proposal(proposal)),
        ..v1::OrderStreamResponse::default()
    }
}

#[tonic::async_trait]
impl OrderStreamingService for BareServer {
    type ProcessOrderStreamStream = ReceiverStream<StreamedResponse>;

    async fn process_order_stream(
        &self,
        request: Request<v1::OrderStreamRequest>,
    ) -> Result<Response<Self::ProcessOrderStreamStream>, Status> {
        let (sender, receiver) = mpsc::channel(256);
        let id = request.into_inner().order_req_id;
        self.streams.lock().insert(id, (0, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    type SellerSessionStream = Pin<Box<dyn Stream<Item = Result<v1::SellerEvent, Status>> + Send>>;

    async fn seller_session(
        &self,
        _: Request<Streaming<v1::SellerMessage>>,
    ) -> Result<Response<Self::SellerSessionStream>, Status> {
        Err(Status::unimplemented("a yardstick has one method"))
    }
}
