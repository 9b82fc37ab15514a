//! Resource kinds with their types erased: keys are [`Ref`]s, states and wants are JSON.

use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::host::{HostError, Probe, Target};
use crate::module::{Mark, reference};
use crate::resource::{
    Amid, Change, Kept, KeyedChange, Kind, Names, Place, Ref, Reversible, Shadow, WriteError,
};
use crate::world::Predicted;

/// A change with its types erased.
#[derive(Debug, Clone, PartialEq)]
pub struct ErasedChange {
    /// Which resource.
    pub key: Ref,
    /// The change, states and want as JSON.
    pub change: Change<Json, Json>,
}

/// A [`Kind`] with its types erased; each method is the one of the same name there.
#[async_trait]
pub trait AnyKind: Send + Sync {
    /// See [`Kind::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Kind::STIRS`].
    fn stirs(&self) -> bool;
    /// See [`Kind::BINDS`].
    fn binds(&self) -> bool;
    /// See [`Kind::NAMES`].
    fn names(&self) -> Option<Names>;
    /// See [`Kind::PART_OF`].
    fn part_of(&self) -> Option<&'static str>;
    /// Those fields of a state of the kind that it is part of.
    fn part(&self, whole: &Json) -> Result<Json, String>;
    /// See [`Kind::read`].
    async fn read(&self, host: &Probe, keys: &[Ref]) -> Vec<Result<Json, HostError>>;
    /// See [`Kind::canonical`].
    fn canonical(&self, key: &Ref, read: &Json) -> Ref;
    /// See [`Kind::asked_as`].
    fn asked_as(&self, form: &Ref, asked: &Ref) -> Ref;
    /// See [`Kind::differences`].
    fn differences(&self, want: &Json, read: &Json) -> Result<Vec<String>, String>;
    /// See [`Kind::predict`].
    fn predict(&self, want: &Json, from: &Json) -> Result<Json, String>;
    /// See [`Kind::text`].
    fn text(&self, key: &Ref, state: &Json) -> Option<String>;
    /// See [`Kind::runs`].
    fn runs(&self, state: &Json) -> Option<bool>;
    /// See [`Kind::secrets`].
    fn secrets(&self, state: &Json) -> Vec<String>;
    /// See [`Kind::reversible`].
    fn reversible(&self, change: &ErasedChange) -> Reversible;
    /// See [`Kind::back`].
    fn back(&self, change: &ErasedChange) -> Option<Json>;
    /// See [`Kind::still`].
    fn still(&self, change: &ErasedChange, now: &Json) -> bool;
    /// See [`Kind::drifted`].
    fn drifted(&self, key: &Ref, want: Option<&Json>, was: &Json, now: &Json) -> Vec<String>;
    /// See [`Kind::within`].
    async fn within(
        &self,
        host: &Probe,
        changes: &[ErasedChange],
    ) -> Vec<Result<Vec<Ref>, HostError>>;
    /// See [`Kind::hinders`].
    fn hinders(&self, change: &ErasedChange, world: &Predicted<'_>) -> Option<String>;
    /// See [`Kind::assumes`].
    fn assumes(&self, change: &ErasedChange) -> Vec<String>;
    /// See [`Kind::touched_by`].
    fn touched_by(&self, key: &Ref, written: &Ref) -> bool;
    /// See [`Kind::predicted`].
    fn predicted(&self, key: &Ref, world: &Predicted<'_>) -> Shadow<Ref, Json>;
    /// See [`Kind::rests_on`].
    fn rests_on(&self, key: &Ref) -> Vec<Mark>;
    /// See [`Kind::places`].
    fn places(&self, id: &str) -> Vec<Place>;
    /// See [`Kind::over`].
    fn over(&self, key: &Ref, read: &Json, world: &Predicted<'_>) -> Result<Json, String>;
    /// See [`Kind::AMID`].
    fn is_amid(&self) -> bool;
    /// See [`Kind::amid`].
    fn amid(&self, key: &Ref, known: Result<Json, String>, world: &Predicted<'_>) -> Amid<Json>;
    /// See [`Kind::may_become`].
    fn may_become(&self, key: &Ref, read: &Json, world: &Predicted<'_>) -> Option<String>;
    /// See [`Kind::seen_by`].
    fn seen_by(&self, state: &Json, user: &str) -> Option<Ref>;
    /// See [`Kind::as_seen`].
    fn as_seen(&self, state: &Json, other: &Json) -> Result<Json, String>;
    /// See [`Kind::comes_on_the_way`].
    fn comes_on_the_way(&self, read: &Json) -> bool;
    /// See [`Kind::write`].
    async fn write(&self, host: &Target, changes: &[ErasedChange])
    -> Result<Vec<Kept>, WriteError>;
    /// See [`Kind::recover`].
    async fn recover(
        &self,
        host: &Target,
        changes: &[ErasedChange],
    ) -> Result<Vec<Kept>, WriteError>;
    /// See [`Kind::deadline`].
    fn deadline(&self, key: &Ref, want: &Json) -> Duration;
    /// See [`Kind::is_whole`].
    fn is_whole(&self, state: &Json) -> bool;
    /// See [`Kind::is_kept`].
    async fn is_kept(&self, host: &Probe, kept: &[Kept]) -> Result<Vec<bool>, HostError>;
    /// See [`Kind::discard`].
    async fn discard(&self, host: &Target, kept: &Kept) -> Result<(), HostError>;
}

/// The only implementation of [`AnyKind`].
pub(super) struct Erased<K>(pub K);

fn typed<T: DeserializeOwned>(kind: &str, what: &str, json: &Json) -> Result<T, String> {
    T::deserialize(json).map_err(|e| format!("the {what} of kind {kind} cannot be understood: {e}"))
}

impl<K: Kind> Erased<K> {
    fn key(key: &Ref) -> Result<K::Key, String> {
        typed(K::NAME, "key", &key.data)
    }
    fn state(state: &Json) -> Result<K::State, String> {
        typed(K::NAME, "state", state)
    }
    fn change(change: &ErasedChange) -> Result<(K::Key, Change<K::State, K::Want>), String> {
        let typed_change = Change {
            from: Self::state(&change.change.from)?,
            to: Self::state(&change.change.to)?,
            want: typed(K::NAME, "want", &change.change.want)?,
        };
        Ok((Self::key(&change.key)?, typed_change))
    }
    fn keyed(change: &ErasedChange) -> Result<KeyedChange<K>, String> {
        let (key, change) = Self::change(change)?;
        Ok(KeyedChange { key, change })
    }
}

fn json<T: serde::Serialize>(value: &T) -> Json {
    serde_json::to_value(value).unwrap_or_default()
}

#[async_trait]
impl<K: Kind> AnyKind for Erased<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn stirs(&self) -> bool {
        K::STIRS
    }

    fn part_of(&self) -> Option<&'static str> {
        K::PART_OF
    }

    fn part(&self, whole: &Json) -> Result<Json, String> {
        Self::state(whole).map(|state| json(&state))
    }

    fn binds(&self) -> bool {
        K::BINDS
    }

    fn names(&self) -> Option<Names> {
        K::NAMES
    }

    async fn read(&self, host: &Probe, keys: &[Ref]) -> Vec<Result<Json, HostError>> {
        let typed_keys: Result<Vec<K::Key>, String> = keys.iter().map(Self::key).collect();
        match typed_keys {
            Ok(typed_keys) => {
                let read = self.0.read(host, &typed_keys).await;
                read.into_iter()
                    .map(|r| r.map(|state| json(&state)))
                    .collect()
            }
            Err(e) => keys
                .iter()
                .map(|_| Err(HostError::failed(e.clone())))
                .collect(),
        }
    }

    fn canonical(&self, key: &Ref, read: &Json) -> Ref {
        match (Self::key(key), Self::state(read)) {
            (Ok(typed_key), Ok(state)) => reference::<K>(&self.0.canonical(&typed_key, &state)),
            _ => key.clone(),
        }
    }

    fn asked_as(&self, form: &Ref, asked: &Ref) -> Ref {
        match (Self::key(form), Self::key(asked)) {
            (Ok(form), Ok(asked)) => reference::<K>(&self.0.asked_as(&form, &asked)),
            _ => form.clone(),
        }
    }

    fn differences(&self, want: &Json, read: &Json) -> Result<Vec<String>, String> {
        Ok(self
            .0
            .differences(&typed(K::NAME, "want", want)?, &Self::state(read)?))
    }

    fn predict(&self, want: &Json, from: &Json) -> Result<Json, String> {
        Ok(json(&self.0.predict(
            &typed(K::NAME, "want", want)?,
            &Self::state(from)?,
        )))
    }

    fn text(&self, key: &Ref, state: &Json) -> Option<String> {
        self.0
            .text(&Self::key(key).ok()?, &Self::state(state).ok()?)
    }

    fn runs(&self, state: &Json) -> Option<bool> {
        self.0.runs(&Self::state(state).ok()?)
    }

    fn secrets(&self, state: &Json) -> Vec<String> {
        Self::state(state)
            .map(|s| self.0.secrets(&s))
            .unwrap_or_default()
    }

    fn reversible(&self, change: &ErasedChange) -> Reversible {
        match Self::change(change) {
            Ok((key, typed_change)) => self.0.reversible(&typed_change, &key),
            Err(e) => Reversible::Never(e),
        }
    }

    fn back(&self, change: &ErasedChange) -> Option<Json> {
        let (key, change) = Self::change(change).ok()?;
        Some(json(&self.0.back(&key, &change)?))
    }

    fn still(&self, change: &ErasedChange, now: &Json) -> bool {
        match (Self::change(change), Self::state(now)) {
            (Ok((key, change)), Ok(now)) => self.0.still(&key, &change, &now),
            _ => false,
        }
    }

    fn drifted(&self, key: &Ref, want: Option<&Json>, was: &Json, now: &Json) -> Vec<String> {
        let compared = || -> Result<Vec<String>, String> {
            let want = match want {
                Some(want) => Some(typed(K::NAME, "want", want)?),
                None => None,
            };
            let (was, now) = (Self::state(was)?, Self::state(now)?);
            Ok(self.0.drifted(&Self::key(key)?, want.as_ref(), &was, &now))
        };
        compared().unwrap_or_else(|why| vec![why])
    }

    async fn within(
        &self,
        host: &Probe,
        changes: &[ErasedChange],
    ) -> Vec<Result<Vec<Ref>, HostError>> {
        let typed_changes: Result<Vec<KeyedChange<K>>, String> =
            changes.iter().map(Self::keyed).collect();
        match typed_changes {
            Ok(typed_changes) => {
                let found = self.0.within(host, &typed_changes).await;
                let erased = |keys: Vec<K::Key>| keys.iter().map(reference::<K>).collect();
                found.into_iter().map(|r| r.map(erased)).collect()
            }
            Err(e) => changes
                .iter()
                .map(|_| Err(HostError::failed(e.clone())))
                .collect(),
        }
    }

    fn hinders(&self, change: &ErasedChange, world: &Predicted<'_>) -> Option<String> {
        let (key, change) = Self::change(change).ok()?;
        self.0.hinders(&key, &change, world)
    }

    fn assumes(&self, change: &ErasedChange) -> Vec<String> {
        Self::change(change)
            .map(|(key, c)| self.0.assumes(&key, &c))
            .unwrap_or_default()
    }

    fn touched_by(&self, key: &Ref, written: &Ref) -> bool {
        // What cannot be understood is read again.
        Self::key(key).map_or(true, |k| self.0.touched_by(&k, written))
    }

    fn predicted(&self, key: &Ref, world: &Predicted<'_>) -> Shadow<Ref, Json> {
        let typed_key = match Self::key(key) {
            Ok(k) => k,
            Err(e) => return Shadow::Unknown(e),
        };
        match self.0.predicted(&typed_key, world) {
            Shadow::AsRead => Shadow::AsRead,
            Shadow::Over(assuming) => Shadow::Over(assuming),
            Shadow::Assuming(what) => Shadow::Assuming(what),
            Shadow::At(origin) => Shadow::At(reference::<K>(&origin)),
            Shadow::Known(state) => Shadow::Known(json(&state)),
            Shadow::Unknown(why) => Shadow::Unknown(why),
        }
    }

    fn rests_on(&self, key: &Ref) -> Vec<Mark> {
        Self::key(key).map_or_else(|_| Vec::new(), |k| self.0.rests_on(&k))
    }

    fn places(&self, id: &str) -> Vec<Place> {
        self.0.places(id)
    }

    fn over(&self, key: &Ref, read: &Json, world: &Predicted<'_>) -> Result<Json, String> {
        let (key, read) = (Self::key(key)?, Self::state(read)?);
        self.0.over(&key, read, world).map(|state| json(&state))
    }

    fn is_amid(&self) -> bool {
        K::AMID
    }

    fn amid(&self, key: &Ref, known: Result<Json, String>, world: &Predicted<'_>) -> Amid<Json> {
        let key = match Self::key(key) {
            Ok(key) => key,
            Err(why) => return Amid::Failed(why),
        };
        let known = known.and_then(|state| Self::state(&state));
        match self.0.amid(&key, known, world) {
            Amid::State(state) => Amid::State(json(&state)),
            Amid::Failed(why) => Amid::Failed(why),
            Amid::Unknown(why) => Amid::Unknown(why),
        }
    }

    fn may_become(&self, key: &Ref, read: &Json, world: &Predicted<'_>) -> Option<String> {
        let (key, read) = (Self::key(key).ok()?, Self::state(read).ok()?);
        self.0.may_become(&key, &read, world)
    }

    fn seen_by(&self, state: &Json, user: &str) -> Option<Ref> {
        let state = Self::state(state).ok()?;
        let key = self.0.seen_by(&state, user)?;
        Some(reference::<K>(&key))
    }

    fn as_seen(&self, state: &Json, other: &Json) -> Result<Json, String> {
        let seen = self.0.as_seen(Self::state(state)?, &Self::state(other)?);
        Ok(json(&seen))
    }

    fn comes_on_the_way(&self, read: &Json) -> bool {
        Self::state(read).is_ok_and(|state| self.0.comes_on_the_way(&state))
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[ErasedChange],
    ) -> Result<Vec<Kept>, WriteError> {
        let typed_changes: Result<Vec<KeyedChange<K>>, String> =
            changes.iter().map(Self::keyed).collect();
        let typed_changes = typed_changes.map_err(WriteError::failed)?;
        self.0.write(host, &typed_changes).await
    }

    async fn recover(
        &self,
        host: &Target,
        changes: &[ErasedChange],
    ) -> Result<Vec<Kept>, WriteError> {
        let typed_changes: Result<Vec<KeyedChange<K>>, String> =
            changes.iter().map(Self::keyed).collect();
        let typed_changes = typed_changes.map_err(WriteError::failed)?;
        self.0.recover(host, &typed_changes).await
    }

    fn deadline(&self, key: &Ref, want: &Json) -> Duration {
        match (Self::key(key), typed::<K::Want>(K::NAME, "want", want)) {
            (Ok(k), Ok(w)) => self.0.deadline(&k, &w),
            _ => Duration::ZERO,
        }
    }

    fn is_whole(&self, state: &Json) -> bool {
        Self::state(state).is_ok_and(|state| self.0.is_whole(&state))
    }

    async fn is_kept(&self, host: &Probe, kept: &[Kept]) -> Result<Vec<bool>, HostError> {
        self.0.is_kept(host, kept).await
    }

    async fn discard(&self, host: &Target, kept: &Kept) -> Result<(), HostError> {
        self.0.discard(host, kept).await
    }
}
