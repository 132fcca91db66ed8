//! The two text formats: `OpenMetrics` 1.0, and the older Prometheus format for whoever does not ask for it.
//!
//! They differ in where a counter's `_total` stands: `OpenMetrics` leaves it off the family's name, Prometheus has it
//! there too.

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus 0.0.4.
    Prometheus,
}

impl Format {
    /// The format that an `Accept` header asks for.
    pub fn accepted(accept: Option<&str>) -> Self {
        if accept.is_some_and(|accept| accept.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The `Content-Type` of the format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `openmetrics` in this format.
    pub fn write(self, openmetrics: String) -> String {
        match self {
            Self::OpenMetrics => openmetrics,
            Self::Prometheus => to_prometheus(&openmetrics),
        }
    }
}

fn to_prometheus(openmetrics: &str) -> String {
    let lines: Vec<&str> = openmetrics.lines().collect();
    let is_counter = |family: &str| {
        let type_line = format!("# TYPE {family} counter");
        lines.contains(&type_line.as_str())
    };
    let mut text = String::with_capacity(openmetrics.len());
    for line in &lines {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["#", "EOF"] => {}
            ["#", word @ ("HELP" | "TYPE"), family, ref rest @ ..] if is_counter(family) => {
                text.extend(["# ", word, " ", family, "_total ", &rest.join(" "), "\n"]);
            }
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENMETRICS: &str = "\
# HELP cache_hits Requests answered by the cache.
# TYPE cache_hits counter
cache_hits_total{tier=\"l1\"} 4
# HELP l1_bytes Bytes.
# TYPE l1_bytes gauge
l1_bytes 7
# EOF
";

    #[test]
    fn counters_have_their_suffix_in_the_older_format() {
        let expected = "\
# HELP cache_hits_total Requests answered by the cache.
# TYPE cache_hits_total counter
cache_hits_total{tier=\"l1\"} 4
# HELP l1_bytes Bytes.
# TYPE l1_bytes gauge
l1_bytes 7
";
        assert_eq!(Format::Prometheus.write(OPENMETRICS.to_owned()), expected);
        assert_eq!(Format::OpenMetrics.write(OPENMETRICS.to_owned()), OPENMETRICS);
    }

    #[test]
    fn the_newer_format_is_for_those_who_ask() {
        let asked = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5";
        assert_eq!(Format::accepted(Some(asked)), Format::OpenMetrics);
        assert_eq!(Format::accepted(Some("*/*")), Format::Prometheus);
        assert_eq!(Format::accepted(None), Format::Prometheus);
    }
}
