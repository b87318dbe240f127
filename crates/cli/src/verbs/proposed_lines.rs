//! The lines of a proposal as flags give them, and their merge with those of the version before.

use orderstream_core::input::ProposalLineInput;
use orderstream_core::price::Decimal;
use orderstream_rest_types::proposal::ProposalLineView;

use super::lines::split_line;
use crate::exit::CliError;

/// A line as `--line` gives it.
#[derive(Clone, Debug)]
pub(super) struct LineFlag {
    line: Option<String>,
    sku: String,
    quantity: String,
    unit: Option<String>,
    price: String,
}

/// Parses the value of `--line`.
pub(super) fn line(text: &str) -> Result<LineFlag, String> {
    let wrong =
        || "give article, quantity, unit and price, such as CHAIR-01:40:pieces=5200.00".to_owned();
    let (line, text) = split_line(text);
    let (what, price) = text.rsplit_once('=').ok_or_else(wrong)?;
    let mut parts = what.splitn(3, ':').map(str::to_owned);
    match (parts.next(), parts.next()) {
        (Some(sku), Some(quantity)) if !sku.is_empty() && !quantity.is_empty() => {
            let unit = parts.next().filter(|unit| !unit.is_empty());
            Ok(LineFlag { line, sku, quantity, unit, price: price.to_owned() })
        }
        _ => Err(wrong()),
    }
}

/// Parses the value of `--substitutes`.
pub(super) fn substitute(text: &str) -> Result<(String, String), String> {
    let parts = text.rsplit_once('=').filter(|(sku, wanted)| !sku.is_empty() && !wanted.is_empty());
    let (sku, wanted) = parts.ok_or("give both articles, such as CHAIR-02=CHAIR-01")?;
    Ok((sku.to_owned(), wanted.to_owned()))
}

/// Returns the lines of a proposal: those before, where each one that a flag names is replaced, and
/// then the new ones. Several flags for one line replace it together.
pub(super) fn merged(
    before: &[ProposalLineView],
    flags: Vec<LineFlag>,
    substitutes: &[(String, String)],
) -> Result<Vec<ProposalLineInput>, CliError> {
    let mut kept: Vec<Option<ProposalLineInput>> =
        before.iter().map(|line| Some(line_before(line))).collect();
    let mut given: Vec<(usize, ProposalLineInput)> = Vec::new();
    for flag in flags {
        let wanted = substitutes.iter().find(|(sku, _)| *sku == flag.sku);
        let wanted = wanted.map(|(_, wanted)| wanted.as_str());
        let replaced: Vec<usize> = before
            .iter()
            .enumerate()
            .filter_map(|(at, line)| is_named(line, &flag, wanted).then_some(at))
            .collect();
        check_names_one(before, &replaced, &flag)?;
        let first = replaced.first().copied();
        let held = first.and_then(|at| before.get(at));
        for at in &replaced {
            if let Some(line) = kept.get_mut(*at) {
                *line = None;
            }
        }
        given.push((first.unwrap_or(before.len()), line_input(flag, held)));
    }
    let mut lines = Vec::new();
    for (at, line) in kept.into_iter().enumerate() {
        lines.extend(given.iter().filter(|(place, _)| *place == at).map(|(_, line)| line.clone()));
        lines.extend(line);
    }
    let is_new = |(place, _): &&(usize, ProposalLineInput)| *place == before.len();
    lines.extend(given.iter().filter(is_new).map(|(_, line)| line.clone()));
    for (sku, wanted) in substitutes {
        let Some(line) = lines.iter_mut().find(|line| line.sku == *sku) else {
            let text = format!("--substitutes {sku}={wanted}: no --line offers {sku}");
            return Err(CliError::input(text));
        };
        line.substitutes = Some(wanted.clone());
    }
    Ok(lines)
}

/// Reports whether a flag is for this line: it has the name of the line, or the article that is
/// offered or wanted there.
fn is_named(line: &ProposalLineView, flag: &LineFlag, wanted: Option<&str>) -> bool {
    let wanted = wanted.unwrap_or(&flag.sku);
    let has_article = line.sku == flag.sku
        || line.sku == wanted
        || line.substitutes.as_deref().is_some_and(|article| article == wanted);
    match (&flag.line, &line.line) {
        (Some(named), Some(name)) => named == name,
        (Some(_), None) | (None, _) => has_article,
    }
}

/// Refuses an article that stands in several named lines.
fn check_names_one(
    before: &[ProposalLineView],
    replaced: &[usize],
    flag: &LineFlag,
) -> Result<(), CliError> {
    let mut names: Vec<&str> = Vec::new();
    for name in replaced.iter().filter_map(|at| before.get(*at)?.line.as_deref()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if flag.line.is_some() || names.len() < 2 {
        return Ok(());
    }
    let (sku, names) = (&flag.sku, names.join(", "));
    let text = format!("--line {sku} is in several lines: {names}; name one, as in LINE@{sku}");
    Err(CliError::input(text))
}

/// Returns a line as its view has it.
pub(super) fn line_before(line: &ProposalLineView) -> ProposalLineInput {
    ProposalLineInput {
        sku: line.sku.clone(),
        quantity: line.quantity.clone(),
        unit: line.unit.clone(),
        price: line.price.clone(),
        line: line.line.clone(),
        substitutes: line.substitutes.clone(),
    }
}

/// Returns a line by its flag; it keeps the name of the line that it replaces, and what its article
/// stands for.
fn line_input(flag: LineFlag, held: Option<&ProposalLineView>) -> ProposalLineInput {
    let LineFlag { line, sku, quantity, unit, price } = flag;
    let line = line.or_else(|| held?.line.clone());
    let same = held.filter(|held| held.sku == sku);
    let substitutes = same.and_then(|held| held.substitutes.clone());
    ProposalLineInput { sku, quantity, unit, price, line, substitutes }
}

/// Adds up the prices of lines.
pub(super) fn sum(lines: &[ProposalLineInput]) -> Result<String, CliError> {
    let mut sum = Decimal::ZERO;
    for line in lines {
        let price: Decimal = line.price.parse().map_err(|_| {
            CliError::input(format!("--line {}: '{}' is not a decimal", line.sku, line.price))
        })?;
        sum = sum.checked_add(price).ok_or_else(|| {
            CliError::input("--line: the prices add up to more than a price may be".to_owned())
        })?;
    }
    Ok(sum.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(text: &str, substitutes: Option<&str>) -> ProposalLineView {
        let LineFlag { line, sku, quantity, unit, price } = line(text).unwrap();
        let substitutes = substitutes.map(str::to_owned);
        ProposalLineView { sku, quantity, unit, price, line, substitutes }
    }

    /// Merges flags with lines; returns name, article, wanted article and price of each line.
    fn merge(before: &[ProposalLineView], flags: &[&str], substitutes: &[&str]) -> Vec<String> {
        let flags = flags.iter().map(|flag| line(flag).unwrap()).collect();
        let substitutes: Vec<_> =
            substitutes.iter().map(|pair| substitute(pair).unwrap()).collect();
        let text = |line: &ProposalLineInput| {
            let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            format!("{}@{}={} {}", dash(&line.line), line.sku, line.price, dash(&line.substitutes))
        };
        merged(before, flags, &substitutes).unwrap().iter().map(text).collect()
    }

    #[test]
    fn lines_are_parsed_with_their_price() {
        let read = line("CHAIR-01:40:pieces=5200.00").unwrap();
        assert_eq!((read.sku.as_str(), read.quantity.as_str()), ("CHAIR-01", "40"));
        assert_eq!((read.unit.as_deref(), read.price.as_str()), (Some("pieces"), "5200.00"));
        assert!(line("CHAIR-01=5200").unwrap_err().contains("CHAIR-01:40:pieces=5200.00"));
        let named = line("20@CHAIR-01:40=5200.00").unwrap();
        assert_eq!((named.line.as_deref(), named.sku.as_str()), (Some("20"), "CHAIR-01"));
        assert!(substitute("STOOL").unwrap_err().contains("CHAIR-02=CHAIR-01"));
    }

    #[test]
    fn a_line_replaces_only_that_line() {
        let before = [held("CHAIR:40=5200", None), held("MAT:40=1400", None)];
        assert_eq!(merge(&before, &["CHAIR:40=5000"], &[]), ["-@CHAIR=5000 -", "-@MAT=1400 -"]);
        assert_eq!(merge(&before, &["MAT:40=1"], &[]), ["-@CHAIR=5200 -", "-@MAT=1 -"]);
        let added = ["-@CHAIR=5200 -", "-@MAT=1400 -", "-@LAMP=9 -"];
        assert_eq!(merge(&before, &["LAMP:1=9"], &[]), added);
        // Together they replace the one before.
        let parts = ["-@CHAIR=100 -", "-@CHAIR=200 -", "-@MAT=1400 -"];
        assert_eq!(merge(&before, &["CHAIR:20=100", "CHAIR:20=200"], &[]), parts);
        let lines = merged(&before, vec![line("CHAIR:40=5000").unwrap()], &[]).unwrap();
        assert_eq!(sum(&lines).unwrap(), "6400");
    }

    #[test]
    fn named_lines_are_replaced_by_name() {
        let before = [held("ground@LAMP:2=400", None), held("first@LAMP:3=610", None)];
        let expected = ["ground@LAMP=400 -", "first@LAMP=600 -"];
        assert_eq!(merge(&before, &["first@LAMP:3=600"], &[]), expected);
        let failure = merged(&before, vec![line("LAMP:3=600").unwrap()], &[]).unwrap_err();
        let expected = "--line LAMP is in several lines: ground, first; name one, as in LINE@LAMP";
        assert_eq!((failure.code(), failure.to_string().as_str()), (2, expected));
        assert_eq!(merge(&before[..1], &["LAMP:2=390"], &[]), ["ground@LAMP=390 -"]);
    }

    #[test]
    fn substitutes_take_the_place_of_their_line() {
        let before = [held("STOOL:40=900", Some("CHAIR")), held("MAT:40=1400", None)];
        let cheaper = ["-@STOOL=850 CHAIR", "-@MAT=1400 -"];
        assert_eq!(merge(&before, &["STOOL:40=850"], &[]), cheaper);
        assert_eq!(merge(&before, &["CHAIR:40=990"], &[]), ["-@CHAIR=990 -", "-@MAT=1400 -"]);
        let other = ["-@STOOL=900 CHAIR", "-@RUG=700 MAT"];
        assert_eq!(merge(&before, &["RUG:40=700"], &["RUG=MAT"]), other);
        let unknown = [("TABLE".to_owned(), "CHAIR".to_owned())];
        assert!(merged(&before, Vec::new(), &unknown).is_err());
    }
}
