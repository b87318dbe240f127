//! The rule for the award of an `OrderRequest`: it is set once, unless it is undone or was refused.

use kube::core::Rule;

use crate::conditions::STALLED;
use crate::order_status::REFUSED_AWARDS;

/// The CEL expression for an award with the same winners as before.
const SAME_AWARD: &str = "has(self.spec.award.proposalId) == has(oldSelf.spec.award.proposalId) && \
    (!has(self.spec.award.proposalId) || \
    self.spec.award.proposalId == oldSelf.spec.award.proposalId) && \
    (has(self.spec.award.lines) ? self.spec.award.lines : []) == \
    (has(oldSelf.spec.award.lines) ? oldSelf.spec.award.lines : []) && \
    (has(self.spec.award.none) && self.spec.award.none) == \
    (has(oldSelf.spec.award.none) && oldSelf.spec.award.none)";

/// The CEL expression for a former status that tells of no pending award and no end of the order. An
/// order that was refused before it was opened may be corrected.
const MAY_BE_AWARDED: &str = "!has(oldSelf.status.award) && (!has(oldSelf.status.phase) || \
    !(oldSelf.status.phase in ['Finalised', 'Expired', 'Closed', 'Cancelled', 'Failed']) || \
    oldSelf.status.phase == 'Failed' && !has(oldSelf.status.startTime))";

/// The CEL expression for a former status that is about the former award, and not about one that it
/// has replaced: that one may have been sent since. The lists are bounded, and of two types.
const IS_OF_FORMER_AWARD: &str = "has(oldSelf.status.refusedAward) && \
    has(oldSelf.status.refusedAward.proposalId) == has(oldSelf.spec.award.proposalId) && \
    (!has(oldSelf.spec.award.proposalId) || \
    oldSelf.status.refusedAward.proposalId == oldSelf.spec.award.proposalId) && \
    (has(oldSelf.status.refusedAward.none) && oldSelf.status.refusedAward.none) == \
    (has(oldSelf.spec.award.none) && oldSelf.spec.award.none) && \
    (has(oldSelf.status.refusedAward.lines) ? size(oldSelf.status.refusedAward.lines) : 0) == \
    (has(oldSelf.spec.award.lines) ? size(oldSelf.spec.award.lines) : 0) && \
    (!has(oldSelf.spec.award.lines) || oldSelf.spec.award.lines.all(l, \
    oldSelf.status.refusedAward.lines.exists(r, r.sku == l.sku && r.proposalId == l.proposalId)))";

/// Returns the rule for the award: another one may take its place once it is to be undone, or was
/// refused. It is a rule of the whole resource, whose status tells that it was refused.
pub(super) fn award_once() -> Rule {
    let [refused, unreadable] = REFUSED_AWARDS;
    let rule = format!(
        "!has(oldSelf.spec.award) || has(self.spec.award) && (has(oldSelf.spec.award.undo) && \
         oldSelf.spec.award.undo || ({SAME_AWARD}) || has(oldSelf.status) && \
         {MAY_BE_AWARDED} && {IS_OF_FORMER_AWARD} && \
         has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, \
         c.type == '{STALLED}' && c.status == 'True' && \
         (c.message.startsWith('{refused}') || c.message.startsWith('{unreadable}'))))"
    );
    Rule::new(rule)
        .message("award is set once; put the former award back, or undo it first")
        .field_path(".spec.award")
}
