//! Measures the size of the planner's code.

use std::fs;
use std::path::Path;

#[derive(Default)]
pub struct Size {
    /// All lines except those of tests.
    pub lines: usize,
    pub longest_file: (String, usize),
    pub largest_struct: (String, usize),
}

pub fn measure() -> Size {
    let mut size = Size::default();
    let planner = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/budget");
    measure_folder(&planner, &mut size);
    size
}

fn measure_folder(folder: &Path, size: &mut Size) {
    for entry in fs::read_dir(folder).expect("the source exists") {
        let path = entry.expect("the source is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == "tests" || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            measure_folder(&path, size);
        } else {
            let text = fs::read_to_string(&path).expect("the source is readable");
            measure_file(&name, &text, size);
        }
    }
}

fn measure_file(name: &str, text: &str, size: &mut Size) {
    let lines = text.lines().count();
    if lines > size.longest_file.1 {
        size.longest_file = (name.to_owned(), lines);
    }
    let mut current = None;
    for line in text.lines().take_while(|line| *line != "#[cfg(test)]") {
        size.lines += 1;
        if let Some((_, declared)) = line.split_once("struct ")
            && line.ends_with('{')
            && !line.starts_with("//")
        {
            current = Some((declared.trim_end_matches(" {").to_owned(), 0));
        } else if line == "}" {
            if let Some(ended) = current
                .take()
                .filter(|(_, fields)| *fields > size.largest_struct.1)
            {
                size.largest_struct = ended;
            }
        } else if let Some((_, fields)) = &mut current {
            let field = line.contains(": ") && !line.trim_start().starts_with("//");
            *fields += usize::from(field);
        }
    }
}
