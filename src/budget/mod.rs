//! The points budget: which call is made when, as a pure function of wanted intervals, results and time.
//!
//! Nobody documents what a call costs or how many points there are, so the budget runs on feedback. A reading of the
//! remaining points is the truth; each quota is spent at a pace that follows from its last readings. `docs/points.md`
//! explains it to owners.
//!
//! - `window` sums own spending over the two trailing windows.
//! - `quota` turns readings and spending into a pace, and admits or refuses calls.
//! - `prices` learns what calls cost, from the samples that `sampling` takes.
//! - `scope` finds out whether VPSes share a quota, by votes.
//! - `brake` slows down after refusals, `backoff` after failures.
//! - `plan` stretches and drops calls until a pace can pay for the wanted intervals.
//! - `schedule` keeps the due times, `downloads` the bytes, `pacer` and `places` spread what is due at once.
//! - `planner` puts it together; the poller talks to it.

mod backoff;
mod brake;
mod downloads;
mod pace;
mod pacer;
mod phases;
mod places;
mod plan;
mod planner;
mod prices;
mod quota;
mod round;
mod sampling;
mod schedule;
mod scope;
mod window;

pub use backoff::AUTHENTICATION_PAUSE;
pub use pace::Pace;
pub use places::Places;
pub use plan::{Plan, Shed, plan};
pub use planner::{Finished, Learned, Limits, Member, Memory, Planner};
pub use quota::{PACED, Share, USUAL_SIZES};
pub use round::Round;
pub use schedule::{Due, Outcome};
pub use window::{WINDOW_LENGTHS, Window};
