//! The search for the processor that holds an order, where its status does not name one.

use std::sync::Arc;
use std::time::Duration;

use orderstream_core::{Incarnation, OrderKey};
use orderstream_support::jitter_around;

use super::facts::ReconcileFacts;
use super::reconciler::Reconciler;

/// The back-off before processors that did not reply are asked again.
const LOCATE_BACKOFF: Duration = Duration::from_secs(2);

/// The owner of an order whose status does not name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Placement {
    /// No processor was asked yet.
    #[default]
    Unknown,
    /// The processors are being asked.
    Locating,
    /// No processor holds it.
    Unplaced,
    /// This processor holds it, or is to hold it.
    At(String),
}

impl Reconciler {
    /// Asks every processor whether it holds the order; one search runs at a time.
    pub(super) fn locate(
        self: &Arc<Self>,
        facts: &ReconcileFacts,
        (key, incarnation): (&OrderKey, &Incarnation),
    ) {
        let was_locating = self.with_state(facts, |state| {
            std::mem::replace(&mut state.placement, Placement::Locating) == Placement::Locating
        });
        if was_locating {
            return;
        }
        let (object, uid) = (facts.object.clone(), Arc::clone(&facts.uid));
        let (key, incarnation) = (key.clone(), incarnation.clone());
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            let found = tokio::select! {
                () = this.shutdown.cancelled() => return,
                found = this.find(&key, &incarnation) => found,
            };
            {
                let mut states = this.reconcile_states.lock();
                let state = states.get_mut(&object).filter(|note| note.uid == uid);
                if let Some(state) = state.filter(|note| note.placement == Placement::Locating) {
                    state.placement = found.map_or(Placement::Unplaced, Placement::At);
                }
            }
            this.queue.wake(&object);
        });
    }

    /// Returns the processor that holds this incarnation of the order; `None` only when all have
    /// replied and none holds it.
    async fn find(&self, key: &OrderKey, incarnation: &Incarnation) -> Option<String> {
        loop {
            let permit = self.owner_calls.acquire().await;
            let processors = self.processors.all();
            let mut silent = processors.is_empty();
            for processor in processors {
                match self.owners.locate(&processor, key).await {
                    Ok(Some(located)) if located.incarnation == *incarnation => {
                        return Some(processor);
                    }
                    Ok(_) => {}
                    Err(refusal) => {
                        tracing::warn!(%processor, order = %key, %refusal, "cannot be asked");
                        silent = true;
                    }
                }
            }
            if !silent {
                return None;
            }
            drop(permit);
            tokio::time::sleep(jitter_around(LOCATE_BACKOFF)).await;
        }
    }
}
