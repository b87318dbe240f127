//! Short directed scenarios: each has one kind of fault, runs against real processes, and is
//! checked by the same predicates as random runs.

mod processes;
mod replies;

use std::fmt;

use tokio::task::JoinSet;

use crate::command::{ClientCommand, ClientInterface, ClientOutcome};
use crate::fleet::ProcessFleet;
use crate::plan::{
    KeyScheme, PlannedClient, PlannedOrder, ProcessTopology, SELLERS, TorturePlan, TrackerPlan,
};
use crate::run::{ClientDispatcher, RigContext, RunInputs, await_opening, finish, long_opening};

/// A directed scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectedCase {
    /// Awards and cancellations that compete in one order.
    Awards,
    /// Every command, repeated under its key at once, after other commands, and after the order's
    /// end.
    Repeats,
    /// The same keys for several sellers and the buyer.
    Keys,
    /// The id of an ended order is opened again on a full disk.
    Reopening,
    /// The requestor is killed while buyers poll it.
    RequestorKills,
    /// A processor drains under requests.
    Drain,
}

impl DirectedCase {
    /// All cases.
    pub const ALL: [Self; 6] = [
        Self::Awards,
        Self::Repeats,
        Self::Keys,
        Self::Reopening,
        Self::RequestorKills,
        Self::Drain,
    ];

    /// Returns the case of this name, or all of them for `all`.
    #[must_use]
    pub fn named(name: &str) -> Option<Vec<Self>> {
        if name == "all" {
            return Some(Self::ALL.to_vec());
        }
        let case = Self::ALL.into_iter().find(|case| case.to_string() == name)?;
        Some(vec![case])
    }

    /// Returns the names of all cases, for messages.
    #[must_use]
    pub fn names() -> String {
        Self::ALL.map(|case| case.to_string()).join(", ")
    }

    const fn topology(self) -> ProcessTopology {
        match self {
            Self::Awards => ProcessTopology::Dev,
            Self::Repeats | Self::Keys | Self::Reopening | Self::RequestorKills | Self::Drain => {
                ProcessTopology::Pair
            }
        }
    }

    /// Runs the case against the binary until all its orders have ended.
    pub async fn run(self, RunInputs { binary, dir, recorder }: RunInputs) {
        let mut fleet = ProcessFleet::start(&binary, self.topology(), &dir, &SELLERS).await;
        let context = RigContext::new(&fleet, recorder);
        let plan = self.plan();
        let dispatcher = ClientDispatcher::new(&context, &plan);
        let mut readers = JoinSet::new();
        let mut case = CaseContext { plan, dispatcher, readers: &mut readers };
        match self {
            Self::Awards => replies::awards(&case).await,
            Self::Repeats => replies::repeats(&case).await,
            Self::Keys => replies::keys(&case).await,
            Self::Reopening => processes::reopening(&mut case, &fleet).await,
            Self::RequestorKills => processes::requestor_kills(&mut case, &mut fleet).await,
            Self::Drain => processes::drain(&mut case, &mut fleet).await,
        }
        let CaseContext { plan, dispatcher, .. } = case;
        finish(&plan, &mut fleet, &dispatcher, readers).await;
    }

    fn plan(self) -> TorturePlan {
        let (orders, tracker) = match self {
            Self::Awards => (12, TrackerPlan::Requestor),
            Self::RequestorKills => (20, TrackerPlan::Requestor),
            Self::Repeats | Self::Keys => (2, TrackerPlan::Requestor),
            Self::Drain => (1, TrackerPlan::Requestor),
            // Opened by the rig itself, which chooses the incarnation.
            Self::Reopening => (1, TrackerPlan::Trackers { takeover_ms: 0 }),
        };
        let order = |index: usize| {
            // The order's name includes the incarnation whose events must survive.
            let incarnation = if self == Self::Reopening { "@life-1" } else { "" };
            let (id, opening) = (format!("{self}-{index}{incarnation}"), long_opening(&[]));
            PlannedOrder { id, opening, tracker, home: 0 }
        };
        let actors = SELLERS.iter().chain(&["buyer"]);
        let client = |actor: &&str| PlannedClient {
            name: (*actor).to_owned(),
            actor: (*actor).to_owned(),
            steps: Vec::new(),
        };
        TorturePlan {
            seed: 0,
            topology: self.topology(),
            keys: if self == Self::Keys { KeyScheme::Sequential } else { KeyScheme::Distinct },
            orders: (0..orders).map(order).collect(),
            clients: actors.map(client).collect(),
            faults: Vec::new(),
            ends: vec![Vec::new(); orders],
        }
    }
}

impl fmt::Display for DirectedCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Awards => "awards",
            Self::Repeats => "repeats",
            Self::Keys => "keys",
            Self::Reopening => "relife",
            Self::RequestorKills => "goback",
            Self::Drain => "drain",
        })
    }
}

/// The plan and the parts of a running case.
struct CaseContext<'a> {
    plan: TorturePlan,
    dispatcher: ClientDispatcher,
    readers: &'a mut JoinSet<()>,
}

impl CaseContext<'_> {
    /// Opens all orders at the requestor, and waits until the processor has them.
    async fn open(&self) {
        for (index, order) in self.plan.orders.iter().enumerate() {
            let command = ClientCommand::Open(order.opening.clone());
            self.dispatcher
                .send_as_buyer(index, &command, ClientInterface::Requestor, "opener")
                .await;
        }
        for order in &self.plan.orders {
            await_opening(&self.dispatcher.context, &order.id).await;
        }
    }

    /// Sends one command once.
    async fn send(
        &self,
        order: usize,
        command: ClientCommand,
        interface: ClientInterface,
        actor: &str,
    ) -> ClientOutcome {
        let call = self.dispatcher.call(order, &command, actor, actor);
        self.dispatcher.send_once(&call, interface, actor, &mut None).await
    }

    /// Sends a proposal with this id.
    async fn propose(&self, order: usize, proposal: &str, seller: &str) {
        let command =
            ClientCommand::Propose { proposal: proposal.to_owned(), is_alternative: false };
        self.send(order, command, ClientInterface::Rest(0), seller).await;
    }

    /// Sends one command twice under its key.
    async fn send_twice(
        &self,
        order: usize,
        command: ClientCommand,
        interface: ClientInterface,
        actor: &str,
    ) {
        let call = self.dispatcher.call(order, &command, actor, actor);
        for _ in 0..2 {
            self.dispatcher.send_once(&call, interface, actor, &mut None).await;
        }
    }
}

/// Returns an award of a proposal that takes effect at once.
fn award(proposal: &str) -> ClientCommand {
    ClientCommand::Award { proposal: proposal.to_owned(), undo_within_ms: 0 }
}
