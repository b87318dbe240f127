//! Golden files: what lies on disks, line by line, as it is written. Each line is checked to be what is
//! written today and to be read as what was meant. A line that is there is never changed, because
//! somebody's disk holds it; a variant or a field that is new gets lines of its own.
//!
//! `ORDERSTREAM_GOLDEN=write cargo test -p orderstream-core golden` writes the files anew.

mod acts;
mod events;
pub(crate) mod file;
mod ids;
mod shown;
mod values;
mod words;
