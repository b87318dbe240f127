//! The memory limit of the container in which the process runs.

/// The files with the limit, of both versions of control groups.
const FILES: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
/// The bytes from which a limit is none: version 1 writes the largest multiple of a page instead.
const NO_LIMIT: i64 = 1 << 60;

/// Returns the limit in bytes; 0 when there is none.
pub(super) fn limit_bytes() -> i64 {
    let text = FILES.iter().find_map(|file| std::fs::read_to_string(file).ok());
    text.map_or(0, |text| parse_limit(&text))
}

/// Parses the content of such a file; 0 when it states no limit.
fn parse_limit(text: &str) -> i64 {
    text.trim()
        .parse::<i64>()
        .ok()
        .filter(|bytes| (0..NO_LIMIT).contains(bytes))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_limits_of_both_versions_are_read() {
        for (text, bytes) in [
            ("1073741824\n", 1_073_741_824),
            ("max\n", 0),
            ("9223372036854771712\n", 0),
            ("", 0),
            ("-1\n", 0),
        ] {
            assert_eq!(parse_limit(text), bytes, "{text:?}");
        }
    }
}
