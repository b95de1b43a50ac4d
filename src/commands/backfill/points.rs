//! Leaves the points that are not the exporter's: before each history, which may be a dear call, they are read.

use std::time::Duration;

use super::progress::Progress;
use crate::config::Vps;
use crate::kiwivm::model::{Payload, Points as Remaining};
use crate::kiwivm::{ApiKey, Call, Client};

/// Between two looks at an allowance that is used up.
const AGAIN: Duration = Duration::from_secs(30);
/// The short window has begun anew, or slid on, after that.
const LOOKS: u32 = 31;

/// The largest remaining points that were read: the size of the allowance is not assumed larger.
pub(super) struct Points {
    share: f64,
    largest: f64,
}

impl Points {
    pub(super) const fn new(share: f64) -> Self {
        Self {
            share,
            largest: 0.0,
        }
    }

    /// Waits until less than the share of the short window is missing, a quarter of an hour at most. Where the points
    /// can not be read the history is asked for without.
    pub(super) async fn wait(
        &mut self,
        client: &Client,
        vps: &Vps,
        key: &ApiKey,
        progress: &mut Progress,
    ) {
        for look in 0..LOOKS {
            let response = client
                .call(vps.veid, key, Call::RateLimitStatus, &mut |_| {})
                .await;
            let Ok(Payload::Points(Remaining {
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
            if look == 0 {
                progress.say(&format!(
                    "{}: {left} API points are left, waiting for more",
                    vps.name
                ));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
