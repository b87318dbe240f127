//! The candidates for arguments: words that this program knows, and those that servers know. A
//! server that does not answer in time has none, without a word.

use std::ffi::{OsStr, OsString};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::{Arg, ArgMatches, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use orderstream_core::notification::Template;
use orderstream_core::{Reason, RequestPhase};

use crate::schema;
use crate::verbs::completing::{self, CompletionWord, ServerWords};
use crate::verbs::wait_states;

/// The limit of the time from the start of the process to the servers' words. A person waits at
/// most 300 ms for a completion; the rest is for the start and the output.
const BUDGET: Duration = Duration::from_millis(200);

/// The program whose command line is completed, and the start of its process.
#[derive(Clone, Copy)]
struct CompletedProgram {
    make: fn() -> Command,
    began: Instant,
}

/// Returns the command with candidates for its arguments.
pub(super) fn with_candidates(make: fn() -> Command, began: Instant) -> Command {
    let program = CompletedProgram { make, began };
    make().mut_subcommands(|verb| of_verb(verb, program))
}

fn of_verb(verb: Command, program: CompletedProgram) -> Command {
    let name = verb.get_name().to_owned();
    let verb = verb.mut_args(|arg| of_argument(&name, arg, program));
    verb.mut_subcommands(|verb| of_verb(verb, program))
}

fn of_argument(verb: &str, arg: Arg, program: CompletedProgram) -> Arg {
    let id = arg.get_id().to_string();
    let known = |words: Vec<String>| {
        ArgValueCompleter::new(move |current: &OsStr| {
            let words = words.iter().map(|word| CompletionWord::known(word));
            matching(current, words.collect())
        })
    };
    let texts =
        |words: &[&str]| -> Vec<String> { words.iter().map(|word| (*word).to_owned()).collect() };
    match (verb, id.as_str()) {
        ("explain", "reason") => arg.add(known(texts(&Reason::ALL.map(Reason::as_str)))),
        ("list", "phases") => arg.add(known(texts(&RequestPhase::ALL.map(RequestPhase::as_str)))),
        ("preview", "template") => arg.add(known(texts(&Template::ALL.map(Template::as_str)))),
        ("wait", "state") => arg.add(known(wait_states())),
        ("schema", "verb") => arg.add(ArgValueCompleter::new(move |current: &OsStr| {
            let verbs = schema::verbs(&(program.make)());
            matching(current, verbs.iter().map(|verb| CompletionWord::known(verb)).collect())
        })),
        _ => match ServerWords::of(verb, &id) {
            Some(words) => arg.add(ArgValueCompleter::new(move |current: &OsStr| {
                matching(current, of_servers(program, words))
            })),
            None => arg,
        },
    }
}

/// Returns the words of the servers; none where they do not answer in time.
fn of_servers(program: CompletedProgram, words: ServerWords) -> Vec<CompletionWord> {
    let args = std::env::args_os().skip_while(|arg| arg != "--").skip(1).collect();
    // Set by some shells; in the others the word that is completed is the last one.
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|text| text.parse().ok());
    let Some(typed) = other_words(program.make, args, index) else { return Vec::new() };
    let left = BUDGET.saturating_sub(program.began.elapsed());
    within(left, move || completing::read_blocking(words, &typed)).unwrap_or_default()
}

/// Parses the words of a command line but for the one that is completed, as far as they are right.
fn other_words(
    make: fn() -> Command,
    mut args: Vec<OsString>,
    index: Option<usize>,
) -> Option<ArgMatches> {
    let index = index.unwrap_or_else(|| args.len().saturating_sub(1));
    if index < args.len() {
        args.remove(index);
    }
    let matches = make().ignore_errors(true).try_get_matches_from(args).ok()?;
    let mut deepest = &matches;
    while let Some((_, below)) = deepest.subcommand() {
        deepest = below;
    }
    Some(deepest.clone())
}

/// Does work on a thread of its own; returns its result if it comes in time.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    // Nobody joins it: the process ends after the answer, whatever the thread waits for.
    drop(std::thread::spawn(move || drop(sender.send(work()))));
    receiver.recv_timeout(limit).ok()
}

/// Returns the words that begin with a text, in any case.
fn matching(current: &OsStr, words: Vec<CompletionWord>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy().to_ascii_lowercase();
    let is_begun = |word: &CompletionWord| word.value.to_ascii_lowercase().starts_with(&current);
    let candidate = |word: CompletionWord| {
        let help = Some(word.help).filter(|help| !help.is_empty());
        CompletionCandidate::new(word.value).help(help.map(Into::into))
    };
    words.into_iter().filter(is_begun).map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let award = Command::new("award")
            .arg(Arg::new("order").required(true))
            .arg(Arg::new("proposal").required(true))
            .arg(Arg::new("server").long("server").default_value("usual"));
        Command::new("orderstream").subcommand(award).subcommand_required(true)
    }

    /// Returns the order and the server of a line in which `_` is being typed.
    fn parsed(line: &str) -> Option<(Option<String>, Option<String>)> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let index = args.iter().position(|arg| arg == "_");
        let matches = other_words(program, args, index)?;
        let text = |id: &str| matches.try_get_one::<String>(id).ok().flatten().cloned();
        Some((text("order"), text("server")))
    }

    #[test]
    fn words_around_the_completed_one_are_read() {
        let pair = |order: Option<&str>, server: &str| {
            Some((order.map(ToOwned::to_owned), Some(server.to_owned())))
        };
        assert_eq!(parsed("orderstream award chairs _"), pair(Some("chairs"), "usual"));
        let line = "orderstream award chairs _ --server http://here";
        assert_eq!(parsed(line), pair(Some("chairs"), "http://here"));
        assert_eq!(parsed("orderstream award _"), pair(None, "usual"));
        assert_eq!(parsed("orderstream award chairs _ --unknown"), pair(Some("chairs"), "usual"));
    }

    #[test]
    fn work_that_takes_too_long_has_no_result() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let stuck = || -> u8 {
            loop {
                std::thread::park();
            }
        };
        assert_eq!(within(Duration::from_millis(1), stuck), None);
    }

    #[test]
    fn candidates_begin_with_the_typed_word() {
        let words = ["LOCKED", "LIMIT_REACHED", "DRAINING"].map(CompletionWord::known).to_vec();
        let found = matching(OsStr::new("lo"), words.clone());
        let found: Vec<_> = found.iter().map(|one| one.get_value().to_owned()).collect();
        assert_eq!(found, ["LOCKED"]);
        assert_eq!(matching(OsStr::new(""), words).len(), 3);
    }
}
