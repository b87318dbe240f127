//! The status that the controller writes to an `OrderRequest`: counts, and no lists that grow with
//! the order, so that it always stays small.

#![allow(unreachable_pub, reason = "kube's derive makes public types inside of functions")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use orderstream_core::{ProposalId, RequestPhase, StreamPhase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::STALLED;
use crate::order_request::{AwardLineSpec, AwardSpec, OrderRequestSpec};

/// The openings of a stalled order's message that are about its award: a processor refused it, or
/// it cannot be read.
pub(crate) const REFUSED_AWARDS: [&str; 2] = ["award: ", "spec.award"];
/// The most lines of a refused award that a status has.
const REFUSED_LINES_MAX: usize = 16;
/// The most bytes of their names: a status stays small.
const REFUSED_LINES_BYTES_MAX: usize = 512;

/// The observed state of the order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderRequestStatus {
    /// The generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The phase: Pending, Open, Paused or Deciding; from the order's end on Finalised, Expired,
    /// Closed, Cancelled or Failed. A Failed order without a start time may be corrected. Earlier
    /// versions wrote Streaming and Reconnecting of an order that was Open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = phases()))]
    pub phase: Option<String>,
    /// The conditions `Ready`, `Reconciling`, `Stalled`, `SellersNotified`, `Streaming` and
    /// `ProposalsReceived`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The tracker: the follower of the order's events that stands for its buyer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<TrackerStatus>,
    /// The counts of the proposals, and the best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposals: Option<ProposalsStatus>,
    /// The number of sellers at each stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sellers: Option<SellersStatus>,
    /// The pending award; absent when none is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub award: Option<AwardStatus>,
    /// The winners of the award that was refused, while the condition `Stalled` reports it: another
    /// award may take its place. Absent for an award of many lines, which is undone first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_award: Option<RefusedAwardStatus>,
    /// The buyer's follow-ups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_ups: Option<FollowUpsStatus>,
    /// The stream from the processor that holds the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamStatus>,
    /// The time at which the order was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub start_time: Option<String>,
    /// The time that runs out next: the deadline for proposals; from then on `decideBy`, where the
    /// order waits for a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub expires_at: Option<String>,
    /// The time until which the buyer decides; absent before the deadline, and where there was
    /// nothing to decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub decide_by: Option<String>,
    /// The deadline for proposals, beside `decideBy`; before, it is `expiresAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub deadline: Option<String>,
    /// The time at which the order ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub completion_time: Option<String>,
}

/// Returns every phase that a status may have. Those of earlier versions are among them: they are
/// stored, and are written again where one of these versions is returned to.
fn phases() -> Vec<&'static str> {
    let phases = RequestPhase::ALL.into_iter().map(RequestPhase::as_str);
    phases.chain(["Streaming", "Reconnecting"]).collect()
}

impl OrderRequestStatus {
    /// Reports whether the status says that the order has ended.
    pub fn is_terminal(&self) -> bool {
        self.request_phase().is_some_and(RequestPhase::is_terminal)
    }

    /// Reports whether the order was refused before it was opened: nothing was sent to sellers, and
    /// the spec may be corrected.
    pub fn is_refused(&self) -> bool {
        self.request_phase() == Some(RequestPhase::Failed) && self.start_time.is_none()
    }

    /// Returns the phase; `None` where none was written yet, or an unknown one.
    pub fn request_phase(&self) -> Option<RequestPhase> {
        self.phase.as_deref().and_then(RequestPhase::read_stored)
    }

    /// Returns the phase of the order's stream, also from a status that an earlier version wrote.
    pub fn stream_phase(&self) -> StreamPhase {
        let tracker = self.tracker.as_ref();
        let written = tracker.and_then(|tracker| StreamPhase::parse(tracker.stream.as_deref()?));
        written.unwrap_or_else(|| match tracker {
            Some(_) | None if self.is_terminal() => StreamPhase::Ended,
            Some(tracker) if tracker.stream_active => StreamPhase::Active,
            Some(_) => StreamPhase::Reconnecting,
            None => StreamPhase::Pending,
        })
    }

    /// Returns the condition of a type, if it was written.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|held| held.type_ == kind)
    }

    /// Reports whether the award that the order request has was refused: it has no effect, so that
    /// another decision may take its place. No other one may while an award is pending, and after
    /// the order's end. The rule of the resource for awards says the same, and compares
    /// [`Self::refused_award`], because it knows no generation.
    pub fn is_award_refused(&self) -> bool {
        let may_be_awarded = self.award.is_none() && (!self.is_terminal() || self.is_refused());
        may_be_awarded
            && self.condition(STALLED).is_some_and(|stalled| {
                let is_about_award =
                    REFUSED_AWARDS.iter().any(|it| stalled.message.starts_with(it));
                stalled.status == "True" && is_about_award
            })
    }

    /// Records which award was refused, where the status shows that the one of a spec was.
    #[must_use]
    pub fn with_refused_award(self, spec: &OrderRequestSpec) -> Self {
        let refused = spec.award.as_ref().filter(|_| self.is_award_refused());
        Self { refused_award: refused.and_then(RefusedAwardStatus::of), ..self }
    }

    /// Returns the processor that holds the order; `None` before one was chosen.
    pub fn processor(&self) -> Option<&str> {
        self.stream.as_ref().and_then(|stream| stream.processor.as_deref())
    }
}

/// The tracker: the follower of the order's events that stands for its buyer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TrackerStatus {
    /// True while a stream is up.
    pub stream_active: bool,
    /// The phase of the stream: Pending, Active or Reconnecting; Ended from the order's end on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = StreamPhase::ALL.map(StreamPhase::as_str)))]
    pub stream: Option<String>,
    /// The number of known follow-ups: those forwarded, and those on their way.
    pub notes: u32,
    /// The sequence number of the last event handled.
    pub last_seq: u64,
    /// The last event handled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_event: Option<LastEvent>,
    /// The number of times that the stream came up again.
    pub reconnects: u32,
}

/// The last event handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LastEvent {
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The time at which it happened.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
}

/// The counts of the proposals, and the best one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ProposalsStatus {
    /// The number of all proposals ever made.
    pub received: u32,
    /// The number of proposals that can be awarded, or have won.
    pub open: u32,
    /// The number of proposals that were withdrawn.
    pub withdrawn: u32,
    /// The number of proposals that did not win.
    pub closed: u32,
    /// The open proposal with the lowest price of those that are complete, of an invited seller,
    /// valid and in time; absent where these are in several currencies, and until a sealed order
    /// is opened. One whose validity ends gives way to the next one within seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<BestProposalStatus>,
}

/// The best proposal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(rename = "Best")]
pub struct BestProposalStatus {
    /// The proposal's id.
    pub proposal_id: String,
    /// Its price, such as `1249.50 EUR`.
    pub price: String,
}

/// The number of sellers at each stage. Until a sealed order is opened, `seen`, `declined` and
/// `proposed` are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SellersStatus {
    /// Sellers that were invited.
    pub selected: u32,
    /// Sellers that were notified, or acted without a notification.
    pub notified: u32,
    /// Sellers that could not be notified.
    pub failed: u32,
    /// Sellers that opened the order, or went further.
    pub seen: u32,
    /// Sellers that declined, invited or not.
    pub declined: u32,
    /// Sellers that proposed.
    pub proposed: u32,
}

/// A pending award.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AwardStatus {
    /// The time until which it can be undone; then it takes effect, and sellers are notified.
    #[schemars(extend("format" = "date-time"))]
    pub pending_until: String,
}

/// The winners of an award that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RefusedAwardStatus {
    /// The id of the proposal that was to win the whole order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub proposal_id: Option<String>,
    /// The lines that were to go to different proposals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub lines: Vec<AwardLineSpec>,
    /// True where nobody was to win.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub none: bool,
}

impl RefusedAwardStatus {
    /// Returns the winners of an award; `None` where they are too many for a status.
    fn of(award: &AwardSpec) -> Option<Self> {
        let lines = &award.lines;
        let is_id = |id: &String| ProposalId::new(id).is_ok();
        let is_line = |line: &AwardLineSpec| {
            is_id(&line.proposal_id) && (1..=256).contains(&line.sku.chars().count())
        };
        let bytes = lines.iter().map(|line| line.sku.len().saturating_add(line.proposal_id.len()));
        let fits = lines.len() <= REFUSED_LINES_MAX
            && bytes.fold(0, usize::saturating_add) <= REFUSED_LINES_BYTES_MAX
            && lines.iter().all(is_line)
            && award.proposal_id.as_ref().is_none_or(is_id);
        fits.then(|| Self {
            proposal_id: award.proposal_id.clone(),
            lines: lines.clone(),
            none: award.none,
        })
    }
}

/// The buyer's follow-ups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FollowUpsStatus {
    /// Follow-ups that were forwarded to the sellers.
    pub sent: u32,
    /// The id of the newest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_id: Option<String>,
}

/// The stream from the processor that holds the order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamStatus {
    /// The processor that holds the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// The epoch of the stream; a higher one fences a lower one.
    pub epoch: u64,
    /// The number of failed attempts since the stream was last up.
    pub attempts: u32,
    /// The time at which the stream came up; absent while it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub connected_since: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stalled(message: &str) -> OrderRequestStatus {
        let condition = json!({ "type": "Stalled", "status": "True", "reason": "INVALID_FIELD",
            "message": message, "lastTransitionTime": "2026-10-01T00:00:00Z" });
        serde_json::from_value(json!({ "phase": "Open", "conditions": [condition] })).unwrap()
    }

    fn recorded(status: OrderRequestStatus, award: serde_json::Value) -> serde_json::Value {
        let award = serde_json::from_value(award).unwrap();
        let spec = OrderRequestSpec { award: Some(award), ..OrderRequestSpec::default() };
        let status = serde_json::to_value(status.with_refused_award(&spec)).unwrap();
        status["refusedAward"].clone()
    }

    fn lines(count: usize, sku_len: usize) -> serde_json::Value {
        let line = |number| json!({ "sku": format!("{number:0sku_len$}"), "proposalId": "p" });
        json!({ "lines": (0..count).map(line).collect::<Vec<_>>() })
    }

    #[test]
    fn refused_awards_are_recorded_by_their_winners() {
        let refused = || stalled("award: there is no proposal p1");
        for (award, expected) in [
            (json!({ "proposalId": "p1", "reason": "x" }), json!({ "proposalId": "p1" })),
            (json!({ "none": true, "undoWithin": "1m" }), json!({ "none": true })),
            (lines(16, 2), lines(16, 2)),
            (lines(17, 2), json!(null)),
            (lines(3, 200), json!(null)),
        ] {
            assert_eq!(recorded(refused(), award.clone()), expected, "{award}");
        }
        let other = stalled("follow-up f1: there is no seller x");
        assert_eq!(recorded(other, json!({ "proposalId": "p1" })), json!(null));
    }

    /// A refusal that is over leaves no record.
    #[test]
    fn other_awards_replace_the_record() {
        let spec = |id: &str| {
            let award = AwardSpec { proposal_id: Some(id.to_owned()), ..AwardSpec::default() };
            OrderRequestSpec { award: Some(award), ..OrderRequestSpec::default() }
        };
        let first = stalled("award: there is no proposal p1").with_refused_award(&spec("p1"));
        let second = first.clone().with_refused_award(&spec("p2"));
        let id = |status: &OrderRequestStatus| status.refused_award.clone()?.proposal_id;
        assert_eq!((id(&first).as_deref(), id(&second).as_deref()), (Some("p1"), Some("p2")));
        let settled = OrderRequestStatus { conditions: Vec::new(), ..second };
        assert_eq!(settled.with_refused_award(&spec("p2")).refused_award, None);
    }
}
