//! `--limit` that takes some hosts of a site and leaves others: a play for sites would do a part of its work there.

use crate::compile::program::Group;
use crate::diag::Diagnostic;
use crate::inventory::{Inventory, Pattern};
use crate::source::Span;

/// A mistake for each site of which `--limit` has left a part.
pub(super) fn check(
    inventory: &Inventory,
    pattern: &str,
    groups: &[Group],
    span: Span,
) -> Vec<Diagnostic> {
    let Ok(pattern) = Pattern::parse(pattern) else {
        return Vec::new();
    };
    let (whole, _) = pattern.hosts(inventory);
    let parts = groups.iter().filter_map(|group| {
        let site = group.site.as_ref()?;
        let left: Vec<&str> = whole
            .iter()
            .filter(|h| inventory.site_of(h) == Some(site) && !group.hosts.contains(h))
            .map(String::as_str)
            .collect();
        if left.is_empty() {
            return None;
        }
        let taken = group.hosts.join("`, `");
        let wrong = format!(
            "`--limit` takes `{taken}` of the site `{site}` and leaves `{}`, on which this play works, too",
            left.join("`, `")
        );
        let help = format!(
            "`--limit {site}` takes the whole site; `--part-of-site` allows a part of it, whose other hosts are not looked at"
        );
        Some(Diagnostic::error("part-of-a-site", wrong).at(span, "").help(&help))
    });
    parts.collect()
}
