//! Before and after as text.

use similar::TextDiff;

/// A unified diff with three lines of context, under the name of the resource.
#[must_use]
pub fn unified(name: &str, before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(&format!("before: {name}"), &format!("after: {name}"))
        .to_string()
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
