//! Metrics about the API calls of a VPS: outcomes, intervals and points.

use super::{VpsMetric, counter, gauge, labelled_gauge};
use crate::budget::Window;
use crate::kiwivm::{Call, Reason};

pub(super) const METRICS: &[VpsMetric] = &[
    counter(
        "kiwivm_polls_total",
        &["call", "outcome"],
        "API calls made, by outcome.",
        |view, series| {
            for call in Call::ALL {
                let record = &view.vps.calls[call];
                if record.is_counted() {
                    let outcome = |outcome| [("call", call.name()), ("outcome", outcome)];
                    series.labelled(&outcome("success"), Some(record.successes));
                    series.labelled(&outcome("failure"), Some(record.failures()));
                }
            }
        },
    ),
    counter(
        "kiwivm_poll_errors_total",
        &["call", "reason"],
        "Failed API calls, by reason. A series appears with its first error.",
        |view, series| {
            for call in Call::ALL {
                let errors = view.vps.calls[call].errors();
                for reason in Reason::ALL {
                    let count = errors[reason.index()];
                    let labels = [("call", call.name()), ("reason", reason.name())];
                    series.labelled(&labels, (count > 0).then_some(count));
                }
            }
        },
    ),
    labelled_gauge(
        "kiwivm_last_success_timestamp_seconds",
        &["call"],
        "Unix time of the last successful call. A live response also counts as a success of getServiceInfo.",
        |view, series| {
            for call in Call::ALL {
                let last = view.vps.calls[call].last_success;
                series.labelled(&[("call", call.name())], last);
            }
        },
    ),
    labelled_gauge(
        "kiwivm_poll_interval_seconds",
        &["call"],
        "Planned interval of a call. Absent while the call is not planned.",
        |view, series| {
            for call in Call::ALL {
                let interval = view.vps.calls[call].interval;
                let seconds = interval.map(|interval| interval.as_secs_f64());
                series.labelled(&[("call", call.name())], seconds);
            }
        },
    ),
    labelled_gauge(
        "kiwivm_data_stale",
        &["call"],
        "1 if a planned call has returned neither data nor a lock for longer than staleness allows, else 0. Absent while the call is not planned.",
        |view, series| {
            for call in Call::ALL {
                let stale = view.is_stale(call);
                series.labelled(&[("call", call.name())], stale);
            }
        },
    ),
    labelled_gauge(
        "kiwivm_api_points_remaining",
        &["window"],
        "API points left in the current window, as last read.",
        |view, series| {
            let Some(points) = view.points else { return };
            series.labelled(&[("window", "15m")], points.remaining_15m);
            series.labelled(&[("window", "24h")], points.remaining_24h);
        },
    ),
    labelled_gauge(
        "kiwivm_api_points_allowance",
        &["window"],
        "API point quota of the exporter in this window: its share of the points that other clients leave.",
        |view, series| {
            let Some(allowed) = view.vps.allowed else {
                return;
            };
            for window in Window::ALL {
                series.labelled(
                    &[("window", window.name())],
                    Some(allowed[window as usize].0),
                );
            }
        },
    ),
    gauge(
        "kiwivm_api_points_exhausted",
        "1 if readings show no API points left for this VPS, so calls are made only occasionally, else 0. Absent until the first reading.",
        |view, series| series.value(view.vps.points_exhausted.map(u64::from)),
    ),
];
