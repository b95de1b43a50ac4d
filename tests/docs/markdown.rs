//! The Markdown files of the repository, taken apart.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use crate::repository;

/// A Markdown file.
pub struct Document {
    /// Its path in the repository.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// A fenced block.
pub struct Block<'a> {
    /// The word behind the fence.
    pub language: &'a str,
    /// The lines between the fences, without the fence's indentation.
    pub text: String,
}

impl Document {
    /// Reads one by its path in the repository.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(repository(path))
            .unwrap_or_else(|error| panic!("{path} cannot be read: {error}"));
        Self {
            path: path.to_owned(),
            text,
        }
    }

    /// Every Markdown file of the repository, but for folders of tools (`target`, `.git`).
    pub fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        collect(&repository(""), "", &mut paths);
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// The documents for users and developers in English. The changelog also names what is gone.
    pub fn english() -> Vec<Self> {
        let mut all = Self::all();
        all.retain(|document| document.path != "CHANGELOG.md" && !document.path.contains("zh-CN"));
        all
    }

    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut indent = None;
        for line in self.text.lines() {
            let fence = line.trim_start();
            match (indent, fence.strip_prefix("```")) {
                (None, Some(language)) => {
                    indent = Some(line.len() - fence.len());
                    let text = String::new();
                    blocks.push(Block { language, text });
                }
                (Some(_), Some("")) => indent = None,
                (Some(indent), _) => {
                    if let Some(block) = blocks.last_mut() {
                        block.text += line.get(indent..).unwrap_or_default();
                        block.text.push('\n');
                    }
                }
                (None, None) => {}
            }
        }
        assert_eq!(indent, None, "{}: a fence is not closed", self.path);
        blocks
    }

    /// The text without fenced blocks and comments.
    pub fn prose(&self) -> String {
        let mut inside = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside && !line.starts_with("<!--") {
                prose += line;
                prose.push('\n');
            }
        }
        prose
    }

    /// The words in backticks.
    pub fn spans(&self) -> Vec<String> {
        let prose = self.prose();
        let paragraphs = prose.split("\n\n");
        let of = |paragraph: &str| -> Vec<String> {
            let parts = paragraph.split('`').skip(1).step_by(2);
            parts
                .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        paragraphs.flat_map(of).collect()
    }

    /// The targets of links and pictures.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let mut links = Vec::new();
        // Words in backticks hold no links.
        let words: String = prose
            .split("\n\n")
            .map(|paragraph| paragraph.split('`').step_by(2).collect::<String>() + "\n\n")
            .collect();
        for (begin, end) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"')] {
            let targets = words.split(begin).skip(1);
            links.extend(targets.filter_map(|rest| Some(rest.split_once(end)?.0.to_owned())));
        }
        links
    }

    /// The anchors of the headings, as GitHub makes them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        let prose = self.prose();
        let headings = prose.lines().filter_map(|line| {
            let title = line.trim_start_matches('#');
            (title.len() < line.len()).then(|| title.strip_prefix(' '))?
        });
        let anchor = |heading: &str| {
            let base: String = heading
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let count = seen.entry(base.clone()).or_default();
            *count += 1;
            match *count {
                1 => base,
                again => format!("{base}-{}", again - 1),
            }
        };
        headings.map(anchor).collect()
    }
}

fn collect(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().expect("it has a type");
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&entry.path(), &format!("{prefix}{name}/"), paths);
        } else if kind.is_file() && entry.path().extension().is_some_and(|of| of == "md") {
            paths.push(format!("{prefix}{name}"));
        }
    }
}
