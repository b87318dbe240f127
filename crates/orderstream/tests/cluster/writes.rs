//! The controller is killed before and after each of its writes in turn: the resource and the
//! order's events end as in an undisturbed run.

use std::sync::Arc;
use std::time::Duration;

use orderstream_testbed::{HookAction, HookPoint, Proxy};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::bed::Bed;
use crate::http::get;
use crate::process::{Role, pause};

/// The time after an ending in which a last Event is published.
const GRACE: Duration = Duration::from_millis(600);

/// The end of a run: the resource, if it is there, and the order's events.
type Ending = (Option<Value>, Vec<Value>);

/// The planned kill of the controller in the current run.
#[derive(Debug, Default)]
struct Plan {
    /// The number of writes of this run so far.
    writes: usize,
    at: Option<(usize, HookPoint)>,
}

/// One bed for many runs, and a controller that is killed as planned and starts again.
struct Rig {
    bed: Bed,
    plan: Arc<Mutex<Plan>>,
    _proxy: Proxy,
    _controller: Arc<Mutex<Role>>,
}

impl Rig {
    fn start() -> Option<Self> {
        let bed = Bed::make()?;
        let (proxy, kubeconfig) = bed.server.proxy();
        let controller = Arc::new(Mutex::new(bed.controller_with(&kubeconfig, &[])));
        let plan = Arc::new(Mutex::new(Plan::default()));
        let (planned, killed) = (Arc::clone(&plan), Arc::clone(&controller));
        proxy.on_write(move |write, moment| {
            // Renewals of the lease come at any time.
            if write.path.contains("/leases") {
                return HookAction::Forward;
            }
            let mut plan = planned.lock();
            let number = plan.writes - usize::from(moment == HookPoint::After && plan.writes > 0);
            plan.writes += usize::from(moment == HookPoint::Before);
            if plan.at != Some((number, moment)) {
                return HookAction::Forward;
            }
            plan.at = None;
            let mut controller = killed.lock();
            controller.kill();
            controller.restart();
            HookAction::Lose
        });
        Some(Self { bed, plan, _proxy: proxy, _controller: controller })
    }

    /// Runs a scenario once; returns its ending, the number of writes, and whether the planned kill
    /// came.
    fn run_scenario(
        &self,
        name: &str,
        at: Option<(usize, HookPoint)>,
        scenario: fn(&Bed, &str),
    ) -> (Ending, usize, bool) {
        *self.plan.lock() = Plan { writes: 0, at };
        scenario(&self.bed, name);
        pause(GRACE);
        let plan = std::mem::take(&mut *self.plan.lock());
        (ending(&self.bed, name), plan.writes, at.is_some() && plan.at.is_none())
    }
}

/// Compares a scenario with every kill with the same one without.
fn survives(scenario: fn(&Bed, &str)) {
    let Some(rig) = Rig::start() else { return };
    let (expected, writes, _) = rig.run_scenario("undisturbed", None, scenario);
    assert!(writes >= 3, "{writes} writes");
    let mut kills = 0;
    for number in 0..writes {
        for moment in [HookPoint::Before, HookPoint::After] {
            let name = format!("life-{number}-{moment:?}").to_lowercase();
            let (ended, _, killed) = rig.run_scenario(&name, Some((number, moment)), scenario);
            assert_eq!(ended, expected, "killed {moment:?} write {number} of {writes}");
            kills += usize::from(killed);
        }
    }
    // Two counters may share a write in one run and not in another; most kills happen nevertheless.
    assert!(kills > writes, "{kills} kills at {writes} writes");
}

/// Returns the parts of an ending that are the same in every run.
fn ending(bed: &Bed, name: &str) -> Ending {
    let plain = |value: &Value| -> Value {
        let mut value = serde_json::from_str(&value.to_string().replace(name, "it")).unwrap();
        forget_times(&mut value);
        value
    };
    let resource = bed
        .get(name)
        .map(|resource| plain(&json!({ "spec": resource["spec"], "status": resource["status"] })));
    let path = format!("/api/v1/orders/{name}/events?tenant={}", bed.namespace);
    let events = get(bed.sellers(), &path).unwrap().text;
    let events = events.lines().filter_map(|line| line.strip_prefix("data:"));
    let events = events.map(|event| plain(&serde_json::from_str(event).unwrap()));
    (resource, events.collect())
}

/// Removes times, incarnations, epochs, and the numbers of attempts and reconnects.
fn forget_times(value: &mut Value) {
    const TIMES: [&str; 14] = [
        "at",
        "attempts",
        "completionTime",
        "connectedSince",
        "effective_at",
        "epoch",
        "expiresAt",
        "expires_at",
        "incarnation",
        "lastTransitionTime",
        "reconnects",
        "startTime",
        "time",
        "until",
    ];
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !TIMES.contains(&name.as_str()));
            fields.values_mut().for_each(forget_times);
        }
        Value::Array(entries) => entries.iter_mut().for_each(forget_times),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn apply(bed: &Bed, name: &str, spec: &str) {
    bed.apply(&format!(
        "apiVersion: orderstream.dev/v1alpha1\nkind: OrderRequest\nmetadata: {{name: {name}}}\n\
         spec: {spec}\n"
    ));
    bed.until_phase(name, "Open");
}

/// Waits until an edit is observed, and the phase is this one.
fn until_observed(bed: &Bed, name: &str, phase: &str) {
    let generation = bed.get(name).unwrap()["metadata"]["generation"].clone();
    bed.until_status(name, &format!("{name} is {phase} after its edit"), |status| {
        status["observedGeneration"] == generation && status["phase"] == phase
    });
}

#[test]
fn kills_at_any_write_keep_awards() {
    survives(|bed, name| {
        apply(bed, name, "{expiresIn: 1h}");
        assert_eq!(bed.propose(name, "p1", "10").unwrap().status, 201);
        bed.patch(name, r#"{"followUps":[{"id":"f1","message":{"message":"When?"}}]}"#);
        until_observed(bed, name, "Open");
        bed.patch(name, r#"{"award":{"proposalId":"p1"}}"#);
        until_observed(bed, name, "Finalised");
    });
}

/// The order is paused, resumed, extended and cancelled.
#[test]
fn kills_at_any_write_keep_steering() {
    survives(|bed, name| {
        apply(bed, name, "{expiresIn: 1h}");
        bed.patch(name, r#"{"suspend":true}"#);
        until_observed(bed, name, "Paused");
        bed.patch(name, r#"{"suspend":false,"expiresIn":"2h"}"#);
        until_observed(bed, name, "Open");
        bed.patch(name, r#"{"cancel":true}"#);
        until_observed(bed, name, "Cancelled");
    });
}

#[test]
fn kills_at_any_write_keep_replaced_awards() {
    survives(|bed, name| {
        apply(bed, name, "{expiresIn: 1h}");
        assert_eq!(bed.propose(name, "p1", "10").unwrap().status, 201);
        bed.patch(name, r#"{"award":{"none":true,"undoWithin":"1h"}}"#);
        bed.until_status(name, "the award waits", |status| status["award"].is_object());
        bed.patch(name, r#"{"award":{"undo":true}}"#);
        bed.until_status(name, "it is undone", |status| status["award"].is_null());
        bed.patch(
            name,
            r#"{"award":{"none":null,"undo":null,"undoWithin":null,"proposalId":"p1"}}"#,
        );
        until_observed(bed, name, "Finalised");
    });
}

#[test]
fn kills_at_any_write_keep_removals() {
    survives(|bed, name| {
        apply(bed, name, "{expiresIn: 1h, ttlAfterFinished: 1s}");
        bed.patch(name, r#"{"award":{"none":true,"reason":"too dear"}}"#);
        crate::process::until("the resource is removed", || bed.get(name).is_none().then_some(()));
    });
}
