//! Conversions of the buyer's commands to requests.

use orderstream_core::buyer::BuyerCommand;
use orderstream_core::command::{Award, Command, CommandKind, Precondition};
use orderstream_core::input::{AwardInput, FollowUpInput};
use orderstream_core::spec::FollowUp;
use orderstream_core::{OrderKey, Reason, Refusal};

use super::spec::{message_input, message_to_wire};
use crate::v1;

/// The request that carries a buyer's command to the processor.
#[derive(Clone, Debug, PartialEq)]
pub enum CommandRequest {
    /// A follow-up, for `OrderNonStreamingService.ProcessFollowUp`.
    FollowUp(v1::FollowUpRequest),
    /// A pause, for `OrderControlService.Pause`.
    Pause(v1::PauseRequest),
    /// A resumption, for `OrderControlService.Resume`.
    Resume(v1::ResumeRequest),
    /// An extension, for `OrderControlService.Extend`.
    Extend(v1::ExtendRequest),
    /// An end with or without an award, for `OrderControlService.Award`.
    Award(v1::AwardRequest),
    /// The undoing of a pending award, for `OrderControlService.UndoAward`.
    UndoAward(v1::UndoAwardRequest),
    /// An end without an award, for `OrderControlService.Close`.
    Close(v1::CloseRequest),
    /// A cancellation, for `OrderControlService.Cancel`.
    Cancel(v1::CancelRequest),
}

/// Converts an order's key and incarnation to the wire.
pub fn order_ref(key: &OrderKey, incarnation: Option<&str>) -> v1::OrderRef {
    v1::OrderRef {
        order_req_id: key.order_req_id.to_string(),
        tenant: key.tenant.to_string(),
        incarnation: incarnation.unwrap_or_default().to_owned(),
    }
}

/// Returns the request that carries a command.
///
/// # Errors
/// When the command is not a buyer's.
pub fn request_for(key: &OrderKey, command: &Command) -> Result<CommandRequest, Refusal> {
    let incarnation = command.incarnation.as_ref().map(|incarnation| incarnation.as_str());
    let order = Some(order_ref(key, incarnation));
    let idempotency_key = command.key.as_ref().map(ToString::to_string).unwrap_or_default();
    let epoch = command.epoch.map_or(0, |epoch| epoch.0);
    if let CommandKind::FollowUp(follow_up) = &command.kind {
        return Ok(CommandRequest::FollowUp(follow_up_to_wire(key, command, follow_up)));
    }
    let Some(buyer_command) = command.kind.buyer_command() else {
        let text = format!("{} is not a buyer's command", command.kind.name());
        return Err(Refusal::new(Reason::Internal, text));
    };
    Ok(match buyer_command {
        BuyerCommand::Pause(reason) => {
            let reason = reason.unwrap_or_default();
            CommandRequest::Pause(v1::PauseRequest { order, idempotency_key, epoch, reason })
        }
        BuyerCommand::Resume => {
            CommandRequest::Resume(v1::ResumeRequest { order, idempotency_key, epoch })
        }
        BuyerCommand::Extend(expires_in_ms) => CommandRequest::Extend(v1::ExtendRequest {
            order,
            idempotency_key,
            epoch,
            expires_in_ms,
        }),
        BuyerCommand::Close(reason) => {
            let reason = reason.unwrap_or_default();
            CommandRequest::Close(v1::CloseRequest { order, idempotency_key, epoch, reason })
        }
        BuyerCommand::Cancel(reason) => {
            let reason = reason.unwrap_or_default();
            CommandRequest::Cancel(v1::CancelRequest { order, idempotency_key, epoch, reason })
        }
        BuyerCommand::Finalise { award, reason, undo_within_ms } => {
            let (proposal_id, lines) = award_to_wire(award.as_ref());
            CommandRequest::Award(v1::AwardRequest {
                order,
                idempotency_key,
                epoch,
                reason: reason.unwrap_or_default(),
                proposal_id,
                lines,
                undo_within_ms: undo_within_ms.unwrap_or(0),
                expected_seq: expected_seq(command),
            })
        }
        BuyerCommand::UndoAward(reason) => CommandRequest::UndoAward(v1::UndoAwardRequest {
            order,
            idempotency_key,
            epoch,
            reason: reason.unwrap_or_default(),
        }),
    })
}

/// Returns the sequence number that the command expects of the order's last event; 0 if it has no
/// such precondition.
const fn expected_seq(command: &Command) -> u64 {
    match command.precondition {
        Some(Precondition::LastSeq(seq)) => seq.0,
        Some(Precondition::Version(_)) | None => 0,
    }
}

fn award_to_wire(award: Option<&Award>) -> (String, Vec<v1::AwardLine>) {
    match award {
        None => (String::new(), Vec::new()),
        Some(Award::Whole(id)) => (id.to_string(), Vec::new()),
        Some(Award::Lines(lines)) => (
            String::new(),
            lines
                .iter()
                .map(|(sku, id)| v1::AwardLine { sku: sku.clone(), proposal_id: id.to_string() })
                .collect(),
        ),
    }
}

/// Returns the request for a follow-up.
pub fn follow_up_to_wire(
    key: &OrderKey,
    command: &Command,
    follow_up: &FollowUp,
) -> v1::FollowUpRequest {
    v1::FollowUpRequest {
        order_req_id: key.order_req_id.to_string(),
        audience: follow_up.audience.iter().map(ToString::to_string).collect(),
        message: Some(message_to_wire(&follow_up.message)),
        tenant: key.tenant.to_string(),
        incarnation: command.incarnation.as_ref().map(ToString::to_string).unwrap_or_default(),
        follow_up_id: follow_up.id.to_string(),
        idempotency_key: command.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        epoch: command.epoch.map_or(0, |epoch| epoch.0),
        answers: follow_up.answers.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// Converts and checks the parts of a follow-up: its id, its audience, the question that it
/// answers, and its text.
///
/// # Errors
/// When a part is wrong; the refusal names the field.
pub fn follow_up_from_wire(
    id: String,
    audience: Vec<String>,
    answers: String,
    message: Option<v1::Message>,
) -> Result<FollowUp, Refusal> {
    let message = message.map(message_input).unwrap_or_default();
    FollowUp::try_from(FollowUpInput { id, audience, message, answers: super::non_empty(answers) })
}

/// Converts the parts of an award; with neither, nobody wins.
pub fn award_input_from_wire(proposal_id: String, lines: Vec<v1::AwardLine>) -> AwardInput {
    AwardInput {
        proposal_id: super::non_empty(proposal_id),
        lines: lines.into_iter().map(|line| (line.sku, line.proposal_id)).collect(),
    }
}
