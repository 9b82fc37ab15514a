//! What can be wrong between tasks and in what they say: names, ids, handlers, arguments, templates; for every host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Tools;
use super::program::{Common, Hosts, Item, Layer, Play, Program, Task};
use crate::diag::{Diagnostic, nearest};
use crate::host::{FACTS, instead_of};
use crate::run::frame::{MAGIC, on_controller, vaults_of};
use crate::run::local::{LocalStore, Vaults};
use crate::source::{Kind, Node, Sources, Span, check_args, locate, untyped};
use crate::template::{
    DynamicNames, ErrorKind, Scope, TemplateError, Use, defined_where, is_template, names,
};
use crate::value::Value;

/// A template's error as a diagnostic.
#[must_use]
pub fn template_error(error: &TemplateError, sources: &Sources) -> Diagnostic {
    let id = match error.kind {
        ErrorKind::Undefined => "undefined-variable",
        ErrorKind::Syntax => "template-syntax",
        ErrorKind::Cycle => "variable-cycle",
        ErrorKind::Vault => "vault-string",
        ErrorKind::Condition => "condition",
        ErrorKind::Unknown | ErrorKind::Other => "template",
    };
    let mut diagnostic =
        Diagnostic::error(id, error.message.clone()).at(error.exact_span(sources), "");
    if let Some(user) = error.used_at {
        diagnostic = diagnostic.and(user, "used here");
    }
    match &error.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

/// All mistakes.
pub(super) fn check(
    program: &Program,
    hosts: &Hosts,
    tools: &Arc<Tools>,
    lost: &BTreeSet<String>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut set_in_run = names_set_in_run(program);
    set_in_run.extend(lost.iter().cloned());
    for play in &program.plays {
        let mut check = Check {
            play,
            hosts,
            tools,
            set_in_run: &set_in_run,
            found: &mut found,
        };
        check.references();
        check.tasks();
    }
    found
}

/// Names that tasks register or set, in any play: variables outlive their play.
fn names_set_in_run(program: &Program) -> BTreeSet<String> {
    let plays = program.plays.iter();
    plays.flat_map(|play| play.gives.iter().cloned()).collect()
}

struct Check<'a> {
    play: &'a Arc<Play>,
    hosts: &'a Hosts,
    tools: &'a Arc<Tools>,
    set_in_run: &'a BTreeSet<String>,
    found: &'a mut Vec<Diagnostic>,
}

/// Where a name stands in a text as a word of its own.
fn word_in(text: &str, name: &str) -> Option<std::ops::Range<usize>> {
    let of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let found = text.match_indices(name).map(|(at, _)| at..at + name.len());
    let mut words = found.clone().filter(|r| {
        !text[..r.start].ends_with(of_name)
            && !text[r.end..].starts_with(|c| of_name(c) && c != '.')
    });
    let mut any = found;
    words.next().or_else(|| any.next())
}

fn is_fact(name: &str) -> bool {
    let fact = name.strip_prefix("ansible_");
    fact.is_some_and(|fact| FACTS.contains(&fact))
}

/// Answers for everything that only the run will know.
struct InTheRun(BTreeSet<String>);

impl DynamicNames for InTheRun {
    fn get(&self, name: &str) -> Option<Value> {
        let facts = is_fact(name) || name == "hostvars";
        (self.0.contains(name) || facts).then(|| Value::Unknown("it is set in the run".to_owned()))
    }
    fn names(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

impl Check<'_> {
    /// `needs`, `before`, ids and handlers.
    fn references(&mut self) {
        let mut ids: BTreeMap<String, Span> = BTreeMap::new();
        let mut twice = Vec::new();
        let mut see = |item: &Item| {
            let common = item.common();
            if let Some(id) = &common.id
                && let Some(first) = ids.insert(id.clone(), common.span)
            {
                let wrong = Diagnostic::error(
                    "duplicate-id",
                    format!("the id `{id}` stands twice in this play"),
                );
                twice.push(
                    wrong
                        .at(start(common.span), "")
                        .and(start(first), "first here"),
                );
            }
        };
        self.play
            .sections
            .iter()
            .flatten()
            .for_each(|item| item.each(&mut see));
        self.found.extend(twice);
        let known: Vec<&str> = ids.keys().map(String::as_str).collect();
        let mut wrong = Vec::new();
        for item in self.play.sections.iter().flatten() {
            item.each(&mut |item| {
                let common = item.common();
                for (id, at) in common
                    .needs
                    .iter()
                    .zip(&common.needs_at)
                    .chain(common.before.iter().zip(&common.before_at))
                {
                    if !ids.contains_key(id) {
                        let unknown = Diagnostic::error(
                            "unknown-id",
                            format!("no task of this play has the id `{id}`"),
                        );
                        wrong.push(unknown.at(*at, "").suggest(id, known.iter().copied()));
                    }
                }
            });
        }
        self.found.extend(wrong);
        self.cycles();
        self.handlers();
    }

    /// Branches of a parallel block that wait for each other, and a `before` of what stands earlier.
    fn cycles(&mut self) {
        let mut wrong = Vec::new();
        for item in self.play.sections.iter().flatten() {
            item.each(&mut |item| {
                if let Item::Block(block) = item {
                    wrong.extend(cycle_among(&block.items, block.parallel));
                }
            });
        }
        for section in &self.play.sections {
            wrong.extend(cycle_among(section, false));
        }
        self.found.extend(wrong);
        self.too_late();
    }

    /// `before` names what comes later; what has already run cannot be prepared for.
    fn too_late(&mut self) {
        let mut order: Vec<(String, Option<String>, Vec<(String, Span)>)> = Vec::new();
        for item in self.play.sections.iter().flatten() {
            item.each(&mut |item| {
                let c = item.common();
                let before = c
                    .before
                    .iter()
                    .cloned()
                    .zip(c.before_at.iter().copied())
                    .collect();
                order.push((c.path.clone(), c.id.clone(), before));
            });
        }
        for (at, (path, _, before)) in order.iter().enumerate() {
            for (id, span) in before {
                let place = order.iter().position(|(_, i, _)| i.as_ref() == Some(id));
                let Some(place) = place else { continue };
                let around = path.starts_with(&format!("{}/", order[place].0));
                if place < at && !around {
                    let wrong = Diagnostic::error(
                        "cycle",
                        format!("`{id}` stands before this task, so it cannot wait for it"),
                    );
                    self.found.push(
                        wrong
                            .at(*span, "")
                            .help("put this task above the one it is `before`"),
                    );
                }
            }
        }
    }

    fn handlers(&mut self) {
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut templated = false;
        for handler in &self.play.handlers {
            known.extend(handler.listen.iter().cloned());
            known.extend(handler.common.id.clone());
            if let Some(name) = handler.common.name.as_ref().and_then(|n| n.text()) {
                templated |= is_template(name);
                known.insert(name.to_owned());
            }
        }
        let mut wrong = Vec::new();
        for task in self.all_tasks() {
            for notify in &task.notify {
                let Some(name) = notify.text() else { continue };
                if !is_template(name) && !templated && !known.contains(name) {
                    let unknown = Diagnostic::error(
                        "unknown-handler",
                        format!("there is no handler `{name}`"),
                    );
                    wrong.push(
                        unknown
                            .at(notify.span, "")
                            .suggest(name, known.iter().map(String::as_str)),
                    );
                }
            }
        }
        self.found.extend(wrong);
    }

    fn all_tasks(&self) -> Vec<Arc<Task>> {
        let mut tasks = Vec::new();
        for item in self.play.sections.iter().flatten() {
            item.each(&mut |item| {
                if let Item::Task(task) = item {
                    tasks.push(task.clone());
                }
            });
        }
        tasks.extend(self.play.handlers.iter().cloned());
        tasks
    }

    fn tasks(&mut self) {
        let play = self.play.clone();
        let mut commons: Vec<(Common, Vec<String>)> = Vec::new();
        // The tasks of a block have its conditions, too.
        let mut judged: Vec<(Common, Vec<String>)> = Vec::new();
        for item in play.sections.iter().flatten() {
            item.each(&mut |item| {
                if !matches!(item, Item::Task(_)) {
                    commons.push((item.common().clone(), loop_names(item)));
                }
                if matches!(item, Item::Include(_) | Item::Meta(_)) {
                    judged.push((item.common().clone(), loop_names(item)));
                }
                if let Item::Include(include) = item {
                    let mut names = loop_names(item);
                    names.push("item".to_owned());
                    let mut with_file = item.common().clone();
                    with_file.when = Vec::new();
                    with_file.name = Some(include.file.clone());
                    commons.push((with_file, names));
                }
            });
        }
        for (common, loops) in &judged {
            self.conditions(common, &[], loops);
        }
        for (common, loops) in &commons {
            self.expressions(common, &[], &common.when, loops);
            if let Some(name) = &common.name {
                self.expressions(common, &[name], &[], loops);
            }
        }
        for task in self.all_tasks() {
            self.task(&task);
        }
    }

    fn task(&mut self, task: &Task) {
        let schema = task.module.schema();
        let expressions = task.module.expressions();
        let deferred = |node: &Node| {
            matches!(node.kind, Kind::Value(_) | Kind::Encrypted(_))
                || node.text().is_some_and(is_template)
        };
        let plain_args = without(&task.args, expressions);
        let mut checked = check_args(&schema, &plain_args, &deferred);
        let aliases = aliases_in(task, &schema);
        // What an alias gives is not missing; whoever understands the arguments says so if it is.
        checked.retain(|d| {
            let alias = d
                .primary
                .as_ref()
                .is_some_and(|l| aliases.contains(&l.span))
                && d.id == "unknown-argument";
            !alias && (aliases.is_empty() || d.id != "missing-argument")
        });
        for wrong in &mut checked {
            misplaced(task, wrong);
        }
        checked.extend(self.decimal_mode(task, &task.args, &schema));
        let structure_is_sound = checked.is_empty();
        // The defaults of a module are meant for all of its tasks; a key that one of them does not take says so once.
        self.found.extend(checked);
        let mut loops = task
            .looped
            .as_ref()
            .map(|l| names_of_loop(l.var.as_str(), l.index_var.as_deref()))
            .unwrap_or_default();
        loops.extend(task.register.clone());
        let mut bare: Vec<Node> = task.common.when.clone();
        bare.extend(task.until.iter().cloned());
        bare.extend(task.changed_when.iter().flatten().cloned());
        bare.extend(task.failed_when.iter().flatten().cloned());
        for name in expressions {
            match task.args.get(name).map(|n| &n.kind) {
                Some(Kind::Seq(items)) => bare.extend(items.iter().cloned()),
                Some(_) => bare.extend(task.args.get(name).cloned()),
                None => {}
            }
        }
        let mut templates: Vec<&Node> = vec![&plain_args];
        templates.extend(&task.common.name);
        templates.extend(task.environment.iter());
        templates.extend(task.notify.iter());
        for one in [
            &task.retries,
            &task.delay,
            &task.ignore_errors,
            &task.check_mode,
            &task.no_log,
            &task.become_,
            &task.become_user,
            &task.delegate_to,
        ] {
            templates.extend(one);
        }
        let sound = self.expressions(&task.common, &templates, &bare, &loops);
        if let Some(looped) = &task.looped {
            self.expressions(&task.common, &[&looped.items], &[], &[]);
        }
        if sound {
            let of_module = task.module.conditions().iter();
            let of_module = of_module.filter_map(|name| task.args.get(name));
            let of_module: Vec<&Node> = of_module
                .flat_map(|node| match &node.kind {
                    Kind::Seq(items) => items.as_slice(),
                    _ => std::slice::from_ref(node),
                })
                .collect();
            self.conditions(&task.common, &of_module, &loops);
        }
        if structure_is_sound && sound {
            self.arguments(task, &loops);
        }
    }

    /// Conditions that come to a text, as far as they are known beforehand: those of `when`, and of the module where they
    /// hold.
    fn conditions(&mut self, common: &Common, of_module: &[&Node], loops: &[String]) {
        if common.when.is_empty() && of_module.is_empty() {
            return;
        }
        let (later, perhaps) = self.open(common, loops);
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for host in self.hosts_of(common) {
            let scope = self.scope(&host, common, &later, &perhaps);
            for condition in common.when.iter().chain(of_module.iter().copied()) {
                match self.tools.engine.holds(&scope, condition) {
                    Ok(true) => {}
                    Err(error) if error.kind == ErrorKind::Condition => {
                        let wrong = template_error(&error, &self.tools.sources);
                        if seen.insert(format!("{wrong:?}")) {
                            self.found.push(wrong);
                        }
                    }
                    // What follows may not be reached.
                    _ => break,
                }
            }
        }
    }

    fn hosts_of(&self, common: &Common) -> Vec<String> {
        let groups = self.play.groups.iter();
        groups
            .flat_map(|g| g.hosts.iter())
            .filter(|h| {
                let only = common.hosts.as_ref();
                only.is_none_or(|only| only.contains(*h))
            })
            .cloned()
            .collect()
    }

    /// What only the run will know, and what the conditions of a task ask for: it only runs where there is one.
    fn open(&self, common: &Common, loops: &[String]) -> (Arc<InTheRun>, Arc<InTheRun>) {
        let mut later: BTreeSet<String> = self.set_in_run.clone();
        later.extend(loops.iter().cloned());
        later.extend(
            MAGIC
                .iter()
                .filter(|m| **m != "omit")
                .map(|m| (*m).to_owned()),
        );
        let perhaps = InTheRun(defined_by(&common.when));
        (Arc::new(InTheRun(later)), Arc::new(perhaps))
    }

    /// The variables of a host as far as they are known beforehand.
    fn scope(
        &self,
        host: &str,
        common: &Common,
        later: &Arc<InTheRun>,
        perhaps: &Arc<InTheRun>,
    ) -> Scope {
        let mut scope = Scope::default();
        scope.push_dynamic(perhaps.clone());
        let vars = self.hosts.vars.get(host).cloned().unwrap_or_default();
        let layers: Vec<&Layer> = self
            .play
            .defaults
            .iter()
            .chain(&vars.inventory)
            .chain(&self.play.layers)
            .chain(&common.layers)
            .collect();
        layers.into_iter().for_each(|l| scope.push_nodes(l.clone()));
        scope.push_dynamic(later.clone());
        scope.push_nodes(vars.extra);
        scope
    }

    /// Syntax and names of templates and bare expressions, for every host. `false`: something is wrong. What a condition of
    /// `when` asks to be defined is so in all that follows it.
    fn expressions(
        &mut self,
        common: &Common,
        templates: &[&Node],
        bare: &[Node],
        loops: &[String],
    ) -> bool {
        let mut scalars: Vec<(Node, bool)> = Vec::new();
        templates.iter().for_each(|t| collect(t, &mut scalars));
        scalars.extend(
            bare.iter()
                .filter(|n| matches!(n.kind, Kind::Scalar { .. }))
                .map(|n| (n.clone(), true)),
        );
        let mut sound = true;
        let behind_all = defined_by(&common.when);
        for (node, bare) in &scalars {
            // A condition itself comes behind those before it alone.
            let own = common.when.iter().position(|c| c.span == node.span);
            let before_it = own.map(|at| defined_by(&common.when[..at]));
            let defined = before_it.as_ref().unwrap_or(&behind_all);
            if let Err(error) = self.tools.engine.check_syntax(node, *bare) {
                let mut wrong = template_error(&error, &self.tools.sources);
                if let Some(offset) = error.offset {
                    wrong = wrong.at(locate(&self.tools.sources, node, offset), "");
                }
                self.found.push(wrong);
                sound = false;
                continue;
            }
            let text = node.text().unwrap_or_default();
            let mentioned = names(text, *bare);
            for name in mentioned.needed.difference(defined) {
                sound &= self.name(name, node, text, common, loops);
            }
            if !defined.contains("ansible_facts") {
                sound &= self.facts(&mentioned.uses, node);
            }
        }
        sound
    }

    /// Does every entry of `ansible_facts` exist that has to?
    fn facts(&mut self, uses: &[Use], node: &Node) -> bool {
        let mut sound = true;
        for used in uses.iter().filter(|used| !used.guarded) {
            let [root, fact, ..] = used.path.as_slice() else {
                continue;
            };
            if root != "ansible_facts" || FACTS.contains(&fact.as_str()) {
                continue;
            }
            let message = format!("`ansible_facts.{fact}` is undefined");
            let at = locate(&self.tools.sources, node, used.range.clone());
            let wrong = Diagnostic::error("undefined-variable", message).at(at, "");
            self.found
                .push(wrong.help(instead_of("ansible_facts.", fact)));
            sound = false;
        }
        sound
    }

    /// Does the variable exist for every host of the play?
    fn name(
        &mut self,
        name: &str,
        node: &Node,
        text: &str,
        common: &Common,
        loops: &[String],
    ) -> bool {
        let everywhere = MAGIC.contains(&name)
            || name == "vars"
            || self.set_in_run.contains(name)
            || loops.iter().any(|l| l == name)
            || FUNCTIONS.contains(&name)
            || (is_fact(name) && self.play.uses_facts)
            || common
                .layers
                .iter()
                .chain(&self.play.layers)
                .chain(&self.play.defaults)
                .any(|l| l.contains_key(name));
        if everywhere {
            return true;
        }
        let hosts: Vec<String> = self
            .play
            .groups
            .iter()
            .flat_map(|g| g.hosts.iter())
            .filter(|h| common.hosts.as_ref().is_none_or(|only| only.contains(*h)))
            .cloned()
            .collect();
        let missing: Vec<String> = hosts
            .iter()
            .filter(|host| {
                self.hosts.vars.get(*host).is_none_or(|v| {
                    !v.extra.contains_key(name) && !v.inventory.iter().any(|l| l.contains_key(name))
                })
            })
            .cloned()
            .collect();
        if missing.is_empty() && !hosts.is_empty() {
            return true;
        }
        if hosts.is_empty() {
            // Nobody is there for whom it could be undefined.
            return true;
        }
        let for_whom = if missing.len() == hosts.len() {
            String::new()
        } else {
            format!(" for {}", missing.join(", "))
        };
        let at = word_in(text, name);
        let span = at.map_or(node.span, |at| locate(&self.tools.sources, node, at));
        let wrong = Diagnostic::error(
            "undefined-variable",
            format!("`{name}` is undefined{for_whom}"),
        )
        .at(span, "");
        if let Some(fact) = name.strip_prefix("ansible_") {
            let help = if is_fact(name) {
                "it is a fact, and the play has `gather_facts: false`".to_owned()
            } else if crate::inventory::CONNECTION_VARIABLES.contains(&name) {
                "it is known only where the inventory gives it".to_owned()
            } else {
                instead_of("ansible_", fact)
            };
            self.found.push(wrong.help(help));
            return false;
        }
        let known = self.known_names(&hosts, common, loops);
        self.found
            .push(match nearest(name, known.iter().map(String::as_str)) {
                Some(near) => wrong.help(format!("did you mean `{near}`?")),
                None => wrong,
            });
        false
    }

    fn known_names(&self, hosts: &[String], common: &Common, loops: &[String]) -> BTreeSet<String> {
        let mut known: BTreeSet<String> = self.set_in_run.clone();
        known.extend(loops.iter().cloned());
        let own = self.play.layers.iter().chain(&self.play.defaults);
        for layer in common.layers.iter().chain(own) {
            known.extend(layer.keys().cloned());
        }
        for vars in hosts.iter().filter_map(|h| self.hosts.vars.get(h)) {
            known.extend(vars.inventory.iter().flat_map(|l| l.keys().cloned()));
            known.extend(vars.extra.keys().cloned());
        }
        known
    }

    /// Permission bits that were written, or came out of a template, as a decimal number.
    fn decimal_mode(
        &self,
        task: &Task,
        args: &Node,
        schema: &serde_json::Value,
    ) -> Vec<Diagnostic> {
        let mut wrong = Vec::new();
        for name in ["mode", "directory_mode"] {
            let Some(node) = args.get(name) else { continue };
            if schema.pointer(&format!("/properties/{name}")).is_none() {
                continue;
            }
            let number = match &node.kind {
                Kind::Value(Value::Int(number)) => *number,
                Kind::Scalar { text, plain: true } => {
                    // In `mode=644` it is a text.
                    let (_, source) = self.tools.sources.get(node.span.file);
                    let before = source.get(..node.span.start as usize).unwrap_or_default();
                    match untyped(node) {
                        Value::Int(number) if !before.ends_with('=') && text != "0" => number,
                        _ => continue,
                    }
                }
                _ => continue,
            };
            let message = format!(
                "`{name}: {number}` is a decimal number, to Ansible the permission bits {number:o}"
            );
            let module = task.module.name();
            let help = if (0..=7777).contains(&number) && !number.to_string().contains(['8', '9']) {
                format!("write the octal digits as a text: `{name}: \"{number:04}\"`")
            } else {
                format!("`runbook doc {module}` says what it takes")
            };
            wrong.push(
                Diagnostic::error("bad-value", message)
                    .at(node.span, "")
                    .help(help),
            );
        }
        wrong
    }

    /// Where all values are known beforehand, the module itself looks at them; and the files they name have to exist.
    fn arguments(&mut self, task: &Task, loops: &[String]) {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let (later, perhaps) = self.open(&task.common, loops);
        for host in self.hosts_of(&task.common) {
            let scope = self.scope(&host, &task.common, &later, &perhaps);
            let args = match self
                .tools
                .engine
                .render(&scope, &without(&task.args, task.module.expressions()))
            {
                Ok(args) => args,
                Err(errors) => {
                    for error in errors {
                        let key = format!("{:?}{}", error.span, error.message);
                        if seen.insert(key) {
                            self.found.push(template_error(&error, &self.tools.sources));
                        }
                    }
                    continue;
                }
            };
            self.template_file(task, &args, loops, &mut seen);
            if !task.module.expressions().is_empty()
                || crate::run::frame::unknown_within(&args).is_some()
            {
                continue;
            }
            let decimal = self.decimal_mode(task, &args, &task.module.schema());
            if let Some(diagnostic) = decimal.into_iter().next() {
                if seen.insert(format!("{diagnostic:?}")) {
                    self.found.push(diagnostic);
                }
                continue;
            }
            if let Err(diagnostic) = task.module.prepare(&args) {
                if seen.insert(format!("{diagnostic:?}")) {
                    self.found.push(diagnostic);
                }
                continue;
            }
            self.files(task, &args, &mut seen);
        }
    }

    /// The file of a `template`, where its name is known, is well-formed and asks for no fact that there is not.
    fn template_file(
        &mut self,
        task: &Task,
        args: &Node,
        loops: &[String],
        seen: &mut BTreeSet<String>,
    ) {
        let src = args.get("src").and_then(Node::text);
        let Some(src) = src.filter(|_| task.module.name() == "template") else {
            return;
        };
        let store = LocalStore::default();
        let folders: [PathBuf; 1] = [self.play.folder.clone()];
        // What is not there, no text, or a vault that stays shut, is told elsewhere.
        let Ok(path) = store.find(src, "templates", &folders) else {
            return;
        };
        if path.is_dir() || !seen.insert(format!("template {}", path.display())) {
            return;
        }
        let Ok(file) = self.tools.sources.load(&path) else {
            return;
        };
        let (_, text) = self.tools.sources.get(file);
        if let Err(wrong) = self.tools.engine.check_file(&text) {
            let at = |offset: usize| u32::try_from(offset.min(text.len())).unwrap_or(u32::MAX);
            let span = Span {
                file,
                start: at(wrong.range.start),
                end: at(wrong.range.end),
            };
            let mut diagnostic = Diagnostic::error("template-syntax", wrong.message).at(span, "");
            diagnostic.help = wrong.help;
            self.found.push(diagnostic);
            return;
        }
        // Facts that there are not are undefined on every host.
        let whole = Node {
            span: Span {
                file,
                start: 0,
                end: u32::try_from(text.len()).unwrap_or(u32::MAX),
            },
            kind: Kind::Scalar {
                text: text.to_string(),
                plain: true,
            },
        };
        let mentioned = names(&text, false);
        let defined = defined_by(&task.common.when);
        let facts = mentioned.needed.difference(&defined);
        for name in facts.filter(|name| name.starts_with("ansible_")) {
            self.name(name, &whole, &text, &task.common, loops);
        }
        if !defined.contains("ansible_facts") {
            self.facts(&mentioned.uses, &whole);
        }
    }

    fn files(&mut self, task: &Task, args: &Node, seen: &mut BTreeSet<String>) {
        let store = LocalStore::new(self.tools.sources.keyring());
        let vaults = vaults_of(task.module.name(), args);
        let subfolder = if task.module.name() == "template" {
            "templates"
        } else {
            "files"
        };
        for argument in on_controller(task.module.as_ref(), args) {
            let Some(node) = argument.split('.').try_fold(args, |at, part| at.get(part)) else {
                continue;
            };
            let texts: Vec<(Span, String)> = match &node.kind {
                Kind::Seq(items) => items
                    .iter()
                    .filter_map(|i| Some((i.span, i.text()?.to_owned())))
                    .collect(),
                _ => node
                    .text()
                    .map(|t| (node.span, t.to_owned()))
                    .into_iter()
                    .collect(),
            };
            for (span, name) in texts {
                let folders: [PathBuf; 1] = [self.play.folder.clone()];
                let path = match store.find(&name, subfolder, &folders) {
                    Ok(path) => path,
                    Err(message) => {
                        if seen.insert(format!("{span:?}{message}")) {
                            self.found
                                .push(Diagnostic::error("missing-file", message).at(span, ""));
                        }
                        continue;
                    }
                };
                // A file is read here only if it is judged or has to be decrypted: it may be large.
                if vaults == Vaults::Decrypted
                    && holds_vault(&path)
                    && let Err(message) = store.load(&path, vaults)
                {
                    if seen.insert(format!("{span:?}{message}")) {
                        self.found
                            .push(Diagnostic::error("vault-file", message).at(span, ""));
                    }
                    continue;
                }
                let content = || Some(store.load(&path, vaults).ok()?.content.to_vec());
                for wrong in task.module.validate_file(argument, &content) {
                    let message = format!("{}, {wrong}", path.display());
                    if seen.insert(format!("{span:?}{message}")) {
                        self.found
                            .push(Diagnostic::error("bad-argument", message).at(span, ""));
                    }
                }
            }
        }
    }
}

/// The variables that are defined where all of these conditions hold.
fn defined_by(conditions: &[Node]) -> BTreeSet<String> {
    let texts = conditions.iter().filter_map(Node::text);
    texts.flat_map(defined_where).collect()
}

/// Is the file a vault, or a file in the directory?
fn holds_vault(path: &Path) -> bool {
    use std::io::Read as _;
    if let Ok(entries) = std::fs::read_dir(path) {
        return entries.flatten().any(|e| holds_vault(&e.path()));
    }
    let mut start = Vec::new();
    let read = std::fs::File::open(path).map(|f| f.take(32).read_to_end(&mut start));
    matches!(read, Ok(Ok(_))) && crate::vault::is_vault(&start)
}

/// What to do about an argument that is none of the module's, where it is something else.
fn misplaced(task: &Task, wrong: &mut Diagnostic) {
    let Kind::Map(entries) = &task.args.kind else {
        return;
    };
    let at = wrong.primary.as_ref().map(|label| label.span);
    let key = entries.iter().find(|(key, _)| Some(key.span) == at);
    let Some(name) = key.and_then(|(key, _)| key.text()) else {
        return;
    };
    if wrong.id != "unknown-argument" {
        return;
    }
    let module = task.module.name();
    wrong.help = Some(match (module, name) {
        ("command" | "shell", "warn") => "leave it out: nothing is warned of".to_owned(),
        ("command", "executable") => {
            "leave it out: no shell runs this; `shell` takes `executable`".to_owned()
        }
        _ if crate::playbook::is_task_keyword(name) => format!(
            "`{name}` is a keyword of the task, no argument of `{module}`: it belongs one level up, beside `{module}`"
        ),
        _ => return,
    });
}

/// Places of the keys that the module takes though its schema does not name them.
fn aliases_in(task: &Task, schema: &serde_json::Value) -> Vec<Span> {
    let Kind::Map(entries) = &task.args.kind else {
        return Vec::new();
    };
    let properties = schema
        .get("properties")
        .and_then(serde_json::Value::as_object);
    entries
        .iter()
        .map(|(key, _)| key)
        .filter(|key| {
            let name = key.text().unwrap_or_default();
            properties.is_some_and(|p| !p.contains_key(name)) && task.module.accepts(name)
        })
        .map(|key| key.span)
        .collect()
}

/// Functions that expressions may call.
const FUNCTIONS: &[&str] = &[
    "lookup",
    "query",
    "q",
    "range",
    "dict",
    "namespace",
    "now",
    "debug",
    "joiner",
    "cycler",
    "lipsum",
    "undef",
    "self",
    "loop",
    "caller",
    "randrange",
];

fn start(span: Span) -> Span {
    Span {
        end: span.start,
        ..span
    }
}

fn names_of_loop(var: &str, index: Option<&str>) -> Vec<String> {
    let mut names = vec![var.to_owned(), "ansible_loop_var".to_owned()];
    names.extend(index.map(str::to_owned));
    names
}

fn loop_names(item: &Item) -> Vec<String> {
    match item {
        Item::Include(include) => include
            .looped
            .as_ref()
            .map(|l| names_of_loop(&l.var, l.index_var.as_deref()))
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The arguments without those that hold expressions.
fn without(args: &Node, expressions: &[&str]) -> Node {
    let Kind::Map(entries) = &args.kind else {
        return args.clone();
    };
    let kept = entries.iter().map(|(k, v)| {
        if expressions.contains(&k.text().unwrap_or_default()) {
            (
                k.clone(),
                Node {
                    span: v.span,
                    kind: Kind::Value(Value::Unknown("an expression".to_owned())),
                },
            )
        } else {
            (k.clone(), v.clone())
        }
    });
    Node {
        span: args.span,
        kind: Kind::Map(kept.collect()),
    }
}

fn collect(node: &Node, found: &mut Vec<(Node, bool)>) {
    match &node.kind {
        Kind::Scalar { text, .. } if is_template(text) => found.push((node.clone(), false)),
        Kind::Scalar { .. } | Kind::Value(_) | Kind::Encrypted(_) => {}
        Kind::Seq(items) => items.iter().for_each(|n| collect(n, found)),
        Kind::Map(entries) => entries.iter().for_each(|(k, v)| {
            collect(k, found);
            collect(v, found);
        }),
    }
}

/// Siblings that wait for each other by `needs`.
fn cycle_among(items: &[Item], parallel: bool) -> Vec<Diagnostic> {
    let mut wrong = Vec::new();
    let mut graph = petgraph::stable_graph::StableDiGraph::<usize, ()>::new();
    let nodes: Vec<_> = (0..items.len()).map(|at| graph.add_node(at)).collect();
    let mut place: BTreeMap<String, usize> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        item.each(&mut |inner| {
            if let Some(id) = &inner.common().id {
                place.insert(id.clone(), at);
            }
        });
    }
    for (at, item) in items.iter().enumerate() {
        for (id, span) in item.common().needs.iter().zip(&item.common().needs_at) {
            match place.get(id) {
                Some(other) if *other == at => {
                    let own = Diagnostic::error(
                        "cycle",
                        format!("this waits for itself: `{id}` is within it"),
                    );
                    wrong.push(own.at(*span, ""));
                }
                Some(other) => {
                    graph.add_edge(nodes[*other], nodes[at], ());
                    if !parallel && *other > at {
                        let late = Diagnostic::error(
                            "cycle",
                            format!("`{id}` stands below this task, which waits for it"),
                        );
                        wrong.push(
                            late.at(*span, "")
                                .help("outside a parallel block tasks run in written order"),
                        );
                    }
                }
                None => {}
            }
        }
    }
    if parallel && petgraph::algo::is_cyclic_directed(&graph) {
        let in_cycle: Vec<usize> = petgraph::algo::tarjan_scc(&graph)
            .into_iter()
            .find(|component| component.len() > 1)
            .map(|component| component.into_iter().map(|n| n.index()).collect())
            .unwrap_or_default();
        if let Some(first) = in_cycle.iter().min() {
            let common = items[*first].common();
            let ids: Vec<&str> = in_cycle
                .iter()
                .filter_map(|at| items[*at].common().id.as_deref())
                .collect();
            let message = format!("these wait for each other: {}", ids.join(", "));
            let span = common
                .needs_at
                .first()
                .copied()
                .unwrap_or(start(common.span));
            wrong.push(Diagnostic::error("cycle", message).at(span, ""));
        }
    }
    wrong
}
