//! What a processor says of orders elsewhere, before it knows where elsewhere is.

use orderstream_rpc::observe::Side;
use tokio::task::JoinSet;

use super::*;

/// One that reads this list of processors.
fn listing(file: PathBuf) -> Peers {
    let alone = PeersConfig::alone("http://127.0.0.1:1".to_owned());
    let registry = prometheus::Registry::new();
    Peers::new(
        PeersConfig { file: Some(file), ..alone },
        RpcMetrics::new(&registry, Side::Client).unwrap(),
        Metrics::new(&registry).unwrap(),
    )
}

#[tokio::test(start_paused = true)]
async fn no_order_is_unknown_while_the_list_of_the_others_cannot_be_read() {
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
    tokio::time::sleep(ROUND * 2).await;
    assert!(peers.locate(&key).await.unwrap().is_none());
}

#[tokio::test]
async fn no_order_is_unknown_before_the_others_were_looked_for() {
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
