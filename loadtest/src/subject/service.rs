//! How a service is prepared, started, known to be ready and stopped, and under which names it is told where its
//! servers are: data, so that whatever launches a subject need not know which service it is.

use std::time::Duration;

use super::launch::Environment;

/// A service that the harness can launch.
#[derive(Debug)]
pub(crate) struct Service {
    /// Its package, and the name of its binary.
    pub(crate) package: &'static str,
    /// Arguments that bring an empty database to its schema. What fills it stands in the workload.
    pub(crate) migrate: &'static [&'static str],
    /// Arguments that start it.
    pub(crate) start: &'static [&'static str],
    /// Begins the line that it prints on stdout once it listens; its address follows.
    pub(crate) listening: &'static str,
    /// Answers 2xx as soon as it is ready.
    pub(crate) ready_path: &'static str,
    /// From its start until it is ready.
    pub(crate) ready_within: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) stop_within: Duration,
    /// Its page in Prometheus' form, unless the workload names another.
    pub(crate) metrics_path: &'static str,
    /// The variable that selects its profile.
    pub(crate) profile_variable: &'static str,
    /// Variables that each launch gives it.
    pub(crate) variables: &'static [(&'static str, Value)],
}

/// Value of a variable that a launch gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Fixed(&'static str),
    /// URL of the launch's own database.
    DatabaseUrl,
    RedisUrl,
    KafkaBrokers,
    /// A name that no other launch has, also that of its own topic.
    OwnName,
}

impl Service {
    /// The variables of a launch, as far as `value` has one for them.
    pub(crate) fn environment(&self, value: impl Fn(Value) -> Option<String>) -> Environment {
        let known = self.variables.iter();
        known
            .filter_map(|(name, what)| Some(((*name).to_owned(), value(*what)?)))
            .collect()
    }

    /// Whether a variable is the harness's to set.
    pub(crate) fn gives(&self, variable: &str) -> bool {
        variable == self.profile_variable || self.variables.iter().any(|(name, _)| *name == variable)
    }
}

/// The reference service (docs/SERVICE.md).
pub(crate) static REFERENCE: Service = Service {
    package: "insurance-service",
    migrate: &["migrate"],
    start: &["serve"],
    listening: "listening on http://",
    ready_path: "/health/ready",
    // Includes migrations, joining the Kafka group (3 s on the embedded broker) and cache warming.
    ready_within: Duration::from_mins(1),
    // Longer than its own drain.
    stop_within: Duration::from_secs(15),
    metrics_path: "/metrics",
    profile_variable: "PROFILE",
    variables: &[
        ("BIND_ADDR", Value::Fixed("127.0.0.1:0")),
        ("DATABASE_URL", Value::DatabaseUrl),
        ("REDIS_URL", Value::RedisUrl),
        ("KAFKA_BROKERS", Value::KafkaBrokers),
        ("KAFKA_TOPIC", Value::OwnName),
        ("KAFKA_GROUP", Value::OwnName),
        ("CACHE_NAMESPACE", Value::OwnName),
        ("RUST_LOG", Value::Fixed("warn")),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_launch_gives_each_variable_that_it_has_a_value_for() {
        let seeding = REFERENCE.environment(|value| (value == Value::DatabaseUrl).then(|| "postgres://".to_owned()));
        assert_eq!(
            seeding,
            Environment::from([("DATABASE_URL".to_owned(), "postgres://".to_owned())])
        );
        let launch = REFERENCE.environment(|value| Some(format!("{value:?}")));
        assert_eq!(launch.len(), REFERENCE.variables.len());
        assert_eq!(launch["KAFKA_TOPIC"], launch["CACHE_NAMESPACE"]);
    }

    #[test]
    fn what_a_launch_gives_is_not_the_users_to_set() {
        assert!(REFERENCE.gives("BIND_ADDR") && REFERENCE.gives("PROFILE"));
        assert!(!REFERENCE.gives("FAULTS"));
    }
}
