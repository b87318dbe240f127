//! The beginning and the end of a lead, and all that wakes a resource: the watch, snapshots, and the
//! lead itself.

use std::collections::HashMap;
use std::sync::Arc;

use orderstream_core::{Epoch, OrderKey};
use tokio::task::JoinSet;

use super::reconciler::Reconciler;
use crate::lease::ElectionState;
use crate::object::ObjectKey;
use crate::sellers::SellerStatuses;
use crate::watch::{CacheChange, WatchSink};

impl Reconciler {
    /// Spawns the tasks that run until shutdown.
    pub(crate) fn spawn_tasks(self: &Arc<Self>, tasks: &mut JoinSet<()>) {
        self.wake_on_snapshots();
        if let Some(sellers) = &self.sellers {
            self.spawn_seller_tasks(sellers, tasks);
        }
        tasks.spawn(Arc::clone(&self.writer).run(self.shutdown.clone()));
        tasks.spawn(Arc::clone(self).run());
        tasks.spawn(Arc::clone(self).sweep());
        tasks.spawn(Arc::clone(self).follow_leadership());
    }

    /// Spawns the watch of sellers, and the writer of their statuses.
    fn spawn_seller_tasks(&self, sellers: &Arc<SellerStatuses>, tasks: &mut JoinSet<()>) {
        let (client, shutdown) = (self.client.clone(), self.shutdown.clone());
        let (following, scope) = (Arc::clone(sellers), self.scope.clone());
        tasks.spawn(following.follow(client.clone(), scope, shutdown.clone()));
        let (writing, clock) = (Arc::clone(sellers), Arc::clone(&self.clock));
        let (api, leadership) = ((client, self.requests.clone()), self.leadership.clone());
        tasks.spawn(writing.write(api, leadership, clock, shutdown));
    }

    /// Waits for the tasks of single resources.
    pub(crate) async fn finish_tasks(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Reconciles a resource whenever its order's snapshot changes.
    fn wake_on_snapshots(&self) {
        let (cache, queue) = (Arc::clone(&self.cache), Arc::clone(&self.queue));
        self.streams.watch(Arc::new(move |key: &OrderKey| {
            let object = cache.read().of_order(key).map(|(object, _)| object.clone());
            if let Some(object) = object {
                queue.wake(&object);
            }
        }));
    }

    /// Reconciles all resources.
    pub(crate) fn wake_all(&self) {
        self.cache.read().iter().for_each(|(object, _)| self.queue.wake(object));
    }

    /// Begins to act under a new epoch, and stops acting when this process no longer leads.
    async fn follow_leadership(self: Arc<Self>) {
        let mut changes = self.leadership.changes();
        let mut led: Option<Epoch> = None;
        loop {
            let state = *changes.borrow_and_update();
            match state {
                ElectionState::Leads(epoch) => {
                    if led.replace(epoch) != Some(epoch) {
                        *self.leading_since.lock() = self.clock.now();
                        *self.reconcile_states.lock() = HashMap::new();
                        self.sellers.iter().for_each(|sellers| sellers.begin());
                        // Another process may have led, and written, since the last lead.
                        self.writer.clear();
                        let mut cache = self.cache.write();
                        cache.forget_applied();
                        cache.clear_live();
                    }
                    self.wake_all();
                }
                ElectionState::Unsure => self.writer.clear(),
                ElectionState::Follows => self.stop_leading(),
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
        }
    }

    fn stop_leading(&self) {
        self.writer.clear();
        self.cache.write().forget_applied();
        self.sellers.iter().for_each(|sellers| sellers.end());
        for key in self.streams.keys() {
            if let Some(snapshot) = self.streams.snapshot(&key) {
                self.streams.stop(&key, &snapshot.incarnation);
            }
        }
    }

    /// Returns this reconciler as the sink of the watch.
    pub(crate) fn watch_sink(self: &Arc<Self>) -> Arc<dyn WatchSink> {
        Arc::new(ReconcilerSink(Arc::clone(self)))
    }
}

/// The reconciler as a sink of the watch.
struct ReconcilerSink(Arc<Reconciler>);

impl WatchSink for ReconcilerSink {
    fn changed(&self, changes: Vec<CacheChange>) {
        for change in changes {
            match change {
                CacheChange::Reconcile(object) => self.0.queue.wake(&object),
                CacheChange::Deleted(deleted) => self.0.handle_deleted(deleted),
            }
        }
    }

    fn unreadable_deleted(&self, object: &ObjectKey) {
        // Its order has no resource now: the sweep finds the order if the cache did not know it.
        self.0.unreadable.lock().remove(object);
    }

    fn unreadable(&self, object: &ObjectKey, uid: Option<&str>, _error: &str) {
        let uid = uid.unwrap_or_default();
        self.0.unreadable.lock().insert(object.clone(), uid.to_owned());
        self.0.reporter.report_unreadable(object, uid);
    }
}
