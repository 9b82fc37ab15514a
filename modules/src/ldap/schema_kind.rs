//! Resource kind `ldap-schema`: what a server knows of attributes and classes, as it says itself.
//!
//! Read only. A change of it is a change of entries below `cn=schema,cn=config`; what such a change that is only
//! predicted will add is the state of a second key, [`Part::Coming`].

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError,
};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};

use super::entry::EntryState;
use super::entry_kind::LdapEntry;
use super::matching::without_index;
use super::schema::{Descriptions, description_oid};
use super::server::{Server, Through};
use super::session::Session;

/// The kind.
pub struct LdapSchema;

/// Which schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaKey {
    /// The server.
    pub server: Server,
    /// Which part of what it knows.
    pub part: Part,
}

/// A part of what a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// What it knows now.
    Now,
    /// What predicted changes of its configuration replace; nothing on a real server.
    Coming,
}

impl std::fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = match self.part {
            Part::Now => "cn=subschema",
            Part::Coming => "cn=subschema/coming",
        };
        write!(f, "{}/{part}", self.server.id())
    }
}

/// What predicted changes replace, as attribute and class descriptions before and after.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SchemaState {
    /// Descriptions that are there (of [`Part::Now`]) or come (of [`Part::Coming`]).
    pub there: Descriptions,
    /// Descriptions that go; empty for [`Part::Now`].
    pub gone: Descriptions,
}

impl SchemaState {
    /// What a server will know once the changes to come are made.
    #[must_use]
    pub fn with(&self, coming: &Self) -> Descriptions {
        let merge = |now: &[String], gone: &[String], come: &[String]| {
            let numbers = |list: &[String]| {
                list.iter()
                    .filter_map(|d| description_oid(d))
                    .collect::<Vec<_>>()
            };
            let (gone, new) = (numbers(gone), numbers(come));
            let mut merged: Vec<String> = now
                .iter()
                .filter(|d| {
                    description_oid(d).is_none_or(|oid| !gone.contains(&oid) && !new.contains(&oid))
                })
                .cloned()
                .collect();
            merged.extend(come.iter().cloned());
            merged
        };
        Descriptions {
            attribute_types: merge(
                &self.there.attribute_types,
                &coming.gone.attribute_types,
                &coming.there.attribute_types,
            ),
            object_classes: merge(
                &self.there.object_classes,
                &coming.gone.object_classes,
                &coming.there.object_classes,
            ),
        }
    }
}

#[async_trait]
impl Kind for LdapSchema {
    type Key = SchemaKey;
    type State = SchemaState;
    type Want = SchemaState;

    const NAME: &'static str = "ldap-schema";

    async fn read(&self, host: &Probe, keys: &[SchemaKey]) -> Vec<Result<SchemaState, HostError>> {
        let mut states = Vec::with_capacity(keys.len());
        for key in keys {
            states.push(match key.part {
                Part::Coming => Ok(SchemaState::default()),
                Part::Now => now(host, &key.server).await,
            });
        }
        states
    }

    fn differences(&self, want: &SchemaState, read: &SchemaState) -> Vec<String> {
        if want == read {
            Vec::new()
        } else {
            vec!["the schema differs".to_owned()]
        }
    }

    fn predict(&self, want: &SchemaState, _from: &SchemaState) -> SchemaState {
        want.clone()
    }

    fn reversible(
        &self,
        _change: &Change<SchemaState, SchemaState>,
        _key: &SchemaKey,
    ) -> Reversible {
        Reversible::Never(
            "the schema is changed through the entries of cn=schema,cn=config".to_owned(),
        )
    }

    fn touched_by(&self, key: &SchemaKey, written: &Ref) -> bool {
        (written.kind == LdapEntry::NAME && below_schema(&key.server, &written.id))
            || key.server.is_container(written)
    }

    fn predicted(&self, key: &SchemaKey, world: &Predicted<'_>) -> Shadow<SchemaKey, SchemaState> {
        match key.part {
            Part::Now => match key.server.predicted(world) {
                Through::Same => Shadow::AsRead,
                Through::Assuming(what) => Shadow::Assuming(what),
                Through::Unknown(why) => Shadow::Unknown(why),
            },
            Part::Coming => {
                let mut state = SchemaState::default();
                let changes = world.of_those::<LdapEntry>(|id| below_schema(&key.server, id));
                for (_, from, to, task) in changes {
                    let (Some(from), Some(to)) = (from, to) else {
                        return Shadow::Unknown(format!("until \"{task}\""));
                    };
                    let (gone, there) = (descriptions(&from), descriptions(&to));
                    state.gone.attribute_types.extend(gone.attribute_types);
                    state.gone.object_classes.extend(gone.object_classes);
                    // A later change of the same entry replaces what an earlier one brought.
                    state.there = SchemaState {
                        there: state.there.clone(),
                        gone: Descriptions::default(),
                    }
                    .with(&SchemaState {
                        there,
                        gone: descriptions(&from),
                    });
                }
                Shadow::Known(state)
            }
        }
    }

    async fn write(
        &self,
        _host: &Target,
        _changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        Err(WriteError::failed(
            "the schema is changed through the entries of cn=schema,cn=config",
        ))
    }
}

fn below_schema(server: &Server, id: &str) -> bool {
    id.starts_with(&format!("{}/cn=config/cn=schema", server.id()))
}

/// The descriptions in an entry of `cn=schema,cn=config`.
fn descriptions(state: &EntryState) -> Descriptions {
    let texts = |name: &str| {
        let texts = state
            .entry
            .as_ref()
            .map(|e| e.texts(name))
            .unwrap_or_default();
        texts.iter().map(|t| without_index(t).to_owned()).collect()
    };
    Descriptions {
        attribute_types: texts("olcAttributeTypes"),
        object_classes: texts("olcObjectClasses"),
    }
}

async fn now(host: &Probe, server: &Server) -> Result<SchemaState, HostError> {
    let session = Session::of(host, server).await?;
    let there = match session.descriptions(host).await {
        Ok(there) => there,
        // A server that was replaced meanwhile has closed the session.
        Err(_) => {
            session.forget(host).await;
            Session::of(host, server).await?.descriptions(host).await?
        }
    };
    Ok(SchemaState {
        there,
        gone: Descriptions::default(),
    })
}
