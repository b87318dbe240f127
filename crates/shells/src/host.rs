//! A host: a runtime of its own, which runs only during ticks.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

use crate::TICK_MS;

/// The result of a task on a host; empty until the task is done, and for good if the host ended
/// before.
pub(crate) type ResultSlot<T> = Arc<Mutex<Option<T>>>;

/// The runtime of one process.
#[derive(Debug)]
pub(crate) struct Host {
    runtime: Runtime,
}

impl Host {
    pub(crate) fn boot() -> Self {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
        Self { runtime }
    }

    /// Runs all tasks until they wait for a later time.
    pub(crate) fn tick(&self) {
        // Created inside: a sleep belongs to the runtime in which it is created.
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(TICK_MS)).await });
    }

    /// Calls a function inside the runtime.
    pub(crate) fn within<T>(&self, call: impl FnOnce() -> T) -> T {
        let _inside = self.runtime.enter();
        call()
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(task));
    }

    /// Runs a task and puts its result into a slot.
    pub(crate) fn spawn_into_slot<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> ResultSlot<T> {
        let slot = ResultSlot::default();
        let filled = Arc::clone(&slot);
        self.spawn(async move {
            let value = task.await;
            *filled.lock() = Some(value);
        });
        slot
    }
}
