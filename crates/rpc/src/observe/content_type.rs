//! Refuses requests that are not gRPC before they count as calls: with HTTP status 415, as gRPC's
//! document "gRPC over HTTP2" demands, and a problem for a person to read. A stranger's request,
//! such as JSON sent with curl, is no fault of the server, and in none of its metrics.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::IntoResponse as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Either;
use orderstream_core::refusal::{Reason, Refusal};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::problem::Problem;

/// The media types of gRPC with protobuf, the only encoding of messages here.
const MEDIA_TYPES: [&[u8]; 2] = [b"application/grpc", b"application/grpc+proto"];

/// Lets only gRPC's requests through.
#[derive(Clone, Copy, Debug)]
pub struct ContentTypeLayer;

impl<S> Layer<S> for ContentTypeLayer {
    type Service = ContentTypeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        ContentTypeService { inner }
    }
}

/// A service that receives only gRPC's requests.
#[derive(Clone, Debug)]
pub struct ContentTypeService<S> {
    inner: S,
}

impl<S, B, RB> Service<Request<B>> for ContentTypeService<S>
where
    S: Service<Request<B>, Response = Response<RB>>,
{
    type Response = Response<Either<RB, Body>>;
    type Error = S::Error;
    type Future = ContentTypeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if is_grpc(request.headers()) {
            return ContentTypeFuture { inner: Some(self.inner.call(request)), refusal: None };
        }
        tracing::debug!(
            path = request.uri().path(),
            content_type = ?request.headers().get(CONTENT_TYPE),
            "request refused: it is not gRPC"
        );
        ContentTypeFuture { inner: None, refusal: Some(Box::new(refusal(request.method()))) }
    }
}

/// Reports whether the content type is gRPC's; parameters do not matter.
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(CONTENT_TYPE) else { return false };
    let media_type = given.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    MEDIA_TYPES.iter().any(|known| media_type.trim_ascii().eq_ignore_ascii_case(known))
}

/// Returns the response to a request that is not gRPC. It has no gRPC status, which only a call
/// has.
fn refusal(method: &Method) -> Response<Body> {
    let text = "is not application/grpc; this port serves gRPC only: use a gRPC client here, or \
                send JSON to the REST port";
    let refusal = Refusal {
        field: Some("content-type".to_owned()),
        ..Refusal::new(Reason::InvalidRequest, text)
    };
    let response =
        Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal).into_response();
    if *method == Method::HEAD { response.map(|_| Body::empty()) } else { response }
}

pin_project! {
    /// The future of the call or of its refusal.
    #[derive(Debug)]
    pub struct ContentTypeFuture<F> {
        #[pin]
        inner: Option<F>,
        // In a box: nearly every request is a call.
        refusal: Option<Box<Response<Body>>>,
    }
}

impl<F, RB, E> Future for ContentTypeFuture<F>
where
    F: Future<Output = Result<Response<RB>, E>>,
{
    type Output = Result<Response<Either<RB, Body>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            let response = ready!(inner.poll(cx))?;
            return Poll::Ready(Ok(response.map(Either::Left)));
        }
        match this.refusal.take() {
            Some(response) => Poll::Ready(Ok((*response).map(Either::Right))),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::HeaderValue;
    use http_body_util::BodyExt as _;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    #[test]
    fn only_grpc_with_protobuf_is_let_through() {
        for (text, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc+json", false),
            ("application/grpc-web+proto", false),
            ("application/grpcurl", false),
            ("application/json", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
            assert_eq!(is_grpc(&headers), expected, "{text}");
        }
        assert!(!is_grpc(&HeaderMap::new()), "a content type is required");
    }

    /// Sends a request with JSON; returns the status and the body.
    async fn send_json(method: Method) -> (StatusCode, Vec<u8>) {
        let inner = tower::service_fn(|_: Request<()>| async {
            Ok::<_, Infallible>(Response::new(Body::from("called")))
        });
        let request = Request::builder().method(method).header(CONTENT_TYPE, "application/json");
        let request = request.body(()).unwrap();
        let response = ContentTypeLayer.layer(inner).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status, body.collect().await.unwrap().to_bytes().to_vec())
    }

    #[tokio::test]
    async fn refusals_name_the_content_type() {
        let (status, body) = send_json(Method::POST).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["reason"], "INVALID_REQUEST");
        assert_eq!(problem["field"], "content-type");
        assert!(problem["detail"].as_str().unwrap().contains("application/grpc"), "{problem}");
        let (status, body) = send_json(Method::HEAD).await;
        assert_eq!((status, body.len()), (StatusCode::UNSUPPORTED_MEDIA_TYPE, 0));
    }
}
