//! The budget of API points: decides when to make which call, from wanted intervals, results and time. Pure code.
//!
//! Neither the price of a call nor the size of a quota is documented, so the budget runs on feedback. The planner
//! trusts readings of the remaining points, and the pace at which it spends a quota follows from the last readings.
//! `docs/points.md` explains this to users.
//!
//! - `window` sums the exporter's spending over the two trailing windows.
//! - `quota` turns readings and spending into a pace, and admits or defers calls.
//! - `prices` learns the prices of calls from the samples that `sampling` takes.
//! - `scope` detects whether VPSes share a quota, by votes.
//! - `brake` slows down after refusals, `backoff` after failures.
//! - `plan` stretches and drops calls until a pace pays for the wanted intervals.
//! - `schedule` keeps the due times and `downloads` the bytes. `pacer` and `slots` limit bursts and concurrency.
//! - `planner` combines all of these for the poller.

mod backoff;
mod brake;
mod downloads;
mod pace;
mod pacer;
mod phases;
mod plan;
mod planner;
mod prices;
mod quota;
mod round;
mod sampling;
mod schedule;
mod scope;
mod slots;
mod window;

pub use backoff::AUTHENTICATION_PAUSE;
pub use pace::Pace;
pub use plan::{Plan, Shed, plan};
pub use planner::{Finished, Learned, Limits, Member, Planner, SavedState};
pub use quota::{PACED_FRACTION, Share, USUAL_SIZES};
pub use round::{Round, Skip};
pub use schedule::{Due, Outcome};
pub use slots::Slots;
pub use window::{WINDOW_LENGTHS, Window};
