//! The end of a run, after all faults: commands without a known outcome are repeated, every order
//! is ended, every list is read, and all pages are read a last time.

use orderstream_torture::command::{ClientCommand, ClientInterface};
use orderstream_torture::history::{EventListReading, HistoryLine};
use orderstream_torture::plan::SHORT_LIFETIME_MS;

use super::SimulatedWorld;
use crate::client::{Job, call};
use crate::readers::{connections, read_list};

/// The time at which orders with a short lifetime have ended, whatever the clocks did;
/// milliseconds.
const SHORT_IS_OVER_MS: u64 = SHORT_LIFETIME_MS + 12_000;
/// The time between two commands that end an order, milliseconds.
const CLOSING_MS: u64 = 700;
/// The time by which every order must have ended, milliseconds; the rest of the run reads the
/// results.
const ENDED_BY_MS: u64 = 80_000;
/// The limit of a run in simulated time, milliseconds.
pub(super) const RUN_LIMIT_MS: u64 = 120_000;

impl SimulatedWorld<'_> {
    pub(super) fn finish(&mut self) {
        self.settle();
        self.end_all();
        self.settle();
        self.read_lists();
        self.await_final_pages();
    }

    /// Repeats every command without a known outcome under its key.
    fn settle(&mut self) {
        let open = self.sent.values().filter(|(_, _, outcome)| !outcome.is_known());
        let mut jobs: Vec<Job> =
            open.map(|(call, over, _)| Job::insistent(call.clone(), *over)).collect();
        while !jobs.is_empty() && !self.is_late() {
            self.tick();
            self.step_jobs(&mut jobs, "again");
        }
    }

    fn step_jobs(&mut self, jobs: &mut Vec<Job>, client: &str) {
        let mut ended = Vec::new();
        for job in jobs.iter_mut() {
            let outcome = job.step(self.now_ms, client, &self.nodes, &self.recorder);
            ended.extend(outcome.map(|outcome| (job.call.clone(), job.over, outcome)));
        }
        for (call, over, outcome) in ended {
            self.record_call(call, over, outcome);
        }
        jobs.retain(|job| !job.is_done());
    }

    fn has_ended(&self, order: &str) -> bool {
        let ended = ["Finalised", "Expired", "Closed", "Cancelled"];
        ended.contains(&self.pages.phase(order).as_str())
    }

    /// Ends every order: with competing commands, and then with a single one.
    fn end_all(&mut self) {
        let (mut jobs, mut serial) = (Vec::new(), 0);
        let mut next_ms = vec![0; self.orders.len()];
        let plan = self.plan;
        while self.now_ms < ENDED_BY_MS {
            let mut all_ended = true;
            for (index, (order, opening)) in plan.orders.iter().enumerate() {
                if self.has_ended(order) {
                    continue;
                }
                all_ended = false;
                let is_short = opening.expires_in_ms == SHORT_LIFETIME_MS;
                let is_waiting = is_short && self.now_ms < SHORT_IS_OVER_MS;
                if is_waiting || self.now_ms < next_ms[index] {
                    continue;
                }
                let is_first = next_ms[index] == 0;
                next_ms[index] = self.now_ms + CLOSING_MS;
                let closing = [ClientCommand::Cancel];
                let ops: &[ClientCommand] = if is_first { &plan.ends[index] } else { &closing };
                for op in ops {
                    serial += 1;
                    let call = call("ender", "buyer", order, op, serial);
                    jobs.push(Job::insistent(call, ClientInterface::Requestor));
                }
            }
            if all_ended && jobs.is_empty() {
                return;
            }
            self.tick();
            self.step_jobs(&mut jobs, "ender");
        }
    }

    fn read_lists(&mut self) {
        for (order, home) in &self.orders {
            let ClientInterface::Rest(at) = home else { continue };
            let reader_connections =
                self.readers.within(|| connections(&self.network, &self.urls[*at]));
            self.readers.spawn(read_list(reader_connections, self.recorder.clone(), order.clone()));
        }
        let is_read = |world: &Self, order: &str| world.recorder.list(order).is_some();
        while !self.orders.iter().all(|(order, _)| is_read(self, order)) && !self.is_late() {
            self.tick();
        }
        for (order, _) in &self.orders {
            let events = self.recorder.list(order).ok_or_else(|| "not read in time".to_owned());
            let (order, by) = (order.clone(), "gRPC".to_owned());
            self.recorder.write(HistoryLine::List(EventListReading { order, by, events }));
        }
    }

    /// Polls until all pages show the end.
    fn await_final_pages(&mut self) {
        let last = |world: &Self, order: &str| {
            world.recorder.list(order).map_or(0, |events| events.len() as u64)
        };
        let are_all_current = |world: &Self| {
            let mut orders = world.orders.iter();
            orders.all(|(order, _)| world.pages.have_shown(order, last(world, order)))
        };
        while !are_all_current(self) && !self.is_late() {
            self.tick();
        }
        self.pages.finish(&self.recorder);
    }
}
