//! Grafana's classic dashboard JSON (schemaVersion 39), as far as it is used here.

mod panel;
mod table;

use serde_json::{Value, json};

pub use panel::{Mapping, Panel, Range};
pub use table::Column;

/// The tag by which the dashboards find each other.
pub const TAG: &str = "kiwivm";

pub const GREEN: &str = "green";
pub const ORANGE: &str = "orange";
pub const RED: &str = "red";
pub const BLUE: &str = "blue";
/// The colour of what is neither good nor bad.
pub const NEUTRAL: &str = "text";
pub const NO_COLOUR: &str = "transparent";

/// The width of the grid.
const COLUMNS: u32 = 24;

/// The data source that the owner chose.
pub fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

/// A dashboard before its panels have numbers and places.
pub struct Dashboard {
    pub uid: &'static str,
    pub title: &'static str,
    pub description: &'static str,
    /// What is shown at first, for example `now-24h`.
    pub from: &'static str,
    pub variables: Vec<Value>,
    pub rows: Vec<Row>,
}

/// Panels that stand side by side, wrapped where they do not fit.
pub struct Row {
    /// A heading that folds the panels below it.
    pub title: Option<&'static str>,
    pub panels: Vec<Panel>,
}

impl Row {
    pub fn untitled(panels: Vec<Panel>) -> Self {
        Self {
            title: None,
            panels,
        }
    }

    pub fn titled(title: &'static str, panels: Vec<Panel>) -> Self {
        Self {
            title: Some(title),
            panels,
        }
    }
}

impl Dashboard {
    /// The JSON that Grafana imports. Panels are numbered and placed in their order.
    pub fn json(self) -> Value {
        let mut panels = Vec::new();
        let mut y = 0;
        for row in self.rows {
            if let Some(title) = row.title {
                panels.push(json!({
                    "id": panels.len() + 1,
                    "type": "row",
                    "title": title,
                    "collapsed": false,
                    "panels": [],
                    "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
                }));
                y += 1;
            }
            let (mut x, mut line) = (0, 0);
            for panel in row.panels {
                if x + panel.width > COLUMNS {
                    (x, y, line) = (0, y + line, 0);
                }
                let (width, height) = (panel.width, panel.height);
                let place = json!({"x": x, "y": y, "w": width, "h": height});
                panels.push(panel.json(panels.len() + 1, &place));
                (x, line) = (x + width, line.max(height));
            }
            y += line;
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

/// The choice of the Prometheus.
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

/// A choice of some or all values of a label of these series, read again when the time range changes.
pub fn label_variable(label: &str, title: &str, series: &str) -> Value {
    let query = format!("label_values({series}, {label})");
    json!({
        "type": "query",
        "name": label,
        "label": title,
        "datasource": datasource(),
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery", "qryType": 1},
        "regex": "",
        "multi": true,
        "includeAll": true,
        // A name with a quirk in it needs no escaping this way, and 300 names are not sent with each query.
        "allValue": ".+",
        "refresh": 2,
        "sort": 7,
        "hide": 0,
        "current": {"selected": true, "text": ["All"], "value": ["$__all"]},
        "options": [],
    })
}
