//! `orderstream award`: awards the order, whole or per line. The named proposals are checked first:
//! an order is awarded once, and a typing mistake would be final.

use orderstream_core::buyer::BuyerCommand;
use orderstream_core::command;
use orderstream_core::request_phase::end_reason;
use orderstream_core::{Phase, Reason};
use orderstream_rest_types::comparison::ComparisonView;
use orderstream_rest_types::order::{AwardView, OrderView};
use orderstream_rest_types::proposal::ProposalView;

use super::award_remarks::{conditions, defects};
use super::confirm::ConfirmArgs;
use super::execution::{ObservedEffect, STATE_UNKNOWN, VerbCommand};
use super::lines::line_key;
use super::market::{Market, Subject, await_optional};
use super::order_commands::{OrderArgs, reason, undo_within_ms};
use super::winners::Winners;
use super::{compare, print, show};
use crate::cluster::edit::Edit;
use crate::display::displayed;
use crate::exit::CliError;
use crate::output;

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
    /// The proposal that wins the whole order: its id, the first letters of it, or its seller
    #[arg(group = "who", value_name = "PROPOSAL")]
    proposal: Option<String>,
    /// A line, by its name or its article, and the proposal that wins it; repeat for each line
    #[arg(long = "line", group = "who", value_name = "SKU=PROPOSAL", value_parser = line)]
    lines: Vec<(String, String)>,
    /// Award to nobody
    #[arg(long, group = "who")]
    #[allow(dead_code, reason = "its group makes sure that no proposal is named")]
    none: bool,
    /// The reason, for all who took part
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Time in which it can be undone, before it takes effect and anybody is notified: 1s to 1d
    #[arg(long, value_name = "DURATION")]
    undo_within: Option<String>,
    #[command(flatten)]
    confirm_args: ConfirmArgs,
}

/// An order before it is awarded.
struct OrderBeforeAward {
    order: OrderView,
    proposals: Vec<ProposalView>,
    /// The proposals side by side; nothing where they could not be compared.
    comparison: ComparisonView,
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
        check_lines_once(&self.lines)?;
        let (market, subject) = self.order.market().await?;
        let (winners, before) = self.before(&market, &subject).await?;
        let summary = match &before {
            Some(before) => winners.describe(&before.order.items, &before.proposals),
            None => winners.describe(&[], &[]),
        };
        if let Some(before) = before.as_ref().filter(|before| before.is_done) {
            // An interrupted script repeats its command.
            let report = self.order.report("award", &subject, &before.order);
            let name = self.order.name();
            return self
                .order
                .print_report(&report, &format!("order {name} is already awarded: {summary}"));
        }
        let (award, reason) = (winners.award()?, reason(self.reason.as_ref())?);
        let defects = before.as_ref().map(|before| defects(&winners, &before.comparison));
        let defects = defects.unwrap_or_default();
        if undo_within_ms.is_none() {
            if self.confirm_args.asks() {
                let proposals = before.as_ref().map(|before| before.proposals.as_slice());
                let conditions = conditions(&winners, proposals.unwrap_or_default());
                defects.iter().chain(&conditions).for_each(|line| output::note(&displayed(line)));
            }
            let question = format!("Award {summary}? Without --undo-within it cannot be undone.");
            self.confirm_args.confirm(&question)?;
        }
        let expected = award.clone();
        let command = BuyerCommand::Finalise { award, reason, undo_within_ms };
        // Exactly this award, and not a rival's.
        let has_effect = |order: &OrderView| is_awarded(order, expected.as_ref());
        let verb_command =
            VerbCommand { verb: "award", edit: Edit::Command(command), has_effect: &has_effect };
        let mut outcome = self.order.execute(&market, &subject, &verb_command).await?;
        outcome.report.proposal_id.clone_from(&winners.whole);
        let text = match &outcome.effect {
            ObservedEffect::Visible(after) => {
                let pending = after.pending_award.as_ref();
                outcome.report.pending_until = pending.map(|pending| pending.effective_at.clone());
                let mut lines = vec![self.outcome_text(&summary, &winners, &subject, after)];
                lines.extend(defects.iter().map(|line| format!("warning: {line}")));
                lines.join("\n")
            }
            ObservedEffect::Superseded(after) => {
                format!("awarded {summary} before; the order is {} by now", after.phase)
            }
            ObservedEffect::Unknown => format!("awarded {summary}; {STATE_UNKNOWN}"),
        };
        self.order.print_report(&outcome.report, &text)
    }

    /// Reads the order before the award, finds the named proposals, and refuses what its processor
    /// would refuse. If the processor does not respond, the proposals are as they were given, and
    /// the checks are left to the server.
    async fn before(
        &self,
        market: &Market,
        subject: &Subject,
    ) -> Result<(Winners, Option<OrderBeforeAward>), CliError> {
        let named = Winners { whole: self.proposal.clone(), lines: self.lines.clone() };
        let request = async {
            let order = market.order(subject).await?;
            Ok((order, market.sellers().proposals(&subject.id, PROPOSALS_MAX).await?))
        };
        let Some((order, proposals)) = await_optional(request).await? else {
            return Ok((named, None));
        };
        let may_be_decided = self.order.may_be_decided(subject);
        let check = || if may_be_decided { Ok(()) } else { check_can_be_awarded(&order) };
        let resolved = check_lines(&order, &named).and_then(|()| {
            let winners = named.clone().resolved(&proposals)?;
            Winners::check_names(&named, &winners, &order.sellers, &proposals)?;
            Ok(winners)
        });
        let winners = match resolved {
            Ok(winners) => winners,
            // Where nothing can be awarded, it does not matter what was named.
            Err(failure) => return Err(check().err().unwrap_or(failure)),
        };
        let is_done = is_awarded(&order, winners.award()?.as_ref()) && !may_be_decided;
        if !is_done && !may_be_decided {
            check()?;
            check_open(&winners, &proposals)?;
        }
        // A comparison that fails keeps nobody from the award.
        let comparison = await_optional(compare::read_all(market.sellers(), &subject.id, "total"));
        let comparison = comparison.await.ok().flatten().unwrap_or_default();
        Ok((winners, Some(OrderBeforeAward { order, proposals, comparison, is_done })))
    }

    fn outcome_text(
        &self,
        summary: &str,
        winners: &Winners,
        subject: &Subject,
        after: &OrderView,
    ) -> String {
        let name = self.order.name();
        if let Some(pending) = &after.pending_award {
            let at = print::moment(&pending.effective_at, crate::clock::now());
            return format!(
                "awarded {summary}; it counts from {at}, and nobody is notified before\n\
                 undo: orderstream undo-award {name}"
            );
        }
        let closed = if winners.ids().is_empty() {
            "no proposal is closed".to_owned()
        } else {
            let closed = usize::try_from(after.proposals.closed).unwrap_or_default();
            format!("{} closed", print::count(closed, "other proposal"))
        };
        let kept = subject.resource().and_then(show::ttl_ms).map(|ttl_ms| {
            let (length, id) = (print::length(ttl_ms), &subject.id);
            format!("\nkept in `list` for {length}; then `orderstream status {id}` shows it")
        });
        let kept = kept.unwrap_or_default();
        format!("awarded {summary}; {closed}, all who took part can read it{kept}")
    }
}

/// Refuses a line that is given twice: it has one winner.
fn check_lines_once(lines: &[(String, String)]) -> Result<(), CliError> {
    for (index, (line, winner)) in lines.iter().enumerate() {
        let earlier = lines.iter().take(index).find(|(given, _)| given == line);
        if let Some((_, first)) = earlier {
            return Err(CliError::input(format!(
                "--line {line} is given twice, for {first} and for {winner}; a line has one winner"
            )));
        }
    }
    Ok(())
}

/// Refuses lines that the order does not have.
fn check_lines(order: &OrderView, winners: &Winners) -> Result<(), CliError> {
    let keys: Vec<&str> = order.items.iter().map(line_key).collect();
    let mut lines = winners.lines.iter().map(|(key, _)| key);
    match lines.find(|key| !keys.is_empty() && !keys.contains(&key.as_str())) {
        Some(key) => Err(CliError::input(format!(
            "--line {key} is not an article of this order; it wants {}",
            keys.join(", ")
        ))),
        None => Ok(()),
    }
}

/// Refuses an award to a withdrawn proposal.
fn check_open(winners: &Winners, proposals: &[ProposalView]) -> Result<(), CliError> {
    let ids = winners.ids();
    let is_named = |held: &&ProposalView| ids.contains(held.proposal_id.as_str());
    let mut named = proposals.iter().filter(is_named);
    named.find(|held| held.status == "Withdrawn").map_or(Ok(()), |held| {
        let (id, seller) = (&held.proposal_id, &held.content.seller);
        Err(refused(Reason::ProposalEnded, &format!("proposal {id} of {seller} was withdrawn")))
    })
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
        return Err(refused(reason, &format!("the order is already {}", order.phase)));
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

fn refused(reason: Reason, text: &str) -> CliError {
    CliError::from_server(Some(reason), format!("{text} [{}]", reason.as_str()))
}

#[cfg(test)]
mod tests {
    use orderstream_core::ProposalId;

    use super::*;

    #[test]
    fn lines_have_one_winner() {
        let given = |lines: &[(&str, &str)]| {
            let owned = |(line, id): &(&str, &str)| ((*line).to_owned(), (*id).to_owned());
            check_lines_once(&lines.iter().map(owned).collect::<Vec<_>>())
        };
        given(&[("A", "m1"), ("B", "m1")]).unwrap();
        let refused = given(&[("A", "m1"), ("B", "m1"), ("A", "c1")]).unwrap_err();
        let expected = "--line A is given twice, for m1 and for c1; a line has one winner";
        assert_eq!(refused.to_string(), expected);
    }

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
}
