//! A reader of an order's event stream, for trackers. A requestor has ten thousand of these open,
//! nearly all of them idle: an idle one holds only its body. tonic's own reader holds a buffer of
//! half a kilobyte for as long as the stream is open.
//!
//! ```text
//!   frame ──▶ buffered: complete messages are decoded in place
//!               │ the beginning of a message
//!               ▼
//!            partial ── the rest arrived ──▶ buffered
//! ```

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body::Body as _;
use http_body_util::Full;
use prost::Message as _;
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt};

use crate::client::ClientStack;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::observe::{GuardedBody, LogBody, ObservedBody, code_without_status};
use crate::v1;

/// The path of the method.
const PATH: &str = "/orderstream.v1.OrderStreamingService/ProcessOrderStream";
/// The length of a message's prefix: a flag, set if it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// A response's body, wrapped in a client's layers.
type Body = LogBody<ObservedBody<GuardedBody<tonic::body::Body>>>;

/// The events of one order, as they arrive.
#[derive(Debug)]
pub struct TrackerStream {
    /// The response's body; absent after the end.
    body: Option<Body>,
    messages: MessageParser,
}

impl TrackerStream {
    /// Calls `ProcessOrderStream`, with the W3C trace context that the call belongs to.
    ///
    /// # Errors
    /// The status with which the call was refused or failed.
    pub async fn open(
        mut channel: ClientStack,
        request: &v1::OrderStreamRequest,
        traceparent: Option<HeaderValue>,
    ) -> Result<Self, Status> {
        let mut call = Request::new(Full::new(encoded(request)?));
        *call.method_mut() = Method::POST;
        *call.version_mut() = Version::HTTP_2;
        *call.uri_mut() = Uri::from_static(PATH);
        let headers = call.headers_mut();
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        traceparent.into_iter().for_each(|parent| drop(headers.insert("traceparent", parent)));
        // The layers convert every error to a status.
        let Ok(ready) = ServiceExt::<Request<Full<Bytes>>>::ready(&mut channel).await;
        let Ok(response) = ready.call(call).await;
        let (head, body) = response.into_parts();
        let body = match Status::from_header_map(&head.headers) {
            Some(status) if status.code() == Code::Ok => None,
            Some(status) => return Err(status),
            None if head.status != StatusCode::OK => return Err(not_grpc(head.status)),
            None => Some(body),
        };
        Ok(Self { body, messages: MessageParser::default() })
    }

    /// Returns the next message; `None` when the server ended the stream.
    ///
    /// # Errors
    /// The status with which the stream ended; no message follows it.
    pub async fn message(&mut self) -> Result<Option<v1::OrderStreamResponse>, Status> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<v1::OrderStreamResponse>, Status>> {
        loop {
            match self.messages.next() {
                Ok(Some(message)) => return Poll::Ready(Ok(Some(message))),
                Ok(None) => {}
                Err(status) => return self.finish(Err(status)),
            }
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(None)) };
            let Some(Ok(frame)) = ready!(Pin::new(body).poll_frame(cx)) else {
                return self.finish(Err(Status::unknown("the stream ended without a status")));
            };
            match frame.into_data() {
                Ok(data) => self.messages.push(data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return self.finish(trailers_result(&trailers));
                }
            }
        }
    }

    fn finish(
        &mut self,
        result: Result<(), Status>,
    ) -> Poll<Result<Option<v1::OrderStreamResponse>, Status>> {
        (self.body, self.messages) = (None, MessageParser::default());
        Poll::Ready(result.map(|()| None))
    }
}

/// Returns the result of a call from its trailers.
fn trailers_result(trailers: &HeaderMap) -> Result<(), Status> {
    match Status::from_header_map(trailers) {
        Some(status) if status.code() == Code::Ok => Ok(()),
        Some(status) => Err(status),
        None => Err(Status::unknown("the stream ended without a status")),
    }
}

/// Returns the status of a response that is not gRPC.
fn not_grpc(status: StatusCode) -> Status {
    let text = format!("the answer is HTTP {status} and not gRPC");
    Status::new(code_without_status(status), text)
}

/// Encodes a request as a gRPC frame.
fn encoded(request: &v1::OrderStreamRequest) -> Result<Bytes, Status> {
    let len = request.encoded_len();
    if len > MESSAGE_BYTES_MAX {
        return Err(too_large("encoded", len));
    }
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + len);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(len).map_err(|_| too_large("encoded", len))?);
    request.encode(&mut bytes).map_err(|error| Status::internal(error.to_string()))?;
    Ok(bytes.freeze())
}

/// Returns the status of a message over the limit, with tonic's text.
fn too_large(which: &str, len: usize) -> Status {
    Status::out_of_range(format!(
        "Error, {which} message length too large: found {len} bytes, the limit is: {MESSAGE_BYTES_MAX} bytes"
    ))
}

/// The parser of messages. Between messages it holds no memory.
#[derive(Debug, Default)]
struct MessageParser {
    buffered: Bytes,
    partial: BytesMut,
}

impl MessageParser {
    fn push(&mut self, data: Bytes) {
        if self.buffered.is_empty() && self.partial.is_empty() {
            self.buffered = data;
            return;
        }
        if self.partial.is_empty() {
            self.partial.extend_from_slice(&std::mem::take(&mut self.buffered));
        }
        self.partial.extend_from_slice(&data);
    }

    /// Returns the next message, if all of it has arrived.
    fn next(&mut self) -> Result<Option<v1::OrderStreamResponse>, Status> {
        if !self.partial.is_empty() {
            if complete_len(&self.partial)?.is_none() {
                return Ok(None);
            }
            self.buffered = std::mem::take(&mut self.partial).freeze();
        }
        let Some(len) = complete_len(&self.buffered)? else { return Ok(None) };
        self.buffered.advance(PREFIX_BYTES);
        let message = v1::OrderStreamResponse::decode(self.buffered.split_to(len));
        if self.buffered.is_empty() {
            // Even an empty slice would hold the connection's buffer.
            self.buffered = Bytes::new();
        }
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Returns the length of the first message, if all of it has arrived.
fn complete_len(bytes: &[u8]) -> Result<Option<usize>, Status> {
    let Some((head, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let [compressed, len @ ..] = *head;
    if compressed != 0 {
        return Err(Status::internal("a message is compressed, which was not offered"));
    }
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    if len > MESSAGE_BYTES_MAX {
        return Err(too_large("decoded", len));
    }
    Ok((rest.len() >= len).then_some(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(seq: u64, text: &str) -> v1::OrderStreamResponse {
        v1::OrderStreamResponse { order_req_id: text.to_owned(), seq, ..Default::default() }
    }

    fn framed(message: &v1::OrderStreamResponse) -> Vec<u8> {
        let body = message.encode_to_vec();
        let len = u32::try_from(body.len()).unwrap();
        [&[0], len.to_be_bytes().as_slice(), &body].concat()
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<v1::OrderStreamResponse>, Status> {
        let (mut messages, mut all) = (MessageParser::default(), Vec::new());
        for piece in pieces {
            messages.push(Bytes::copy_from_slice(piece));
            while let Some(message) = messages.next()? {
                all.push(message);
            }
        }
        Ok(all)
    }

    proptest! {
        #[test]
        fn messages_survive_any_chunking(
            texts in proptest::collection::vec("[a-z]{0,300}", 0..12),
            cuts in proptest::collection::vec(1..200_usize, 1..40),
        ) {
            let sent: Vec<_> = texts.iter().zip(1..).map(|(text, seq)| message(seq, text)).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(framed).collect();
            let (mut rest, mut pieces) = (bytes.as_slice(), Vec::new());
            for cut in cuts.iter().cycle() {
                let (piece, left) = rest.split_at(rest.len().min(*cut));
                pieces.push(piece);
                rest = left;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read(&pieces).unwrap(), sent);
        }

        #[test]
        fn no_bytes_cause_a_panic(pieces in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 0..10,
        )) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            drop(read(&pieces));
        }
    }

    #[test]
    fn nothing_is_held_between_messages() {
        let mut messages = MessageParser::default();
        let frame = framed(&message(1, "SB1"));
        for (piece, rest) in [frame.split_at(3), frame.split_at(frame.len())] {
            messages.push(Bytes::copy_from_slice(piece));
            messages.push(Bytes::copy_from_slice(rest));
            assert_eq!(messages.next().unwrap(), Some(message(1, "SB1")));
            assert_eq!(messages.next().unwrap(), None);
            assert_eq!((messages.buffered.len(), messages.partial.capacity()), (0, 0));
        }
    }

    /// The parser does not wait for the rest of a message that is too large or compressed.
    #[test]
    fn bad_prefixes_are_refused_at_once() {
        let too_large = u32::try_from(MESSAGE_BYTES_MAX + 1).unwrap().to_be_bytes();
        let status = read(&[&[0], &too_large]).unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange);
        let status = read(&[&[1, 0, 0, 0, 9]]).unwrap_err();
        assert_eq!(status.code(), Code::Internal);
    }

    #[test]
    fn plain_http_responses_become_statuses() {
        for (status, code) in [
            (StatusCode::NOT_FOUND, Code::Unimplemented),
            (StatusCode::BAD_GATEWAY, Code::Unavailable),
            (StatusCode::IM_A_TEAPOT, Code::Unknown),
        ] {
            assert_eq!(not_grpc(status).code(), code);
        }
    }
}
