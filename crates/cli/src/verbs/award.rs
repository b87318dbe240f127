//! `orderstream award`: awards the order, whole or per line. The named proposals are checked first:
//! an order is awarded once, and a typing mistake would be final.

use orderstream_core::buyer::BuyerCommand;
use orderstream_core::command;
use orderstream_core::request_phase::end_reason;
use orderstream_core::{Phase, ProposalId, Reason};
use orderstream_rest_types::order::{AwardView, OrderView, ProposalCountsView};
use orderstream_rest_types::proposal::ProposalView;

use super::execution::{ObservedEffect, STATE_UNKNOWN, VerbCommand};
use super::market::{Market, Subject, await_optional};
use super::nearest::nearest;
use super::order_commands::{OrderArgs, reason, undo_within_ms};
use super::print;
use crate::cluster::edit::Edit;
use crate::exit::CliError;

/// The most proposals that are checked.
const PROPOSALS_MAX: usize = 10_000;

/// `orderstream award ORDER PROPOSAL`
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("who").required(true),
    override_usage = "orderstream award [OPTIONS] <ORDER> <PROPOSAL>\n       \
                      orderstream award [OPTIONS] <ORDER> --line <SKU=PROPOSAL>...\n       \
                      orderstream award [OPTIONS] <ORDER> --none"
)]
pub struct AwardArgs {
    #[command(flatten)]
    order: OrderArgs,
    /// The proposal that wins the whole order
    #[arg(group = "who", value_name = "PROPOSAL")]
    proposal: Option<String>,
    /// A line, and the proposal that wins it; repeat for each line
    #[arg(long = "line", group = "who", value_name = "SKU=PROPOSAL", value_parser = line)]
    lines: Vec<(String, String)>,
    /// Award to nobody
    #[arg(long, group = "who")]
    none: bool,
    /// The reason, for all who took part
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Time in which it can be undone, before it takes effect and anybody is notified: 1s to 1d
    #[arg(long, value_name = "DURATION")]
    undo_within: Option<String>,
}

/// An order before it is awarded.
struct OrderBeforeAward {
    order: OrderView,
    proposals: Vec<ProposalView>,
    /// Set when this award is decided already.
    is_done: bool,
}

fn line(text: &str) -> Result<(String, String), String> {
    let parts = text.rsplit_once('=').filter(|(sku, id)| !sku.is_empty() && !id.is_empty());
    let (sku, id) = parts.ok_or("give an article and a proposal, such as CHAIR-01=p-2")?;
    Ok((sku.to_owned(), id.to_owned()))
}

impl AwardArgs {
    pub(crate) async fn run(self) -> Result<(), CliError> {
        let undo_within_ms = undo_within_ms(self.undo_within.as_deref())?;
        let (market, subject) = self.order.market().await?;
        let award = self.award()?;
        let before = self.before(&market, &subject, award.as_ref()).await?;
        let summary = match &before {
            Some(before) => self.describe(&before.order, &before.proposals)?,
            None => self.describe_arguments(),
        };
        if let Some(before) = before.as_ref().filter(|before| before.is_done) {
            // An interrupted script repeats its command.
            let report = self.order.report("award", &subject, &before.order);
            let name = self.order.name();
            return self
                .order
                .print_report(&report, &format!("order {name} is awarded so already: {summary}"));
        }
        let (expected, reason) = (award.clone(), reason(self.reason.as_ref())?);
        let command = BuyerCommand::Finalise { award, reason, undo_within_ms };
        // Exactly this award, and not a rival's.
        let has_effect = |order: &OrderView| is_awarded(order, expected.as_ref());
        let verb_command =
            VerbCommand { verb: "award", edit: Edit::Command(command), has_effect: &has_effect };
        let mut outcome = self.order.execute(&market, &subject, &verb_command).await?;
        outcome.report.proposal_id.clone_from(&self.proposal);
        let text = match &outcome.effect {
            ObservedEffect::Visible(after) => self.outcome_text(&summary, before.as_ref(), after),
            ObservedEffect::Superseded(after) => {
                format!("awarded {summary} before; the order is {} by now", after.phase)
            }
            ObservedEffect::Unknown => format!("awarded {summary}; {STATE_UNKNOWN}"),
        };
        self.order.print_report(&outcome.report, &text)
    }

    /// Reads the order before the award, and refuses what its processor would refuse. If the
    /// processor does not respond, returns `None`: the checks are left to the server.
    async fn before(
        &self,
        market: &Market,
        subject: &Subject,
        award: Option<&command::Award>,
    ) -> Result<Option<OrderBeforeAward>, CliError> {
        let request = async {
            let order = market.order(subject).await?;
            Ok((order, market.sellers().proposals(&subject.id, PROPOSALS_MAX).await?))
        };
        let Some((order, proposals)) = await_optional(request).await? else { return Ok(None) };
        let may_be_decided = self.order.may_be_decided(subject);
        let is_done = is_awarded(&order, award) && !may_be_decided;
        if !is_done && !may_be_decided {
            check_can_be_awarded(&order)?;
            self.check_open(&proposals)?;
        }
        Ok(Some(OrderBeforeAward { order, proposals, is_done }))
    }

    /// Describes the award by the arguments only, where the order could not be read.
    fn describe_arguments(&self) -> String {
        let lines = self.lines.iter().map(|(sku, id)| format!("{sku} to {id}"));
        let parts: Vec<String> = self.proposal.clone().into_iter().chain(lines).collect();
        if parts.is_empty() { "nobody".to_owned() } else { parts.join(", ") }
    }

    fn award(&self) -> Result<Option<command::Award>, CliError> {
        if let Some(id) = &self.proposal {
            return Ok(Some(command::Award::Whole(ProposalId::new(id.clone())?)));
        }
        if self.lines.is_empty() {
            return Ok(None);
        }
        let lines: Result<Vec<_>, CliError> = self
            .lines
            .iter()
            .map(|(sku, id)| Ok((sku.clone(), ProposalId::new(id.clone())?)))
            .collect();
        Ok(Some(command::Award::Lines(lines?)))
    }

    /// Describes the award by the order's proposals; fails where one that is named does not exist.
    fn describe(&self, order: &OrderView, proposals: &[ProposalView]) -> Result<String, CliError> {
        if let Some(id) = &self.proposal {
            let proposal = find_proposal(proposals, id)?;
            return Ok(format!(
                "{id} of {} for {} {}",
                proposal.content.seller, proposal.content.price, proposal.content.currency
            ));
        }
        if self.none {
            return Ok("nobody".to_owned());
        }
        let mut parts = Vec::new();
        for (sku, id) in &self.lines {
            let skus: Vec<&str> = order.items.iter().map(|item| item.sku.as_str()).collect();
            if !skus.is_empty() && !skus.contains(&sku.as_str()) {
                let skus = skus.join(", ");
                return Err(CliError::input(format!(
                    "--line {sku} is no article of this order; it wants {skus}"
                )));
            }
            let proposal = &find_proposal(proposals, id)?.content;
            let price = proposal.lines.iter().find(|line| line.sku == *sku);
            let price = price.map(|line| format!(" for {} {}", line.price, proposal.currency));
            parts.push(format!(
                "{sku} to {id} of {}{}",
                proposal.seller,
                price.unwrap_or_default()
            ));
        }
        Ok(parts.join(", "))
    }

    /// Refuses an award to a withdrawn proposal.
    fn check_open(&self, proposals: &[ProposalView]) -> Result<(), CliError> {
        let ids = self.lines.iter().map(|(_, id)| id).chain(&self.proposal);
        let mut named_proposals =
            ids.filter_map(|id| proposals.iter().find(|held| held.proposal_id == *id));
        named_proposals.find(|held| held.status == "Withdrawn").map_or(Ok(()), |held| {
            let (id, seller) = (&held.proposal_id, &held.content.seller);
            let text = format!("proposal {id} of {seller} was withdrawn");
            Err(refused(Reason::ProposalEnded, &text))
        })
    }

    fn outcome_text(
        &self,
        summary: &str,
        before: Option<&OrderBeforeAward>,
        after: &OrderView,
    ) -> String {
        let name = self.order.name();
        if let Some(pending) = &after.pending_award {
            let at = print::moment(&pending.effective_at, crate::clock::now());
            return format!(
                "awarded {summary}; it counts from {at}, and nobody is told before\n\
                 undo: orderstream undo-award {name}"
            );
        }
        let Some(before) = before else {
            return format!("awarded {summary}; all who took part are notified");
        };
        let losers = losers(before.order.proposals, self.winners());
        let losers = print::count(usize::try_from(losers).unwrap_or_default(), "other proposal");
        format!("awarded {summary}; {losers} closed, all who took part are notified")
    }

    fn winners(&self) -> u32 {
        let mut ids: Vec<&str> = self.lines.iter().map(|(_, id)| id.as_str()).collect();
        ids.extend(self.proposal.as_deref());
        ids.sort_unstable();
        ids.dedup();
        u32::try_from(ids.len()).unwrap_or(u32::MAX)
    }
}

/// Returns the number of proposals that an award to `winners` proposals closes; for a repeated
/// award, the number that it closed.
const fn losers(before: ProposalCountsView, winners: u32) -> u32 {
    before.open.saturating_sub(winners).saturating_add(before.closed)
}

/// Reports whether the order has exactly this award, pending or final.
fn is_awarded(order: &OrderView, award: Option<&command::Award>) -> bool {
    match &order.pending_award {
        Some(pending) => is_same(pending.award.as_ref(), award),
        None => order.phase == Phase::Finalised.as_str() && is_same(order.award.as_ref(), award),
    }
}

/// Reports whether the order's award is the expected one.
fn is_same(award: Option<&AwardView>, expected: Option<&command::Award>) -> bool {
    match (award, expected) {
        (None, None) => true,
        (Some(AwardView::Whole(id)), Some(command::Award::Whole(winner))) => id == winner.as_str(),
        (Some(AwardView::Lines(lines)), Some(command::Award::Lines(winners))) => {
            let lines = lines.iter().map(|(sku, id)| (sku.as_str(), id.as_str()));
            lines.eq(winners.iter().map(|(sku, id)| (sku.as_str(), id.as_str())))
        }
        _ => false,
    }
}

/// Refuses an award that the processor would refuse, before it is requested.
fn check_can_be_awarded(order: &OrderView) -> Result<(), CliError> {
    if super::order_commands::is_ended(order) {
        let is_awarded = order.phase == Phase::Finalised.as_str();
        let reason = if is_awarded { Reason::AlreadyAwarded } else { end_reason(&order.phase) };
        return Err(refused(reason, &format!("the order is {} already", order.phase)));
    }
    if order.sealed && order.decide_until.is_none() {
        let opens = print::moment(&order.expires_at, crate::clock::now());
        let text = format!("the order is sealed; it opens at {opens}");
        return Err(refused(Reason::OrderSealed, &text));
    }
    if order.pending_award.is_some() {
        return Err(refused(Reason::AwardPending, "an award waits to count; undo it first"));
    }
    Ok(())
}

fn find_proposal<'a>(
    proposals: &'a [ProposalView],
    id: &str,
) -> Result<&'a ProposalView, CliError> {
    proposals.iter().find(|proposal| proposal.proposal_id == id).ok_or_else(|| {
        let ids = proposals.iter().map(|proposal| proposal.proposal_id.as_str());
        let suggestion = nearest(id, ids).map(|meant| format!("; did you mean {meant}?"));
        let text = format!("the order has no proposal {id}{}", suggestion.unwrap_or_default());
        refused(Reason::ProposalNotFound, &text)
    })
}

fn refused(reason: Reason, text: &str) -> CliError {
    CliError::from_server(Some(reason), format!("{text} [{}]", reason.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn awards_are_compared_with_those_of_orders() {
        let id = |id: &str| ProposalId::new(id).unwrap();
        let (whole, other) = (command::Award::Whole(id("p1")), command::Award::Whole(id("p2")));
        let lines = command::Award::Lines(vec![("a".to_owned(), id("p1"))]);
        let of_lines = |sku: &str| AwardView::Lines(vec![(sku.to_owned(), "p1".to_owned())]);
        let of_whole = AwardView::Whole("p1".to_owned());
        assert!(is_same(None, None));
        assert!(is_same(Some(&of_whole), Some(&whole)));
        assert!(is_same(Some(&of_lines("a")), Some(&lines)));
        for (award, expected) in [
            (None, Some(&whole)),
            (Some(&of_whole), None),
            (Some(&of_whole), Some(&other)),
            (Some(&of_whole), Some(&lines)),
            (Some(&of_lines("b")), Some(&lines)),
        ] {
            assert!(!is_same(award, expected), "{award:?} {expected:?}");
        }
    }

    #[test]
    fn repeated_awards_report_the_same_losers() {
        let counts =
            |open, closed| ProposalCountsView { open, closed, ..ProposalCountsView::default() };
        assert_eq!(losers(counts(3, 0), 1), 2);
        assert_eq!(losers(counts(1, 2), 1), 2);
        assert_eq!(losers(counts(0, 2), 1), 2);
        assert_eq!(losers(counts(3, 0), 0), 3, "nobody wins");
    }
}
