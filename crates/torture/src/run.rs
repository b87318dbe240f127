//! One run: processes, clients, readers and faults as planned; then all faults end, every order is
//! ended, and everything is read once more over every interface.

mod client;
mod faults;
mod finish;

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::client::{Attempts, Desk};
pub use self::finish::finish;
use crate::history::{Found, Line, Recorder};
use crate::op::{Op, Opening, Over};
use crate::plan::{Owner, Plan};
use crate::read::poll::{Page, look, watch, watch_roll};
use crate::read::{Claim, Follower, follow_sse, observe, track};
use crate::send::{Sender, channel};
use crate::world::{Addresses, World};

/// The time in which processors have to have every order, before any fault.
const OPENED_WITHIN: Duration = Duration::from_secs(20);
/// The pause between two polls of a condition.
const PAUSE: Duration = Duration::from_millis(50);
/// The epochs of the rig's own trackers.
const EPOCHS: [u64; 2] = [3, 7];

/// The limit of one run, whatever hangs: six times what one needs.
const OVER_WITHIN: Duration = Duration::from_secs(180);
/// The time in which a run that is given up has to stop its processes.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);

/// The results of a run.
#[derive(Debug)]
pub struct Ran {
    /// Its history.
    pub lines: Vec<Line>,
    /// The folder with the processes' logs; removed when this is dropped.
    pub dir: tempfile::TempDir,
    /// The error that ended the run early, as when a process does not start.
    pub broken: Option<String>,
}

/// The files and the recorder of one run.
#[derive(Clone, Debug)]
pub struct Place {
    /// The binary.
    pub binary: PathBuf,
    /// A folder of its own.
    pub dir: PathBuf,
    /// The history of the run.
    pub recorder: Recorder,
}

/// Runs something in a folder of its own, to its end or until it panics or hangs.
pub async fn bounded<F>(binary: PathBuf, play: impl FnOnce(Place) -> F) -> Ran
where
    F: Future<Output = ()> + Send + 'static,
{
    let dir = tempfile::Builder::new().prefix("torture-").tempdir().unwrap();
    let recorder = Recorder::default();
    let place = Place { binary, dir: dir.path().to_owned(), recorder: recorder.clone() };
    let mut task = JoinSet::new();
    task.spawn(play(place));
    let broken = match tokio::time::timeout(OVER_WITHIN, task.join_next()).await {
        Ok(Some(Err(error))) => Some(format!("fell over: {error}")),
        Ok(_) => None,
        Err(_) => Some(format!("was not over after {} s", OVER_WITHIN.as_secs())),
    };
    // Its processes end with it.
    drop(tokio::time::timeout(LET_GO_WITHIN, task.shutdown()).await);
    Ran { lines: recorder.lines(), dir, broken }
}

/// The shared parts of a run.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The history of the run.
    pub recorder: Recorder,
    /// The addresses of the product.
    pub addresses: Addresses,
    /// The sender of commands.
    pub sender: Sender,
}

impl Stage {
    /// Returns a stage for the clients of this world.
    pub fn new(world: &World, recorder: Recorder) -> Self {
        let addresses = world.addresses().clone();
        let sender = Sender::new(&addresses);
        Self { recorder, addresses, sender }
    }
}

/// Runs a plan against the binary.
pub async fn run(plan: Plan, Place { binary, dir, recorder }: Place) {
    let mut world = World::start(&binary, plan.shape, &dir, &crate::plan::SELLERS).await;
    let stage = Stage::new(&world, recorder);
    let desk = Desk::new(&stage, &plan);
    let mut readers = JoinSet::new();
    open(&plan, &stage, &desk, &mut readers).await;
    read(&plan, &stage, &mut readers);

    let began = Instant::now();
    let mut clients = JoinSet::new();
    for client in &plan.clients {
        clients.spawn(client::act(desk.clone(), client.clone(), began));
    }
    faults::play(&plan.faults, &mut world, &stage.recorder).await;
    while clients.join_next().await.is_some() {}
    finish(&plan, &mut world, &desk, readers).await;
}

/// Opens all orders, and waits until processors have them.
async fn open(plan: &Plan, stage: &Stage, desk: &Desk, readers: &mut JoinSet<()>) {
    for (place, order) in plan.orders.iter().enumerate() {
        match order.owner {
            Owner::Requestor => {
                let op = Op::Open(order.opening.clone());
                desk.attempt(place, &op, Over::Requestor, "opener").await;
            }
            Owner::Trackers { takeover_ms } => {
                let moments = [Duration::ZERO, Duration::from_millis(takeover_ms)];
                for (epoch, after) in EPOCHS.into_iter().zip(moments) {
                    let claim = Claim { epoch, opening: order.opening.clone() };
                    let name = format!("tracker-{epoch}-{}", order.id);
                    let follower = follower(stage, name, &order.id);
                    let address = stage.addresses.grpc[order.home];
                    readers.spawn(async move {
                        tokio::time::sleep(after).await;
                        track(channel(address), follower, claim).await;
                    });
                }
            }
        }
    }
    for order in &plan.orders {
        await_opening(stage, &order.id).await;
    }
}

/// Waits until the order can be read at every processor: peers need a moment to find each other. If
/// it never can, the judge finds that.
pub async fn await_opening(stage: &Stage, order: &str) {
    let looked = async {
        for address in &stage.addresses.rest {
            loop {
                let view = look(*address, Page::Order, order, &stage.recorder).await;
                if view.is_some_and(|view| matches!(view.found, Found::Order(_))) {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    drop(tokio::time::timeout(OPENED_WITHIN, looked).await);
    if let Some(address) = stage.addresses.rest.first()
        && let Some(view) = look(*address, Page::Order, order, &stage.recorder).await
    {
        stage.recorder.write(Line::View(view));
    }
}

fn follower(stage: &Stage, name: String, order: &str) -> Follower {
    Follower { name, order: order.to_owned(), recorder: stage.recorder.clone() }
}

/// Starts readers of every order over every interface.
fn read(plan: &Plan, stage: &Stage, readers: &mut JoinSet<()>) {
    for (place, order) in plan.orders.iter().enumerate() {
        let at = place % plan.shape.processors();
        let (grpc, rest) = (stage.addresses.grpc[at], stage.addresses.rest[at]);
        let named = |way: &str| follower(stage, format!("{way}-{}", order.id), &order.id);
        readers.spawn(observe(channel(grpc), named("observer")));
        readers.spawn(follow_sse(rest, named("sse")));
        readers.spawn(watch(rest, Page::Order, order.id.clone(), stage.recorder.clone()));
        if order.owner == Owner::Requestor {
            let requestor = stage.addresses.requestor;
            let recorder = stage.recorder.clone();
            readers.spawn(watch(requestor, Page::Tracking, order.id.clone(), recorder));
        }
    }
    readers.spawn(watch_roll(stage.addresses.requestor, stage.recorder.clone()));
}

/// Returns the path of this build's binary: beside the running program, or one folder up.
pub fn binary_beside() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program.ancestors().skip(1).take(2).map(|dir| dir.join("orderstream")).find(|it| it.exists())
}

/// Returns the specification of an order with a long lifetime, for these sellers.
pub fn long_opening(sellers: &[&str]) -> Opening {
    Opening {
        expires_in_ms: crate::plan::LONG_LIFE_MS,
        sellers: sellers.iter().map(ToString::to_string).collect(),
        ..Opening::default()
    }
}
