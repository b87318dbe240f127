//! Tests of NATS subjects with a real server: the program that `ORDERSTREAM_TEST_NATS` names.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use async_nats::Message;
use futures_util::StreamExt as _;
use orderstream_core::notification::{DeliveryError, Template};
use orderstream_core::spec::NotificationType;
use serde_json::Value;
use tokio::time::{Duration, timeout};

use crate::{channels, example, send};

/// The environment variable with the server's program.
const VARIABLE: &str = "ORDERSTREAM_TEST_NATS";
/// The timeout of every wait.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A server, which is killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts a server on this port, or on any free one for `-1`; `None` if the variable is not
    /// set.
    async fn start(dir: &Path, port: &str) -> Option<Self> {
        let Some(program) = std::env::var_os(VARIABLE) else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "set {VARIABLE}");
            println!("SKIPPED: set {VARIABLE} to a nats-server");
            return None;
        };
        let mut command = Command::new(program);
        command.args(["-a", "127.0.0.1", "-p", port, "--ports_file_dir"]).arg(dir);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let file = dir.join(format!("nats-server_{}.ports", child.id()));
        let ports = timeout(TIMEOUT, async {
            loop {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                if let Ok(ports) = serde_json::from_str::<Value>(&text) {
                    break ports;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let ports = ports.await.expect("it listens in time");
        let url = ports["nats"][0].as_str().unwrap().to_owned();
        Some(Self { child, url })
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn parse_message(message: &Message) -> (String, String, Value) {
    let id = message.headers.as_ref().unwrap().get("Nats-Msg-Id").unwrap().to_string();
    (message.subject.to_string(), id, serde_json::from_slice(&message.payload).unwrap())
}

#[tokio::test]
async fn topics_are_published_after_server_restart() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = Server::start(dir.path(), "-1").await else { return };
    let channels = channels("{}");
    let address = format!("{}/rfq", server.url);
    let notification = example(Template::Proposal, NotificationType::Webhook, address.as_str());
    let reader = async_nats::connect(&server.url).await.unwrap();
    let mut subscription = reader.subscribe("rfq.>").await.unwrap();
    reader.flush().await.unwrap();

    assert_eq!(send(&channels, &notification).await, Ok(()));
    let message = timeout(TIMEOUT, subscription.next()).await.unwrap().unwrap();
    let (subject, id, event) = parse_message(&message);
    assert_eq!(subject, format!("rfq.{}.{}", notification.topic.as_str(), notification.key.tenant));
    assert_eq!(
        (id.as_str(), &event["id"]),
        (notification.id.as_str(), &Value::from(notification.id.as_str()))
    );
    assert_eq!(event["specversion"], "1.0");

    let port = server.url.rsplit(':').next().unwrap().to_owned();
    server.kill();
    let refused = timeout(TIMEOUT, send(&channels, &notification)).await.expect("an attempt ends");
    assert!(matches!(refused, Err(DeliveryError::TryAgain { .. })), "{refused:?}");
    let _again = Server::start(dir.path(), &port).await.unwrap();
    let sent = timeout(TIMEOUT, async {
        while send(&channels, &notification).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    sent.await.expect("it is reached again");
    let redelivered = timeout(TIMEOUT, subscription.next()).await.unwrap().unwrap();
    assert_eq!(parse_message(&redelivered), (subject, id, event), "the same id");
}
