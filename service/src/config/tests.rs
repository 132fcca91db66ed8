//! The environment in and out: defaults, presets, switches alone, and every mistake at once.

use std::time::Duration;

use tiered_cache::Strategy;

use super::*;
use crate::codec::Format;

const NEEDED: &[(&str, &str)] = &[
    ("DATABASE_URL", "postgres://u:p@127.0.0.1:1/db"),
    ("REDIS_URL", "redis://127.0.0.1:2"),
    ("KAFKA_BROKERS", "127.0.0.1:3"),
];

fn read(extra: &[(&str, &str)]) -> Result<Config, ConfigError> {
    read_only(&[extra, NEEDED].concat())
}

fn read_only(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::read(&|name| {
        variables
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).into())
    })
}

fn message_of(error: &ConfigError, variable: &str) -> String {
    error
        .0
        .iter()
        .find(|problem| problem.variable == variable)
        .expect("a problem of that variable")
        .message
        .clone()
}

#[test]
fn events_hold_a_part_of_the_pool_however_small_it_is() {
    for (size, share) in [("1", 1), ("4", 1), ("10", 2), ("20", 4), ("1000", 4)] {
        let config = read(&[("DATABASE_POOL_SIZE", size)]).expect("a valid environment");
        assert_eq!(config.database.share_of_events(), share, "{size}");
    }
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = read(&[]).expect("a valid environment");
    assert_eq!(config.switches, Switches::preset(Profile::Phase2));
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database.pool_size, 20);
    assert_eq!(config.cache.ttl_default, Duration::from_mins(5));
    assert_eq!(config.cache.ttl_dashboard, Duration::from_mins(1));
    assert_eq!(config.cache.ttl_risk, Duration::from_mins(10));
    assert_eq!(config.cache.namespace, "ins");
    assert_eq!(
        (config.kafka.topic.as_str(), config.kafka.group.as_str()),
        ("trip-events", "insurance-service")
    );
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn phase1_turns_everything_off() {
    let switches = read(&[("PROFILE", "phase1")]).expect("a valid environment").switches;
    assert!(!switches.cache_enabled && !switches.kafka_batching);
    assert_eq!((switches.queries, switches.warm_drivers), (Queries::Phase1, 0));
    assert_eq!(
        (
            switches.kafka_compression,
            switches.event_format,
            switches.kafka_consumer
        ),
        (Compression::None, Format::Json, Consuming::Defaults)
    );
    assert!(!switches.live_filtering && !switches.live_batching && !switches.live_dedupe);
}

#[test]
fn phase2_turns_on_all_that_makes_events_quick_and_small() {
    let switches = Switches::preset(Profile::Phase2);
    assert!(switches.kafka_batching && switches.live_filtering && switches.live_batching && switches.live_dedupe);
    assert_eq!(
        (
            switches.kafka_compression,
            switches.event_format,
            switches.kafka_consumer
        ),
        (Compression::Lz4, Format::Protobuf, Consuming::Tuned)
    );
}

#[test]
fn kafka_and_live_clients_have_documented_bounds() {
    let config = read(&[]).expect("a valid environment");
    let KafkaConfig {
        linger_ms,
        queue_messages,
        queue_kib,
        outbox_max_rows,
        attempts,
        ..
    } = config.kafka;
    assert_eq!(
        (linger_ms, queue_messages, queue_kib, outbox_max_rows, attempts),
        (0, 10_000, 16_384, 100_000, 5)
    );
    assert_eq!(config.kafka.inbox_keep, Duration::from_hours(6));
    assert_eq!(config.kafka.group_protocol, GroupProtocol::Classic);
    assert_eq!(config.kafka.dead_letters(), "trip-events.DLT");
    let live = config.live;
    assert_eq!(
        (
            live.max_connections,
            live.connects_per_s,
            live.queue_bytes,
            live.history_events
        ),
        (20_000, 4_000, 512 * 1_024, 20_000)
    );
    assert_eq!(
        (live.slow, live.batch, live.ping),
        (
            Duration::from_secs(10),
            Duration::from_millis(2),
            Duration::from_secs(25)
        )
    );
    let error = read(&[
        ("KAFKA_GROUP_PROTOCOL", "clasic"),
        ("LIVE_PING_S", "0"),
        ("KAFKA_COMPRESSION", "lz"),
    ])
    .expect_err("three mistakes");
    assert_eq!(error.0.len(), 3, "{error}");
    assert!(message_of(&error, "KAFKA_GROUP_PROTOCOL").contains("did you mean `classic`"));
    assert!(message_of(&error, "KAFKA_COMPRESSION").contains("lz4"));
}

#[test]
fn replay_needs_kafka_only() {
    let error = ReplayConfig::read(&|_| None).expect_err("Kafka is missing");
    assert_eq!(
        error.0.iter().map(|problem| problem.variable).collect::<Vec<_>>(),
        ["KAFKA_BROKERS"]
    );
}

#[test]
fn planned_is_the_cache_of_the_plan_over_the_queries_as_they_were() {
    let switches = read(&[("PROFILE", "planned")]).expect("a valid environment").switches;
    assert!(switches.cache_enabled && switches.kafka_batching);
    assert_eq!(
        (switches.cache_strategy, switches.queries),
        (tiered_cache::Strategy::Planned, Queries::Phase1)
    );
}

#[test]
fn each_switch_is_settable_alone() {
    let phase1 = Switches::preset(Profile::Phase1);
    let with = |variable, value| {
        read(&[("PROFILE", "phase1"), (variable, value)])
            .expect("a valid environment")
            .switches
    };
    assert_eq!(
        with("CACHE_ENABLED", "true"),
        Switches {
            cache_enabled: true,
            ..phase1
        }
    );
    assert_eq!(
        with("QUERIES", "tuned"),
        Switches {
            queries: Queries::Tuned,
            ..phase1
        }
    );
    assert_eq!(
        with("KAFKA_BATCHING", "on"),
        Switches {
            kafka_batching: true,
            ..phase1
        }
    );
    assert_eq!(
        with("KAFKA_COMPRESSION", "zstd"),
        Switches {
            kafka_compression: Compression::Zstd,
            ..phase1
        }
    );
    assert_eq!(
        with("KAFKA_SCHEMA", "protobuf"),
        Switches {
            event_format: Format::Protobuf,
            ..phase1
        }
    );
    assert_eq!(
        with("KAFKA_CONSUMER", "tuned"),
        Switches {
            kafka_consumer: Consuming::Tuned,
            ..phase1
        }
    );
    for (variable, switched) in [
        (
            "LIVE_FILTERING",
            Switches {
                live_filtering: true,
                ..phase1
            },
        ),
        (
            "LIVE_BATCHING",
            Switches {
                live_batching: true,
                ..phase1
            },
        ),
        (
            "LIVE_DEDUPE",
            Switches {
                live_dedupe: true,
                ..phase1
            },
        ),
    ] {
        assert_eq!(with(variable, "on"), switched, "{variable}");
    }
    assert_eq!(
        with("CACHE_STRATEGY", "refresh-ahead"),
        Switches {
            cache_strategy: tiered_cache::Strategy::RefreshAhead,
            ..phase1
        }
    );
    assert_eq!(
        with("QUERY_CACHE", "on"),
        Switches {
            query_cache: true,
            ..phase1
        }
    );
    assert_eq!(
        with("CACHE_WARM_DRIVERS", "7"),
        Switches {
            warm_drivers: 7,
            ..phase1
        }
    );
}

#[test]
fn an_unknown_profile_is_answered_with_the_valid_names_and_the_nearest() {
    let error = read(&[("PROFILE", "phse1")]).expect_err("no such profile");
    assert_eq!(
        message_of(&error, "PROFILE"),
        "`phse1` is unknown; valid are phase1, planned, phase2; did you mean `phase1`?"
    );
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let error = read_only(&[
        ("PROFILE", "plannd"),
        ("BIND_ADDR", "here"),
        ("DATABASE_POOL_SIZE", "0"),
        ("CACHE_TTL_DEFAULT", "5m"),
        ("JWT_SECRET", "short"),
        ("LOG_FORMAT", "xml"),
        ("KAFKA_TOPIC", "trip events"),
    ])
    .expect_err("ten mistakes");
    let variables: Vec<_> = error.0.iter().map(|problem| problem.variable).collect();
    let expected = [
        "PROFILE",
        "BIND_ADDR",
        "DATABASE_URL",
        "DATABASE_POOL_SIZE",
        "REDIS_URL",
        "CACHE_TTL_DEFAULT",
        "KAFKA_BROKERS",
        "KAFKA_TOPIC",
        "JWT_SECRET",
        "LOG_FORMAT",
    ];
    assert_eq!(variables, expected);
    let text = error.to_string();
    assert!(expected.iter().all(|variable| text.contains(variable)), "{text}");
}

#[test]
fn redis_is_needed_only_while_the_cache_is_on() {
    let without_redis = [("DATABASE_URL", "postgres://x"), ("KAFKA_BROKERS", "k:1")];
    let error = read_only(&without_redis).expect_err("phase2 needs Redis");
    assert!(message_of(&error, "REDIS_URL").contains("CACHE_ENABLED=false"));
    read_only(&[&[("CACHE_ENABLED", "off")], &without_redis[..]].concat()).expect("no cache, no Redis");
}

#[test]
fn results_of_queries_are_not_kept_by_the_cache_as_planned() {
    let error = read(&[("PROFILE", "planned"), ("QUERY_CACHE", "on")]).expect_err("no tags");
    assert!(message_of(&error, "QUERY_CACHE").contains("planned"));
}

#[test]
fn an_unknown_strategy_is_answered_with_the_valid_names_and_the_nearest() {
    let error = read(&[("CACHE_STRATEGY", "read-trough")]).expect_err("no such strategy");
    assert_eq!(
        message_of(&error, "CACHE_STRATEGY"),
        "`read-trough` is unknown; valid are read-through, cache-aside, refresh-ahead, off, planned; did you mean \
         `read-through`?"
    );
    for strategy in Strategy::ALL {
        let name = strategy.as_str();
        let config = read(&[("CACHE_STRATEGY", name)]).expect(name);
        assert_eq!(config.switches.cache_strategy, strategy);
    }
}

#[test]
fn a_sampler_that_would_do_nothing_is_refused() {
    assert_eq!(read(&[]).expect("a valid environment").cache.verify_one_in, 0);
    let one_in = ("CACHE_VERIFY_ONE_IN", "1000");
    assert_eq!(read(&[one_in]).expect("a valid environment").cache.verify_one_in, 1_000);
    for strategy in ["planned", "off"] {
        let error = read(&[("CACHE_STRATEGY", strategy), one_in]).expect_err(strategy);
        assert!(message_of(&error, one_in.0).contains(strategy), "{error}");
    }
}

#[test]
fn what_was_removed_is_refused_rather_than_taken_for_nothing() {
    for variable in ["CACHE_EXPERIMENT", "CACHE_PREDICTIVE_WARMING", "CACHE_TUNING"] {
        let error = read(&[(variable, "1")]).expect_err(variable);
        assert!(message_of(&error, variable).contains("docs/CACHE.md"), "{error}");
        read(&[(variable, "")]).expect("an empty variable is an unset one");
    }
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let config = read(&[("REDIS_PASSWORD", ""), ("CACHE_TTL_DEFAULT", " ")]).expect("a valid environment");
    assert_eq!(config.cache.redis_password, None);
    assert_eq!(config.cache.ttl_default, Duration::from_mins(5));
}

#[test]
fn secrets_are_not_shown() {
    let secret = "0123456789abcdef0123456789abcdef";
    let config = read(&[("JWT_SECRET", secret), ("REDIS_PASSWORD", "hunter2")]).expect("a valid environment");
    let shown = format!("{config:?}");
    assert!(
        !shown.contains(secret) && !shown.contains("hunter2") && !shown.contains("u:p@"),
        "{shown}"
    );
    assert_eq!(config.auth.jwt_secret.expect("given").reveal(), secret);
}

#[test]
fn migrate_and_seed_need_the_database_only() {
    let error = OfflineConfig::read(&|_| None).expect_err("the database is missing");
    assert_eq!(
        error.0.iter().map(|problem| problem.variable).collect::<Vec<_>>(),
        ["DATABASE_URL"]
    );
}

#[test]
fn what_this_build_cannot_keep_private_is_refused_with_what_to_do() {
    for (variable, value) in [
        ("DATABASE_URL", "postgres://u:p@h/db?sslmode=require"),
        (
            "DATABASE_URL",
            "postgres://u:p@h/db?application_name=x&ssl-mode=verify-full",
        ),
        ("REDIS_URL", "rediss://h:6379"),
        ("KAFKA_BROKERS", "SASL_SSL://h:9093"),
        ("KAFKA_BROKERS", "h:9092,ssl://h:9093"),
    ] {
        let error = read(&[(variable, value)]).expect_err(value);
        let message = message_of(&error, variable);
        assert!(
            message.contains("proxy") && !message.contains("u:p"),
            "{value}: {message}"
        );
    }
    for (variable, value) in [
        ("DATABASE_URL", "postgres://u:p@h/db?sslmode=prefer"),
        ("KAFKA_BROKERS", "PLAINTEXT://h:9092,h:9093"),
    ] {
        read(&[(variable, value)]).expect(value);
    }
}

#[test]
fn passwords_have_variables_of_their_own_and_keep_their_blanks() {
    let config = read(&[("DATABASE_PASSWORD", " p@ss "), ("REDIS_PASSWORD", "#1 ")]).expect("a valid environment");
    assert_eq!(config.database.password.expect("given").reveal(), " p@ss ");
    assert_eq!(config.cache.redis_password.expect("given").reveal(), "#1 ");
}

#[test]
fn former_secrets_are_a_list() {
    let (one, other) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
    let config = read(&[("JWT_SECRET_PREVIOUS", &format!("{one} {other}"))]).expect("a valid environment");
    let secrets: Vec<_> = config.auth.previous_secrets.iter().map(Secret::reveal).collect();
    assert_eq!(secrets, [one, other]);
    let error = read(&[("JWT_SECRET_PREVIOUS", "short")]).expect_err("too short");
    assert!(message_of(&error, "JWT_SECRET_PREVIOUS").contains("32"));
}
