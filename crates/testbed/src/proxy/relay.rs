//! Relays one request through the proxy.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{HookAction, HookPoint, ProxiedWrite, ProxyFault, ProxyState, WatchExpiry, tls};

type Frames = ReceiverStream<Result<Frame<Bytes>, std::io::Error>>;
type ProxyResponse = Response<http_body_util::Either<Full<Bytes>, StreamBody<Frames>>>;

/// The API server's error for an expired resource version.
const GONE: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"too old resource version","reason":"Expired","code":410}"#
);

/// The refusal of a streamed list by an API server that does not support it.
const NO_STREAM: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Invalid","#,
    r#""message":"sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless "#,
    r#"the WatchList feature gate is enabled","code":422}"#
);

pub(super) async fn relay(
    shared: Arc<ProxyState>,
    request: Request<Incoming>,
) -> Result<ProxyResponse, Infallible> {
    let asks = |option: &str| request.uri().query().is_some_and(|query| query.contains(option));
    let (is_watch, is_streamed_list) = (asks("watch=true"), asks("sendInitialEvents=true"));
    let fault = *shared.fault.borrow();
    match fault {
        ProxyFault::Busy(seconds) => {
            let mut response = plain_response(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            return Ok(response);
        }
        ProxyFault::Slow(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        ProxyFault::Compacted(expiry)
            if is_watch && !is_streamed_list && shared.is_expired(request.uri().path()) =>
        {
            return Ok(expired_response(expiry));
        }
        ProxyFault::Compacted(_)
            if (!is_watch || is_streamed_list) && request.method() == Method::GET =>
        {
            shared.mark_listed(request.uri().path());
        }
        ProxyFault::ListsInPages if is_streamed_list => {
            return Ok(plain_response(StatusCode::UNPROCESSABLE_ENTITY, NO_STREAM));
        }
        ProxyFault::None
        | ProxyFault::Down
        | ProxyFault::Compacted(_)
        | ProxyFault::Silent
        | ProxyFault::ListsInPages => {}
    }
    let write = (request.method() != Method::GET).then(|| ProxiedWrite {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
    });
    let is_lost = |moment| {
        write.as_ref().is_some_and(|write| shared.call_hook(write, moment) == HookAction::Lose)
    };
    if is_lost(HookPoint::Before) {
        return Ok(plain_response(StatusCode::BAD_GATEWAY, "lost\n"));
    }
    let response = forward(&shared, request).await;
    if is_lost(HookPoint::After) {
        return Ok(plain_response(StatusCode::BAD_GATEWAY, "lost\n"));
    }
    Ok(match response {
        Ok(response) if is_watch => stream_watch(shared, response),
        Ok(response) => collect_response(response).await,
        Err(error) => plain_response(StatusCode::BAD_GATEWAY, &error.to_string()),
    })
}

async fn forward(
    shared: &ProxyState,
    request: Request<Incoming>,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(HOST, shared.server.to_string().parse()?);
    let mut sender = tls::connect(shared.server).await?;
    Ok(sender.send_request(Request::from_parts(head, Full::new(body))).await?)
}

async fn collect_response(response: Response<Incoming>) -> ProxyResponse {
    let (mut head, body) = response.into_parts();
    head.headers.remove(TRANSFER_ENCODING);
    match body.collect().await {
        Ok(body) => {
            Response::from_parts(head, http_body_util::Either::Left(Full::new(body.to_bytes())))
        }
        Err(error) => plain_response(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

/// Forwards a watch until it is interrupted; from a silent fault on, forwards nothing more.
fn stream_watch(shared: Arc<ProxyState>, response: Response<Incoming>) -> ProxyResponse {
    let (mut head, mut body) = response.into_parts();
    head.headers.remove(TRANSFER_ENCODING);
    let (sender, frames) = mpsc::channel(1);
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                // An error in the body closes the connection.
                _ = cuts.changed() => {
                    drop(sender.send(Err(std::io::Error::other("cut"))).await);
                    return;
                }
                frame = body.frame() => {
                    if *shared.fault.borrow() == ProxyFault::Silent {
                        wait_for_disconnect(&sender).await;
                        return;
                    }
                    let Some(Ok(frame)) = frame else { return };
                    if sender.send(Ok(frame)).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let body = StreamBody::new(ReceiverStream::new(frames));
    Response::from_parts(head, http_body_util::Either::Right(body))
}

/// Waits until the watcher disconnects.
async fn wait_for_disconnect<T>(sender: &mpsc::Sender<T>) {
    sender.closed().await;
}

fn expired_response(expiry: WatchExpiry) -> ProxyResponse {
    match expiry {
        WatchExpiry::Event => {
            plain_response(StatusCode::OK, &format!("{{\"type\":\"ERROR\",\"object\":{GONE}}}\n"))
        }
        WatchExpiry::Status => plain_response(StatusCode::GONE, GONE),
    }
}

fn plain_response(status: StatusCode, text: &str) -> ProxyResponse {
    let body = Full::new(Bytes::from(text.to_owned()));
    let mut response = Response::new(http_body_util::Either::Left(body));
    *response.status_mut() = status;
    response
}
