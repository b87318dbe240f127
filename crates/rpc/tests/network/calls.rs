//! Tests of our client and our server over sockets.

use futures_util::stream;
use orderstream_core::refusal::Reason;
use orderstream_rpc::server::ServerLimits;
use orderstream_rpc::status::refusal_from_status;
use orderstream_rpc::v1;
use tokio::time::timeout;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::stub::{Case, paced};
use crate::{GrpcServer, STUCK, sum};

/// Reads a stream to its end; returns the number of messages and the code.
async fn drain<T>(mut messages: tonic::Streaming<T>) -> (usize, Code) {
    let mut count = 0;
    loop {
        match messages.message().await {
            Ok(Some(_)) => count += 1,
            Ok(None) => return (count, Code::Ok),
            Err(status) => return (count, status.code()),
        }
    }
}

#[tokio::test]
async fn both_sides_count_all_kinds() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    let (client, client_registry) = served.client(3);
    client.control().pause(v1::PauseRequest::default()).await.unwrap();
    let proposals = || paced(stream::iter(vec![v1::ProposalSubmission::default(); 3]));
    let summary = client.non_streaming().submit_proposals(proposals()).await.unwrap();
    assert_eq!(summary.into_inner().accepted, 3);
    let request = v1::OrderStreamRequest::default();
    let events = client.streaming().process_order_stream(request).await.unwrap();
    assert_eq!(drain(events.into_inner()).await, (3, Code::Ok));
    let messages = paced(stream::iter(vec![v1::SellerMessage::default(); 3]));
    let events = client.streaming().seller_session(messages).await.unwrap();
    assert_eq!(drain(events.into_inner()).await, (3, Code::Ok));
    drop(client);
    served.stop().await;
    for (method, up, down) in [
        ("Pause", 1, 1),
        ("SubmitProposals", 3, 1),
        ("ProcessOrderStream", 1, 3),
        ("SellerSession", 3, 3),
    ] {
        for (registry, side, received, sent) in
            [(&served.registry, "server", up, down), (&client_registry, "client", down, up)]
        {
            let sum =
                |name: &str, labels: &[&str]| sum(registry, &format!("grpc_{side}_{name}"), labels);
            assert_eq!(sum("handled_total", &[method, "OK"]), 1, "{side} {method}");
            assert_eq!(sum("msg_received_total", &[method]), received, "{side} {method}");
            assert_eq!(sum("msg_sent_total", &[method]), sent, "{side} {method}");
            assert_eq!(sum("in_flight", &[]), 0, "{side} {method}");
        }
    }
}

/// This happens when the client disconnects.
#[tokio::test]
async fn both_sides_count_a_cancellation() {
    let mut served = GrpcServer::start(Case::ClientCancels, ServerLimits::default()).await;
    let (client, client_registry) = served.client(1);
    let request = v1::OrderStreamRequest::default();
    let mut events = client.streaming().process_order_stream(request).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().is_some());
    timeout(STUCK, served.waits.notified()).await.unwrap();
    drop((events, client));
    served.stop().await;
    for (registry, side) in [(&served.registry, "server"), (&client_registry, "client")] {
        let handled = format!("grpc_{side}_handled_total");
        assert_eq!(sum(registry, &handled, &["ProcessOrderStream", "Canceled"]), 1);
        assert_eq!(sum(registry, &handled, &[]), 1);
        assert_eq!(sum(registry, &format!("grpc_{side}_in_flight"), &[]), 0);
    }
}

#[tokio::test]
async fn a_deadline_holds_inside_a_stream() {
    let mut served = GrpcServer::start(Case::Deadline, ServerLimits::default()).await;
    let (client, _) = served.client(1);
    let mut request = Request::new(v1::OrderStreamRequest::default());
    request.set_timeout(std::time::Duration::from_millis(200));
    let events = client.streaming().process_order_stream(request).await.unwrap();
    let ended = timeout(STUCK, drain(events.into_inner())).await.unwrap();
    assert_eq!(ended, (1, Code::DeadlineExceeded));
    drop(client);
    served.stop().await;
    assert_eq!(sum(&served.registry, "grpc_server_in_flight", &[]), 0);
}

#[tokio::test]
async fn missing_servers_are_unavailable() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    let (client, registry) = served.client(1);
    served.stop().await;
    let status = client.control().pause(v1::PauseRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(sum(&registry, "grpc_client_handled_total", &["Pause", "Unavailable"]), 1);
}

#[tokio::test]
async fn faults_reach_clients_as_refusals() {
    let mut served = GrpcServer::start(Case::PanicBeforeFirst, ServerLimits::default()).await;
    let (client, _) = served.client(1);
    let status = client.control().pause(v1::PauseRequest::default()).await.unwrap_err();
    assert_eq!(refusal_from_status(&status).unwrap().reason, Reason::Internal);
    drop(client);
    served.stop().await;
}

#[tokio::test]
async fn health_and_both_reflections_answer() {
    let mut served = GrpcServer::start(Case::Ok, ServerLimits::default()).await;
    let (client, _) = served.client(1);
    let request = HealthCheckRequest::default();
    let health = HealthClient::new(client.channel()).check(request).await.unwrap().into_inner();
    assert_eq!(health.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    use tonic_reflection::pb::{v1 as new, v1alpha as old};
    let request = new::server_reflection_request::MessageRequest::ListServices(String::new());
    let request =
        new::ServerReflectionRequest { message_request: Some(request), ..Default::default() };
    let mut responses =
        new::server_reflection_client::ServerReflectionClient::new(client.channel())
            .server_reflection_info(stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
    let response = responses.message().await.unwrap().unwrap().message_response.unwrap();
    let new::server_reflection_response::MessageResponse::ListServicesResponse(list) = response
    else {
        panic!("no list")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in orderstream_rpc::server::SERVICE_NAMES {
        assert!(names.contains(&name), "{name} in {names:?}");
    }

    let symbol = "orderstream.v1.OrderStreamRequest".to_owned();
    let request = old::server_reflection_request::MessageRequest::FileContainingSymbol(symbol);
    let request =
        old::ServerReflectionRequest { message_request: Some(request), ..Default::default() };
    let mut responses =
        old::server_reflection_client::ServerReflectionClient::new(client.channel())
            .server_reflection_info(stream::iter([request]))
            .await
            .unwrap()
            .into_inner();
    let response = responses.message().await.unwrap().unwrap().message_response.unwrap();
    assert!(matches!(
        response,
        old::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
    ));
    drop((responses, client));
    served.stop().await;
}
