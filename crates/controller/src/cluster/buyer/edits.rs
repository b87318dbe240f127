//! A buyer's acts as edits of an `OrderRequest`'s spec: pure, and refused where the resource's own
//! rules would refuse them, with the same reasons as at a processor.

use orderstream_core::buyer::BuyerAct;
use orderstream_core::command::Award;
use orderstream_core::{Reason, Refusal};

use crate::duration;
use crate::order_request::{AwardLine, AwardSpec, CloseSpec, OrderRequestSpec};

/// Writes what an act wants into the spec.
pub(super) fn apply(spec: &mut OrderRequestSpec, act: &BuyerAct) -> Result<(), Refusal> {
    match act {
        BuyerAct::Pause(_) => spec.suspend = true,
        BuyerAct::Resume => spec.suspend = false,
        BuyerAct::Cancel(_) => spec.cancel = true,
        BuyerAct::Close(reason) => {
            spec.close.get_or_insert_with(|| CloseSpec { reason: reason.clone() });
        }
        BuyerAct::Extend(ms) => extend(spec, *ms)?,
        BuyerAct::UndoAward(_) => match &mut spec.award {
            Some(award) => award.undo = true,
            None => {
                let text = "no award waits to count; nothing to undo";
                return Err(Refusal::new(Reason::AwardNotPending, text));
            }
        },
        BuyerAct::Finalise { award, reason, undo_within_ms } => {
            let undo_within = undo_within_ms.filter(|ms| *ms > 0).map(duration::format_ms);
            let wanted = AwardSpec { undo_within, ..award_spec(award.as_ref(), reason.as_ref()) };
            if spec.award.as_ref().is_some_and(|held| *held != wanted && !held.undo) {
                let text = "the order has another award already; it is given once";
                return Err(Refusal::new(Reason::AlreadyAwarded, text));
            }
            spec.award = Some(wanted);
        }
    }
    Ok(())
}

fn extend(spec: &mut OrderRequestSpec, expires_in_ms: u64) -> Result<(), Refusal> {
    let wanted_ms = orderstream_core::input::expires_in_ms(expires_in_ms)?;
    let held_ms = duration::expires_in_ms(&spec.expires_in)?;
    if wanted_ms < held_ms {
        let text = format!("is {wanted_ms}, less than {held_ms} now; an expiry can only grow");
        let field = Some("expires_in_ms".to_owned());
        return Err(Refusal { field, ..Refusal::new(Reason::ExpiryShrinks, text) });
    }
    spec.expires_in = duration::format_ms(wanted_ms);
    Ok(())
}

pub(super) fn award_spec(award: Option<&Award>, reason: Option<&String>) -> AwardSpec {
    let spec = AwardSpec { reason: reason.cloned(), ..AwardSpec::default() };
    match award {
        None => AwardSpec { none: true, ..spec },
        Some(Award::Whole(id)) => AwardSpec { proposal_id: Some(id.to_string()), ..spec },
        Some(Award::Lines(lines)) => {
            let line = |(sku, id): &(String, orderstream_core::ProposalId)| AwardLine {
                sku: sku.clone(),
                proposal_id: id.to_string(),
            };
            AwardSpec { lines: lines.iter().map(line).collect(), ..spec }
        }
    }
}
