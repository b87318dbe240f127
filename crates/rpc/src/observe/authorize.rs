//! Authorisation: one decision for every RPC.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request};
use orderstream_core::refusal::Refusal;
use pin_project_lite::pin_project;
use tonic::Status;
use tower::{BoxError, Layer, Service};

use super::CallContext;
use crate::method::MethodInfo;
use crate::status::status_from_refusal;

/// The facts on which a decision is based.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The method that is called.
    pub method: &'static MethodInfo,
    /// The caller's address; `None` without a socket.
    pub peer: Option<SocketAddr>,
    /// The request's headers, including `authorization`.
    pub headers: &'a HeaderMap,
}

/// The caller's identity, which the handler finds in the request's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(pub Arc<str>);

/// Decides whether a call is allowed. Must not block: the data it needs is fetched beforehand.
pub trait Authorize: std::fmt::Debug + Send + Sync + 'static {
    /// Returns the caller's identity, if it may call the method.
    ///
    /// # Errors
    /// The refusal that the caller receives.
    fn authorize(&self, caller: &Caller<'_>) -> Result<Identity, Refusal>;
}

/// Allows every call, as `anonymous`.
#[derive(Clone, Debug)]
pub struct AllowAll {
    anonymous: Identity,
}

impl Default for AllowAll {
    fn default() -> Self {
        Self { anonymous: Identity("anonymous".into()) }
    }
}

impl Authorize for AllowAll {
    fn authorize(&self, _: &Caller<'_>) -> Result<Identity, Refusal> {
        Ok(self.anonymous.clone())
    }
}

/// Authorises every call with an [`Authorize`] first.
#[derive(Clone, Debug)]
pub struct AuthorizeLayer {
    authorize: Arc<dyn Authorize>,
}

impl AuthorizeLayer {
    /// Creates the layer for this decision.
    pub fn new(authorize: Arc<dyn Authorize>) -> Self {
        Self { authorize }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = AuthorizeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthorizeService { inner, authorize: Arc::clone(&self.authorize) }
    }
}

/// A service whose calls are authorised first.
#[derive(Clone, Debug)]
pub struct AuthorizeService<S> {
    inner: S,
    authorize: Arc<dyn Authorize>,
}

impl<S, B> Service<Request<B>> for AuthorizeService<S>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = AuthorizeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let context = CallContext::of(&request);
        let (method, peer) = (context.method(), context.peer());
        let caller = Caller { method, peer, headers: request.headers() };
        match self.authorize.authorize(&caller) {
            Ok(identity) => {
                request.extensions_mut().insert(identity);
                AuthorizeFuture { inner: Some(self.inner.call(request)), refused: None }
            }
            Err(refusal) => {
                AuthorizeFuture { inner: None, refused: Some(status_from_refusal(&refusal)) }
            }
        }
    }
}

pin_project! {
    /// The future of the call or of its refusal.
    #[derive(Debug)]
    pub struct AuthorizeFuture<F> {
        #[pin]
        inner: Option<F>,
        refused: Option<Status>,
    }
}

impl<F, R, E> Future for AuthorizeFuture<F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            return inner.poll(cx).map_err(Into::into);
        }
        match this.refused.take() {
            Some(status) => Poll::Ready(Err(status.into())),
            None => Poll::Pending,
        }
    }
}
