//! Variables shared by all dashboards, so that links between them keep the selection.

use serde_json::Value;

use crate::grafana::{Choice, datasource_variable, label_variable};
use crate::names::THRESHOLD;

/// Data source, job, instance, VPS.
pub fn variables(vps: Choice) -> Vec<Value> {
    let of_job = format!(r#"{THRESHOLD}{{job=~"$job"}}"#);
    let of_instance = format!(r#"{THRESHOLD}{{job=~"$job", instance=~"$instance"}}"#);
    vec![
        datasource_variable(),
        label_variable("job", "Job", THRESHOLD, Choice::Any),
        label_variable("instance", "Instance", &of_job, Choice::Any),
        label_variable("vps", "VPS", &of_instance, vps),
    ]
}
