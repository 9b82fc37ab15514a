//! That a task keeps within its footprint.

use super::machine::Sight;
use super::settle::Settle;
use crate::module::{Footprint, Mark, Wanted};
use crate::resource::{Ref, contains};
use crate::world::Known;

impl Settle<'_> {
    /// A `want` outside its footprint is a defect of the module, and would make order and prediction wrong.
    pub(super) fn within(
        &self,
        footprint: &Footprint,
        sight: &Sight,
        wanted: &Wanted,
    ) -> Result<(), String> {
        if footprint.everything {
            return Ok(());
        }
        let seen = sight.seen();
        let covers = |key: &Ref, marks: &[&[Mark]]| {
            let here = Mark {
                kind: self.shared.registry.whole_of(&key.kind).to_owned(),
                id: key.id.clone(),
            };
            marks
                .iter()
                .any(|list| list.iter().any(|mark| mark.overlaps(&here)))
        };
        // What a name leads to (the file behind a link) is named by it.
        let leads_to = |asked: &Ref, state: &Known, key: &Ref| {
            let (Known::State(state), Some(kind)) =
                (state, self.shared.registry.find_kind(&asked.kind))
            else {
                return false;
            };
            let form = kind.canonical(asked, state);
            form.id == key.id || contains(&form.id, &key.id)
        };
        let named = |key: &Ref, marks: &[&[Mark]]| {
            covers(key, marks)
                || seen
                    .iter()
                    .any(|(asked, state)| covers(asked, marks) && leads_to(asked, state, key))
        };
        let defect = |key: &Ref, did: &str| {
            format!(
                "the module {did} {key}, which its footprint does not name; this is a defect of the module"
            )
        };
        let written = wanted.resources.iter().map(|w| &w.key);
        let mut written = written.chain(wanted.leaves.iter().map(|left| &left.key));
        if let Some(key) = written.find(|key| !named(key, &[&footprint.writes])) {
            return Err(defect(key, "wants to write"));
        }
        match seen
            .keys()
            .find(|key| !named(key, &[&footprint.reads, &footprint.writes]))
        {
            Some(key) => Err(defect(key, "read")),
            None => Ok(()),
        }
    }
}
