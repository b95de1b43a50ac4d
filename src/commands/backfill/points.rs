//! Keeps the share of API points that is not the exporter's, by reading the points before each history, which may be an
//! expensive call.

use std::time::Duration;

use super::progress::Progress;
use crate::config::Vps;
use crate::kiwivm::model::{Payload, RateLimitStatus};
use crate::kiwivm::{ApiKey, Call, Client};

/// Time between two reads of the points of a used-up quota.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// Reads at most: after these 15 minutes the short window has reset or slid on.
const MAX_READS: u32 = 31;

/// Waits for API points. The quota is assumed to be the largest remaining points that were read.
pub(super) struct UsagePoints {
    share: f64,
    largest: f64,
}

impl UsagePoints {
    pub(super) const fn new(share: f64) -> Self {
        Self {
            share,
            largest: 0.0,
        }
    }

    /// Waits until less than the share of the short window is spent, for 15 minutes at most. Does not wait if the points
    /// cannot be read.
    pub(super) async fn wait(
        &mut self,
        client: &Client,
        vps: &Vps,
        key: &ApiKey,
        progress: &mut Progress,
    ) {
        for read in 0..MAX_READS {
            let response = client
                .call(vps.veid, key, Call::RateLimitStatus, &mut |_| {})
                .await;
            let Ok(Payload::RateLimit(RateLimitStatus {
                remaining_15m: Some(left),
                ..
            })) = response.result.map(|decoded| decoded.payload)
            else {
                return;
            };
            #[expect(clippy::cast_precision_loss, reason = "points are far below 2^53")]
            let left = left as f64;
            self.largest = self.largest.max(left);
            if left >= (1.0 - self.share) * self.largest {
                return;
            }
            if read == 0 {
                progress.print(&format!(
                    "{}: {left} API points left, waiting for more",
                    vps.name
                ));
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }
}
