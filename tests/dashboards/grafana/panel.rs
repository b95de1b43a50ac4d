//! Panels.

use serde_json::{Map, Value, json};

use super::{Choice, GREEN, ORANGE, RED, datasource};

/// A panel before it has an id and a position.
pub struct Panel {
    pub(super) width: u32,
    pub(super) height: u32,
    points: Option<u32>,
    kind: &'static str,
    title: String,
    description: String,
    time_from: Option<&'static str>,
    targets: Vec<Value>,
    defaults: Map<String, Value>,
    custom: Map<String, Value>,
    overrides: Vec<Value>,
    options: Map<String, Value>,
    transformations: Vec<Value>,
}

/// A text and colour for a value.
pub struct Mapping {
    pub value: i32,
    pub text: &'static str,
    pub colour: &'static str,
}

impl Mapping {
    pub fn json(mappings: &[Self]) -> Value {
        let options: Map<_, _> = mappings
            .iter()
            .enumerate()
            .map(|(index, mapping)| {
                let shown = json!({"text": mapping.text, "color": mapping.colour, "index": index});
                (mapping.value.to_string(), shown)
            })
            .collect();
        json!([{"type": "value", "options": options}])
    }
}

/// A text and colour for the values from `from` up to the range before.
pub struct Range {
    pub from: f64,
    pub text: &'static str,
    pub colour: &'static str,
}

impl Range {
    /// The highest range first.
    pub fn json(ranges: &[Self]) -> Value {
        let mut to = Value::Null;
        let mut mappings = Vec::new();
        for (index, range) in ranges.iter().enumerate() {
            let shown = json!({"text": range.text, "color": range.colour, "index": index});
            let options = json!({"from": range.from, "to": to, "result": shown});
            mappings.push(json!({"type": "range", "options": options}));
            to = json!(range.from);
        }
        Value::Array(mappings)
    }
}

/// Colours by minimum value. `base` is the colour below the first step.
pub fn thresholds(base: &str, steps: &[(f64, &str)]) -> Value {
    let mut all = vec![json!({"value": null, "color": base})];
    all.extend(
        steps
            .iter()
            .map(|(value, colour)| json!({"value": value, "color": colour})),
    );
    json!({"mode": "absolute", "steps": all})
}

impl Panel {
    pub(super) fn new(kind: &'static str, title: &str, description: &str) -> Self {
        Self {
            width: 8,
            height: 8,
            points: None,
            kind,
            title: title.to_owned(),
            description: description.to_owned(),
            time_from: None,
            targets: Vec::new(),
            defaults: Map::new(),
            custom: Map::new(),
            overrides: Vec::new(),
            options: Map::new(),
            transformations: Vec::new(),
        }
    }

    /// One or a few numbers in large letters.
    pub fn stat(title: &str, description: &str) -> Self {
        Self::new("stat", title, description)
            .option("reduceOptions", last_value())
            .option("colorMode", json!("value"))
            .option("graphMode", json!("none"))
            .option("justifyMode", json!("center"))
            .option("orientation", json!("auto"))
            .option("textMode", json!("value"))
            .option("wideLayout", json!(true))
            .thresholds(super::NEUTRAL, &[])
            .size(4, 4)
    }

    /// A table of queries combined by transformations.
    pub fn plain_table(title: &str, description: &str) -> Self {
        Self::new("table", title, description)
            .option("showHeader", json!(true))
            .option("cellHeight", json!("sm"))
            .custom("align", json!("auto"))
            // Columns without a width share the remaining space, and fit into a small window.
            .custom("minWidth", json!(70))
            .custom("inspect", json!(false))
    }

    /// Bars over time, one per step.
    pub fn bars(title: &str, description: &str) -> Self {
        Self::time_series(title, description)
            .custom("drawStyle", json!("bars"))
            .custom("fillOpacity", json!(80))
            .custom("barWidthFactor", json!(0.8))
    }

    /// Bars side by side, one per series.
    pub fn bar_gauge(title: &str, description: &str) -> Self {
        Self::new("bargauge", title, description)
            .option("reduceOptions", last_value())
            .option("displayMode", json!("basic"))
            .option("orientation", json!("horizontal"))
            .option("valueMode", json!("color"))
            .option("namePlacement", json!("auto"))
            .option("showUnfilled", json!(true))
            // Keeps a single bar from filling the panel.
            .option("sizing", json!("manual"))
            .option("minVizHeight", json!(14))
            .option("minVizWidth", json!(8))
            .option("maxVizHeight", json!(24))
            .option("text", json!({"titleSize": 12, "valueSize": 15}))
    }

    /// Lines over time. Gaps stay gaps: no data is not zero.
    pub fn time_series(title: &str, description: &str) -> Self {
        Self::new("timeseries", title, description)
            .option(
                "legend",
                json!({"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []}),
            )
            .option("tooltip", json!({"mode": "multi", "sort": "desc"}))
            .custom("drawStyle", json!("line"))
            .custom("lineWidth", json!(1))
            .custom("fillOpacity", json!(10))
            .custom("showPoints", json!("never"))
            .custom("spanNulls", json!(false))
            .default("color", json!({"mode": "palette-classic"}))
    }

    /// Lines in planned intervals, only where calls are overdue.
    pub fn overdue(title: &str, description: &str) -> Self {
        Self::time_series(title, description)
            .unit("none")
            .decimals(1)
            .min(0.0)
            .custom("fillOpacity", json!(0))
            // A call that was overdue at a single scrape has no line.
            .custom("showPoints", json!("auto"))
            .legend_right()
            .no_value("No call is overdue, or none has succeeded yet")
    }

    /// Stacked areas, for parts of a sum.
    pub fn stacked(self) -> Self {
        self.custom("stacking", json!({"mode": "normal", "group": "A"}))
            .custom("fillOpacity", json!(35))
    }

    /// Legend on the right, for many series. Below the graph their names would leave little room for the lines.
    pub fn legend_right(self) -> Self {
        self.option(
            "legend",
            json!({"showLegend": true, "displayMode": "list", "placement": "right", "calcs": []}),
        )
    }

    /// Maximum points per query, for expensive queries.
    pub fn points(mut self, points: u32) -> Self {
        self.points = Some(points);
        self
    }

    pub fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    /// Minimum step of the queries so far, for data that change less often than they are scraped. `$__rate_interval` is
    /// at least four steps. Grafana reads the step from each query, not from the panel.
    pub fn interval(mut self, interval: &str) -> Self {
        for target in &mut self.targets {
            target["interval"] = json!(interval);
        }
        self
    }

    /// A query at the end of the time range. The legend may contain `{{label}}`.
    pub fn instant(self, expression: String, legend: &str) -> Self {
        self.target(
            expression,
            json!({"instant": true, "range": false, "legendFormat": legend}),
        )
    }

    /// A query at the end of the time range, coloured by other queries, because thresholds may differ by VPS: red if
    /// `critical` has a series with the same labels, orange if `warning` has one, else green.
    pub fn by_severity(self, value: &str, severity: &[String; 2], legend: &str) -> Self {
        self.by_severity_or(GREEN, value, severity, legend)
    }

    /// The same with another colour than green, for values that are not known to be good.
    pub fn by_severity_or(
        self,
        otherwise: &str,
        value: &str,
        [critical, warning]: &[String; 2],
        legend: &str,
    ) -> Self {
        let first = self.targets.len();
        let red = format!("({value}) and ({critical})");
        let orange = format!("({value}) and ({warning}) unless ({critical})");
        let other = format!("({value}) unless ({warning}) unless ({critical})");
        let mut panel = self;
        for (index, (expression, colour)) in [(red, RED), (orange, ORANGE), (other, otherwise)]
            .into_iter()
            .enumerate()
        {
            panel = panel.instant(expression, legend);
            let colour = json!({"mode": "fixed", "fixedColor": colour});
            panel.overrides.push(json!({
                "matcher": {"id": "byFrameRefID", "options": reference(first + index)},
                "properties": [{"id": "color", "value": colour}],
            }));
        }
        panel
    }

    /// A query over the time range as a table of times and values.
    pub fn range_table(self, expression: String) -> Self {
        self.target(
            expression,
            json!({"instant": false, "range": true, "format": "table"}),
        )
    }

    /// A query over the time range.
    pub fn range(self, expression: String, legend: &str) -> Self {
        self.target(
            expression,
            json!({"instant": false, "range": true, "legendFormat": legend}),
        )
    }

    pub(super) fn target(mut self, expression: String, mut options: Value) -> Self {
        options["datasource"] = datasource();
        options["expr"] = Value::String(expression);
        options["refId"] = json!(reference(self.targets.len()));
        options["editorMode"] = json!("code");
        self.targets.push(options);
        self
    }

    /// See Grafana's list of units.
    pub fn unit(self, unit: &str) -> Self {
        self.default("unit", json!(unit))
    }

    pub fn decimals(self, decimals: u32) -> Self {
        self.default("decimals", json!(decimals))
    }

    pub fn min(self, min: f64) -> Self {
        self.default("min", json!(min))
    }

    pub fn max(self, max: f64) -> Self {
        self.default("max", json!(max))
    }

    /// Text for a missing value.
    pub fn no_value(self, text: &str) -> Self {
        self.default("noValue", json!(text))
    }

    pub fn thresholds(self, base: &str, steps: &[(f64, &str)]) -> Self {
        self.default("thresholds", thresholds(base, steps))
            .default("color", json!({"mode": "thresholds"}))
    }

    pub fn mappings(self, mappings: &[Mapping]) -> Self {
        self.default("mappings", Mapping::json(mappings))
    }

    /// Sets a key of `fieldConfig.defaults`.
    pub fn default(mut self, key: &str, value: Value) -> Self {
        self.defaults.insert(key.to_owned(), value);
        self
    }

    /// Sets a key of `fieldConfig.defaults.custom`.
    pub fn custom(mut self, key: &str, value: Value) -> Self {
        self.custom.insert(key.to_owned(), value);
        self
    }

    /// Sets a key of `options`.
    pub fn option(mut self, key: &str, value: Value) -> Self {
        self.options.insert(key.to_owned(), value);
        self
    }

    /// Properties for the series or column with this name.
    pub fn named(mut self, name: &str, properties: &[(&str, Value)]) -> Self {
        let properties: Vec<_> = properties
            .iter()
            .map(|(id, value)| json!({"id": id, "value": value}))
            .collect();
        self.overrides.push(json!({
            "matcher": {"id": "byName", "options": name},
            "properties": properties,
        }));
        self
    }

    /// A fixed colour for the series with this name.
    pub fn coloured(self, name: &str, colour: &str) -> Self {
        let colour = json!({"mode": "fixed", "fixedColor": colour});
        self.named(name, &[("color", colour)])
    }

    pub fn transformation(mut self, id: &str, options: &Value) -> Self {
        self.transformations
            .push(json!({"id": id, "options": options}));
        self
    }

    pub(super) fn json(mut self, id: usize, place: &Value, vps: Choice) -> Value {
        if vps == Choice::One {
            // Grafana escapes only multi-value variables for regular expressions.
            for target in &mut self.targets {
                let expression = target["expr"].as_str().unwrap_or_default();
                target["expr"] = json!(expression.replace(r#"vps=~"$vps""#, r#"vps="$vps""#));
            }
        }
        let mut defaults = self.defaults;
        if !self.custom.is_empty() {
            defaults.insert("custom".to_owned(), Value::Object(self.custom));
        }
        let mut panel = json!({
            "id": id,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": datasource(),
            "gridPos": place,
            "targets": self.targets,
            "fieldConfig": {"defaults": defaults, "overrides": self.overrides},
            "options": self.options,
        });
        if let Some(points) = self.points {
            panel["maxDataPoints"] = json!(points);
        }
        if let Some(time_from) = self.time_from {
            panel["timeFrom"] = json!(time_from);
        }
        if !self.transformations.is_empty() {
            panel["transformations"] = json!(self.transformations);
        }
        panel
    }

    /// A time range of the panel's own: `31d` up to now, or `+31d` from now.
    pub fn time_from(mut self, time_from: &'static str) -> Self {
        self.time_from = Some(time_from);
        self
    }

    /// Properties for the series whose names match the regular expression.
    pub fn matching(mut self, expression: &str, properties: &[(&str, Value)]) -> Self {
        let properties: Vec<_> = properties
            .iter()
            .map(|(id, value)| json!({"id": id, "value": value}))
            .collect();
        self.overrides.push(json!({
            "matcher": {"id": "byRegexp", "options": format!("/{expression}/")},
            "properties": properties,
        }));
        self
    }

    /// Shades of one colour for the series whose names match, to show that they belong together.
    pub fn shaded(self, expression: &str, colour: &str) -> Self {
        let colour = json!({"mode": "shades", "fixedColor": colour});
        self.matching(expression, &[("color", colour)])
    }
}

fn last_value() -> Value {
    json!({"calcs": ["lastNotNull"], "fields": "", "values": false})
}

/// A, B, ... Z, AA, AB, ...
pub(super) fn reference(index: usize) -> String {
    let letter = |index: usize| char::from(b'A' + u8::try_from(index % 26).unwrap_or_default());
    match index / 26 {
        0 => letter(index).to_string(),
        more => format!("{}{}", letter(more - 1), letter(index)),
    }
}
