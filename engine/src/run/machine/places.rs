//! Where places truly lie that are told by a name: a prediction that goes by names alone takes `/var/run/app` for
//! another place than `/run/app`.

use super::{Sight, lock};
use crate::module::Mark;
use crate::resource::Ref;
use crate::world::Known;

impl Sight {
    /// Has anything been predicted?
    pub(super) fn predicts(&self) -> bool {
        let overlay = self.overlay.as_ref();
        overlay.is_some_and(|overlay| !lock(overlay).changes.is_empty())
    }

    /// What has to be read to know what a prediction of these keys rests on.
    pub(super) fn places_of(&self, keys: &[Ref]) -> Vec<Ref> {
        if self.overlay.is_none() {
            return Vec::new();
        }
        self.places_to_read(&self.rests_on(keys))
    }

    fn rests_on(&self, keys: &[Ref]) -> Vec<Mark> {
        let kinds = keys
            .iter()
            .filter_map(|key| Some((key, self.registry.find_kind(&key.kind)?)));
        kinds.flat_map(|(key, kind)| kind.rests_on(key)).collect()
    }

    /// What has to be read to know where these places truly lie.
    #[must_use]
    pub fn places_to_read(&self, marks: &[Mark]) -> Vec<Ref> {
        let mut wanted = Vec::new();
        for mark in marks {
            let Some(kind) = self.registry.find_kind(&mark.kind) else {
                continue;
            };
            for place in kind.places(&mark.id) {
                let Some(at) = self.source(&place.key).rests_on() else {
                    continue;
                };
                let base = lock(&self.base);
                if base.get(&self.name, &at, self.since).is_none() && !wanted.contains(&at) {
                    wanted.push(at);
                }
            }
        }
        wanted
    }

    /// The other names under which these places truly lie, as far as that is known.
    #[must_use]
    pub fn elsewhere(&self, marks: &[Mark]) -> Vec<Mark> {
        let mut found = Vec::new();
        for mark in marks {
            let Some(kind) = self.registry.find_kind(&mark.kind) else {
                continue;
            };
            for place in kind.places(&mark.id) {
                let Some(Known::State(state)) = self.find(&place.key).known else {
                    continue;
                };
                let at = self.true_form(&place.key, &state);
                let folder = match at.id.trim_end_matches('/') {
                    "" if place.below.is_empty() => "/",
                    folder => folder,
                };
                let other = Mark {
                    kind: mark.kind.clone(),
                    id: format!("{folder}{}", place.below),
                };
                if other.id != mark.id && !marks.contains(&other) && !found.contains(&other) {
                    found.push(other);
                }
            }
        }
        found
    }

    /// Why what this key rests on under another name is not known.
    pub(super) fn met_elsewhere(&self, key: &Ref) -> Option<String> {
        if !self.predicts() {
            return None;
        }
        let marks = self.elsewhere(&self.rests_on(std::slice::from_ref(key)));
        let overlay = lock(self.overlay.as_ref()?);
        let met = overlay.changes.iter().rev().find(|change| {
            let written = Mark {
                kind: change.key.kind.clone(),
                id: change.key.id.trim_end_matches('/').to_owned(),
            };
            marks.iter().any(|mark| mark.overlaps(&written))
        });
        met.map(|change| format!("until \"{}\"", change.task))
    }
}
