//! Tests of the processors' endpoints: their names, addresses and states.

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;

fn endpoint(hostname: Option<&str>, address: &str, ready: Option<bool>) -> Endpoint {
    Endpoint {
        hostname: hostname.map(ToOwned::to_owned),
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions { ready, ..EndpointConditions::default() }),
        ..Endpoint::default()
    }
}

fn port(name: &str, port: i32) -> EndpointPort {
    EndpointPort { name: Some(name.to_owned()), port: Some(port), ..EndpointPort::default() }
}

fn slice(name: &str, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ports: Some(vec![port("rest", 8005), port("grpc", 50051)]),
        endpoints,
        ..EndpointSlice::default()
    }
}

/// Endpoints without a pod's name are named by address; a list counts once it is complete.
#[test]
fn ready_endpoints_are_named_by_pod() {
    let mut slices = Slices::new("shop", "processor");
    slices.take(watcher::Event::Init);
    let endpoints = vec![
        endpoint(Some("processor-0"), "10.0.0.1", Some(true)),
        endpoint(Some("processor-1"), "10.0.0.2", Some(false)),
        endpoint(None, "10.0.0.3", None),
    ];
    slices.take(watcher::Event::InitApply(slice("s1", endpoints)));
    let ready = |slices: &Slices| -> Vec<String> {
        let processors = Processors::default();
        processors.set(slices.endpoints());
        processors.all()
    };
    assert!(ready(&slices).is_empty(), "a list counts when it is complete");
    assert!(slices.take(watcher::Event::InitDone));
    assert_eq!(
        ready(&slices),
        ["http://10.0.0.3:50051", "http://processor-0.processor.shop.svc:50051"]
    );
    slices.take(watcher::Event::Delete(slice("s1", Vec::new())));
    assert!(ready(&slices).is_empty());
}

/// A Service of both families has a slice for each.
#[test]
fn addresses_of_ipv6_get_brackets() {
    let mut slices = Slices::new("shop", "processor");
    slices.take(watcher::Event::Init);
    let of_ipv4 = vec![endpoint(Some("processor-0"), "10.0.0.1", Some(true))];
    slices.take(watcher::Event::InitApply(slice("s1", of_ipv4)));
    let of_ipv6 = vec![
        endpoint(Some("processor-0"), "fd00::1", Some(true)),
        endpoint(None, "fd00::5", Some(true)),
    ];
    slices.take(watcher::Event::InitApply(slice("s2", of_ipv6)));
    slices.take(watcher::Event::InitDone);
    let processors = Processors::default();
    processors.set(slices.endpoints());
    let expected = ["http://[fd00::5]:50051", "http://processor-0.processor.shop.svc:50051"];
    assert_eq!(processors.all(), expected);
    assert_eq!(processors.address(expected[0]), Some("[fd00::5]:50051".parse().unwrap()));
}

/// Of two pods of one name, the one that stays counts.
#[test]
fn unready_pods_have_current_addresses() {
    let mut leaving = endpoint(Some("processor-0"), "10.0.0.1", Some(true));
    leaving.conditions = Some(EndpointConditions {
        ready: Some(true),
        serving: Some(true),
        terminating: Some(true),
    });
    let mut starting = endpoint(Some("processor-0"), "10.0.0.2", Some(true));
    starting.conditions =
        Some(EndpointConditions { ready: Some(true), serving: Some(false), terminating: None });
    for endpoints in [vec![leaving.clone(), starting.clone()], vec![starting, leaving]] {
        let mut slices = Slices::new("shop", "processor");
        slices.take(watcher::Event::Apply(slice("s1", endpoints)));
        let processors = Processors::default();
        processors.set(slices.endpoints());
        assert!(processors.all().is_empty(), "neither takes orders");
        let url = "http://processor-0.processor.shop.svc:50051";
        assert_eq!(processors.address(url), Some("10.0.0.2:50051".parse().unwrap()));
        assert_eq!(processors.address("http://processor-1.processor.shop.svc:50051"), None);
    }
}
