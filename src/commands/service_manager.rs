//! Notifies the service manager with systemd's `sd_notify`. Does nothing without `NOTIFY_SOCKET`.

use sd_notify::NotifyState;

use crate::clock::Clock;
use crate::fleet::VpsState;
use crate::poller::{Heartbeat, SharedFleet, lock};

/// Reports that the exporter serves, at the start and after a reload.
pub fn ready(fleet: &SharedFleet) {
    notify(&[NotifyState::Ready, NotifyState::Status(&status(fleet))]);
}

/// Reports that a reload begins. [`ready`] has to follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot read the clock for the service manager"),
    }
}

/// Reports that the exporter stops.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Notifies the watchdog, if there is one, as long as the poller task makes progress.
pub async fn feed_watchdog(heartbeat: Heartbeat, fleet: SharedFleet, clock: Clock) {
    let Some(timeout) = sd_notify::watchdog_enabled() else {
        return;
    };
    loop {
        tokio::time::sleep(timeout / 2).await;
        if heartbeat.is_alive(clock.now().elapsed) {
            notify(&[NotifyState::Watchdog, NotifyState::Status(&status(&fleet))]);
        } else {
            tracing::error!("poller task hangs, watchdog notification skipped");
        }
    }
}

fn status(fleet: &SharedFleet) -> String {
    let fleet = lock(fleet);
    let has_responded = |vps: &&VpsState| vps.calls.values().any(|call| call.successes > 0);
    let responded = fleet.vps().iter().filter(has_responded).count();
    format!("{responded} of {} VPSes have responded", fleet.vps().len())
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
