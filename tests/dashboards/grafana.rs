//! The part of Grafana's classic dashboard JSON (schemaVersion 39) that is used here.

mod panel;
mod table;

use serde_json::{Value, json};

pub use panel::{Mapping, Panel, Range};
pub use table::Column;

/// Tag shared by the dashboards, which link to each other by it.
pub const TAG: &str = "kiwivm";

pub const GREEN: &str = "green";
pub const ORANGE: &str = "orange";
pub const RED: &str = "red";
pub const BLUE: &str = "blue";
/// Colour of values that are neither good nor bad.
pub const NEUTRAL: &str = "text";
pub const NO_COLOUR: &str = "transparent";

/// Width of Grafana's grid.
const COLUMNS: u32 = 24;

/// The selected data source.
pub fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A dashboard before its panels have ids and positions.
pub struct Dashboard {
    pub uid: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    /// Start of the default time range, for example `now-24h`.
    pub from: &'static str,
    pub variables: Vec<Value>,
    /// Number of VPSes that can be selected.
    pub vps: Choice,
    pub rows: Vec<Row>,
}

/// Panels side by side, wrapped to the width of the grid. Low panels are stacked beside a high one.
pub struct Row {
    /// A heading that collapses the panels below it.
    pub title: Option<&'static str>,
    pub panels: Vec<Panel>,
    /// Collapsed by default.
    folded: bool,
}

impl Row {
    pub fn untitled(panels: Vec<Panel>) -> Self {
        Self {
            title: None,
            panels,
            folded: false,
        }
    }

    pub fn titled(title: &'static str, panels: Vec<Panel>) -> Self {
        Self {
            title: Some(title),
            panels,
            folded: false,
        }
    }

    pub fn folded(title: &'static str, panels: Vec<Panel>) -> Self {
        Self {
            folded: true,
            ..Self::titled(title, panels)
        }
    }
}

impl Dashboard {
    /// Returns the JSON that Grafana imports. Ids follow the order of the panels. Each panel is placed as high and then
    /// as far left as possible.
    pub fn json(self) -> Value {
        let mut panels = Vec::new();
        let (mut y, mut id) = (0, 0);
        let mut next_id = || {
            id += 1;
            id
        };
        for row in self.rows {
            let heading = row.title.map(|title| {
                let place = json!({"x": 0, "y": y, "w": COLUMNS, "h": 1});
                json!({
                    "id": next_id(),
                    "type": "row",
                    "title": title,
                    "collapsed": row.folded,
                    "panels": [],
                    "gridPos": place,
                })
            });
            // The lower edge of the lowest panel in each column.
            let mut edge = [y + u32::from(heading.is_some()); COLUMNS as usize];
            let mut placed = Vec::new();
            for panel in row.panels {
                let (width, height) = (panel.width, panel.height);
                let (x, top) = highest_place(&edge, width);
                edge[x..x + width as usize].fill(top + height);
                let place = json!({"x": x, "y": top, "w": width, "h": height});
                placed.push(panel.json(next_id(), &place, self.vps));
            }
            let below = edge.into_iter().max().unwrap_or(y);
            match heading {
                // Grafana makes room below the heading when it expands the row.
                Some(mut heading) if row.folded => {
                    y += 1;
                    heading["panels"] = Value::Array(placed);
                    panels.push(heading);
                }
                heading => {
                    y = below;
                    panels.extend(heading);
                    panels.extend(placed);
                }
            }
        }
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": 39,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "1m",
            "time": {"from": self.from, "to": "now"},
            "timepicker": {},
            "annotations": {"list": []},
            "links": [{
                "type": "dashboards",
                "tags": [TAG],
                "title": "KiwiVM",
                "icon": "external link",
                "tooltip": "",
                "url": "",
                "asDropdown": false,
                "includeVars": true,
                "keepTime": true,
                "targetBlank": false,
            }],
            "templating": {"list": self.variables},
            "panels": panels,
        })
    }
}

/// Returns the highest position for a panel of this width below the placed panels, the leftmost of several.
fn highest_place(edge: &[u32], width: u32) -> (usize, u32) {
    edge.windows(width as usize)
        .map(|columns| columns.iter().copied().max().unwrap_or_default())
        .enumerate()
        .min_by_key(|(x, top)| (*top, *x))
        .expect("no panel is wider than the grid")
}

/// Variable for the Prometheus data source.
pub fn datasource_variable() -> Value {
    json!({
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "regex": "",
        "multi": false,
        "includeAll": false,
        "refresh": 1,
        "hide": 0,
        "current": {"text": "default", "value": "default"},
        "options": [],
    })
}

/// Number of values of a variable that can be selected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Exactly one. Grafana selects the first by default.
    One,
    /// One, several or all.
    Any,
}

/// Variable for the values of a label of these series, refreshed when the time range changes.
pub fn label_variable(label: &str, title: &str, series: &str, choice: Choice) -> Value {
    let query = format!("label_values({series}, {label})");
    let mut variable = json!({
        "type": "query",
        "name": label,
        "label": title,
        "datasource": datasource(),
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1},
        "regex": "",
        "multi": choice == Choice::Any,
        "includeAll": choice == Choice::Any,
        "refresh": 2,
        "sort": 7,
        "hide": 0,
        "current": {},
        "options": [],
    });
    if choice == Choice::Any {
        // Avoids escaping special characters in names, and sending 300 names with each query.
        variable["allValue"] = json!(".+");
        variable["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
    }
    variable
}
