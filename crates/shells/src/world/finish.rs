//! The end of a run, after all faults: commands without a known outcome are repeated, every order
//! is ended, every list is read, and all pages are read once more.

use orderstream_torture::history::{Line, List};
use orderstream_torture::op::{Op, Over};
use orderstream_torture::plan::SHORT_LIFE_MS;

use super::World;
use crate::client::{Job, call};
use crate::readers::{connections, read_list};

/// The time at which orders with a short lifetime are over, whatever the clocks did; milliseconds.
const SHORT_IS_OVER_MS: u64 = SHORT_LIFE_MS + 12_000;
/// The time between two commands that end an order, milliseconds.
const CLOSING_MS: u64 = 700;
/// The limit for the end of every order, milliseconds; the rest of the run reads the results.
const ENDED_BY_MS: u64 = 80_000;
/// The limit of a run, in its own time, milliseconds.
pub(super) const LATEST_MS: u64 = 120_000;

impl World<'_> {
    pub(super) fn finish(&mut self) {
        self.settle();
        self.end_all();
        self.settle();
        self.read_lists();
        self.show();
    }

    /// Repeats every command without a known outcome under its key.
    fn settle(&mut self) {
        let open = self.sent.values().filter(|(_, _, outcome)| !outcome.is_known());
        let mut jobs: Vec<Job> =
            open.map(|(call, over, _)| Job::insistent(call.clone(), *over)).collect();
        while !jobs.is_empty() && !self.is_late() {
            self.tick();
            self.play(&mut jobs, "again");
        }
    }

    fn play(&mut self, jobs: &mut Vec<Job>, client: &str) {
        let mut told = Vec::new();
        for job in jobs.iter_mut() {
            let outcome = job.step((self.now_ms, client), &self.nodes, &self.recorder);
            told.extend(outcome.map(|outcome| (job.call.clone(), job.over, outcome)));
        }
        for (call, over, outcome) in told {
            self.note(call, over, outcome);
        }
        jobs.retain(|job| !job.is_done());
    }

    fn has_ended(&self, order: &str) -> bool {
        let ended = ["Finalised", "Expired", "Closed", "Cancelled"];
        ended.contains(&self.pages.phase(order).as_str())
    }

    /// Ends every order: by competing commands, and then by one without a rival.
    fn end_all(&mut self) {
        let (mut jobs, mut serial) = (Vec::new(), 0);
        let mut next_ms = vec![0; self.orders.len()];
        let plan = self.plan;
        while self.now_ms < ENDED_BY_MS {
            let mut all_ended = true;
            for (place, (order, opening)) in plan.orders.iter().enumerate() {
                if self.has_ended(order) {
                    continue;
                }
                all_ended = false;
                let is_short = opening.expires_in_ms == SHORT_LIFE_MS;
                let waits = is_short && self.now_ms < SHORT_IS_OVER_MS;
                if waits || self.now_ms < next_ms[place] {
                    continue;
                }
                let is_first = next_ms[place] == 0;
                next_ms[place] = self.now_ms + CLOSING_MS;
                let closing = [Op::Cancel];
                let ops: &[Op] = if is_first { &plan.ends[place] } else { &closing };
                for op in ops {
                    serial += 1;
                    let call = call(("ender", "buyer"), order, op, serial);
                    jobs.push(Job::insistent(call, Over::Requestor));
                }
            }
            if all_ended && jobs.is_empty() {
                return;
            }
            self.tick();
            self.play(&mut jobs, "ender");
        }
    }

    fn read_lists(&mut self) {
        for (order, home) in &self.orders {
            let Over::Rest(at) = home else { continue };
            let made = self.readers.within(|| connections(&self.network, &self.urls[*at]));
            self.readers.spawn(read_list(made, self.recorder.clone(), order.clone()));
        }
        let is_read = |world: &Self, order: &str| world.recorder.list(order).is_some();
        while !self.orders.iter().all(|(order, _)| is_read(self, order)) && !self.is_late() {
            self.tick();
        }
        for (order, _) in &self.orders {
            let events = self.recorder.list(order).ok_or_else(|| "not read in time".to_owned());
            let (order, by) = (order.clone(), "gRPC".to_owned());
            self.recorder.write(Line::List(List { order, by, events }));
        }
    }

    /// Polls until all pages show the end.
    fn show(&mut self) {
        let last = |world: &Self, order: &str| {
            world.recorder.list(order).map_or(0, |events| events.len() as u64)
        };
        let all_seen = |world: &Self| {
            let mut orders = world.orders.iter();
            orders.all(|(order, _)| world.pages.have_seen(order, last(world, order)))
        };
        while !all_seen(self) && !self.is_late() {
            self.tick();
        }
        self.pages.finish(&self.recorder);
    }
}
