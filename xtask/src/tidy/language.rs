//! Measures the language of the code over the whole tree: the first words of doc comments, types
//! that share a name, functions with a tuple pattern as a parameter, and the names of tests. Its
//! limits are those of `docs/glossary.md`, and only ever fall.

use std::collections::BTreeMap;

use syn::visit::{self, Visit};

use super::TidyFinding;

/// The limit on doc comments that open with a question word, per thousand.
const ASKING_PER_MILLE_MAX: usize = 5;
/// The limit on doc comments of one word.
const ONE_WORD_MAX: usize = 0;
/// The limit on types that share their name with another type, per thousand.
const SHARED_PER_MILLE_MAX: usize = 5;
/// The most functions, of ten thousand, that take a tuple apart in a parameter.
const TUPLES_PER_TEN_THOUSAND_MAX: usize = 20;
/// The most tests whose name has more than [`NAME_LETTERS_MAX`] letters.
const LONG_NAMES_MAX: usize = 0;
/// The limit on the median number of words in a test's name.
const NAME_WORDS_MEDIAN_MAX: usize = 6;

/// The limit on names in the code that have one of the [`REPLACED`] words.
const REPLACED_MAX: usize = 0;
/// The words that the glossary replaced, and that no name in the code has. Words that also have an
/// ordinary use in code (held, kept, seen, shown, rest) are left to the reader.
const REPLACED: [&str; 30] = [
    "acted",
    "branch",
    "census",
    "cover",
    "covered",
    "door",
    "doors",
    "elsewhere",
    "feed",
    "figures",
    "hear",
    "heard",
    "hears",
    "life",
    "lives",
    "look",
    "looked",
    "looks",
    "packed",
    "passage",
    "said",
    "say",
    "says",
    "seat",
    "seats",
    "speaker",
    "tell",
    "telling",
    "tells",
    "told",
];

/// The largest number of letters in a test's name.
const NAME_LETTERS_MAX: usize = 64;
/// The words that open a question, or a doc comment that is not a sentence or a noun phrase.
const ASKING: [&str; 9] =
    ["What", "Who", "Whose", "Which", "Why", "How", "Whether", "Where", "When"];
/// The type names that several services may share.
const COMMON: [&str; 6] = ["Config", "Error", "Handle", "Metrics", "Parts", "Service"];

/// The counts so far.
#[derive(Debug, Default)]
pub(super) struct Language {
    docs: usize,
    asking: usize,
    one_word: usize,
    types: BTreeMap<String, usize>,
    functions: usize,
    tuples: usize,
    tests: Vec<String>,
    /// Names with a replaced word, and their files.
    replaced: Vec<(String, String)>,
    path: String,
}

impl Language {
    /// Counts one source file; a file that does not parse is reported by another rule.
    pub(super) fn add(&mut self, path: &str, text: &str) {
        let Ok(file) = syn::parse_file(text) else { return };
        path.clone_into(&mut self.path);
        let in_tests = path.contains("/tests/") || path.ends_with("tests.rs");
        for item in file.items.iter().filter(|_| !in_tests) {
            self.add_type(item);
        }
        self.visit_file(&file);
    }

    fn add_type(&mut self, item: &syn::Item) {
        let name = if let syn::Item::Struct(item) = item {
            &item.ident
        } else if let syn::Item::Enum(item) = item {
            &item.ident
        } else if let syn::Item::Trait(item) = item {
            &item.ident
        } else if let syn::Item::Type(item) = item {
            &item.ident
        } else {
            return;
        };
        *self.types.entry(name.to_string()).or_default() += 1;
    }

    /// Counts a name where it is defined, if it has a replaced word.
    fn add_name(&mut self, name: &syn::Ident) {
        let name = name.to_string();
        if words_of(&name).any(|word| REPLACED.contains(&word.as_str())) {
            self.replaced.push((self.path.clone(), name));
        }
    }

    fn add_doc(&mut self, attributes: &[syn::Attribute]) {
        let is_outer = |it: &&syn::Attribute| matches!(it.style, syn::AttrStyle::Outer);
        let lines = attributes.iter().filter(is_outer).filter_map(doc_line);
        let text = lines.collect::<Vec<_>>().join(" ");
        let mut words = text.split_whitespace();
        let Some(first) = words.next() else { return };
        self.docs += 1;
        self.one_word += usize::from(words.next().is_none());
        let first = first.trim_end_matches(|c: char| !c.is_alphanumeric());
        self.asking += usize::from(ASKING.contains(&first));
    }

    fn add_function(&mut self, attributes: &[syn::Attribute], signature: &syn::Signature) {
        self.add_doc(attributes);
        self.functions += 1;
        let is_tuple = |input: &syn::FnArg| matches!(input, syn::FnArg::Typed(typed) if matches!(*typed.pat, syn::Pat::Tuple(_)));
        self.tuples += usize::from(signature.inputs.iter().any(is_tuple));
        let is_test = |it: &syn::Attribute| {
            it.path().segments.last().is_some_and(|segment| segment.ident == "test")
        };
        if attributes.iter().any(is_test) {
            self.tests.push(signature.ident.to_string());
        } else {
            self.add_name(&signature.ident);
        }
    }

    /// Returns the number of types that share their name with another type.
    fn shared(&self) -> usize {
        let is_shared =
            |(name, count): &(&String, &usize)| **count > 1 && !COMMON.contains(&name.as_str());
        self.types.iter().filter(is_shared).map(|(_, count)| count).sum()
    }

    /// Returns each measure: its description, its value and its limit.
    fn counts(&self) -> [(&'static str, usize, usize); 7] {
        let per = |part: usize, whole: usize, of: usize| (part * of).div_ceil(whole.max(1));
        let mut words: Vec<_> = self.tests.iter().map(|name| name.split('_').count()).collect();
        words.sort_unstable();
        let median = words.get(words.len() / 2).copied().unwrap_or_default();
        let is_long = |name: &&String| name.len() > NAME_LETTERS_MAX;
        [
            (
                "of 1 000 doc comments open with What, Who, Why, …",
                per(self.asking, self.docs, 1_000),
                ASKING_PER_MILLE_MAX,
            ),
            ("doc comments have one word", self.one_word, ONE_WORD_MAX),
            (
                "of 1 000 types share their name with another",
                per(self.shared(), self.types.values().sum(), 1_000),
                SHARED_PER_MILLE_MAX,
            ),
            (
                "of 10 000 functions take a tuple apart in a parameter",
                per(self.tuples, self.functions, 10_000),
                TUPLES_PER_TEN_THOUSAND_MAX,
            ),
            (
                "tests have a name of more than 64 letters",
                self.tests.iter().filter(is_long).count(),
                LONG_NAMES_MAX,
            ),
            ("words has the median name of a test", median, NAME_WORDS_MEDIAN_MAX),
            ("names have a word that the glossary replaced", self.replaced.len(), REPLACED_MAX),
        ]
    }

    /// Prints all measures, and returns those over their limit as findings.
    pub(super) fn judge(&self) -> Vec<TidyFinding> {
        let mut findings = Vec::new();
        for (measure, count, limit) in self.counts() {
            println!("tidy: {count} {measure} (limit {limit})");
            if count > limit {
                let problem = format!("{count} {measure}, limit {limit}");
                let fix = "write the new ones as the glossary says";
                findings.push(TidyFinding::new("docs/glossary.md", 1, &problem, fix));
            }
        }
        if self.replaced.len() > REPLACED_MAX {
            findings.extend(self.replaced.iter().map(|(path, name)| {
                let problem = format!("the name `{name}` has a word that the glossary replaced");
                TidyFinding::new(path, 1, &problem, "use the glossary's word")
            }));
        }
        findings
    }
}

/// Splits a name in snake case, camel case or upper case into its words, in lower case.
fn words_of(name: &str) -> impl Iterator<Item = String> {
    let mut text = String::new();
    let mut was_lower = false;
    for letter in name.chars() {
        if letter.is_uppercase() && was_lower {
            text.push('_');
        }
        was_lower = letter.is_lowercase() || letter.is_numeric();
        text.extend(letter.to_lowercase());
    }
    text.split('_').map(ToOwned::to_owned).collect::<Vec<_>>().into_iter()
}

fn doc_line(attribute: &syn::Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
    match (&pair.value, pair.path.is_ident("doc")) {
        (syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }), true) => Some(text.value()),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Language {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add_function(&item.attrs, &item.sig);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add_function(&item.attrs, &item.sig);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.add_function(&item.attrs, &item.sig);
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add_name(&item.ident);
        self.add_doc(&item.attrs);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add_name(&item.ident);
        self.add_doc(&item.attrs);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add_name(&item.ident);
        self.add_doc(&item.attrs);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add_name(&item.ident);
        self.add_doc(&item.attrs);
        visit::visit_item_type(self, item);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.add_name(&item.ident);
        self.add_doc(&item.attrs);
        visit::visit_item_const(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add_name(&item.ident);
        visit::visit_item_mod(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.add_name(&item.ident);
        visit::visit_item_static(self, item);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        self.add_name(&pattern.ident);
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        field.ident.iter().for_each(|name| self.add_name(name));
        self.add_doc(&field.attrs);
        visit::visit_field(self, field);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add_name(&variant.ident);
        self.add_doc(&variant.attrs);
        visit::visit_variant(self, variant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str) -> Language {
        let mut language = Language::default();
        language.add("src/a.rs", text);
        language
    }

    /// A short doc comment has one word.
    #[test]
    fn asking_or_short_docs_are_counted() {
        let language = counted(
            "/// Whose, and which number.\nstruct A {\n    /// Why.\n    b: u8,\n    \
             /// The price in all.\n    c: u8,\n}\n",
        );
        assert_eq!((language.docs, language.asking, language.one_word), (3, 2, 1));
    }

    /// Common names and the types of tests are not counted.
    #[test]
    fn shared_type_names_are_counted() {
        let mut language = counted("struct Place;\nstruct Error;\nstruct Other;\n");
        language.add("src/b.rs", "enum Place {}\nenum Error {}\n");
        language.add("src/a_tests.rs", "struct Other;\n");
        language.add("crates/a/tests/d.rs", "struct Other;\n");
        assert_eq!(language.shared(), 2, "Place twice; types of tests do not count");
    }

    #[test]
    fn tuple_parameters_and_tests_are_counted() {
        let language = counted(
            "fn a((b, c): (u8, u8)) {}\nfn d(e: (u8, u8)) {}\n#[tokio::test]\nasync fn it_is_so() {}\n",
        );
        assert_eq!((language.functions, language.tuples), (3, 1));
        assert_eq!(language.tests, ["it_is_so"]);
    }

    #[test]
    fn replaced_words_in_names_are_counted() {
        let language = counted(
            "struct LifeTold;\nfn lookup(feed_url: u8) { let (said, lookups) = (1, 2); }\n\
             #[test]\nfn it_says_so() {}\n",
        );
        let names: Vec<_> = language.replaced.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["LifeTold", "feed_url", "said"]);
    }

    #[test]
    fn counts_over_limit_are_findings() {
        let mut language = counted("fn a() {}\n");
        assert!(language.judge().is_empty());
        language.one_word = ONE_WORD_MAX + 1;
        assert_eq!(language.judge().len(), 1);
    }
}
