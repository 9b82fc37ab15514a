//! What a `rescue` would do: told beforehand, so that nobody approves a plan that may do more than it says.
//!
//! Where in its block a failure would come is not known. So the rescue is predicted from the states before the block,
//! and nothing that comes after the block rests on it.

use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;

use super::event::{Event, Sink, TaskReport};
use super::settle::Stopped;
use super::walk::{Here, Walk, Way};
use crate::compile::program::{Block, Item};
use crate::journal::NodeStatus;
use crate::value::Value;

/// A walk that stands where the block began.
pub struct Foreteller {
    walk: Walk,
    told: Arc<Told>,
    /// Who hears of it.
    sink: Arc<dyn Sink>,
    block: String,
}

#[derive(Default)]
struct Told(Mutex<Vec<TaskReport>>);

impl Sink for Told {
    fn event(&self, event: Event) {
        if let Event::TaskFinished(report) = event {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(*report);
        }
    }
}

impl Walk {
    /// Keeps where the walk stands, before the block.
    pub(super) fn rescue_foreteller(
        &self,
        block: &Block,
        hosts: &[String],
        here: &Here,
    ) -> Foreteller {
        let told = Arc::new(Told::default());
        let first = block.items.first().map(|item| item.common());
        let module = match block.items.first() {
            Some(Item::Task(task)) => Some(task.module.name().to_owned()),
            _ => None,
        };
        let name = hosts.first().and_then(|host| {
            self.name_of(&block.common, host, here)
                .or_else(|| self.name_of(first?, host, here))
                .or(module)
        });
        Foreteller {
            walk: self.fork(Way::Predict, told.clone()),
            told,
            sink: self.sink.clone(),
            block: name.unwrap_or_else(|| "a block".to_owned()),
        }
    }
}

impl Foreteller {
    /// Tells what the rescue would do.
    pub(super) async fn foretell(
        self,
        block: &Block,
        hosts: &[String],
        here: &Here,
    ) -> Result<(), Stopped> {
        let until = format!("what fails in \"{}\" is not known before", self.block);
        for host in hosts {
            self.walk.states.with(host, |state| {
                let task = IndexMap::from([("name".to_owned(), Value::Unknown(until.clone()))]);
                state
                    .vars
                    .insert("ansible_failed_task".to_owned(), Value::Map(task));
                let result = Value::Unknown(until.clone());
                state
                    .vars
                    .insert("ansible_failed_result".to_owned(), result);
            });
        }
        // A failure of one host is all that is asked about: the others are not stopped by a task that is meant to fail.
        let here = Here {
            fatal: false,
            ..here.clone()
        };
        self.walk.items(&block.rescue, hosts, &here).await?;
        let told = std::mem::take(&mut *self.told.0.lock().unwrap_or_else(PoisonError::into_inner));
        for report in told {
            if matches!(report.status, NodeStatus::Ok | NodeStatus::Skipped)
                && report.module == "debug"
            {
                continue;
            }
            self.sink.event(Event::RescueForetold {
                block: self.block.clone(),
                report: Box::new(report),
            });
        }
        Ok(())
    }
}
