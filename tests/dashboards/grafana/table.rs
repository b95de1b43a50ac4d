//! Tables: one query per column, joined into rows by the common labels of the queries.

use serde_json::{Map, Value, json};

use super::panel::{Panel, reference, thresholds};
use super::{Mapping, NO_COLOUR, Range};

/// A column.
pub struct Column {
    title: &'static str,
    content: Content,
    shown: bool,
    properties: Vec<(&'static str, Value)>,
}

enum Content {
    /// A label of the rows.
    Label(&'static str),
    /// The value of a query.
    Value(String),
}

impl Column {
    fn new(title: &'static str, content: Content) -> Self {
        Self {
            title,
            content,
            shown: true,
            // Overrides the text for an empty table.
            properties: vec![("noValue", json!("\u{2013}"))],
        }
    }

    /// A column with a label of the queries.
    pub fn label(title: &'static str, label: &'static str) -> Self {
        Self::new(title, Content::Label(label)).with("custom.filterable", json!(true))
    }

    /// A column with the value of a query. The query must have the labels of the rows, and no others except columns.
    pub fn value(title: &'static str, expression: String) -> Self {
        Self::new(title, Content::Value(expression))
    }

    /// Hides the column, which only serves to sort or to create rows.
    pub fn hidden(mut self) -> Self {
        self.shown = false;
        self
    }

    pub fn width(self, pixels: u32) -> Self {
        self.with("custom.width", json!(pixels))
    }

    pub fn unit(self, unit: &str) -> Self {
        self.with("unit", json!(unit))
    }

    pub fn decimals(self, decimals: u32) -> Self {
        self.with("decimals", json!(decimals))
    }

    /// Texts for values, with the colour of the cell.
    pub fn texts(self, mappings: &[Mapping]) -> Self {
        self.with("mappings", Mapping::json(mappings))
            .with("custom.filterable", json!(true))
            .with("custom.align", json!("center"))
            .coloured_cell()
    }

    /// Texts for ranges of values, the highest first, with the colour of the cell.
    pub fn ranges(self, ranges: &[Range]) -> Self {
        self.with("mappings", Range::json(ranges))
            .with("custom.align", json!("center"))
            .coloured_cell()
    }

    /// The colour of the cell by the value.
    pub fn colours(self, steps: &[(f64, &str)]) -> Self {
        self.with("thresholds", thresholds(NO_COLOUR, steps))
            .coloured_cell()
    }

    fn coloured_cell(self) -> Self {
        let cell = json!({"type": "color-background", "mode": "basic"});
        self.with("custom.cellOptions", cell)
    }

    /// A link for the cells.
    pub fn link(self, title: &str, url: &str) -> Self {
        let link = json!({"title": title, "url": url, "targetBlank": false});
        self.with("links", json!([link]))
    }

    /// Sets a property of the field.
    pub fn with(mut self, id: &'static str, value: Value) -> Self {
        self.properties.retain(|(other, _)| *other != id);
        self.properties.push((id, value));
        self
    }
}

impl Panel {
    /// A table with these columns, from left to right. `excluded_labels` are labels of the queries without a column.
    /// Rows are sorted by the column `sort_by`, the highest first. That column may be hidden.
    pub fn table(
        title: &str,
        description: &str,
        columns: Vec<Column>,
        excluded_labels: &[&str],
        sort_by: &str,
    ) -> Self {
        let mut panel = Self::plain_table(title, description);
        let (mut rename, mut index, mut exclude) = (Map::new(), Map::new(), Map::new());
        exclude.insert("Time".to_owned(), json!(true));
        for label in excluded_labels {
            exclude.insert((*label).to_owned(), json!(true));
        }
        let queries = columns
            .iter()
            .filter(|column| matches!(column.content, Content::Value(_)))
            .count();
        let mut sorted = None;
        let mut query = 0;
        for (place, column) in columns.into_iter().enumerate() {
            let field = match column.content {
                Content::Label(label) => label.to_owned(),
                Content::Value(expression) => {
                    let options = json!({"instant": true, "range": false, "format": "table"});
                    panel = panel.target(expression, options);
                    query += 1;
                    // Grafana numbers the value fields only if there are several.
                    match queries {
                        1 => "Value".to_owned(),
                        _ => format!("Value #{}", reference(query - 1)),
                    }
                }
            };
            if column.title == sort_by {
                sorted = Some(field.clone());
            }
            if column.shown {
                rename.insert(field.clone(), json!(column.title));
                index.insert(field, json!(place));
                panel = panel.named(column.title, &column.properties);
            } else {
                exclude.insert(field, json!(true));
            }
        }
        let sorted = sorted.expect("a table is sorted by one of its columns");
        panel
            .transformation("merge", &json!({}))
            .transformation(
                "sortBy",
                &json!({"sort": [{"field": sorted, "desc": true}]}),
            )
            .transformation(
                "organize",
                &json!({"excludeByName": exclude, "renameByName": rename, "indexByName": index}),
            )
    }
}
