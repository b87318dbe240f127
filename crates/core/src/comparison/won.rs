//! The part of an order that a proposal has won: its lines with their quantities and prices, and
//! what all of it costs.

use crate::command::Award;
use crate::id::ProposalId;
use crate::order::Order;
use crate::price::Decimal;

use super::wanted::WantedLines;

/// The part of an order that a proposal has won.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WonPart {
    /// Set where it is the whole order: it was awarded as a whole, or each of its lines was.
    pub is_whole: bool,
    /// The lines as the order lists them; of an order without items those that the proposal offers.
    pub lines: Vec<WonLine>,
    /// The price of all of it, a decimal in the proposal's currency; absent where the proposal wins
    /// single lines and has no price for each of them.
    pub total: Option<String>,
}

/// A line that a proposal has won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WonLine {
    /// The line's name, or else its article number.
    pub line: String,
    /// The quantity offered, a decimal; of a proposal without lines the wanted one. Absent where
    /// neither names one.
    pub quantity: Option<String>,
    /// The unit of the quantity; absent where nobody names one.
    pub unit: Option<String>,
    /// The price of the whole line, a decimal; absent where the proposal has only one price for
    /// everything.
    pub price: Option<String>,
}

/// Returns the part of an order that a proposal has won; `None` where it has won nothing.
pub(crate) fn won_part(order: &Order, id: &ProposalId) -> Option<WonPart> {
    let content = &order.proposals.get(id)?.content;
    let award = order.award.as_ref().filter(|_| order.has_won(id))?;
    let wanted = WantedLines::of(&order.spec.items);
    let offered = wanted.offered(content);
    let keys: Vec<&str> = match award {
        Award::Whole(_) => {
            let listed = wanted.keys().iter().copied();
            let listed = listed.filter(|key| offered.is_empty() || offered.contains_key(key));
            let others = offered.keys().copied().filter(|key| wanted.quantity(key).is_none());
            listed.chain(others).collect()
        }
        Award::Lines(lines) => {
            let won = lines.iter().filter(|(_, winner)| winner == id);
            won.map(|(key, _)| key.as_str()).collect()
        }
    };
    let total = match award {
        Award::Whole(_) => Some(content.price.amount()),
        Award::Lines(_) => {
            let prices = keys.iter().map(|key| Some(offered.get(key)?.price));
            prices.collect::<Option<Vec<Decimal>>>().map(|prices| prices.into_iter().sum())
        }
    };
    let is_whole = match award {
        Award::Whole(_) => true,
        Award::Lines(_) => {
            let mut all = wanted.keys().iter();
            !wanted.keys().is_empty() && all.all(|key| keys.contains(key))
        }
    };
    let line = |key: &str| match offered.get(key) {
        Some(line) => WonLine {
            line: key.to_owned(),
            quantity: Some(line.shown_quantity().to_string()),
            unit: line.shown_unit().map(str::to_owned),
            price: Some(line.price.to_string()),
        },
        None => WonLine {
            line: key.to_owned(),
            quantity: wanted.quantity(key).map(|quantity| quantity.to_string()),
            unit: wanted.unit(key).map(str::to_owned),
            price: None,
        },
    };
    let lines = keys.into_iter().map(line).collect();
    Some(WonPart { is_whole, lines, total: total.map(|total| total.to_string()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{ProposalContent, ProposalLine};
    use crate::event::{Event, EventKind, OrderOpened};
    use crate::id::{Incarnation, OrderKey, SellerId, Seq, Timestamp};
    use crate::price::Quantity;
    use crate::spec::{Item, OrderSpec};

    fn proposal_id(id: &str) -> ProposalId {
        ProposalId::new(id).unwrap()
    }

    /// A proposal of `acme` with these lines: article, quantity and price.
    fn proposal(id: &str, price: &str, lines: &[(&str, &str, &str)]) -> EventKind {
        let line = |(sku, quantity, price): &(&str, &str, &str)| ProposalLine {
            sku: (*sku).to_owned(),
            quantity: Quantity::parse(quantity).unwrap(),
            unit: None,
            price: price.parse().unwrap(),
            line: None,
            substitutes: None,
        };
        EventKind::NewProposal(ProposalContent {
            proposal_id: Some(proposal_id(id)),
            lines: lines.iter().map(line).collect(),
            ..ProposalContent::new(SellerId::new("acme").unwrap(), price.parse().unwrap())
        })
    }

    /// An order for 40 pieces of `CHAIR` and 3 of `MAT`, which ends with this award.
    fn awarded(award: Option<Award>) -> Order {
        let item = |sku: &str, quantity: &str| Item {
            sku: sku.to_owned(),
            description: None,
            quantity: Quantity::parse(quantity).unwrap(),
            unit: Some("pieces".to_owned()),
            line: None,
        };
        let spec = OrderSpec {
            items: vec![item("CHAIR", "40"), item("MAT", "3")],
            ..OrderSpec::default()
        };
        let opened = OrderOpened {
            key: OrderKey::new("", "SB1").unwrap(),
            incarnation: Incarnation::new("uid-1").unwrap(),
            spec,
            expires_at: Timestamp(60_000),
        };
        let kinds = [
            EventKind::OrderOpened(Box::new(opened)),
            proposal("p-1", "12.50 EUR", &[("MAT", "3", "2.50 EUR"), ("CHAIR", "40", "10 EUR")]),
            proposal("p-2", "9 EUR", &[]),
            proposal("p-3", "7 EUR", &[("CHAIR", "20", "5 EUR"), ("LAMP", "1", "2 EUR")]),
            EventKind::OrderFinalised { award, reason: None },
        ];
        let mut order = None;
        for (seq, kind) in (1..).zip(kinds) {
            let event = Event { seq: Seq(seq), at: Timestamp(0), cause: None, kind };
            Order::fold(&mut order, &event).unwrap();
        }
        order.unwrap()
    }

    /// Describes the part that a proposal has won: `all: CHAIR 40 pieces 10, … = 12.50`.
    fn won(award: Option<Award>, id: &str) -> String {
        let part = awarded(award).won_part(&proposal_id(id));
        let Some(WonPart { is_whole, lines, total }) = part else {
            return "nothing".to_owned();
        };
        let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let lines = lines.into_iter().map(|line| {
            let WonLine { line, quantity, unit, price } = line;
            format!("{line} {} {} {}", dash(quantity), dash(unit), dash(price))
        });
        let extent = if is_whole { "all" } else { "part" };
        format!("{extent}: {} = {}", lines.collect::<Vec<_>>().join(", "), dash(total))
    }

    #[test]
    fn winners_have_their_lines_and_quantities() {
        let whole = |id: &str| Some(Award::Whole(proposal_id(id)));
        let lines = |lines: &[(&str, &str)]| {
            let line = |(key, id): &(&str, &str)| ((*key).to_owned(), proposal_id(id));
            Some(Award::Lines(lines.iter().map(line).collect()))
        };
        let split = || lines(&[("MAT", "p-1"), ("CHAIR", "p-3")]);
        for (award, id, expected) in [
            (whole("p-1"), "p-1", "all: CHAIR 40 pieces 10, MAT 3 pieces 2.50 = 12.50"),
            (whole("p-1"), "p-2", "nothing"),
            // One price for everything.
            (whole("p-2"), "p-2", "all: CHAIR 40 pieces -, MAT 3 pieces - = 9"),
            // What is lacking is not won, and what nobody asked for is.
            (whole("p-3"), "p-3", "all: CHAIR 20 pieces 5, LAMP 1 - 2 = 7"),
            (split(), "p-1", "part: MAT 3 pieces 2.50 = 2.50"),
            (split(), "p-3", "part: CHAIR 20 pieces 5 = 5"),
            (split(), "p-2", "nothing"),
            (lines(&[("MAT", "p-2")]), "p-2", "part: MAT 3 pieces - = -"),
            (
                lines(&[("CHAIR", "p-1"), ("MAT", "p-1")]),
                "p-1",
                "all: CHAIR 40 pieces 10, MAT 3 pieces 2.50 = 12.50",
            ),
            (None, "p-1", "nothing"),
        ] {
            assert_eq!(won(award.clone(), id), expected, "{award:?}");
        }
    }
}
