//! A program of the host: where it may lie, and what its version is.

use runbook_engine::resource::{Kind as _, contains};
use runbook_engine::world::{Predicted, PredictedChange};

use crate::file::FileKind;

/// Would a program of this name, or of this path, be another one if something were written at `path`?
#[must_use]
pub fn may_become(path: &str, program: &str) -> bool {
    if program.starts_with('/') {
        path == program || contains(path, program)
    } else {
        path.rsplit('/').next() == Some(program)
    }
}

/// The last predicted change of a file that such a program may become, for `is`, which is told the path.
#[must_use]
pub fn changed<'a>(
    world: &Predicted<'a>,
    is: impl Fn(&str) -> bool,
) -> Option<&'a PredictedChange> {
    let written = |c: &&PredictedChange| c.key.kind == FileKind::NAME && is(&c.key.id);
    world.changes.iter().rev().find(written)
}

/// Major and minor of a version: of `8.2`, `2.4.62`, `7.4.33-1+deb`.
#[must_use]
pub fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(['.', '-', '+', '~']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version("8.2.29-1~deb12u1"), Some((8, 2)));
        assert_eq!(version("7.4"), Some((7, 4)));
        assert_eq!(version("8"), None);
    }

    #[test]
    fn what_a_program_may_become() {
        for (path, program, may) in [
            ("/usr/bin/php", "php", true),
            ("/usr/bin/php8.2", "php", false),
            ("/opt", "/opt/bin/httpd", true),
            ("/opt/bin/httpd", "/opt/bin/httpd", true),
            ("/usr/bin/httpd", "/opt/bin/httpd", false),
        ] {
            assert_eq!(may_become(path, program), may, "{path} {program}");
        }
    }
}
