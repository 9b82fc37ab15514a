//! Settings with which a version of PHP does not start.

/// A setting, and the version from which on PHP ends with an error where it has a value other than nothing or 0
/// (PHP manual, "Backward incompatible changes" of each version).
const REMOVED: &[(&str, (u32, u32))] = &[
    ("define_syslog_variables", (5, 4)),
    ("register_globals", (5, 4)),
    ("register_long_arrays", (5, 4)),
    ("safe_mode", (5, 4)),
    ("magic_quotes_gpc", (5, 4)),
    ("magic_quotes_runtime", (5, 4)),
    ("magic_quotes_sybase", (5, 4)),
    ("allow_call_time_pass_reference", (5, 4)),
    ("highlight.bg", (5, 4)),
    ("zend.ze1_compatibility_mode", (5, 4)),
    ("safe_mode_gid", (5, 4)),
    ("safe_mode_include_dir", (5, 4)),
    ("safe_mode_exec_dir", (5, 4)),
    ("safe_mode_allowed_env_vars", (5, 4)),
    ("safe_mode_protected_env_vars", (5, 4)),
    ("asp_tags", (7, 0)),
    ("track_errors", (8, 0)),
];

/// Since when PHP does not start with this setting, if that is so of this version.
#[must_use]
pub fn removed(name: &str, of: (u32, u32)) -> Option<(u32, u32)> {
    let (_, since) = REMOVED.iter().find(|(removed, _)| *removed == name)?;
    (of >= *since).then_some(*since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_a_version_on() {
        assert_eq!(removed("magic_quotes_gpc", (5, 3)), None);
        assert_eq!(removed("magic_quotes_gpc", (8, 2)), Some((5, 4)));
        assert_eq!(removed("memory_limit", (8, 2)), None);
    }
}
