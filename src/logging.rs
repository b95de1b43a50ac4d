//! The log on standard error, as logfmt or JSON.

use std::any::Any;
use std::panic::PanicHookInfo;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::cli::{LogFormat, LogLevel};

/// Initializes logging, including that of panics.
pub fn init(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // Debug and trace lines of the libraries contain request headers and bodies, and so the API key.
    let filter = Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_default(level.min(LevelFilter::WARN));
    let layer = match format {
        LogFormat::Logfmt => tracing_subscriber::fmt::layer()
            .event_format(tracing_logfmt::EventsFormatter::default())
            .fmt_fields(tracing_logfmt::FieldsFormatter::default())
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_target(false)
            .with_writer(std::io::stderr)
            .with_filter(filter)
            .boxed(),
    };
    // Fails if a subscriber is already installed, which then stays.
    let _ = Registry::default().with(layer).try_init();
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(String::new, |place| {
        format!("{}:{}", place.file(), place.line())
    });
    tracing::error!(
        place,
        panic = literal_message(panic.payload()),
        "panic: this is a bug, please report it"
    );
}

/// Returns the message of a panic if it is a string literal. A formatted message could contain a secret.
fn literal_message(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(message not shown)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_panic_messages_are_not_logged() {
        let secret = "private_x".to_owned();
        let formatted =
            std::panic::catch_unwind(|| panic!("with {secret}")).expect_err("it panics");
        assert_eq!(literal_message(&*formatted), "(message not shown)");
        let literal = std::panic::catch_unwind(|| panic!("a literal")).expect_err("it panics");
        assert_eq!(literal_message(&*literal), "a literal");
    }
}
