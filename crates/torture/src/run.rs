//! One run: processes, clients, readers and faults as planned; then all faults end, every order is
//! ended, and everything is read a last time over every interface.

mod client;
mod faults;
mod finish;

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::client::{Attempts, ClientDispatcher};
pub use self::finish::finish;
use crate::command::{ClientCommand, ClientInterface, OpeningParameters};
use crate::fleet::{ProcessFleet, ProductAddresses};
use crate::history::{HistoryLine, HistoryRecorder, PageLookup};
use crate::plan::{TorturePlan, TrackerPlan};
use crate::read::poll::{PolledPage, poll_order_list, poll_page, read_page};
use crate::read::{Follower, TrackerClaim, follow_sse, observe, track};
use crate::send::{Sender, channel};

/// The timeout for processors to have every order, before any fault.
const OPENED_WITHIN: Duration = Duration::from_secs(20);
/// The interval at which conditions are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The epochs of the rig's own trackers.
const EPOCHS: [u64; 2] = [3, 7];

/// The timeout of one run, whatever hangs: six times what a run needs.
const RUN_TIMEOUT: Duration = Duration::from_secs(180);
/// The timeout for an aborted run to stop its processes.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// The results of a run.
#[derive(Debug)]
pub struct TortureRun {
    /// The run's history.
    pub lines: Vec<HistoryLine>,
    /// The folder with the processes' logs; removed when this is dropped.
    pub dir: tempfile::TempDir,
    /// The error that ended the run early, for example when a process does not start.
    pub failure: Option<String>,
}

/// The files and the recorder of one run.
#[derive(Clone, Debug)]
pub struct RunInputs {
    /// The binary.
    pub binary: PathBuf,
    /// The run's own folder.
    pub dir: PathBuf,
    /// The history of the run.
    pub recorder: HistoryRecorder,
}

/// Runs `body` in a temporary folder until it ends, panics or times out.
pub async fn run_bounded<F>(binary: PathBuf, body: impl FnOnce(RunInputs) -> F) -> TortureRun
where
    F: Future<Output = ()> + Send + 'static,
{
    let dir = tempfile::Builder::new().prefix("torture-").tempdir().unwrap();
    let recorder = HistoryRecorder::default();
    let inputs = RunInputs { binary, dir: dir.path().to_owned(), recorder: recorder.clone() };
    let mut task = JoinSet::new();
    task.spawn(body(inputs));
    let failure = match tokio::time::timeout(RUN_TIMEOUT, task.join_next()).await {
        Ok(Some(Err(error))) => Some(format!("fell over: {error}")),
        Ok(_) => None,
        Err(_) => Some(format!("was not over after {} s", RUN_TIMEOUT.as_secs())),
    };
    // The run's processes end with the task.
    drop(tokio::time::timeout(SHUTDOWN_TIMEOUT, task.shutdown()).await);
    TortureRun { lines: recorder.lines(), dir, failure }
}

/// The shared parts of a run.
#[derive(Clone, Debug)]
pub struct RigContext {
    /// The history of the run.
    pub recorder: HistoryRecorder,
    /// The addresses of the product.
    pub addresses: ProductAddresses,
    /// The sender of commands.
    pub sender: Sender,
}

impl RigContext {
    /// Creates the context for a fleet's clients.
    pub fn new(fleet: &ProcessFleet, recorder: HistoryRecorder) -> Self {
        let addresses = fleet.addresses().clone();
        let sender = Sender::new(&addresses);
        Self { recorder, addresses, sender }
    }
}

/// Runs a plan against the binary.
pub async fn run(plan: TorturePlan, RunInputs { binary, dir, recorder }: RunInputs) {
    let mut fleet = ProcessFleet::start(&binary, plan.topology, &dir, &crate::plan::SELLERS).await;
    let context = RigContext::new(&fleet, recorder);
    let dispatcher = ClientDispatcher::new(&context, &plan);
    let mut readers = JoinSet::new();
    open(&plan, &context, &dispatcher, &mut readers).await;
    start_readers(&plan, &context, &mut readers);

    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in &plan.clients {
        clients.spawn(client::run_client(dispatcher.clone(), client.clone(), began));
    }
    faults::inject_all(&plan.faults, &mut fleet, &context.recorder).await;
    while clients.join_next().await.is_some() {}
    finish(&plan, &mut fleet, &dispatcher, readers).await;
}

/// Opens all orders, and waits until processors have them.
async fn open(
    plan: &TorturePlan,
    context: &RigContext,
    dispatcher: &ClientDispatcher,
    readers: &mut JoinSet<()>,
) {
    for (index, order) in plan.orders.iter().enumerate() {
        match order.tracker {
            TrackerPlan::Requestor => {
                let command = ClientCommand::Open(order.opening.clone());
                dispatcher
                    .send_as_buyer(index, &command, ClientInterface::Requestor, "opener")
                    .await;
            }
            TrackerPlan::Trackers { takeover_ms } => {
                let moments = [Duration::ZERO, Duration::from_millis(takeover_ms)];
                for (epoch, after) in EPOCHS.into_iter().zip(moments) {
                    let claim = TrackerClaim { epoch, opening: order.opening.clone() };
                    let name = format!("tracker-{epoch}-{}", order.id);
                    let follower = follower(context, name, &order.id);
                    let address = context.addresses.grpc[order.home];
                    readers.spawn(async move {
                        tokio::time::sleep(after).await;
                        track(channel(address), follower, claim).await;
                    });
                }
            }
        }
    }
    for order in &plan.orders {
        await_opening(context, &order.id).await;
    }
}

/// Waits until the order can be read at every processor: peers need a moment to discover each
/// other. If it never can be read, the checker finds that.
pub async fn await_opening(context: &RigContext, order: &str) {
    let polled = async {
        for address in &context.addresses.rest {
            loop {
                let reading =
                    read_page(*address, PolledPage::Order, order, &context.recorder).await;
                if reading.is_some_and(|view| matches!(view.result, PageLookup::Order(_))) {
                    break;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    };
    drop(tokio::time::timeout(OPENED_WITHIN, polled).await);
    if let Some(address) = context.addresses.rest.first()
        && let Some(reading) =
            read_page(*address, PolledPage::Order, order, &context.recorder).await
    {
        context.recorder.write(HistoryLine::Page(reading));
    }
}

fn follower(context: &RigContext, name: String, order: &str) -> Follower {
    Follower { name, order: order.to_owned(), recorder: context.recorder.clone() }
}

/// Starts readers of every order over every interface.
fn start_readers(plan: &TorturePlan, context: &RigContext, readers: &mut JoinSet<()>) {
    for (index, order) in plan.orders.iter().enumerate() {
        let at = index % plan.topology.processors();
        let (grpc, rest) = (context.addresses.grpc[at], context.addresses.rest[at]);
        let named = |way: &str| follower(context, format!("{way}-{}", order.id), &order.id);
        readers.spawn(observe(channel(grpc), named("observer")));
        readers.spawn(follow_sse(rest, named("sse")));
        readers.spawn(poll_page(
            rest,
            PolledPage::Order,
            order.id.clone(),
            context.recorder.clone(),
        ));
        if order.tracker == TrackerPlan::Requestor {
            let requestor = context.addresses.requestor;
            let recorder = context.recorder.clone();
            readers.spawn(poll_page(requestor, PolledPage::Tracking, order.id.clone(), recorder));
        }
    }
    readers.spawn(poll_order_list(context.addresses.requestor, context.recorder.clone()));
}

/// Returns the path of this build's binary: next to the running program, or one folder up.
pub fn binary_beside() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().skip(1).take(2).map(|dir| dir.join("orderstream")).find(|it| it.exists())
}

/// Returns the specification of an order with a long lifetime, for these sellers.
pub fn long_opening(sellers: &[&str]) -> OpeningParameters {
    OpeningParameters {
        expires_in_ms: crate::plan::LONG_LIFETIME_MS,
        sellers: sellers.iter().map(ToString::to_string).collect(),
        ..OpeningParameters::default()
    }
}
