//! Golden files: stored records, line by line, as they are on disks. Each line must equal what is
//! written today, and must parse to the intended value. An existing line is never changed, because
//! it is on somebody's disk; a new variant or field gets lines of its own.
//!
//! `ORDERSTREAM_GOLDEN=write cargo test -p orderstream-core golden` rewrites the files.

mod commands;
mod events;
pub(crate) mod file;
mod ids;
mod published_views;
mod spellings;
mod values;
