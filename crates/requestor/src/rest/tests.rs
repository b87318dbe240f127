//! Tests of the REST.
