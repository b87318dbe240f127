//! One request through the proxy.

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

use super::{Fault, Gone, Moment, Shared, Then, Write, tls};

type Frames = ReceiverStream<Result<Frame<Bytes>, std::io::Error>>;
type Answer = Response<http_body_util::Either<Full<Bytes>, StreamBody<Frames>>>;

/// The API server's error for a version that it has forgotten.
const GONE: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
    r#""message":"too old resource version","reason":"Expired","code":410}"#
);

/// The API server's refusal of a streamed list where it has none.
const NO_STREAM: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"Invalid","#,
    r#""message":"sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless "#,
    r#"the WatchList feature gate is enabled","code":422}"#
);

pub(super) async fn relay(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    let asks = |option: &str| request.uri().query().is_some_and(|query| query.contains(option));
    let (is_watch, is_streamed_list) = (asks("watch=true"), asks("sendInitialEvents=true"));
    let fault = *shared.fault.borrow();
    match fault {
        Fault::Busy(seconds) => {
            let mut answer = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
            return Ok(answer);
        }
        Fault::Slow(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
        Fault::Forgetful(how)
            if is_watch && !is_streamed_list && shared.is_forgotten(request.uri().path()) =>
        {
            return Ok(gone(how));
        }
        Fault::Forgetful(_)
            if (!is_watch || is_streamed_list) && request.method() == Method::GET =>
        {
            shared.is_listed(request.uri().path());
        }
        Fault::ListsInPages if is_streamed_list => {
            return Ok(plain(StatusCode::UNPROCESSABLE_ENTITY, NO_STREAM));
        }
        Fault::None | Fault::Down | Fault::Forgetful(_) | Fault::Silent | Fault::ListsInPages => {}
    }
    let write = (request.method() != Method::GET).then(|| Write {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
    });
    let is_lost =
        |moment| write.as_ref().is_some_and(|write| shared.tell(write, moment) == Then::Lose);
    if is_lost(Moment::Before) {
        return Ok(plain(StatusCode::BAD_GATEWAY, "lost\n"));
    }
    let answer = pass_on(&shared, request).await;
    if is_lost(Moment::After) {
        return Ok(plain(StatusCode::BAD_GATEWAY, "lost\n"));
    }
    Ok(match answer {
        Ok(answer) if is_watch => watched(shared, answer),
        Ok(answer) => collected(answer).await,
        Err(error) => plain(StatusCode::BAD_GATEWAY, &error.to_string()),
    })
}

async fn pass_on(
    shared: &Shared,
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

async fn collected(answer: Response<Incoming>) -> Answer {
    let (mut head, body) = answer.into_parts();
    head.headers.remove(TRANSFER_ENCODING);
    match body.collect().await {
        Ok(body) => {
            Response::from_parts(head, http_body_util::Either::Left(Full::new(body.to_bytes())))
        }
        Err(error) => plain(StatusCode::BAD_GATEWAY, &error.to_string()),
    }
}

/// Passes a watch on until it is cut; while the fault is silence, holds everything back for good.
fn watched(shared: Arc<Shared>, answer: Response<Incoming>) -> Answer {
    let (mut head, mut body) = answer.into_parts();
    head.headers.remove(TRANSFER_ENCODING);
    let (sender, frames) = mpsc::channel(1);
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                // An error in the body cuts the connection.
                _ = cuts.changed() => {
                    drop(sender.send(Err(std::io::Error::other("cut"))).await);
                    return;
                }
                frame = body.frame() => {
                    if *shared.fault.borrow() == Fault::Silent {
                        continue_in_silence(&sender).await;
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
async fn continue_in_silence<T>(sender: &mpsc::Sender<T>) {
    sender.closed().await;
}

fn gone(how: Gone) -> Answer {
    match how {
        Gone::Event => {
            plain(StatusCode::OK, &format!("{{\"type\":\"ERROR\",\"object\":{GONE}}}\n"))
        }
        Gone::Status => plain(StatusCode::GONE, GONE),
    }
}

fn plain(status: StatusCode, text: &str) -> Answer {
    let body = Full::new(Bytes::from(text.to_owned()));
    let mut answer = Response::new(http_body_util::Either::Left(body));
    *answer.status_mut() = status;
    answer
}
