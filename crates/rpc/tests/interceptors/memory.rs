//! A connection between a client stack and a server stack, without a network.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use http_body::{Body, Frame};
use orderstream_rpc::server::ServerStack;
use tonic::Status;
use tower::Service;

type WireBody = tonic::body::Body;

/// Passes calls to a server stack; can split all bodies into single bytes.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) server: ServerStack,
    pub(crate) splits: bool,
}

impl Memory {
    /// Returns the function that splits bodies.
    fn cut(&self) -> fn(WireBody) -> WireBody {
        if self.splits {
            |inner| WireBody::new(Bytewise { inner, rest: Bytes::new() })
        } else {
            std::convert::identity
        }
    }
}

impl Service<Request<WireBody>> for Memory {
    type Response = Response<WireBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<WireBody>>::poll_ready(&mut self.server, cx)
    }

    fn call(&mut self, request: Request<WireBody>) -> Self::Future {
        let cut = self.cut();
        // Extensions are not sent over a network.
        let (mut parts, body) = request.into_parts();
        parts.extensions.clear();
        let response = self.server.call(Request::from_parts(parts, cut(body)));
        Box::pin(async move {
            let (mut parts, body) = response.await?.into_parts();
            parts.extensions.clear();
            Ok(Response::from_parts(parts, cut(WireBody::new(body))))
        })
    }
}

/// A body that yields every byte as a frame of its own.
#[derive(Debug)]
struct Bytewise {
    inner: WireBody,
    rest: Bytes,
}

impl Body for Bytewise {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        while !self.rest.has_remaining() {
            let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                Some(Ok(frame)) => frame,
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let byte = self.rest.split_to(1);
        Poll::Ready(Some(Ok(Frame::data(byte))))
    }

    fn is_end_stream(&self) -> bool {
        !self.rest.has_remaining() && self.inner.is_end_stream()
    }
}
