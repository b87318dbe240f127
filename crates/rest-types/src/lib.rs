//! The documents of the REST interfaces: one type each, for the service that sends it, the OpenAPI
//! document that describes it, and the programs that read it.
//!
//! A field that an older server leaves out has its default for a reader. A server always sends it,
//! which is why the OpenAPI document requires it all the same. Where a field refers to another type,
//! the fields and not the type have `#[serde(default)]`, or the document would name a default.

pub mod command;
pub mod comparison;
pub mod conversation;
pub mod notification;
pub mod order;
pub mod proposal;
pub mod tracking;
