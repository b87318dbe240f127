//! Extractors of paths and queries whose refusals name the wrong parameter.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use orderstream_core::{Reason, Refusal};
use serde::de::DeserializeOwned;

use super::{ECHOED_CHARS_MAX, Problem};

/// The parameters of a path.
#[derive(Clone, Copy, Debug)]
pub struct CheckedPath<T>(pub T);

impl<T, S> FromRequestParts<S> for CheckedPath<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(refusal_of_path(&rejection).into()),
        }
    }
}

fn refusal_of_path(rejection: &PathRejection) -> Refusal {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Refusal::new(Reason::Internal, "a fault of the server: the path has no parameters");
    };
    let kind = failed.kind();
    if let ErrorKind::InvalidUtf8InPathParam { key } = kind {
        return Refusal::field(key, "is not UTF-8; percent-encode its UTF-8 bytes");
    }
    if let ErrorKind::ParseErrorAtKey { key, expected_type, .. } = kind {
        return Refusal::field(key, format!("cannot be read; give a {expected_type}"));
    }
    Refusal::new(Reason::InvalidRequest, format!("the path cannot be read: {kind}"))
}

/// The parameters of a query. If the type denies unknown fields, they are refused by name; all
/// fields should have a default, so that each can be checked alone.
#[derive(Clone, Copy, Debug)]
pub struct CheckedQuery<T>(pub T);

impl<T, S> FromRequestParts<S> for CheckedQuery<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        match parse::<T>(query) {
            Ok(value) => Ok(Self(value)),
            Err(message) => Err(refusal_of_query::<T>(query, &message).into()),
        }
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, String> {
    let uri = Uri::builder().path_and_query(format!("/?{query}")).build();
    let uri = uri.map_err(|error| error.to_string())?;
    match Query::<T>::try_from_uri(&uri) {
        Ok(Query(value)) => Ok(value),
        Err(rejection) => {
            let text = rejection.body_text();
            // "Failed to deserialize query string: name: why"
            Err(text.split_once(": ").map_or_else(|| text.clone(), |(_, why)| why.to_owned()))
        }
    }
}

/// Returns a refusal that names the parameter that cannot be parsed on its own, or that occurs
/// twice.
fn refusal_of_query<T: DeserializeOwned>(query: &str, message: &str) -> Refusal {
    let mut names = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let name = name_of(part);
        if let Err(cause) = parse::<T>(part) {
            let cause = cause.strip_prefix(&format!("{name}: ")).unwrap_or(&cause).to_owned();
            return Refusal::field(name, cause);
        }
        if names.contains(&name) {
            return Refusal::field(name, "is given twice; give it once");
        }
        names.push(name);
    }
    Refusal::new(Reason::InvalidRequest, format!("the query cannot be read: {message}"))
}

fn name_of(part: &str) -> String {
    let name = part.split_once('=').map_or(part, |(name, _)| name);
    name.chars().take(ECHOED_CHARS_MAX).collect()
}

/// Refuses any query: silently ignoring its parameters would mislead the caller.
///
/// # Errors
/// When there is a query; the refusal names its first parameter.
pub fn no_query(uri: &Uri) -> Result<(), Refusal> {
    match uri.query().and_then(|query| query.split('&').find(|part| !part.is_empty())) {
        None => Ok(()),
        Some(part) => {
            let message = "is not known; this path takes no query parameter, leave it out";
            Err(Refusal::field(name_of(part), message))
        }
    }
}
