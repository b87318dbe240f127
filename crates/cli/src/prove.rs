//! `orderstream prove`: runs one whole order on a cluster, from apply to award, and leaves nothing
//! behind. `helm test` runs it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use orderstream_api::controller_name::{self, CONTROLLER_NAME};
use orderstream_core::RequestPhase;
use serde_json::{Value, json};

use crate::cluster::resources::{ApiServerError as Refused, Conflicts, ResourceKind, Resources};
use crate::exit::CliError;
use crate::output;
use crate::verbs::flags;
use crate::verbs::plain::PlainServer;

/// The interval between two reads of the resource.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The proposed price, EUR.
const PRICE: &str = "1249.50";

/// `orderstream prove`
#[derive(Debug, clap::Args)]
pub struct ProveArgs {
    /// The sellers' REST, such as `http://orderstream-processor:8005`
    #[arg(long, value_name = "URL")]
    sellers_rest: String,
    /// The namespace of the order; that of the context when absent
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
    /// The name of the controller that is to take the order
    #[arg(long, default_value = CONTROLLER_NAME, value_name = "NAME")]
    controller_name: String,
    /// The time limit of each step
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    timeout: String,
    /// The kubeconfig; without it the one that kubectl would use, else the pod's own access
    #[arg(long, env = "ORDERSTREAM_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl ProveArgs {
    /// Runs the order and reports each step.
    ///
    /// # Errors
    /// When a setting is wrong, or a step fails.
    pub async fn run(self) -> Result<(), CliError> {
        let timeout = flags::duration("--timeout", &self.timeout)?;
        let sellers = PlainServer::new("--sellers-rest", &self.sellers_rest)?;
        let resources = Resources::connect(self.kubeconfig.as_deref(), None)
            .await
            .map_err(|error| CliError::input(error.to_string()))?;
        let namespace = self.namespace.unwrap_or_else(|| resources.namespace().to_owned());
        let name = format!("prove-{:08x}", fastrand::u32(..));
        let controller_name = self.controller_name;
        let proof = Proof { resources, sellers, namespace, name, controller_name, timeout };
        let result = proof.run_order().await;
        let cleaned = proof.clean_up().await;
        result.and(cleaned)
    }
}

struct Proof {
    resources: Resources,
    sellers: PlainServer,
    namespace: String,
    name: String,
    controller_name: String,
    timeout: Duration,
}

impl Proof {
    async fn run_order(&self) -> Result<(), CliError> {
        let (name, namespace) = (&self.name, &self.namespace);
        let began = Instant::now();
        self.apply(&Value::Null).await?;
        self.wait_until("streams", |status| status["tracker"]["streamActive"] == true).await?;
        print_step("order", &format!("{namespace}/{name} streams"), began);

        let began = Instant::now();
        let proposal = json!({
            "tenant": namespace, "order_req_id": name, "proposal_id": "proof",
            "seller": "prover", "price": PRICE, "currency": "EUR",
        });
        let accepted = self.sellers.post("/api/v1/proposals", &proposal).await?;
        print_step("proposal", &format!("accepted as event {}", accepted["seq"]), began);

        let began = Instant::now();
        self.wait_until("shows the proposal", |status| {
            status["proposals"]["best"]["proposalId"] == "proof"
        })
        .await?;
        print_step("status", &format!("shows {PRICE} EUR as the best"), began);

        let began = Instant::now();
        self.apply(&json!({"proposalId": "proof"})).await?;
        self.wait_until("is Finalised", |status| {
            status["phase"] == RequestPhase::Finalised.as_str()
        })
        .await?;
        print_step("award", "the order is finalised", began);
        Ok(())
    }

    async fn apply(&self, award: &Value) -> Result<(), CliError> {
        let mut spec = json!({
            "title": "A proof that orders work", "expiresIn": "10m", "ttlAfterFinished": "1m",
            "sellers": {"openToAll": true},
        });
        if let Some(name) = controller_name::in_spec(&self.controller_name) {
            spec["controllerName"] = name.into();
        }
        if !award.is_null() {
            spec["award"] = award.clone();
        }
        let document = json!({
            "apiVersion": "orderstream.dev/v1alpha1", "kind": "OrderRequest",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        });
        let object = (ResourceKind::OrderRequest, self.namespace.as_str(), self.name.as_str());
        let applied = self.resources.apply(object, &document, Conflicts::Refuse).await;
        applied.map(drop).map_err(failure)
    }

    async fn wait_until(
        &self,
        what: &str,
        is_met: impl Fn(&Value) -> bool,
    ) -> Result<(), CliError> {
        let began = Instant::now();
        loop {
            let resource =
                self.resources.get(ResourceKind::OrderRequest, &self.namespace, &self.name).await;
            let status = resource.map_err(failure)?["status"].take();
            if is_met(&status) {
                return Ok(());
            }
            if began.elapsed() > self.timeout {
                let (name, seconds) = (&self.name, self.timeout.as_secs());
                return Err(CliError::checks(format!(
                    "{name} is not so after {seconds} s: {what}; its status is {status}"
                )));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn clean_up(&self) -> Result<(), CliError> {
        let began = Instant::now();
        self.resources
            .delete(ResourceKind::OrderRequest, &self.namespace, &self.name)
            .await
            .map_err(failure)?;
        print_step("clean up", "the order is deleted", began);
        Ok(())
    }
}

fn print_step(step: &str, what: &str, began: Instant) {
    output::line(&format!("ok  {step:<9} {what} ({:.1} s)", began.elapsed().as_secs_f32()));
}

fn failure(error: Refused) -> CliError {
    match error {
        Refused::Refused(refusal) => CliError::from_server(Some(refusal.reason), refusal.message),
        Refused::NotReached(why) => CliError::not_reached(why),
    }
}
