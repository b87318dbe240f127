//! Commands while the journal is read only: one that was done before gets its reply, and nothing
//! new is done.

use orderstream_core::book::Context;
use orderstream_core::command::CommandKind;
use orderstream_core::{Command, OrderKey, Reason, Refusal};
use tokio::sync::oneshot;

use super::{OwnedOrders, SubmitOutcome, damaged, not_found, storage_unavailable};

impl OwnedOrders {
    /// Replies to a command that needs no event, such as a repeated one or the opening of an open
    /// order.
    pub(super) fn submit_read_only(
        &self,
        key: &OrderKey,
        context: &Context,
        command: &Command,
        reason: &str,
    ) -> Result<SubmitOutcome, Refusal> {
        let mut shard = self.shard(key).lock();
        let opening =
            if let CommandKind::Open(opening) = &command.kind { Some(opening) } else { None };
        if let Some(former) = shard.former(key, command.incarnation.as_ref())
            && opening.is_none()
        {
            return Ok(SubmitOutcome::Former(Box::new(former.clone())));
        }
        let Some(entry) = shard.orders.get_mut(key) else {
            return Err(opening.map_or_else(|| not_found(key), |_| refused(reason)));
        };
        if entry.needs_reload() {
            return Ok(SubmitOutcome::Suspect);
        }
        if let Some(cause) = &entry.damaged {
            return Err(damaged(key, cause));
        }
        let is_other = opening.is_some_and(|opening| opening.incarnation != entry.incarnation);
        if is_other && entry.ended_at().is_some() {
            return Err(refused(reason));
        }
        // A clone is stepped, so that the book stays at the state on disk.
        let output = entry.book.clone().step(context, command);
        if !output.events.is_empty() {
            return Err(refused(reason));
        }
        let (sender, receiver) = oneshot::channel();
        entry.when_durable(output.reply, sender);
        Ok(SubmitOutcome::Pending(receiver))
    }

    /// Returns the refusal while the journal accepts no records: for now, or until an operator has
    /// repaired it.
    pub(super) fn unavailable(&self) -> Refusal {
        let read_only = self.inner.parts.journal.read_only();
        read_only.map_or_else(storage_unavailable, |reason| refused(&reason))
    }
}

fn refused(reason: &str) -> Refusal {
    let text = format!(
        "the journal is damaged and read only: {reason}; orders can be read, and nothing is taken \
         until somebody has run `orderstream journal salvage`"
    );
    Refusal::new(Reason::StorageUnavailable, text)
}
