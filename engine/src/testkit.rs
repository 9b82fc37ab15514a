//! For tests of resource kinds and actions in other crates, behind the feature `testkit`: what only the engine makes
//! otherwise. No binary is built with this feature.

use crate::host::{Probe, Target};

/// A target on the connection of a probe.
#[must_use]
pub fn target(probe: Probe) -> Target {
    Target::new(probe)
}
