//! What a run has put aside on a host, as it is found when the run is to be taken back.

use std::collections::BTreeMap;

use super::choice::names;
use super::steps::Step;
use crate::registry::Registry;
use crate::resource::{Kept, Ref, contains};
use crate::run::hosts::Link;

/// A thing that was put aside, and what has become of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Aside {
    /// The thing.
    pub kept: Kept,
    /// What has become of it.
    pub is: Whereabouts,
}

/// What has become of a thing that was put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It is where it was put.
    There,
    /// It lies within another thing that was put aside later, and comes back with it.
    Within,
    /// `runbook close` has removed it.
    Closed,
    /// It is not there: brought back already, or removed by others.
    Gone,
}

impl Aside {
    /// Did it have to make room when this resource was changed?
    #[must_use]
    pub fn is_of(&self, key: &Ref) -> bool {
        self.kept.kind == key.kind && names(&self.kept.of, key)
    }
}

/// Where the things are now that these steps have put aside on a host. Those that cannot be looked for count as there: the
/// write that needs them says what is wrong.
pub(super) async fn look(registry: &Registry, link: &Link, steps: &[&Step]) -> Vec<Aside> {
    let mut groups: BTreeMap<(Option<&str>, &str), Vec<Kept>> = BTreeMap::new();
    for kept in steps.iter().flat_map(|step| &step.kept) {
        let group = (kept.user.as_deref(), kept.kind.as_str());
        groups.entry(group).or_default().push(kept.clone());
    }
    let looks = groups.into_iter().map(|((user, kind), kept)| async move {
        let probe = link.probe.with_user(link.user(user));
        let found = match registry.find_kind(kind) {
            Some(kind) => kind.is_kept(&probe, &kept).await.ok(),
            None => None,
        };
        let found = found.unwrap_or_else(|| vec![true; kept.len()]);
        kept.into_iter().zip(found).collect::<Vec<_>>()
    });
    let found: Vec<(Kept, bool)> = futures::future::join_all(looks).await.concat();
    let within = |inner: &Kept| {
        let holds = |outer: &Kept| outer.kind == inner.kind && contains(&outer.of, &inner.place);
        found.iter().any(|(outer, _)| holds(outer))
    };
    let whereabouts = |kept: &Kept, there| match there {
        true => Whereabouts::There,
        false if within(kept) => Whereabouts::Within,
        false => Whereabouts::Gone,
    };
    let asides = found.iter().map(|(kept, there)| Aside {
        kept: kept.clone(),
        is: whereabouts(kept, *there),
    });
    asides.collect()
}
