//! Finds the lines of keys in a YAML file. Supports block style, which most configurations use. For other styles, the
//! line of the nearest parent is used.

use std::collections::HashMap;

/// The lines of the keys of one file.
#[derive(Debug, Default)]
pub struct KeyLines {
    by_path: HashMap<String, usize>,
}

enum Level {
    Key(usize, String),
    Item(usize, String),
}

impl Level {
    fn path(&self) -> &str {
        let (Self::Key(_, path) | Self::Item(_, path)) = self;
        path
    }
}

impl KeyLines {
    /// Scans a file.
    pub fn of(text: &str) -> Self {
        let mut lines = Self::default();
        let mut stack: Vec<Level> = Vec::new();
        let mut items: HashMap<String, usize> = HashMap::new();
        for (number, line) in text.lines().enumerate() {
            let mut rest = line.trim_start();
            let mut indent = line.len() - rest.len();
            while let Some(item) = rest.strip_prefix("- ").or((rest == "-").then_some("")) {
                // Items may have the same indentation as their parent key.
                while stack.last().is_some_and(|level| match level {
                    Level::Key(at, _) => *at > indent,
                    Level::Item(at, _) => *at >= indent,
                }) {
                    stack.pop();
                }
                let parent = stack.last().map_or("", Level::path).to_owned();
                let index = items.entry(parent.clone()).or_default();
                let path = format!("{parent}[{index}]");
                *index += 1;
                lines.by_path.insert(path.clone(), number + 1);
                stack.push(Level::Item(indent, path));
                let next = item.trim_start();
                indent += rest.len() - next.len();
                rest = next;
            }
            let Some(key) = key_of(rest) else {
                continue;
            };
            while stack.last().is_some_and(|level| match level {
                Level::Key(at, _) | Level::Item(at, _) => *at >= indent,
            }) {
                stack.pop();
            }
            let path = join(stack.last().map_or("", Level::path), key);
            lines.by_path.insert(path.clone(), number + 1);
            stack.push(Level::Key(indent, path));
        }
        lines
    }

    /// Returns the line of a key or of its nearest parent, counted from 1.
    pub fn find(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(line) = self.by_path.get(path) {
                return Some(*line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

/// Joins a key to its parent path.
pub fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

fn key_of(line: &str) -> Option<&str> {
    let (key, rest) = line.split_once(':')?;
    let plain = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    (plain && (rest.is_empty() || rest.starts_with(' '))).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# comment: not a key
api:
  endpoint: https://x
intervals: {live: 5s}
vps:
- name: a
  veid: 1
  labels:
    env: prod
-
  name: b
  intervals:
    live: 1s
staleness: 3
";

    #[test]
    fn finds_keys_by_path() {
        let lines = KeyLines::of(FILE);
        for (path, line) in [
            ("api", Some(2)),
            ("api.endpoint", Some(3)),
            ("intervals.live", Some(4)),
            ("vps[0]", Some(6)),
            ("vps[0].veid", Some(7)),
            ("vps[0].labels.env", Some(9)),
            ("vps[0].api_key", Some(6)),
            ("vps[1].name", Some(11)),
            ("vps[1].intervals.live", Some(13)),
            ("staleness", Some(14)),
            ("nothing", None),
        ] {
            assert_eq!(lines.find(path), line, "{path}");
        }
    }
}
