//! Metrics in the text format, as far as checks need them.

use std::collections::BTreeMap;

/// Samples by series.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MetricsPage(BTreeMap<String, f64>);

impl MetricsPage {
    /// Reads the text format; lines that are not samples are left out.
    pub(crate) fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            let (series, value) = line.trim().rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(sample).collect())
    }

    /// Returns the number of series.
    pub(crate) fn series(&self) -> usize {
        self.0.len()
    }

    /// Returns the sum of all series of a name that have these labels, written `name="value"`;
    /// `None` where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let from = self.0.range(name.to_owned()..);
        let of_name =
            from.take_while(|(series, _)| series.starts_with(name)).filter(|(series, _)| {
                let rest = series.strip_prefix(name).unwrap_or_default();
                rest.is_empty() || rest.starts_with('{')
            });
        let matching = of_name.filter(|(series, _)| labels.iter().all(|l| series.contains(l)));
        matching.map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_and_labels_select_series() {
        let page = MetricsPage::parse(
            "# HELP a_total Of a.\n# TYPE a_total counter\na_total{k=\"x\",l=\"1\"} 3\n\
             a_total{k=\"y\"} 4\na_total_more 9\nb 1.5\nbroken\nc NaN-ish\n",
        );
        assert_eq!(page.series(), 4);
        assert_eq!(page.sum("a_total", &[]), Some(7.0));
        assert_eq!(page.sum("a_total", &["k=\"x\""]), Some(3.0));
        assert_eq!(page.sum("a_total", &["k=\"z\""]), None);
        assert_eq!(page.sum("a", &[]), None);
        assert_eq!(page.sum("b", &[]), Some(1.5));
    }
}
