//! What a task inherits from the play, the blocks and the imports around it.

use std::collections::BTreeSet;

use super::layer_of;
use super::program::Layer;
use crate::playbook::Keywords;
use crate::source::Node;

/// Keywords as they hold at some place of a playbook.
#[derive(Debug, Clone, Default)]
pub struct Inherited {
    /// Conditions, outermost first; all have to hold.
    pub when: Vec<Node>,
    /// Variables, outermost first.
    pub layers: Vec<Layer>,
    /// Tags; they add up.
    pub tags: BTreeSet<String>,
    /// Environments, outermost first; they are merged.
    pub environment: Vec<Node>,
    /// Defaults of modules, outermost first; they are merged by module.
    pub module_defaults: Vec<Node>,
    /// Handlers to be told, of the blocks around.
    pub notify: Vec<Node>,
    /// The hosts that are left.
    pub hosts: Option<BTreeSet<String>>,
    /// The innermost wins, for all that follow.
    pub become_: Option<Node>,
    /// See `become_`.
    pub become_user: Option<Node>,
    /// See `become_`.
    pub no_log: Option<Node>,
    /// See `become_`.
    pub check_mode: Option<Node>,
    /// See `become_`.
    pub ignore_errors: Option<Node>,
    /// See `become_`.
    pub ignore_unreachable: Option<Node>,
    /// See `become_`.
    pub delegate_to: Option<Node>,
    /// See `become_`.
    pub run_once: Option<Node>,
}

impl Inherited {
    /// What holds within something that has these keywords, on these hosts (`None`: no fewer).
    #[must_use]
    pub fn inner(&self, own: &Keywords, hosts: Option<BTreeSet<String>>) -> Self {
        let mut inner = self.clone();
        inner.when.extend(own.when.iter().cloned());
        // A play's variables are its own layers; the compiler takes them out of its keywords' way.
        inner.layers.extend(own.vars.iter().map(layer_of));
        inner
            .tags
            .extend(own.tags.iter().filter_map(|t| t.text().map(str::to_owned)));
        inner.environment.extend(own.environment.iter().cloned());
        inner
            .module_defaults
            .extend(own.module_defaults.iter().cloned());
        inner.notify.extend(own.notify.iter().cloned());
        inner.hosts = match (&self.hosts, hosts) {
            (Some(outer), Some(own)) => Some(outer.intersection(&own).cloned().collect()),
            (outer, own) => own.or_else(|| outer.clone()),
        };
        let over = |outer: &mut Option<Node>, own: &Option<Node>| {
            if own.is_some() {
                outer.clone_from(own);
            }
        };
        over(&mut inner.become_, &own.become_);
        over(&mut inner.become_user, &own.become_user);
        over(&mut inner.no_log, &own.no_log);
        over(&mut inner.check_mode, &own.check_mode);
        over(&mut inner.ignore_errors, &own.ignore_errors);
        over(&mut inner.ignore_unreachable, &own.ignore_unreachable);
        over(&mut inner.delegate_to, &own.delegate_to);
        over(&mut inner.run_once, &own.run_once);
        inner
    }
}
