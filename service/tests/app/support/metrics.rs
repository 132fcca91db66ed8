//! What the service has counted, read from its text.

/// The lines of `/metrics`.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// The sum of a metric over all series that carry these labels, each `name="value"`; 0 when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let series = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or_default();
            rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
        };
        let value = |line: &str| {
            line.rsplit(' ')
                .next()
                .and_then(|text| text.parse::<f64>().ok())
                .expect("a value")
        };
        // The sum of no numbers is -0, which is no count.
        self.0.lines().filter(series).map(value).sum::<f64>() + 0.0
    }

    /// As [`Metrics::sum`], for counters.
    pub(crate) fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let sum = self.sum(name, labels);
        format!("{sum}")
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no count: {sum}"))
    }
}
