//! What a processor says of orders elsewhere, before it knows where elsewhere is.

use orderstream_rpc::observe::Side;
use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn no_order_is_unknown_before_the_others_were_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("peers");
    std::fs::write(&file, "").unwrap();
    let alone = PeersConfig::alone("http://127.0.0.1:1".to_owned());
    let registry = prometheus::Registry::new();
    let peers = Peers::new(
        PeersConfig { file: Some(file), ..alone },
        RpcMetrics::new(&registry, Side::Client).unwrap(),
        Metrics::new(&registry).unwrap(),
    );
    let key = OrderKey::new("", "SB1").unwrap();
    let early = peers.locate(&key).await.unwrap_err();
    assert_eq!(early.reason, Reason::Unreachable, "{early}");

    let mut tasks = JoinSet::new();
    tasks.spawn(peers.clone().run(CancellationToken::new()));
    peers.greeted().await;
    assert!(peers.locate(&key).await.unwrap().is_none(), "nobody else is listed");
}
