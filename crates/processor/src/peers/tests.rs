//! Replies of a processor about orders that it does not hold, before it knows its peers.

use orderstream_rpc::observe::RpcSide;
use tokio::task::JoinSet;

use super::*;

/// Makes the peers of a processor that reads this list.
fn listing(file: PathBuf) -> Peers {
    let alone = PeersConfig::alone("http://127.0.0.1:1".to_owned());
    let registry = prometheus::Registry::new();
    Peers::new(
        PeersConfig { file: Some(file), ..alone },
        RpcMetrics::new(&registry, RpcSide::Client).unwrap(),
        Metrics::new(&registry).unwrap(),
    )
}

/// They are not reported as unknown; the processor's own orders are served.
#[tokio::test(start_paused = true)]
async fn orders_are_unreachable_without_peer_list() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("peers");
    let peers = listing(file.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(peers.clone().run(CancellationToken::new()));
    // Its own orders are served all the same.
    peers.greeted().await;
    let key = OrderKey::new("", "SB1").unwrap();
    assert_eq!(peers.locate(&key).await.unwrap_err().reason, Reason::Unreachable);
    std::fs::write(&file, "").unwrap();
    tokio::time::sleep(GREETING_INTERVAL * 2).await;
    assert!(peers.locate(&key).await.unwrap().is_none());
}

/// An operator compares it with the processors that are scraped.
#[tokio::test]
async fn listed_processors_are_a_metric() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("peers");
    std::fs::write(&file, "http://127.0.0.1:1\nhttp://127.0.0.1:2\n").unwrap();
    let registry = prometheus::Registry::new();
    let alone = PeersConfig::alone("http://127.0.0.1:1".to_owned());
    let peers = Peers::new(
        PeersConfig { file: Some(file.clone()), ..alone },
        RpcMetrics::new(&registry, RpcSide::Client).unwrap(),
        Metrics::new(&registry).unwrap(),
    );
    peers.read_list(&file).await.unwrap();
    let page = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(page.contains("orderstream_processor_listed 2\n"), "{page}");
}

/// They are not reported as unknown.
#[tokio::test]
async fn orders_are_unreachable_before_first_greetings() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("peers");
    std::fs::write(&file, "").unwrap();
    let peers = listing(file);
    let key = OrderKey::new("", "SB1").unwrap();
    let early = peers.locate(&key).await.unwrap_err();
    assert_eq!(early.reason, Reason::Unreachable, "{early}");

    let mut tasks = JoinSet::new();
    tasks.spawn(peers.clone().run(CancellationToken::new()));
    peers.greeted().await;
    assert!(peers.locate(&key).await.unwrap().is_none(), "nobody else is listed");
}
