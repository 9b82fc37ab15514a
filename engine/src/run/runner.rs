//! A program as a job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::future::join_all;

use super::event::{Silence, Sink};
use super::hosts::Overlays;
use super::job::Job;
use super::machine::Sight;
use super::settle::Stopped;
use super::shared::Shared;
use super::state::States;
use super::walk::{Walk, Way};
use crate::compile::program::Program;
use crate::journal::Journal;

/// How often states that only the answers before made known are gathered before the walk itself asks one by one.
const GATHERINGS: usize = 3;

/// A program with everything that running it needs.
pub struct Runner {
    /// What all walks share.
    pub shared: Arc<Shared>,
    /// What is to be done.
    pub program: Arc<Program>,
}

impl Runner {
    /// A runner.
    #[must_use]
    pub fn new(shared: Arc<Shared>, program: Arc<Program>) -> Self {
        Self { shared, program }
    }

    fn walk(&self, way: Way, sink: Arc<dyn Sink>) -> Walk {
        Walk {
            shared: self.shared.clone(),
            way,
            states: States::default(),
            overlays: Arc::new(Overlays::default()),
            sink,
            lookahead: Arc::default(),
            play: None,
            foretells: false,
            cursor: self.shared.cursor(),
        }
    }

    /// Reads together what is known beforehand to be needed: a few batches for the whole program instead of one for
    /// each task.
    pub async fn gather(&self) -> Result<(), Stopped> {
        for _ in 0..GATHERINGS {
            let needs = Arc::new(Mutex::new(BTreeMap::new()));
            self.walk(Way::Gather(needs.clone()), Arc::new(Silence))
                .program(&self.program)
                .await?;
            let needs = std::mem::take(
                &mut *needs
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner),
            );
            let mut asked = false;
            let reads = needs.into_iter().filter(|(_, keys)| !keys.is_empty()).map(
                |((host, user), keys)| {
                    asked = true;
                    async move {
                        // An early read that fails matters only when its task comes.
                        if let Ok(link) = self.shared.fleet.link(&host).await {
                            let sight = Sight::new(
                                self.shared.registry.clone(),
                                link.base.clone(),
                                None,
                                link.seer(user),
                            );
                            let _ = sight.read(&link.probe, &keys).await;
                        }
                    }
                },
            );
            join_all(reads.collect::<Vec<_>>()).await;
            if !asked {
                break;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Job for Runner {
    fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn hosts(&self) -> BTreeSet<String> {
        let groups = self.program.plays.iter().flat_map(|play| &play.groups);
        groups.flat_map(|group| group.hosts.clone()).collect()
    }

    async fn predict(&self, sink: Arc<dyn Sink>) -> Result<(), Stopped> {
        self.gather().await?;
        let walk = Walk {
            foretells: true,
            ..self.walk(Way::Predict, sink)
        };
        walk.program(&self.program).await
    }

    async fn carry_out(&self, journal: Arc<Journal>, sink: Arc<dyn Sink>) -> Result<(), Stopped> {
        self.gather().await?;
        self.walk(Way::Apply(journal), sink)
            .program(&self.program)
            .await
    }
}
