//! A response whose body is read as it arrives, from a server or through a cluster's API server.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;

use crate::cluster::service_proxy::ProxiedResponse;

/// The most bytes of a body that is read to its end: a page of ten thousand resources.
const WHOLE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A response, up to its body.
#[derive(Debug)]
pub(crate) struct ResponseStream {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body; a failure is in words.
    pub(crate) body: UnsyncBoxBody<Bytes, String>,
}

impl ResponseStream {
    /// Returns the next part of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing arrives for this long.
    pub(crate) async fn next_part(&mut self, silence: Duration) -> Result<Option<Bytes>, String> {
        tokio::time::timeout(silence, self.part())
            .await
            .unwrap_or_else(|_| Err(format!("nothing has arrived for {} s", silence.as_secs())))
    }

    async fn part(&mut self) -> Result<Option<Bytes>, String> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Reads the body to its end, or until `enough` accepts what was read.
    ///
    /// # Errors
    /// When the connection breaks, or the body is too large.
    pub(crate) async fn whole(
        mut self,
        enough: &(dyn Fn(&[u8]) -> bool + Sync),
    ) -> Result<ProxiedResponse, String> {
        let mut body = Vec::new();
        while let Some(part) = self.part().await? {
            body.extend_from_slice(&part);
            if enough(&body) {
                break;
            }
            if body.len() > WHOLE_BYTES_MAX {
                return Err("the answer is too large".to_owned());
            }
        }
        Ok(ProxiedResponse { status: self.status, headers: self.headers, body })
    }
}
