//! Limits on the size of files, functions and blobs.

use proc_macro2::Span;
use syn::visit::{self, Visit};

use super::TidyFinding;

/// The largest number of lines of a source file, including tests (house style).
const FILE_LINES_MAX: usize = 500;

/// The largest number of lines of a function, from `fn` to its closing brace (house style).
const FUNCTION_LINES_MAX: usize = 70;

/// The largest checked-in file, bytes (house style).
const BLOB_BYTES_MAX: u64 = 256 * 1024;

/// Checks one checked-in file of any kind.
pub(super) fn check_blob(path: &str, bytes: u64) -> Option<TidyFinding> {
    if bytes <= BLOB_BYTES_MAX || path == "Cargo.lock" {
        return None;
    }
    let what = format!("{bytes} bytes, limit {BLOB_BYTES_MAX}");
    Some(TidyFinding::new(path, 1, &what, "generate it or make it smaller"))
}

/// Checks the lines of one source file and of every function in it.
pub(super) fn check_file(path: &str, text: &str) -> Vec<TidyFinding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines, limit {FILE_LINES_MAX}");
        findings.push(TidyFinding::new(
            path,
            FILE_LINES_MAX + 1,
            &what,
            "split the file by concept",
        ));
    }
    match syn::parse_file(text) {
        Ok(file) => {
            let mut functions = Functions { path, findings: &mut findings };
            functions.visit_file(&file);
        }
        Err(error) => {
            let what = format!("is not Rust that tidy can read ({error})");
            let line = error.span().start().line;
            findings.push(TidyFinding::new(path, line, &what, "mend the syntax"));
        }
    }
    findings
}

/// A visitor that measures every function with a body.
struct Functions<'a> {
    path: &'a str,
    findings: &'a mut Vec<TidyFinding>,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, close: Span) {
        let start = signature.fn_token.span.start().line;
        let lines = close.end().line + 1 - start;
        if lines > FUNCTION_LINES_MAX {
            let what = format!("fn {}: {lines} lines, limit {FUNCTION_LINES_MAX}", signature.ident);
            self.findings.push(TidyFinding::new(self.path, start, &what, "split the function"));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig, item.block.brace_token.span.close());
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig, item.block.brace_token.span.close());
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.measure(&item.sig, block.brace_token.span.close());
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a function of this many lines, including `fn` and the closing brace.
    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    fn found(text: &str) -> Vec<String> {
        check_file("a.rs", text).iter().map(ToString::to_string).collect()
    }

    /// Lines are counted from `fn`, without docs and attributes.
    #[test]
    fn functions_over_70_lines_are_found() {
        assert_eq!(found(&function(70)), Vec::<String>::new());
        let long = format!("/// Doc.\n#[inline]\n{}", function(71));
        assert_eq!(found(&long), ["a.rs:3: fn f: 71 lines, limit 70, split the function"]);
    }

    /// Default methods of traits are measured too.
    #[test]
    fn methods_and_nested_functions_are_measured() {
        for (before, after) in [("impl A {\n", "}\n"), ("trait A {\n", "}\n"), ("mod a {\n", "}\n")]
        {
            assert_eq!(found(&format!("{before}{}{after}", function(71))).len(), 1, "{before}");
            assert_eq!(found(&format!("{before}{}{after}", function(70))).len(), 0, "{before}");
        }
        assert!(found("trait A {\n    fn f();\n}\n").is_empty());
    }

    #[test]
    fn files_over_500_lines_are_found() {
        assert!(found(&"// line\n".repeat(500)).is_empty());
        let long = found(&"// line\n".repeat(501));
        assert_eq!(long, ["a.rs:501: 501 lines, limit 500, split the file by concept"]);
    }

    #[test]
    fn unparsable_files_are_found() {
        assert!(found("\nfn f( {\n")[0].starts_with("a.rs:2: is not Rust"));
    }

    /// Only the workspace's `Cargo.lock` is exempt.
    #[test]
    fn blobs_over_the_limit_are_found() {
        assert_eq!(check_blob("a.bin", BLOB_BYTES_MAX), None);
        assert_eq!(check_blob("Cargo.lock", BLOB_BYTES_MAX + 1), None);
        assert!(check_blob("crates/a/Cargo.lock", BLOB_BYTES_MAX + 1).is_some());
        assert!(check_blob("a.bin", BLOB_BYTES_MAX + 1).is_some());
    }
}
