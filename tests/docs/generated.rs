//! Parts of documents generated from the program and from the example configuration.

use std::fmt::Write as _;
use std::fs;

use clap::Arg;
use kiwivm_exporter::cli;
use kiwivm_exporter::exposition::catalogue::{EXPORTER_METRICS, Metric, VPS_METRICS};

use crate::markdown::Document;
use crate::repository;

/// Compares the part between the marks with the expected text, or writes it with `UPDATE_GOLDEN=1`.
fn assert_generated(path: &str, mark: &str, expected: &str) {
    let document = Document::read(path);
    let begin = format!("<!-- {mark}: begin -->\n");
    let end = format!("<!-- {mark}: end -->");
    let (before, rest) = document
        .text
        .split_once(&begin)
        .expect("the begin mark exists");
    let (actual, after) = rest.split_once(&end).expect("the end mark exists");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let updated = format!("{before}{begin}{expected}{end}{after}");
        fs::write(repository(path), updated).expect("the document can be written");
    } else {
        assert_eq!(actual, expected, "UPDATE_GOLDEN=1 updates {path}");
    }
}

/// A table cell with bars escaped, which would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn metrics() {
    /// Headings for the groups of [`VPS_METRICS`], in the same order.
    const SUBJECTS: [&str; 4] = [
        "State, bandwidth and resources",
        "Usage history",
        "Inventory",
        "Calls and API points of a VPS",
    ];
    assert_eq!(VPS_METRICS.len(), SUBJECTS.len());
    let mut text = String::new();
    let vps = SUBJECTS.into_iter().zip(VPS_METRICS);
    for (subject, metrics) in vps {
        table(
            &mut text,
            subject,
            metrics.iter().map(|of_vps| &of_vps.metric),
        );
    }
    table(&mut text, "The exporter", EXPORTER_METRICS.iter());
    assert_generated("docs/metrics.md", "metrics", &text);
}

fn table<'a>(text: &mut String, subject: &str, metrics: impl Iterator<Item = &'a Metric>) {
    let _ = write!(
        text,
        "\n## {subject}\n\n| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n"
    );
    for metric in metrics {
        let labels = metric.labels.iter().map(|label| format!("`{label}`"));
        let labels: Vec<_> = labels.collect();
        let (name, kind, help) = (metric.name, metric.kind.name(), cell(metric.help));
        let _ = writeln!(
            text,
            "| `{name}` | {kind} | {} | {help} |",
            labels.join(", ")
        );
    }
    if subject == "The exporter" {
        text.push('\n');
    }
}

#[test]
fn flags() {
    let command = cli::command();
    let mut text = String::new();
    describe(&mut text, "Serving metrics", &command);
    for command in command.get_subcommands() {
        describe(&mut text, command.get_name(), command);
    }
    text.push('\n');
    assert_generated("docs/command-line.md", "flags", &text);
}

fn describe(text: &mut String, title: &str, command: &clap::Command) {
    let _ = writeln!(text, "\n## {title}\n");
    if let Some(about) = command.get_about() {
        let _ = writeln!(text, "{}\n", sentence(&about.to_string()));
    }
    text.push_str("| Flag | Default | Meaning |\n| --- | --- | --- |\n");
    for flag in command.get_arguments() {
        let Some(long) = flag.get_long() else {
            continue;
        };
        let (help, default) = meaning(flag);
        let value = values(flag);
        let _ = writeln!(text, "| `--{long}{value}` | {default} | {help} |");
    }
}

/// Ends the text with exactly one full stop.
fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    format!("{text}.")
}

/// The placeholder of a flag's value, or nothing for a flag without a value.
fn values(flag: &Arg) -> String {
    if !flag.get_action().takes_values() {
        return String::new();
    }
    let names = flag.get_value_names().unwrap_or_default();
    names
        .first()
        .map_or(String::new(), |name| format!("={}", cell(name)))
}

/// Help and default of a flag. Defaults that depend on other flags are at the end of the help.
fn meaning(flag: &Arg) -> (String, String) {
    let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
    let (help, stated) = help
        .split_once(" [default: ")
        .map_or((help.as_str(), None), |(help, default)| {
            (help, Some(default.trim_end_matches(']').to_owned()))
        });
    let mut help = cell(help.trim_end_matches('.'));
    let possible: Vec<String> = flag
        .get_possible_values()
        .iter()
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if flag.get_action().takes_values() && !possible.is_empty() {
        let _ = write!(help, ": {}", possible.join(", "));
    }
    let defaults: Vec<String> = flag
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let default = stated.unwrap_or_else(|| {
        if flag.get_action().takes_values() {
            defaults.join(", ")
        } else {
            String::new()
        }
    });
    (help, cell(&default))
}

/// A key of the example configuration.
pub struct Key {
    /// Full path, for example `budget.share` or `vps[].name`.
    pub path: String,
    value: String,
    comment: String,
}

/// Keys of the example configuration with their comments, without duplicates.
pub fn keys() -> Vec<Key> {
    let example =
        fs::read_to_string(repository("config.example.yaml")).expect("the example can be read");
    let mut keys: Vec<Key> = Vec::new();
    // The enclosing keys, with their indentation.
    let mut parents: Vec<(usize, &str)> = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in example.lines() {
        let content = line.trim_start();
        // An item of a list begins with a dash.
        let content = content.strip_prefix("- ").unwrap_or(content);
        let indent = line.len() - content.len();
        if content.is_empty() {
            comment.clear();
        } else if let Some(text) = content.strip_prefix('#') {
            comment.push(text.trim());
        } else {
            let (name, value) = content.split_once(':').expect("the line has a key");
            parents.retain(|(parent_indent, _)| *parent_indent < indent);
            parents.push((indent, name));
            let names: Vec<_> = parents.iter().map(|(_, name)| *name).collect();
            let key = Key {
                path: names.join(".").replace("vps.", "vps[]."),
                value: value.trim().to_owned(),
                comment: comment.join(" "),
            };
            comment.clear();
            if !keys.iter().any(|known| known.path == key.path) {
                keys.push(key);
            }
        }
    }
    keys
}

#[test]
fn configuration() {
    let mut text = String::new();
    for Key {
        path,
        value,
        comment,
    } in keys()
    {
        let is_section = value.is_empty();
        match (path.contains('.'), is_section) {
            (true, true) => continue,
            (false, true) => {
                let head = "| Key | Default | Meaning |\n| --- | --- | --- |";
                let _ = writeln!(text, "\n### {path}\n\n{comment}\n\n{head}");
            }
            (false, false) => {
                let _ = writeln!(text, "\n### {path}\n\n{comment}\n\nDefault: `{value}`");
            }
            (true, false) => {
                // The entry of a VPS is an example, so its values are not defaults.
                let default = match path.as_str() {
                    "vps[].expect" => "`running`".to_owned(),
                    path if path.starts_with("vps[]") => "none".to_owned(),
                    _ => format!("`{value}`"),
                };
                let _ = writeln!(text, "| `{path}` | {default} | {} |", cell(&comment));
            }
        }
        assert!(!comment.is_empty(), "{path} has no comment");
    }
    text.push('\n');
    assert_generated("docs/configuration.md", "reference", &text);
}
