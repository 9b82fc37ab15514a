//! Tasks of which a prediction does not know whether they run, or with what.

use super::{Node, Result_};
use crate::journal::NodeStatus;
use crate::module::LocalFiles;
use crate::run::frame::Frame;
use crate::run::settle::{Settled, Stopped, Way as SettleWay};
use crate::run::standin;
use crate::run::walk::{Walk, Way};

impl Walk {
    /// A task of which nothing can be known may touch anything on its host.
    pub(in crate::run) async fn opaque_here(&self, host: &str, why: &str) {
        if let (Way::Predict, Ok(link)) = (&self.way, self.shared.fleet.link(host).await) {
            let overlay = self.overlays.of(&link.machine);
            overlay
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .opaque(why);
        }
    }

    /// In a prediction: whether it runs is not known, so what it may write is not known after it.
    pub(super) async fn conditional(
        &self,
        node: &Node<'_>,
        frame: &Frame,
        why: String,
        start: &str,
    ) -> Result<Option<Result_>, Stopped> {
        let mut settled = Settled {
            status: Some(NodeStatus::Conditional),
            message: Some(why.clone()),
            ..Settled::default()
        };
        if matches!(self.way, Way::Predict) {
            match self.prepare(node, frame) {
                Ok((prepared, _)) => {
                    if node.task.module.needs_host()
                        && let Ok((reach, machine)) = self.reach(node, frame).await
                    {
                        let overlay = self.overlays.of(&machine);
                        let way = SettleWay::Predict(overlay);
                        let no_files = LocalFiles::new();
                        let name = self.task_name(node);
                        let settle = self.settle_of(node, &name, &no_files);
                        let touches = prepared.touches();
                        settle.spread_everywhere(&reach, &way, touches, &why).await;
                        settled.bound = settle.open_bound(prepared.as_ref());
                    }
                }
                Err(_) => {
                    self.spread_unknown(node, frame, &why, &mut settled).await;
                }
            }
        }
        self.finish(node, settled, start).await
    }

    /// In a prediction: what a task may touch of which not all arguments are known is unknown after it; where that is not
    /// known either, everything is.
    pub(super) async fn spread_unknown(
        &self,
        node: &Node<'_>,
        frame: &Frame,
        why: &str,
        settled: &mut Settled,
    ) {
        if !matches!(self.way, Way::Predict) {
            return;
        }
        let args = frame.arguments(node.task).ok();
        let touched = args.and_then(|args| standin::footprint(node.task.module.as_ref(), &args));
        let place = self.reach(node, frame).await;
        let (Some(footprint), Ok((reach, machine))) = (touched, place) else {
            return self.opaque_here(node.host, why).await;
        };
        let way = SettleWay::Predict(self.overlays.of(&machine));
        let (no_files, name) = (LocalFiles::new(), self.task_name(node));
        let settle = self.settle_of(node, &name, &no_files);
        settled.bound = settle.bound_by(footprint.clone());
        settle.spread_everywhere(&reach, &way, footprint, why).await;
    }
}
