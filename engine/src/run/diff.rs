//! Before and after as text.

use similar::{ChangeTag, DiffTag, TextDiff};

use crate::value::MASK;

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

/// Texts of `before` that stand where `after` holds a secret: the password before this one is one, too. `clean` masks the
/// secrets that are known. Where a line with a secret replaces lines that look otherwise, all of these are taken.
#[must_use]
pub fn replaced_secrets(before: &str, after: &str, clean: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut found = Vec::new();
    let old: Vec<&str> = before.lines().collect();
    let new: Vec<&str> = after.lines().collect();
    let diff = TextDiff::from_slices(&old, &new);
    for op in diff.ops().iter().filter(|op| op.tag() == DiffTag::Replace) {
        let gone = &old[op.old_range()];
        for line in &new[op.new_range()] {
            let masked = clean(line);
            if masked == *line {
                continue;
            }
            let around: Vec<&str> = masked.split(MASK).collect();
            let alike: Vec<Vec<&str>> = gone.iter().filter_map(|g| taken(g, &around)).collect();
            if alike.is_empty() {
                found.extend(gone.iter().map(|g| (*g).to_owned()));
            }
            found.extend(alike.into_iter().flatten().map(str::to_owned));
        }
    }
    found.retain(|text| !text.trim().is_empty());
    found
}

/// What of a line stands between these parts, where it begins with the first, ends with the last, and has the others in
/// order.
fn taken<'a>(line: &'a str, around: &[&str]) -> Option<Vec<&'a str>> {
    let (first, others) = around.split_first()?;
    let (last, middle) = others.split_last()?;
    let mut rest = line.strip_prefix(first)?.strip_suffix(last)?;
    let mut found = Vec::new();
    for part in middle {
        let at = rest.find(part)?;
        found.push(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    found.push(rest);
    Some(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_secret_takes_the_place_of_is_one() {
        let clean = |text: &str| text.replace("new-word", "********");
        for (before, after, found) in [
            (
                "a\npw=old-word;\nb\n",
                "a\npw=new-word;\nb\n",
                vec!["old-word"],
            ),
            ("old-word\n", "new-word\n", vec!["old-word"]),
            ("u:one@h\n", "u:new-word@h\n", vec!["one"]),
            ("x\nother\n", "x\npw=new-word\n", vec!["other"]),
            ("a\n", "a\npw=new-word\n", vec![]),
            ("a=1\n", "a=2\n", vec![]),
        ] {
            let secrets = super::replaced_secrets(before, after, &clean);
            assert_eq!(secrets, found, "{before:?}");
        }
    }

    #[test]
    fn names_the_resource_on_both_sides() {
        let diff = super::unified("file:/etc/x", "a\nb\n", "a\nc\n");
        assert_eq!(
            diff,
            "--- before: file:/etc/x\n+++ after: file:/etc/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
        );
    }
}
