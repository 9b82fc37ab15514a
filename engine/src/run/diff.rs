//! Before and after as text.

use similar::{ChangeTag, TextDiff};

/// A unified diff with three lines of context, under the name of the resource.
#[must_use]
pub fn unified(name: &str, before: &str, after: &str) -> String {
    between("before", "after", name, before, after)
}

/// As [`unified`], with other words for the two sides.
#[must_use]
pub fn between(one: &str, other: &str, name: &str, before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&format!("{one}: {name}"), &format!("{other}: {name}"))
        .to_string()
}

/// How many lines of two texts that differ are told before the rest is counted.
const TOLD: usize = 6;

/// The lines that differ, each behind `-` or `+`; no more than a person looks at.
#[must_use]
pub fn lines(before: &str, after: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(before, after);
    let changed = diff.iter_all_changes().filter_map(|change| {
        let sign = match change.tag() {
            ChangeTag::Equal => return None,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        Some(format!("{sign} {}", change.value().trim_end_matches('\n')))
    });
    let mut all: Vec<String> = changed.collect();
    if all.len() > TOLD {
        let more = all.len() - TOLD;
        all.truncate(TOLD);
        all.push(format!("and {more} lines more"));
    }
    all
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_the_resource_on_both_sides() {
        let diff = super::unified("file:/etc/x", "a\nb\n", "a\nc\n");
        assert_eq!(
            diff,
            "--- before: file:/etc/x\n+++ after: file:/etc/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
        );
    }
}
