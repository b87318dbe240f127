//! Checks that the checked-in code is generated from the current proto files.

use std::fs;
use std::path::Path;

use orderstream_rpc::method::{METHODS, RpcKind, UNKNOWN, method_of};
use prost_reflect::DescriptorPool;

#[path = "../examples/codegen/generate.rs"]
mod generate;

#[test]
fn generated_code_is_fresh() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().unwrap();
    generate::generate(&here.join("../../proto"), out.path()).unwrap();
    for file in generate::FILES {
        let fresh = fs::read(out.path().join(file)).unwrap();
        let stored = fs::read(here.join("src/gen").join(file)).unwrap();
        assert!(fresh == stored, "{file} is stale: cargo run -p orderstream-rpc --example codegen");
    }
}

#[test]
fn method_table_equals_the_descriptors() {
    let mut pool = DescriptorPool::decode(orderstream_rpc::FILE_DESCRIPTOR_SET).unwrap();
    for foreign in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        pool.decode_file_descriptor_set(foreign).unwrap();
    }
    let mut count = 0;
    for service in pool.services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            let found = method_of(&path);
            let kind = match (method.is_client_streaming(), method.is_server_streaming()) {
                (false, false) => RpcKind::Unary,
                (false, true) => RpcKind::ServerStream,
                (true, false) => RpcKind::ClientStream,
                (true, true) => RpcKind::BidiStream,
            };
            assert_eq!((found.path, found.kind), (path.as_str(), kind));
            assert_eq!((found.service, found.method), (service.full_name(), method.name()));
            count += 1;
        }
    }
    assert_eq!(count, METHODS.len());
    assert!(METHODS.iter().enumerate().all(|(place, method)| method.index == place));
}

#[test]
fn unserved_paths_are_unknown() {
    for path in ["/", "", "/orderstream.v1.OrderControlService/Pausee", "/a/b/c"] {
        assert_eq!(method_of(path), &UNKNOWN);
    }
}
