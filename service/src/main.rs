//! The executable: one subcommand per role. Everything it does stands in the library.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::Context;
use chrono::{NaiveDate, Utc};
use clap::{Args, Parser, Subcommand};
use insurance_service::config::{
    Config, ConfigError, DatabaseConfig, HealthConfig, LogConfig, LogFormat, OfflineConfig, ReplayConfig,
};
use insurance_service::seed::{self, SeedOptions};
use insurance_service::{VERSION, boot, events, health, shutdown, store};
use sqlx::PgPool;
use tracing_subscriber::EnvFilter;

/// Exit code of a wrong environment; clap's own for a wrong command line.
const EXIT_USAGE: u8 = 2;

/// Used when `RUST_LOG` is unset. The migrations' notices tell at each start that their table exists.
const DEFAULT_FILTER: &str = "info,sqlx::postgres::notice=warn";

/// The reference service: a cached auto-insurance backend. All settings come from the environment.
#[derive(Parser)]
#[command(version = VERSION, after_help = "Example:
  DATABASE_URL=postgres://ins:secret@127.0.0.1:5432/insurance REDIS_URL=redis://127.0.0.1:6379 \\
  KAFKA_BROKERS=127.0.0.1:9092 insurance-service")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the schema up to date and serve (the default).
    #[command(after_help = "Example:
  PROFILE=phase1 BIND_ADDR=127.0.0.1:0 DATABASE_URL=... KAFKA_BROKERS=... insurance-service serve
Prints `listening on http://ADDRESS` once it listens; stops on SIGTERM and SIGINT.")]
    Serve,
    /// Bring the schema up to date.
    #[command(after_help = "Example:
  DATABASE_URL=postgres://ins:secret@127.0.0.1:5432/insurance insurance-service migrate")]
    Migrate,
    /// Ask a service on this machine whether it is ready; ends with 0 if it is. For health checks of containers.
    #[command(after_help = "Example:
  BIND_ADDR=0.0.0.0:8080 insurance-service health")]
    Health,
    /// Fill an empty database with a portfolio: the same for the same drivers, seed and day.
    #[command(after_help = "Example:
  DATABASE_URL=postgres://ins:secret@127.0.0.1:5432/insurance insurance-service seed --drivers 10000 --seed 42")]
    Seed(SeedArgs),
    /// Send dead letters back to their topic, once what was wrong is mended.
    #[command(after_help = "Example:
  KAFKA_BROKERS=127.0.0.1:9092 insurance-service replay --dry-run
  KAFKA_BROKERS=127.0.0.1:9092 insurance-service replay --max 100")]
    Replay(ReplayArgs),
}

#[derive(Args)]
struct ReplayArgs {
    /// How many, at most [default: all that are there now].
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Only show them.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
struct SeedArgs {
    /// How many drivers.
    #[arg(long, value_name = "N")]
    drivers: u32,
    /// The seed of the random numbers.
    #[arg(long, value_name = "S")]
    seed: u64,
    /// The day on which the portfolio's history ends [default: today, UTC].
    #[arg(long, value_name = "YYYY-MM-DD")]
    as_of: Option<NaiveDate>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command.unwrap_or(Command::Serve) {
        Command::Serve => serve().await,
        Command::Migrate => migrate().await,
        Command::Health => health().await,
        Command::Seed(args) => seed(&args).await,
        Command::Replay(args) => replay(&args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("insurance-service: {error:#}");
            if error.is::<ConfigError>() {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn serve() -> anyhow::Result<()> {
    let config = Config::read(&variable)?;
    init_logs(config.log)?;
    let stop = shutdown::on_signals().context("cannot listen for SIGTERM")?;
    let listener = boot::bind(&config.http).await?;
    let running = boot::start(&config, listener, stop).await?;
    println!("listening on http://{}", running.address());
    running.finished().await?;
    Ok(())
}

async fn migrate() -> anyhow::Result<()> {
    let config = OfflineConfig::read(&variable)?;
    init_logs(config.log)?;
    migrated(&config.database).await?.close().await;
    Ok(())
}

async fn seed(args: &SeedArgs) -> anyhow::Result<()> {
    let config = OfflineConfig::read(&variable)?;
    init_logs(config.log)?;
    let pool = migrated(&config.database).await?;
    let as_of = args.as_of.unwrap_or_else(|| Utc::now().date_naive());
    let options = SeedOptions {
        drivers: args.drivers,
        seed: args.seed,
        as_of,
    };
    let tell = |line: &str| eprintln!("{line}");
    if variable("REDIS_URL").is_some_and(|url| !url.is_empty()) {
        seed::run_beside_redis(&pool, &options, tell).await?;
    } else {
        seed::run(&pool, &options, tell).await?;
    }
    pool.close().await;
    Ok(())
}

async fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let config = ReplayConfig::read(&variable)?;
    init_logs(config.log)?;
    let tell = |line: &str| eprintln!("{line}");
    let replayed = events::replay(&config.kafka, args.max.unwrap_or(u64::MAX), args.dry_run, tell).await?;
    let verb = if args.dry_run { "found" } else { "sent back" };
    println!("{verb} {} dead letters, {} are left", replayed.letters, replayed.left);
    Ok(())
}

async fn migrated(database: &DatabaseConfig) -> anyhow::Result<PgPool> {
    store::refuse_transaction_pooling(database).await?;
    let pool = store::connect_unbounded(database).await?;
    store::migrate(&pool).await?;
    Ok(pool)
}

async fn health() -> anyhow::Result<()> {
    let http = HealthConfig::read(&variable)?.http;
    let status = health::ask(http.bind)
        .await
        .with_context(|| format!("nobody answers at {}", http.bind))?;
    anyhow::ensure!(status == 200, "not ready: /health/ready answers {status}");
    Ok(())
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Logs go to stderr: stdout is for the one line that says where the service listens.
fn init_logs(config: LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let installed = match config.format {
        LogFormat::Text => logs.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("cannot set up logs: {error}"))
}
