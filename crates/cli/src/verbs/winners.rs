//! The proposals that win an order, as a command names them and as an order has them, in words for
//! people.

use std::collections::BTreeSet;

use orderstream_core::ProposalId;
use orderstream_core::command::Award;
use orderstream_core::price::Decimal;
use orderstream_rest_types::order::{AwardView, ConsideredSellerView, ItemView};
use orderstream_rest_types::proposal::ProposalView;

use super::lines::{is_for, line_key};
use super::{lookup, print};
use crate::exit::CliError;

/// The ids of the proposals that win: one wins the whole order, or each line has its own. Nobody
/// wins where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Winners {
    /// The winner of the whole order.
    pub(super) whole: Option<String>,
    /// The lines, by name or article, each with its winner.
    pub(super) lines: Vec<(String, String)>,
}

impl Winners {
    /// Returns the winners of an award; `None` for a form that this version does not know.
    pub(super) fn of(award: Option<&AwardView>) -> Option<Self> {
        match award {
            None => Some(Self::default()),
            Some(AwardView::Whole(id)) => Some(Self { whole: Some(id.clone()), lines: Vec::new() }),
            Some(AwardView::Lines(lines)) => Some(Self { whole: None, lines: lines.clone() }),
            Some(AwardView::Other) => None,
        }
    }

    /// Returns the proposals' ids in place of the words that name them.
    pub(super) fn resolved(self, proposals: &[ProposalView]) -> Result<Self, CliError> {
        let id = |text: &str| -> Result<String, CliError> {
            Ok(lookup::proposal(proposals, text)?.proposal_id.clone())
        };
        let whole = self.whole.as_deref().map(id).transpose()?;
        let lines = self.lines.into_iter().map(|(line, text)| Ok((line, id(&text)?)));
        Ok(Self { whole, lines: lines.collect::<Result<_, CliError>>()? })
    }

    /// Refuses a proposal that was named by the name of another seller of the order, which is the
    /// beginning of its id or its seller's name for people: the one that was meant has no proposal.
    pub(super) fn check_names(
        named: &Self,
        resolved: &Self,
        sellers: &[ConsideredSellerView],
        proposals: &[ProposalView],
    ) -> Result<(), CliError> {
        let texts = named.whole.iter().chain(named.lines.iter().map(|(_, text)| text));
        let ids = resolved.whole.iter().chain(resolved.lines.iter().map(|(_, id)| id));
        for (text, id) in texts.zip(ids) {
            let Some(proposal) = proposals.iter().find(|one| one.proposal_id == *id) else {
                continue;
            };
            let seller = &proposal.content.seller;
            let is_of_other = sellers.iter().any(|one| one.seller == *text);
            if is_of_other && seller != text && id != text {
                let text = format!(
                    "seller {text} has no proposal; {id} is of {seller}, so give the proposal's id"
                );
                return Err(CliError::input(text));
            }
        }
        Ok(())
    }

    /// Returns the award; nothing where nobody wins.
    pub(super) fn award(&self) -> Result<Option<Award>, CliError> {
        if let Some(id) = &self.whole {
            return Ok(Some(Award::Whole(ProposalId::new(id)?)));
        }
        if self.lines.is_empty() {
            return Ok(None);
        }
        let lines = self.lines.iter().map(|(line, id)| Ok((line.clone(), ProposalId::new(id)?)));
        Ok(Some(Award::Lines(lines.collect::<Result<_, CliError>>()?)))
    }

    /// Returns the ids, each once.
    pub(super) fn ids(&self) -> BTreeSet<&str> {
        self.whole.iter().chain(self.lines.iter().map(|(_, id)| id)).map(String::as_str).collect()
    }

    /// Returns the lines that a proposal wins; `None` where it does not win by lines.
    pub(super) fn lines_of(&self, id: &str) -> Option<Vec<&str>> {
        let won = self.lines.iter().filter(|(_, winner)| winner == id);
        let won: Vec<&str> = won.map(|(line, _)| line.as_str()).collect();
        (!won.is_empty()).then_some(won)
    }

    /// Names the winners with their sellers and prices, as far as these proposals have them, and the
    /// order's lines that nobody wins.
    pub(super) fn describe(&self, items: &[ItemView], proposals: &[ProposalView]) -> String {
        let find = |id: &str| proposals.iter().find(|one| one.proposal_id == id);
        if let Some(id) = &self.whole {
            let Some(found) = find(id) else { return id.clone() };
            let (content, seller) = (&found.content, seller(found));
            return format!("{id} of {seller} for {} {}", content.price, content.currency);
        }
        if self.lines.is_empty() {
            return "nobody".to_owned();
        }
        let describe_line = |(key, id): &(String, String)| {
            let Some(found) = find(id) else { return format!("{key} to {id}") };
            let price = line_price(items, found, key);
            let price = price.map(|price| format!(" for {price} {}", found.content.currency));
            format!("{key} to {id} of {}{}", seller(found), price.unwrap_or_default())
        };
        let is_won = |key: &str| self.lines.iter().any(|(line, _)| line == key);
        let unwon = items.iter().map(line_key).filter(|key| !is_won(key));
        let unwon = unwon.map(|key| format!("{key} to nobody"));
        self.lines.iter().map(describe_line).chain(unwon).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the price of one of the order's lines in a proposal; `None` where it has none.
fn line_price(items: &[ItemView], proposal: &ProposalView, key: &str) -> Option<String> {
    let item = items.iter().find(|item| line_key(item) == key);
    let lines = proposal.content.lines.iter();
    let lines = lines.filter(|line| item.map_or(line.sku == key, |item| is_for(line, item)));
    sum(&lines.map(|line| line.price.clone()).collect::<Vec<_>>())
}

/// Adds up prices, of which one alone stays as it is written; `None` where there are none.
fn sum(prices: &[String]) -> Option<String> {
    if let [only] = prices {
        return Some(only.clone());
    }
    let mut sum: Option<Decimal> = None;
    for price in prices {
        sum = Some(sum.unwrap_or(Decimal::ZERO).checked_add(price.parse().ok()?)?);
    }
    sum.map(|sum| sum.to_string())
}

/// Names a proposal's seller for people.
fn seller(proposal: &ProposalView) -> String {
    print::seller(&proposal.content.seller, proposal.seller_name.as_deref())
}

#[cfg(test)]
mod tests {
    use orderstream_rest_types::proposal::{ContentView, ProposalLineView};

    use super::*;

    fn held(id: &str, seller: &str, price: &str, lines: &[(&str, &str)]) -> ProposalView {
        let line = |(sku, price): &(&str, &str)| ProposalLineView {
            sku: (*sku).to_owned(),
            price: (*price).to_owned(),
            ..ProposalLineView::default()
        };
        let content = ContentView {
            seller: seller.to_owned(),
            price: price.to_owned(),
            currency: "EUR".to_owned(),
            lines: lines.iter().map(line).collect(),
            ..ContentView::default()
        };
        ProposalView { proposal_id: id.to_owned(), content, ..ProposalView::default() }
    }

    fn of_lines(lines: &[(&str, &str)]) -> Winners {
        let owned = |(line, id): &(&str, &str)| ((*line).to_owned(), (*id).to_owned());
        Winners { whole: None, lines: lines.iter().map(owned).collect() }
    }

    #[test]
    fn winners_have_sellers_and_prices() {
        let proposals = [
            held("p-1", "acme", "12.50", &[("CHAIR", "10"), ("MAT", "2.50")]),
            held("p-2", "bolt", "9", &[]),
        ];
        let whole = Winners { whole: Some("bolt".to_owned()), lines: Vec::new() };
        let whole = whole.resolved(&proposals).unwrap();
        assert_eq!(whole.describe(&[], &proposals), "p-2 of bolt for 9 EUR");
        let named = proposals
            .clone()
            .map(|one| ProposalView { seller_name: Some("Bolzen & Söhne".to_owned()), ..one });
        let expected = "p-2 of Bolzen & Söhne (bolt) for 9 EUR";
        assert_eq!(whole.describe(&[], &named), expected);
        let lines = of_lines(&[("CHAIR", "acme"), ("MAT", "p-2")]).resolved(&proposals).unwrap();
        let expected = "CHAIR to p-1 of acme for 10 EUR, MAT to p-2 of bolt";
        assert_eq!(lines.describe(&[], &proposals), expected);
        assert_eq!(lines.ids(), BTreeSet::from(["p-1", "p-2"]));
        assert_eq!(lines.describe(&[], &[]), "CHAIR to p-1, MAT to p-2");
        assert_eq!(Winners::default().describe(&[], &proposals), "nobody");
        assert!(of_lines(&[("CHAIR", "p-3")]).resolved(&proposals).is_err());
    }

    #[test]
    fn lines_without_winner_are_named() {
        let items = ["CHAIR", "MAT", "LAMP"]
            .map(|sku| ItemView { sku: sku.to_owned(), ..ItemView::default() });
        let lines = [("CHAIR", "10"), ("MAT", "2.50"), ("LAMP", "4")];
        let proposals = [held("p-1", "acme", "16.50", &lines), held("p-2", "bolt", "9", &[])];
        let two = of_lines(&[("CHAIR", "p-1"), ("MAT", "p-1")]);
        let expected = "CHAIR to p-1 of acme for 10 EUR, MAT to p-1 of acme for 2.50 EUR, LAMP to \
                        nobody";
        assert_eq!(two.describe(&items, &proposals), expected);
        let whole = Winners { whole: Some("p-1".to_owned()), lines: Vec::new() };
        assert_eq!(whole.describe(&items, &proposals), "p-1 of acme for 16.50 EUR");
    }

    #[test]
    fn a_sellers_name_is_not_lent_to_others() {
        let seller_name = Some("acme".to_owned());
        let proposals = [ProposalView { seller_name, ..held("p-2", "evil", "9", &[]) }];
        let seller = "acme".to_owned();
        let sellers = [ConsideredSellerView { seller, ..ConsideredSellerView::default() }];
        let check = |text: &str, sellers: &[ConsideredSellerView]| {
            let named = Winners { whole: Some(text.to_owned()), lines: Vec::new() };
            let resolved = named.clone().resolved(&proposals).unwrap();
            Winners::check_names(&named, &resolved, sellers, &proposals)
        };
        let failure = check("acme", &sellers).unwrap_err().to_string();
        assert!(failure.starts_with("seller acme has no proposal; p-2 is of evil"), "{failure}");
        for named in ["evil", "p-2"] {
            assert!(check(named, &sellers).is_ok(), "{named}");
        }
        assert!(check("acme", &[]).is_ok(), "nobody else has this name");
    }

    #[test]
    fn awards_of_orders_are_read_in_every_form() {
        let of = |award: AwardView| Winners::of(Some(&award));
        let whole = of(AwardView::Whole("p-1".to_owned())).unwrap();
        assert!(matches!(whole.award().unwrap(), Some(Award::Whole(id)) if id.as_str() == "p-1"));
        let lines = AwardView::Lines(vec![("CHAIR".to_owned(), "p-1".to_owned())]);
        assert_eq!(of(lines), Some(of_lines(&[("CHAIR", "p-1")])));
        assert_eq!(of(AwardView::Other), None);
        assert_eq!(Winners::of(None).unwrap().award().unwrap(), None);
    }
}
