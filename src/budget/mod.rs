//! When which call is made: a pure function of the wanted intervals, what came of earlier calls, and the time.
//!
//! Nobody documents what a call costs, what an allowance of points covers, or how its windows move. So nothing is
//! taken for granted that a reading can contradict:
//!
//! - `window` keeps what was spent, at the price of the time, over the two trailing windows; sums are never too small.
//! - `costs` learns what calls cost from `bracket`s: a reading, one call, a reading.
//! - `lag` tells whether readings come late.
//! - `allowance` compares readings with what was sent, tells the spending of others, and admits or refuses calls.
//! - `survey` finds out who shares an allowance; until then all are taken to share one.
//! - `pacer` spreads what is due at once.
//! - `plan` stretches and sheds until the wanted intervals can be paid.
//! - `planner` puts it together; it is what the poller talks to.

mod allowance;
mod backoff;
mod bracket;
mod costs;
mod downloads;
mod lag;
mod pace;
mod pacer;
mod phases;
mod places;
mod plan;
mod planner;
mod refusals;
mod schedule;
mod survey;
mod window;

pub use allowance::{Remaining, USUAL_SIZES};
pub use backoff::AUTHENTICATION_PAUSE;
pub use costs::prudent;
pub use pace::Pace;
pub use places::Places;
pub use plan::{Plan, Shed, Wanted, plan};
pub use planner::{Finished, Learnt, Limits, Memory, Planner};
pub use schedule::{Due, Outcome};
pub use window::{WINDOW_LENGTHS, Window};
