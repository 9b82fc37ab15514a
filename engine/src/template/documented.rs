//! docs/ansible.md lists every name that there is.

use std::collections::BTreeSet;

use super::{filters, tests_of};

const PAGE: &str = include_str!("../../../docs/ansible.md");

/// The names of the paragraph that begins with a title.
fn listed(title: &str) -> BTreeSet<&'static str> {
    let (_, rest) = PAGE.split_once(&format!("\n**{title}**: ")).unwrap();
    let paragraph = rest.split("\n\n").next().unwrap();
    paragraph.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_name_is_documented_and_no_other() {
    for (title, names) in [
        ("Filters", filters::FILTERS),
        ("Tests", tests_of::TESTS),
        ("Lookups", filters::LOOKUPS),
        ("Functions", filters::FUNCTIONS),
        ("Magic variables", crate::run::frame::MAGIC),
        (
            "Connection variables",
            crate::inventory::CONNECTION_VARIABLES,
        ),
    ] {
        let names: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(listed(title), names, "{title}");
    }
}

#[test]
fn every_lookup_that_is_listed_is_made() {
    for name in filters::LOOKUPS {
        assert_eq!(filters::unknown_lookup(name), None, "{name}");
    }
}
