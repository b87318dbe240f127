//! What a user of the journal sees, in one binary.

mod basics;
mod support;
