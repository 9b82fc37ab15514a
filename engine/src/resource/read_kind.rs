//! Kinds that are only read: what a directory lists, what a server answers. Nothing is wanted of them, so of the laws only
//! those of prediction concern them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Change, Data, Kept, Key, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError};
use crate::host::{HostError, Probe, Target};
use crate::module::Mark;
use crate::world::Predicted;

/// What can be wanted of a kind that is only read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Nothing {}

/// A [`Kind`] that is only read. What stands here means what it means there.
#[async_trait]
pub trait ReadKind: Send + Sync + 'static {
    /// See [`Kind::Key`].
    type Key: Key;
    /// See [`Kind::State`].
    type State: Data;

    /// See [`Kind::NAME`].
    const NAME: &'static str;
    /// See [`Kind::BINDS`].
    const BINDS: bool = true;
    /// See [`Kind::PART_OF`].
    const PART_OF: Option<&'static str> = None;

    /// See [`Kind::read`].
    async fn read(&self, host: &Probe, keys: &[Self::Key]) -> Vec<Result<Self::State, HostError>>;

    /// See [`Kind::canonical`].
    fn canonical(&self, key: &Self::Key, _read: &Self::State) -> Self::Key {
        key.clone()
    }

    /// See [`Kind::secrets`].
    fn secrets(&self, _state: &Self::State) -> Vec<String> {
        Vec::new()
    }

    /// See [`Kind::drifted`].
    fn drifted(&self, _key: &Self::Key, was: &Self::State, now: &Self::State) -> Vec<String> {
        let differs = (was != now).then(|| "is not what it was".to_owned());
        differs.into_iter().collect()
    }

    /// See [`Kind::touched_by`]. There is no default: nothing is written under a key of this kind.
    fn touched_by(&self, key: &Self::Key, written: &Ref) -> bool;

    /// See [`Kind::predicted`].
    fn predicted(
        &self,
        _key: &Self::Key,
        _world: &Predicted<'_>,
    ) -> Shadow<Self::Key, Self::State> {
        Shadow::AsRead
    }

    /// See [`Kind::over`].
    ///
    /// # Errors
    /// Why it is not known.
    fn over(
        &self,
        _key: &Self::Key,
        _read: Self::State,
        _world: &Predicted<'_>,
    ) -> Result<Self::State, String> {
        Err(format!("the kind {} does not tell", Self::NAME))
    }

    /// See [`Kind::rests_on`].
    fn rests_on(&self, _key: &Self::Key) -> Vec<Mark> {
        Vec::new()
    }

    /// See [`Kind::may_become`].
    fn may_become(
        &self,
        _key: &Self::Key,
        _read: &Self::State,
        _world: &Predicted<'_>,
    ) -> Option<String> {
        None
    }

    /// See [`Kind::comes_on_the_way`].
    fn comes_on_the_way(&self, _read: &Self::State) -> bool {
        false
    }
}

#[async_trait]
impl<R: ReadKind> Kind for R {
    type Key = R::Key;
    type State = R::State;
    type Want = Nothing;

    const NAME: &'static str = R::NAME;
    const BINDS: bool = R::BINDS;
    const PART_OF: Option<&'static str> = R::PART_OF;

    async fn read(&self, host: &Probe, keys: &[R::Key]) -> Vec<Result<R::State, HostError>> {
        ReadKind::read(self, host, keys).await
    }

    fn canonical(&self, key: &R::Key, read: &R::State) -> R::Key {
        ReadKind::canonical(self, key, read)
    }

    fn differences(&self, want: &Nothing, _read: &R::State) -> Vec<String> {
        match *want {}
    }

    fn predict(&self, want: &Nothing, _from: &R::State) -> R::State {
        match *want {}
    }

    fn secrets(&self, state: &R::State) -> Vec<String> {
        ReadKind::secrets(self, state)
    }

    fn reversible(&self, change: &Change<R::State, Nothing>, _key: &R::Key) -> Reversible {
        match change.want {}
    }

    fn drifted(
        &self,
        key: &R::Key,
        _want: Option<&Nothing>,
        was: &R::State,
        now: &R::State,
    ) -> Vec<String> {
        ReadKind::drifted(self, key, was, now)
    }

    fn touched_by(&self, key: &R::Key, written: &Ref) -> bool {
        ReadKind::touched_by(self, key, written)
    }

    fn predicted(&self, key: &R::Key, world: &Predicted<'_>) -> Shadow<R::Key, R::State> {
        ReadKind::predicted(self, key, world)
    }

    fn over(
        &self,
        key: &R::Key,
        read: R::State,
        world: &Predicted<'_>,
    ) -> Result<R::State, String> {
        ReadKind::over(self, key, read, world)
    }

    fn rests_on(&self, key: &R::Key) -> Vec<Mark> {
        ReadKind::rests_on(self, key)
    }

    fn may_become(&self, key: &R::Key, read: &R::State, world: &Predicted<'_>) -> Option<String> {
        ReadKind::may_become(self, key, read, world)
    }

    fn comes_on_the_way(&self, read: &R::State) -> bool {
        ReadKind::comes_on_the_way(self, read)
    }

    /// There are no changes.
    async fn write(
        &self,
        _host: &Target,
        _changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        Ok(Vec::new())
    }
}
