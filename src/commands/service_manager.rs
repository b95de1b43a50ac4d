//! What the service manager is told, by `sd_notify` of systemd. Without `NOTIFY_SOCKET` nobody is told anything.

use sd_notify::NotifyState;

use crate::clock::Clock;
use crate::fleet::VpsState;
use crate::poller::{Pulse, SharedFleet, lock};

/// It serves; also after a reload.
pub fn ready(fleet: &SharedFleet) {
    tell(&[NotifyState::Ready, NotifyState::Status(&status(fleet))]);
}

/// It reads its configuration again. [`ready`] has to follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "no time to tell the service manager"),
    }
}

/// It was told to stop.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells a watchdog, if there is one, that the poller goes round; for as long as it does.
pub async fn feed_watchdog(pulse: Pulse, fleet: SharedFleet, clock: Clock) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        tokio::time::sleep(patience / 2).await;
        if pulse.is_felt(clock.now().elapsed) {
            tell(&[NotifyState::Watchdog, NotifyState::Status(&status(&fleet))]);
        } else {
            tracing::error!("the poller hangs: the watchdog is not fed any more");
        }
    }
}

fn status(fleet: &SharedFleet) -> String {
    let fleet = lock(fleet);
    let answered = |vps: &&VpsState| vps.calls.values().any(|call| call.successes > 0);
    let answered = fleet.vps().iter().filter(answered).count();
    format!("{answered} of {} VPSes have answered", fleet.vps().len())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
