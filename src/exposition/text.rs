//! Text 0.0.4 from OpenMetrics 1.0, which is all that prometheus-client writes.
//!
//! The samples are the same in both. What differs: in OpenMetrics a counter's family is named without `_total`, and
//! there is an end marker. Help texts need no other escaping here because the catalogue has no quotes in them.

/// Renames the families of counters and leaves the end marker out.
#[must_use]
pub fn from_openmetrics(page: &str) -> String {
    let mut text = String::with_capacity(page.len() + 1024);
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" {
            continue;
        }
        let help = line
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split_once(' '));
        let family = help.map(|(name, _)| name);
        if let (Some((name, help)), Some(kind)) =
            (help, lines.peek().and_then(|next| kind_of(next, family)))
        {
            let suffix = if kind == "counter" { "_total" } else { "" };
            for part in [
                "# HELP ",
                name,
                suffix,
                " ",
                help,
                "\n# TYPE ",
                name,
                suffix,
                " ",
                kind,
                "\n",
            ] {
                text.push_str(part);
            }
            lines.next();
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The type in the `TYPE` line of a family.
fn kind_of<'a>(line: &'a str, family: Option<&str>) -> Option<&'a str> {
    let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
    (Some(name) == family).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_renamed_and_the_end_marker_is_dropped() {
        let openmetrics = "# HELP a_seconds Time, # TYPE not.\n# TYPE a_seconds gauge\na_seconds 1\n\
                           # HELP b Count.\n# TYPE b counter\nb_total{x=\"# HELP b\"} 2\n# EOF\n";
        let text = "# HELP a_seconds Time, # TYPE not.\n# TYPE a_seconds gauge\na_seconds 1\n\
                    # HELP b_total Count.\n# TYPE b_total counter\nb_total{x=\"# HELP b\"} 2\n";
        assert_eq!(from_openmetrics(openmetrics), text);
    }
}
