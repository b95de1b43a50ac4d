//! When which call is due: a pure function of the wanted intervals, what came of earlier calls, and the time.
//!
//! The wanted intervals are kept as they are for now; nothing here counts points yet.

mod backoff;
mod places;
mod schedule;

pub use backoff::AUTHENTICATION_PAUSE;
pub use places::Places;
pub use schedule::{Due, Outcome, Pace, Schedule};
