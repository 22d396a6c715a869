//! The harness's own log: to the run's folder in full, warnings to stderr.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::{Context, Result};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log of a node: everything a person may want to know, to stderr.
pub fn to_stderr() {
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(std::io::stderr)
                .with_filter(LevelFilter::INFO),
        )
        .init();
}

/// Starts the log of a run.
///
/// # Errors
/// If the file cannot be made.
pub fn to_file(path: &Path) -> Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open the log {}", path.display()))?;
    let file = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(std::sync::Mutex::new(file))
        .with_filter(LevelFilter::DEBUG);
    let terminal = tracing_subscriber::fmt::layer()
        .without_time()
        .with_writer(std::io::stderr)
        .with_filter(LevelFilter::WARN);
    tracing_subscriber::registry().with(file).with(terminal).init();
    Ok(())
}
