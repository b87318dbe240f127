//! The first lines of `dev`: its addresses and for whom they are, its data, and the next commands.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use orderstream_cli::exit::CliError;
use orderstream_cli::{dev_addresses, output, verbs};

use super::Config;
use crate::listen::reachable;

/// The facts that the first lines are about.
pub(super) struct Banner<'a> {
    /// The bound addresses, by name.
    pub(super) bound: &'a BTreeMap<&'static str, SocketAddr>,
    pub(super) config: &'a Config,
    /// The number of demo sellers that propose.
    pub(super) demo_sellers: usize,
}

impl Banner<'_> {
    /// Prints the first lines.
    pub(super) fn print(&self) -> Result<(), CliError> {
        for (index, line) in self.lines()?.iter().enumerate() {
            match index {
                0 => output::title(line),
                _ => output::line(line),
            }
        }
        Ok(())
    }

    fn lines(&self) -> Result<Vec<String>, CliError> {
        let version = env!("CARGO_PKG_VERSION");
        let mut lines = vec![
            format!("orderstream {version} dev: all services in one process, not for production"),
            String::new(),
        ];
        let rows = self.rows()?;
        let name_width = rows.iter().map(|[name, ..]| name.len()).max().unwrap_or_default();
        let width = rows.iter().map(|[_, value, _]| value.len()).max().unwrap_or_default();
        lines.extend(rows.iter().map(|[name, value, text]| {
            format!("  {name:<name_width$}  {value:<width$}  {text}").trim_end().to_owned()
        }));
        lines.push(String::new());
        if self.is_unusual()? {
            let dir = std::path::absolute(&self.config.data_dir);
            let dir = dir.unwrap_or_else(|_| self.config.data_dir.clone());
            let dir = verbs::quoted(&dir.display().to_string());
            let variable = dev_addresses::DATA_DIR_VARIABLE;
            lines.push(format!("in other terminals: export {variable}={dir}"));
        }
        lines
            .push("next: orderstream submit --title 'Office chairs' --item CHAIR-01:40".to_owned());
        lines.push("stop: Ctrl-C; the same command goes on where it stopped".to_owned());
        lines.push(String::new());
        Ok(lines)
    }

    /// Returns the rows of the table: a name, its value, and a remark.
    fn rows(&self) -> Result<Vec<[String; 3]>, CliError> {
        let row = |name: &str, value: String, text: &str| [name.to_owned(), value, text.to_owned()];
        let url = |name: &str| Ok::<_, CliError>(format!("http://{}", self.address(name)?));
        let data_dir = self.config.data_dir.display().to_string();
        let proposals = match self.demo_sellers {
            0 => row("proposals", "none by itself".to_owned(), "--sellers COUNT has demo sellers"),
            1 => row("proposals", "1 demo seller".to_owned(), "--sellers 0 for none"),
            count => {
                let has_all = count >= self.config.sellers;
                let text = if has_all { "--sellers 0 for none" } else { "there are no more" };
                row("proposals", format!("{count} demo sellers"), text)
            }
        };
        let notified = match &self.config.notify_config {
            Some(file) => {
                row("notified", "all who take part".to_owned(), &file.display().to_string())
            }
            None => {
                row("notified", "nobody".to_owned(), "--notify-config FILE sends mail and more")
            }
        };
        Ok(vec![
            row("buyers", url("requestor")?, "REST and order requests: --server"),
            row("sellers", url("rest")?, "REST: --processor-rest"),
            row("programs", url("grpc")?, "gRPC, of buyers and sellers"),
            row("metrics", url("metrics")?, "/metrics, /healthz, /readyz"),
            row("data", data_dir, "kept until the folder is removed"),
            proposals,
            notified,
            row("access", "everybody".to_owned(), "whoever reaches a port may do everything"),
        ])
    }

    fn address(&self, name: &str) -> Result<SocketAddr, CliError> {
        let bound = self.bound.get(name).copied().map(reachable);
        bound.ok_or_else(|| CliError::unexpected(format!("{name} is not bound")))
    }

    /// Reports whether commands find it only by its data folder.
    fn is_unusual(&self) -> Result<bool, CliError> {
        let usual = Config::default();
        Ok(self.config.data_dir != usual.data_dir
            || self.address("requestor")? != usual.requestor_addr
            || self.address("rest")? != usual.rest_addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(requestor: &str) -> BTreeMap<&'static str, SocketAddr> {
        let address = |text: &str| text.parse().unwrap();
        BTreeMap::from([
            ("grpc", address("127.0.0.1:50051")),
            ("metrics", address("127.0.0.1:9090")),
            ("requestor", address(requestor)),
            ("rest", address("127.0.0.1:8005")),
        ])
    }

    #[test]
    fn banners_say_that_there_are_no_more_sellers() {
        let bound = bound("127.0.0.1:8004");
        let config = Config { sellers: 15, ..Config::default() };
        let banner = Banner { bound: &bound, config: &config, demo_sellers: 10 };
        let lines = banner.lines().unwrap();
        let row = lines.iter().find(|line| line.contains("10 demo sellers")).unwrap();
        assert!(row.ends_with("there are no more"), "{row}");
    }

    #[test]
    fn banners_name_ports_and_their_users() {
        let (bound, config) = (bound("127.0.0.1:8004"), Config::default());
        let banner = Banner { bound: &bound, config: &config, demo_sellers: 10 };
        let lines = banner.lines().unwrap();
        let expected = [
            "",
            "  buyers     http://127.0.0.1:8004   REST and order requests: --server",
            "  sellers    http://127.0.0.1:8005   REST: --processor-rest",
            "  programs   http://127.0.0.1:50051  gRPC, of buyers and sellers",
            "  metrics    http://127.0.0.1:9090   /metrics, /healthz, /readyz",
            "  data       .orderstream            kept until the folder is removed",
            "  proposals  10 demo sellers         --sellers 0 for none",
            "  notified   nobody                  --notify-config FILE sends mail and more",
            "  access     everybody               whoever reaches a port may do everything",
            "",
            "next: orderstream submit --title 'Office chairs' --item CHAIR-01:40",
        ];
        assert!(lines[0].ends_with("not for production"), "{lines:?}");
        assert_eq!(lines[1..=expected.len()], expected);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
    }

    #[test]
    fn other_ports_are_found_by_the_folder() {
        let (bound, config) = (bound("[::]:8009"), Config::default());
        let banner = Banner { bound: &bound, config: &config, demo_sellers: 0 };
        let lines = banner.lines().unwrap();
        let export = lines.iter().find(|line| line.starts_with("in other terminals: ")).unwrap();
        assert!(
            export.starts_with("in other terminals: export ORDERSTREAM_DATA_DIR="),
            "{lines:?}"
        );
        assert!(export.ends_with("/.orderstream"), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("  none by itself  ")), "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("http://127.0.0.1:8009 ")), "{lines:?}");
    }
}
