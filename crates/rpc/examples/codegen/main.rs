//! Writes the checked-in code of `src/gen` from the proto files:
//! `cargo run -p orderstream-rpc --example codegen`.

mod generate;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    generate::generate(&here.join("../../proto"), &here.join("src/gen"))
}
