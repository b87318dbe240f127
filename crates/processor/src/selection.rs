//! The selection of the sellers that an order invites, with a verdict on each of the others.

use geo::{Distance, Haversine, Point};
use orderstream_core::spec::{Coordinates, Seller, SellerChoice, SellerLimits, Verdict};
use orderstream_core::{OrderSpec, SellerId};

use crate::limits::CHOICES_MAX;

/// The part of an order by which its sellers are selected.
#[derive(Clone, Debug)]
pub(crate) struct SelectionTerms {
    limits: SellerLimits,
    category: Option<Box<str>>,
    place: Option<Coordinates>,
}

impl SelectionTerms {
    /// Returns the terms of an order.
    pub(crate) fn of(spec: &OrderSpec) -> Self {
        Self {
            limits: spec.sellers.clone(),
            category: spec.category.clone(),
            place: spec.delivery.as_ref().and_then(|delivery| delivery.place),
        }
    }

    /// Reports whether a seller fits, however many orders it takes part in.
    pub(crate) fn fits(&self, seller: &Seller) -> bool {
        consider(self, seller, &|_| 0).verdict == Verdict::Chosen
    }
}

/// Chooses among sellers that come while an order is open: those that fit, by distance and then by
/// name, for as many places as the order has. The verdicts are those of [`select`].
pub(crate) fn select_late(
    terms: &SelectionTerms,
    sellers: &[&Seller],
    places: usize,
    busy: &dyn Fn(&SellerId) -> u32,
) -> Vec<SellerChoice> {
    let mut choices: Vec<SellerChoice> =
        sellers.iter().map(|seller| consider(terms, seller, busy)).collect();
    choices.retain(|choice| choice.verdict == Verdict::Chosen);
    choices.sort_by(|a, b| rank(a).cmp(&rank(b)));
    choices.truncate(places);
    name_invited(&mut choices, &sellers.iter().copied());
    choices
}

/// Gives a verdict on every seller; `busy` returns the number of open orders of each. Fit sellers
/// come first, by distance and then by name; those beyond the order's count are not chosen. The
/// others follow in the same sequence. At most [`CHOICES_MAX`] verdicts are returned.
pub fn select(
    spec: &OrderSpec,
    sellers: &[Seller],
    busy: &dyn Fn(&SellerId) -> u32,
) -> Vec<SellerChoice> {
    let terms = SelectionTerms::of(spec);
    let mut choices: Vec<SellerChoice> =
        sellers.iter().map(|seller| consider(&terms, seller, busy)).collect();
    choices.sort_by(|a, b| rank(a).cmp(&rank(b)));
    let limit = usize::try_from(spec.sellers.max_count).unwrap_or(usize::MAX);
    for choice in choices.iter_mut().filter(|c| c.verdict == Verdict::Chosen).skip(limit) {
        choice.verdict = Verdict::BeyondCount;
    }
    choices.truncate(CHOICES_MAX);
    name_invited(&mut choices, &sellers.iter());
    choices
}

/// Adds their names for people to the invited sellers: few of many, which bounds what is stored.
fn name_invited<'a>(
    choices: &mut [SellerChoice],
    sellers: &(impl Iterator<Item = &'a Seller> + Clone),
) {
    for choice in choices.iter_mut().filter(|held| held.verdict == Verdict::Chosen) {
        let seller = sellers.clone().find(|seller| seller.id == choice.seller);
        choice.display_name = seller.and_then(|seller| seller.display_name.clone());
    }
}

fn rank(choice: &SellerChoice) -> (bool, u32, &str) {
    let is_out = choice.verdict != Verdict::Chosen;
    (is_out, choice.distance_m.unwrap_or(u32::MAX), choice.seller.as_str())
}

fn consider(
    terms: &SelectionTerms,
    seller: &Seller,
    busy: &dyn Fn(&SellerId) -> u32,
) -> SellerChoice {
    let SelectionTerms { limits, category, place: from } = terms;
    let distance_m = from.zip(seller.place).map(|(from, to)| distance_m(from, to));
    let verdict = if !limits.names.is_empty() && !limits.names.contains(&seller.id) {
        Verdict::NotNamed
    } else if limits.excluded.contains(&seller.id) {
        Verdict::Excluded
    } else if seller.suspended {
        Verdict::Suspended
    } else if category.as_ref().is_some_and(|wanted| !sells(seller, wanted)) {
        Verdict::WrongCategory
    } else {
        let verdict = within(limits.max_distance_m.filter(|_| from.is_some()), distance_m);
        let is_full = verdict == Verdict::Chosen && is_full(seller, busy);
        if is_full { Verdict::Full } else { verdict }
    };
    SellerChoice { seller: seller.id.clone(), verdict, distance_m, display_name: None }
}

fn is_full(seller: &Seller, busy: &dyn Fn(&SellerId) -> u32) -> bool {
    seller.capacity.is_some_and(|capacity| busy(&seller.id) >= capacity)
}

fn sells(seller: &Seller, category: &str) -> bool {
    seller.categories.iter().any(|own| own.eq_ignore_ascii_case(category))
}

const fn within(limit_m: Option<u32>, distance_m: Option<u32>) -> Verdict {
    match (limit_m, distance_m) {
        (Some(limit), Some(distance)) if distance > limit => Verdict::TooFar,
        (Some(_), None) => Verdict::PlaceUnknown,
        _ => Verdict::Chosen,
    }
}

/// Returns the great-circle distance, in metres, on a sphere of the Earth's mean radius.
fn distance_m(from: Coordinates, to: Coordinates) -> u32 {
    let point = |place: Coordinates| {
        Point::new(f64::from(place.longitude_udeg) / 1e6, f64::from(place.latitude_udeg) / 1e6)
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 20 015 087, half of the circumference"
    )]
    let metres = Haversine.distance(point(from), point(to)).round() as u32;
    metres
}

#[cfg(test)]
mod tests {
    //! Tests of the selection of sellers.

    use orderstream_core::SellerId;
    use orderstream_core::input::coordinates;
    use orderstream_core::spec::{Contact, Delivery, SellerLimits};

    use super::*;

    fn seller(name: &str, at: Option<(f64, f64)>, category: &str) -> Seller {
        Seller {
            id: SellerId::new(name).unwrap(),
            place: at.map(|(latitude, longitude)| coordinates(latitude, longitude).unwrap()),
            categories: vec![category.to_owned()],
            contact: Contact::default(),
            currency: None,
            capacity: None,
            suspended: false,
            display_name: None,
        }
    }

    fn near_berlin(max_count: u32, max_km: u32) -> OrderSpec {
        let delivery =
            Delivery { place: Some(coordinates(52.52, 13.405).unwrap()), ..Delivery::default() };
        let sellers = SellerLimits {
            max_count,
            max_distance_m: Some(max_km * 1_000),
            excluded: vec![SellerId::new("rival").unwrap()],
            ..SellerLimits::default()
        };
        let (delivery, category) = (Some(Box::new(delivery)), Some("steel".into()));
        OrderSpec { delivery, sellers, category, ..OrderSpec::default() }
    }

    /// Every other seller gets the verdict for which it was left out.
    #[test]
    fn nearest_fit_sellers_are_chosen() {
        let mut asleep = seller("asleep", Some((52.5, 13.4)), "steel");
        asleep.suspended = true;
        let mut full = seller("full", Some((52.5, 13.4)), "steel");
        full.capacity = Some(2);
        let sellers = [
            asleep,
            full,
            seller("rival", Some((52.5, 13.4)), "steel"),
            seller("far", Some((48.137, 11.575)), "steel"),
            seller("hamburg", Some((53.551, 9.993)), "Steel"),
            seller("nowhere", None, "steel"),
            seller("paper", Some((52.5, 13.4)), "paper"),
            seller("potsdam", Some((52.39, 13.06)), "steel"),
            seller("third", Some((53.6, 9.9)), "steel"),
        ];
        let choices = select(&near_berlin(2, 300), &sellers, &|_| 2);
        let verdict = |name: &str| {
            choices.iter().find(|choice| choice.seller.as_str() == name).unwrap().verdict
        };
        assert_eq!(choices[0].seller.as_str(), "potsdam");
        assert_eq!(verdict("potsdam"), Verdict::Chosen);
        assert_eq!(verdict("hamburg"), Verdict::Chosen);
        assert_eq!(verdict("third"), Verdict::BeyondCount);
        assert_eq!(verdict("far"), Verdict::TooFar);
        assert_eq!(verdict("nowhere"), Verdict::PlaceUnknown);
        assert_eq!(verdict("paper"), Verdict::WrongCategory);
        assert_eq!(verdict("asleep"), Verdict::Suspended);
        assert_eq!(verdict("full"), Verdict::Full);
        assert_eq!(verdict("rival"), Verdict::Excluded);
    }

    #[test]
    fn invited_sellers_have_their_names_for_people() {
        let named = |id: &str, name: &str| {
            let place = Some((52.5, 13.4));
            Seller { display_name: Some(name.into()), ..seller(id, place, "steel") }
        };
        let sellers = [named("moebel-mueller", "Möbel Müller"), named("rival", "Rival GmbH")];
        let choices = select(&near_berlin(2, 300), &sellers, &|_| 0);
        let names: Vec<_> = choices.iter().map(|choice| choice.display_name.as_deref()).collect();
        assert_eq!(names, [Some("Möbel Müller"), None], "an excluded one is not shown");
    }

    #[test]
    fn nearest_late_sellers_fill_the_places() {
        let named = |name: &str, at| seller(name, Some(at), "steel");
        let (hamburg, potsdam) =
            (named("hamburg", (53.551, 9.993)), named("potsdam", (52.39, 13.06)));
        let far = named("far", (48.137, 11.575));
        let mut full = named("full", (52.5, 13.4));
        full.capacity = Some(2);
        let sellers = [&far, &full, &hamburg, &potsdam];
        let terms = SelectionTerms::of(&near_berlin(5, 300));
        for (places, expected) in [(1, &["potsdam"][..]), (3, &["potsdam", "hamburg"])] {
            let choices = select_late(&terms, &sellers, places, &|_| 2);
            let names: Vec<_> = choices.iter().map(|choice| choice.seller.as_str()).collect();
            assert_eq!(names, expected);
            assert!(choices.iter().all(|choice| choice.verdict == Verdict::Chosen));
        }
        assert_eq!([&far, &full, &hamburg].map(|it| terms.fits(it)), [false, true, true]);
    }

    #[test]
    fn berlin_to_munich_is_504_km() {
        let far = seller("far", Some((48.137, 11.575)), "steel");
        let choices = select(&near_berlin(1, 1_000), &[far], &|_| 0);
        let metres = choices[0].distance_m.unwrap();
        assert!((503_000..506_000).contains(&metres), "{metres}");
    }
}
