//! Modules of which the server can have one: it does not start with two ways to share out its work, and dies with two PHPs.

/// Can the two not be loaded together, by their identifiers?
#[must_use]
pub fn are_rivals(one: &str, other: &str) -> bool {
    let php = |id: &str| {
        let number = id
            .strip_prefix("php")
            .and_then(|r| r.strip_suffix("_module"));
        number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
    };
    let mpm = |id: &str| id.starts_with("mpm_") && id.ends_with("_module");
    one != other && (php(one) && php(other) || mpm(one) && mpm(other))
}

#[cfg(test)]
mod tests {
    use super::are_rivals;

    #[test]
    fn rivals() {
        for (one, other, is) in [
            ("php5_module", "php_module", true),
            ("mpm_event_module", "mpm_prefork_module", true),
            ("php_module", "php_module", false),
            ("phpx_module", "php_module", false),
            ("mpm_event_module", "php_module", false),
        ] {
            assert_eq!(are_rivals(one, other), is, "{one} {other}");
            assert_eq!(are_rivals(other, one), is, "{one} {other}");
        }
    }
}
