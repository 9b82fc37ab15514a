//! Files that are included when they are reached.

use std::path::PathBuf;

use indexmap::IndexMap;
use std::sync::Arc;

use super::event::{Event, TaskReport, now};
use super::frame::Trouble;
use super::settle::Stopped;
use super::walk::{Here, Walk};
use crate::compile::program::{Include, Layer};
use crate::journal::NodeStatus;
use crate::source::{Kind, Node};
use crate::value::Value;

impl Walk {
    /// The files that an include stands for on a host: path, number of the loop item, variables of the loop.
    pub(super) async fn included_files(
        &self,
        include: &Include,
        host: &str,
        here: &Here,
    ) -> Result<Vec<(PathBuf, usize, Option<Layer>)>, Stopped> {
        let mut found = Vec::new();
        let items = match &include.looped {
            None => vec![None],
            Some(looped) => {
                let frame = self.frame(host, here, &include.common.layers, &[]);
                match frame.value(&looped.items) {
                    Ok(Value::List(items)) => items.into_iter().map(Some).collect(),
                    Ok(Value::Unknown(why)) | Err(Trouble::Unknown(why)) => {
                        self.unknown_include(include, host, here, &why).await;
                        return Ok(found);
                    }
                    Ok(_) => {
                        self.failed_include(include, host, here, "`loop` wants a list");
                        return Ok(found);
                    }
                    Err(Trouble::Error(message)) => {
                        self.failed_include(include, host, here, &message);
                        return Ok(found);
                    }
                }
            }
        };
        for (index, item) in items.into_iter().enumerate() {
            let mut vars = Vec::new();
            if let (Some(looped), Some(item)) = (&include.looped, item) {
                vars.push((looped.var.clone(), item));
                if let Some(name) = &looped.index_var {
                    vars.push((
                        name.clone(),
                        Value::Int(i64::try_from(index).unwrap_or(i64::MAX)),
                    ));
                }
            }
            let frame = self.frame(host, here, &include.common.layers, &vars);
            match frame.truth(&include.common.when) {
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(Trouble::Unknown(why)) => {
                    self.unknown_include(include, host, here, &why).await;
                    continue;
                }
                Err(Trouble::Error(message)) => {
                    self.failed_include(include, host, here, &message);
                    continue;
                }
            }
            match frame.text(&include.file) {
                Ok(name) => {
                    let layer = (!vars.is_empty()).then(|| {
                        let span = include.common.span;
                        let nodes = vars.into_iter().map(|(k, v)| {
                            (
                                k,
                                Arc::new(Node {
                                    span,
                                    kind: Kind::Value(v),
                                }),
                            )
                        });
                        Arc::new(nodes.collect::<IndexMap<_, _>>())
                    });
                    found.push((include.folder.join(name), index, layer));
                }
                Err(Trouble::Unknown(why)) => self.unknown_include(include, host, here, &why).await,
                Err(Trouble::Error(message)) => self.failed_include(include, host, here, &message),
            }
        }
        Ok(found)
    }

    /// What it would include is not known: after it nothing on the host is.
    async fn unknown_include(&self, include: &Include, host: &str, here: &Here, why: &str) {
        self.opaque_here(host, why).await;
        self.report_include(include, host, here, NodeStatus::Unknown, why);
    }

    /// It cannot be included: the host fails.
    pub(super) fn failed_include(&self, include: &Include, host: &str, here: &Here, message: &str) {
        match &here.collected {
            Some(collected) => collected.failed(host, "", None),
            None => self.states.with(host, |h| h.out = Some(NodeStatus::Failed)),
        }
        self.report_include(include, host, here, NodeStatus::Failed, message);
    }

    fn report_include(
        &self,
        include: &Include,
        host: &str,
        here: &Here,
        status: NodeStatus,
        message: &str,
    ) {
        let name = self.name_of(&include.common, host, here);
        let text = include.file.text().unwrap_or_default();
        let report = TaskReport {
            host: host.to_owned(),
            site: self.shared.hosts.sites.get(host).cloned(),
            play: self
                .play
                .as_ref()
                .map(|p| p.name.clone())
                .unwrap_or_default(),
            task: {
                let name = name.unwrap_or_else(|| format!("include {text}"));
                self.shared.redactor.clean(&name)
            },
            node: format!("{}@{host}", include.common.path),
            module: "include_tasks".to_owned(),
            item: None,
            handler: false,
            status,
            ignored: false,
            rescued: false,
            changes: Vec::new(),
            diff: None,
            summary: None,
            message: Some(self.shared.redactor.clean(message)),
            notes: Vec::new(),
            assumptions: Vec::new(),
            irreversible: Vec::new(),
            stays: Vec::new(),
            drifted: false,
            left: false,
            opaque: false,
            output: IndexMap::new(),
            place: self.shared.place(include.common.span),
            start: now(),
            end: now(),
            bound: None,
        };
        self.sink.event(Event::TaskFinished(Box::new(report)));
    }
}
