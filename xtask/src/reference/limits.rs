//! The page of limits, from the constants of the code and their doc comments.

use std::collections::BTreeMap;

use anyhow::Context as _;
use syn::{Expr, Item, Lit, UnOp, Visibility};

use super::cell;

/// The limits of one subject, and the files with their constants.
struct LimitsSection {
    heading: &'static str,
    files: &'static [&'static str],
}

const SECTIONS: [LimitsSection; 6] = [
    LimitsSection { heading: "Orders and proposals", files: &["crates/core/src/limits.rs"] },
    LimitsSection {
        heading: "Manifests",
        files: &[
            "crates/api/src/duration.rs",
            "crates/api/src/manifest.rs",
            "crates/api/src/manifest/source.rs",
            "crates/api/src/lint.rs",
            "crates/local/src/lib.rs",
        ],
    },
    LimitsSection { heading: "Processors", files: &["crates/processor/src/limits.rs"] },
    LimitsSection {
        heading: "Connections",
        files: &["crates/rpc/src/server/http/limits.rs", "crates/rpc/src/limits.rs"],
    },
    LimitsSection { heading: "Notifications", files: &["crates/notifier/src/limits.rs"] },
    LimitsSection { heading: "Journals", files: &["crates/journal/src/limits.rs"] },
];

/// Returns the page; `read` returns the text of a file.
///
/// # Errors
/// When a file cannot be read, or the value of a limit cannot be computed.
pub(super) fn page(read: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<String> {
    let mut page = String::from(
        "# Limits\n\nMade from the constants of the code by `cargo xtask codegen`. The limits of \
         the fields of a manifest are on the pages of [OrderRequest](order-request.md) and \
         [Seller](seller.md). A request beyond a limit is refused with the field, the limit and \
         the fix: mostly `INVALID_FIELD`, or \
         [`LIMIT_REACHED`](errors/LIMIT_REACHED.md) where it is a number of things.\n",
    );
    for section in SECTIONS {
        page.push_str(&format!("\n## {}\n", section.heading));
        for path in section.files {
            let limits = of_file(&read(path)?).with_context(|| (*path).to_owned())?;
            page.push_str(&format!("\n[{path}](../../{path})\n\n"));
            page.push_str("| limit | value | name |\n|---|---|---|\n");
            for Limit { name, meaning, value } in limits {
                page.push_str(&format!("| {meaning} | {value} | `{name}` |\n"));
            }
        }
    }
    Ok(page)
}

/// A limit for people.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    meaning: String,
    value: String,
}

/// The value of a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LimitValue {
    Number(i128),
    Milliseconds(i128),
}

/// Returns the public limits of a file, in its order. A limit of text, or of a type that is not a
/// number or a duration, is left out.
fn of_file(text: &str) -> anyhow::Result<Vec<Limit>> {
    let file = syn::parse_file(text).context("not Rust")?;
    let (mut known, mut limits) = (BTreeMap::new(), Vec::new());
    for item in file.items {
        let Item::Const(constant) = item else { continue };
        let name = constant.ident.to_string();
        let is_limit = matches!(constant.vis, Visibility::Public(_));
        let Some(value) = value_of(&constant.expr, &known) else {
            anyhow::ensure!(!is_limit || is_text(&constant.ty), "the value of {name} is unknown");
            continue;
        };
        if is_limit {
            let meaning = meaning(&constant.attrs);
            limits.push(Limit { meaning, value: printed(&name, value), name: name.clone() });
        }
        known.insert(name, value);
    }
    Ok(limits)
}

/// Reports whether a constant is no number: a text, or a list.
fn is_text(kind: &syn::Type) -> bool {
    !matches!(kind, syn::Type::Path(_))
}

/// Computes a constant from those above it; `None` for what is not a number or a duration.
fn value_of(expression: &Expr, known: &BTreeMap<String, LimitValue>) -> Option<LimitValue> {
    if let Expr::Lit(literal) = expression {
        let Lit::Int(number) = &literal.lit else { return None };
        return number.base10_parse().ok().map(LimitValue::Number);
    }
    if let Expr::Paren(inner) = expression {
        return value_of(&inner.expr, known);
    }
    if let Expr::Cast(inner) = expression {
        return value_of(&inner.expr, known);
    }
    if let Expr::Path(path) = expression {
        return known.get(&path.path.segments.last()?.ident.to_string()).copied();
    }
    if let Expr::Unary(negated) = expression {
        let LimitValue::Number(number) = value_of(&negated.expr, known)? else { return None };
        return matches!(negated.op, UnOp::Neg(_)).then_some(LimitValue::Number(-number));
    }
    if let Expr::Binary(pair) = expression {
        let LimitValue::Number(left) = value_of(&pair.left, known)? else { return None };
        let LimitValue::Number(right) = value_of(&pair.right, known)? else { return None };
        return calculated(left, pair.op, right).map(LimitValue::Number);
    }
    let Expr::Call(call) = expression else { return None };
    let Expr::Path(function) = &*call.func else { return None };
    let unit = match function.path.segments.last()?.ident.to_string().as_str() {
        "from_millis" => 1,
        "from_secs" => 1_000,
        "from_mins" => 60_000,
        "from_hours" => 3_600_000,
        _ => return None,
    };
    let LimitValue::Number(count) = value_of(call.args.first()?, known)? else { return None };
    count.checked_mul(unit).map(LimitValue::Milliseconds)
}

fn calculated(left: i128, operator: syn::BinOp, right: i128) -> Option<i128> {
    if matches!(operator, syn::BinOp::Mul(_)) {
        return left.checked_mul(right);
    }
    if matches!(operator, syn::BinOp::Add(_)) {
        return left.checked_add(right);
    }
    if matches!(operator, syn::BinOp::Sub(_)) {
        return left.checked_sub(right);
    }
    if matches!(operator, syn::BinOp::Div(_)) {
        return left.checked_div(right);
    }
    let bits = u32::try_from(right).ok()?;
    matches!(operator, syn::BinOp::Shl(_)).then(|| left.checked_shl(bits)).flatten()
}

/// Returns a doc comment as one line, without links to other items.
fn meaning(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(literal) = &pair.value else { return None };
        let Lit::Str(text) = &literal.lit else { return None };
        pair.path.is_ident("doc").then(|| text.value())
    });
    let text = lines.collect::<Vec<_>>().join(" ");
    cell(&text.replace("[`", "`").replace("`]", "`"))
}

/// Formats a value in the unit that its name has.
fn printed(name: &str, value: LimitValue) -> String {
    let has = |unit: &str| name.split('_').any(|word| word == unit);
    match value {
        LimitValue::Milliseconds(ms) => duration(ms),
        LimitValue::Number(ms) if has("MS") => duration(ms),
        LimitValue::Number(bytes) if has("BYTES") => in_units(
            bytes,
            &[(1 << 30, " GiB"), (1 << 20, " MiB"), (1 << 10, " KiB"), (1, " bytes")],
        ),
        LimitValue::Number(number) => grouped(number),
    }
}

fn duration(ms: i128) -> String {
    in_units(
        ms,
        &[(86_400_000, " d"), (3_600_000, " h"), (60_000, " min"), (1_000, " s"), (1, " ms")],
    )
}

/// Formats an amount in the largest unit of which it is a whole number.
fn in_units(amount: i128, units: &[(i128, &str)]) -> String {
    let fits = |size: i128| amount >= size && amount % size == 0;
    let unit = units.iter().find(|(size, _)| fits(*size));
    match unit {
        Some((size, name)) => format!("{}{name}", grouped(amount / size)),
        None => grouped(amount),
    }
}

/// Formats a number with a blank before each thousand.
fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(name: &str, meaning: &str, value: &str) -> Limit {
        let [name, meaning, value] = [name, meaning, value].map(ToOwned::to_owned);
        Limit { name, meaning, value }
    }

    #[test]
    fn limits_are_computed_from_constants() {
        let text = "//! Limits.\nconst DAY_MS: u64 = 24 * 3_600_000;\n\
            /// Longest\n/// time, as [`DAY_MS`].\npub const LONG_MS_MAX: u64 = 2 * DAY_MS;\n\
            /// Bytes.\npub const BODY_BYTES_MAX: usize = 64 << 10;\n\
            /// Orders | all.\npub const ORDERS_MAX: usize = (1_000_000 + 500) as usize;\n\
            /// A wait.\npub const WAIT: Duration = Duration::from_secs(90);\n\
            /// A word.\npub const WORD: &str = \"x\";\n";
        let expected = [
            limit("LONG_MS_MAX", "Longest time, as `DAY_MS`.", "2 d"),
            limit("BODY_BYTES_MAX", "Bytes.", "64 KiB"),
            limit("ORDERS_MAX", "Orders \\| all.", "1 000 500"),
            limit("WAIT", "A wait.", "90 s"),
        ];
        assert_eq!(of_file(text).unwrap(), expected);
    }

    #[test]
    fn limits_without_a_value_are_reported() {
        let error = of_file("pub const A: usize = size();\n").unwrap_err().to_string();
        assert_eq!(error, "the value of A is unknown");
    }

    #[test]
    fn every_limit_of_the_code_is_computed() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: &str| -> anyhow::Result<String> {
            Ok(std::fs::read_to_string(root.join(path))?)
        };
        let page = page(read).unwrap();
        assert!(page.contains(" | 180 d | `EXPIRES_IN_MS_MAX` |\n"), "{page}");
        assert!(page.contains(" | 1 000 000 | `FORMERS_MAX` |\n"), "{page}");
    }
}
