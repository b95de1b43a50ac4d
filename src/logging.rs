//! The log on standard error: one line per thing that matters, as logfmt or JSON.

use std::any::Any;
use std::panic::PanicHookInfo;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry};

use crate::cli::{LogFormat, LogLevel};

/// Starts logging, panics included.
pub fn init(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What the libraries say at debug and trace has request headers and bodies in it, so also the key.
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
    // Whoever logs already keeps doing so.
    let _ = Registry::default().with(layer).try_init();
    std::panic::set_hook(Box::new(log_panic));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map_or_else(String::new, |place| {
        format!("{}:{}", place.file(), place.line())
    });
    tracing::error!(
        place,
        panic = words_of(panic.payload()),
        "panic: this is a bug, please report it"
    );
}

/// The message of a panic may be made of anything; only a literal in the code is known to hold nothing secret.
fn words_of(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(message not shown)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_panic_was_made_of_is_not_shown() {
        let secret = "private_x".to_owned();
        let made = std::panic::catch_unwind(|| panic!("with {secret}")).expect_err("it panics");
        assert_eq!(words_of(&*made), "(message not shown)");
        let literal = std::panic::catch_unwind(|| panic!("a literal")).expect_err("it panics");
        assert_eq!(words_of(&*literal), "a literal");
    }
}
