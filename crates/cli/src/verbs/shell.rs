//! Commands as text that can be pasted into a shell.

/// Returns a command of this program with these words.
pub(super) fn command(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("orderstream {}", words.join(" "))
}

/// Returns the command with which `watch` goes on after an event: the given command line, with
/// another `--after`.
pub(super) fn resumed(args: impl IntoIterator<Item = String>, seq: u64) -> String {
    let mut words = vec!["orderstream".to_owned()];
    let mut args = args.into_iter().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--after" {
            args.next();
        } else if !arg.starts_with("--after=") {
            words.push(quoted(&arg));
        }
    }
    words.extend(["--after".to_owned(), seq.to_string()]);
    words.join(" ")
}

/// Returns a word as it is written in a shell: in quotes where it has other characters than plain
/// ones.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watch_goes_on_with_the_same_flags() {
        for (line, expected) in [
            ("./orderstream watch chairs", "orderstream watch chairs --after 7"),
            ("o watch chairs --after 3 -o json", "orderstream watch chairs -o json --after 7"),
            ("o watch --after=3 SB:7 -n a", "orderstream watch SB:7 -n a --after 7"),
        ] {
            assert_eq!(resumed(line.split(' ').map(str::to_owned), 7), expected);
        }
    }

    #[test]
    fn commands_can_be_pasted() {
        let command = command(&["award", "SB:7", "p 1", "--undo-within", "10m"]);
        assert_eq!(command, "orderstream award SB:7 'p 1' --undo-within 10m");
    }

    #[test]
    fn words_are_quoted_where_a_shell_reads_them() {
        for (word, expected) in
            [("p-1", "p-1"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$x", "'$x'")]
        {
            assert_eq!(quoted(word), expected);
        }
    }
}
