//! Lists of tasks: imports resolved, keywords inherited, ids given.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Tools;
use super::inherit::Inherited;
use super::program::{
    Block, Common, Include, IncludeFn, Item, Layer, Loop, Meta, MetaAction, Task,
};
use crate::diag::Diagnostic;
use crate::inventory::{Inventory, Pattern};
use crate::playbook::{self, Keywords};
use crate::source::{Kind, Node, Span, untyped};
use crate::template::is_template;
use crate::value::Value;

/// Imports may nest this deep.
const DEEPEST: usize = 50;

/// Compiles lists of items of one play.
#[derive(Clone)]
pub(super) struct ItemCompiler {
    pub tools: Arc<Tools>,
    pub inventory: Arc<Inventory>,
    /// Relative paths start here.
    pub folder: PathBuf,
    /// All hosts of the play.
    pub hosts: BTreeSet<String>,
    pub errors: Vec<Diagnostic>,
    /// Variables that tasks would have set which could not be understood.
    pub lost: BTreeSet<String>,
    pub depth: usize,
}

impl ItemCompiler {
    /// A list.
    pub fn items(
        &mut self,
        items: &[playbook::Item],
        inherited: &Inherited,
        path: &str,
    ) -> Vec<Item> {
        let mut compiled = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            self.item(
                item,
                inherited,
                &format!("{path}/{at}"),
                false,
                &mut compiled,
            );
        }
        compiled
    }

    /// The handlers of a play; blocks among them only hold handlers together.
    pub fn handlers(
        &mut self,
        items: &[playbook::Item],
        inherited: &Inherited,
        path: &str,
    ) -> Vec<Arc<Task>> {
        let mut compiled = Vec::new();
        for (at, item) in items.iter().enumerate() {
            self.item(
                item,
                inherited,
                &format!("{path}/{at}"),
                true,
                &mut compiled,
            );
        }
        let mut handlers = Vec::new();
        for item in &compiled {
            item.each(&mut |inner| {
                if let Item::Task(task) = inner {
                    handlers.push(task.clone());
                }
            });
        }
        handlers
    }

    fn item(
        &mut self,
        item: &playbook::Item,
        inherited: &Inherited,
        path: &str,
        handler: bool,
        out: &mut Vec<Item>,
    ) {
        match item {
            playbook::Item::Task(task) => out.extend(self.task(task, inherited, path, handler)),
            playbook::Item::Block(block) => out.push(self.block(block, inherited, path, handler)),
            playbook::Item::Include(include) if include.is_static => {
                self.import(include, inherited, path, handler, out);
            }
            playbook::Item::Include(include) => out.extend(self.include(include, inherited, path)),
            playbook::Item::Meta(meta) => out.extend(self.meta(meta, inherited, path)),
            playbook::Item::Lost(names) => self.lost.extend(names.iter().cloned()),
        }
    }

    fn hosts_of(&mut self, keywords: &Keywords) -> Option<BTreeSet<String>> {
        let node = keywords.hosts.as_ref()?;
        let text = match &node.kind {
            Kind::Seq(items) => items
                .iter()
                .filter_map(|i| i.text())
                .collect::<Vec<_>>()
                .join(","),
            _ => node.text().unwrap_or_default().to_owned(),
        };
        match Pattern::parse(&text) {
            Ok(pattern) => {
                let (hosts, unknown) = pattern.hosts(&self.inventory);
                for name in unknown {
                    let known: Vec<&str> = self
                        .inventory
                        .groups
                        .keys()
                        .chain(self.inventory.hosts.keys())
                        .map(String::as_str)
                        .collect();
                    let wrong = Diagnostic::error(
                        "unknown-host",
                        format!("`hosts`: there is no host or group `{name}`"),
                    );
                    self.errors
                        .push(wrong.at(node.span, "").suggest(&name, known));
                }
                Some(
                    hosts
                        .into_iter()
                        .filter(|h| self.hosts.contains(h))
                        .collect(),
                )
            }
            Err(message) => {
                self.errors
                    .push(Diagnostic::error("bad-pattern", message).at(node.span, ""));
                None
            }
        }
    }

    fn common(&mut self, span: Span, own: &Keywords, inner: &Inherited, path: &str) -> Common {
        let plain = |node: &Node| {
            let text = node.text().unwrap_or_default().to_owned();
            (!text.is_empty()).then_some(text)
        };
        let id = own.id.as_ref().and_then(plain);
        if let Some(node) = own.id.as_ref().filter(|n| n.text().is_none_or(is_template)) {
            let wrong = Diagnostic::error(
                "bad-id",
                "an id is a plain word: `needs` and `before` name it",
            );
            self.errors.push(wrong.at(node.span, ""));
        }
        Common {
            path: path.to_owned(),
            id,
            name: own.name.clone(),
            span,
            hosts: inner.hosts.clone(),
            when: inner.when.clone(),
            layers: inner.layers.clone(),
            needs: own.needs.iter().filter_map(plain).collect(),
            before: own.before.iter().filter_map(plain).collect(),
            tags: inner.tags.clone(),
            selected: true,
            run_once: inner
                .run_once
                .as_ref()
                .is_some_and(|n| untyped(n) == Value::Bool(true)),
            needs_at: own.needs.iter().map(|n| n.span).collect(),
            before_at: own.before.iter().map(|n| n.span).collect(),
        }
    }

    fn task(
        &mut self,
        task: &playbook::Task,
        inherited: &Inherited,
        path: &str,
        handler: bool,
    ) -> Option<Item> {
        let own = &task.keywords;
        let hosts = self.hosts_of(own);
        let inner = inherited.inner(own, hosts);
        let module = self.tools.registry.find_module(&task.module)?.clone();
        let common = self.common(task.span, own, &inner, path);
        let args = defaults_under(&task.args, &inner.module_defaults, &task.module);
        let register = own
            .register
            .as_ref()
            .and_then(|n| self.variable_name(n, "register"));
        let looped = self.looped(own);
        let schema = module.schema();
        let takes_environment = schema.pointer("/properties/environment").is_some();
        if !takes_environment && own.environment.is_some() && task.module != "block" {
            let wrong = Diagnostic::warning(
                "environment-unused",
                format!("`{}` does not run in an environment", task.module),
            );
            if let Some(node) = &own.environment {
                self.errors.push(wrong.at(node.span, "this has no effect"));
            }
        }
        Some(Item::Task(Arc::new(Task {
            common,
            module,
            args,
            looped,
            register,
            until: own.until.clone(),
            retries: own.retries.clone(),
            delay: own.delay.clone(),
            notify: inner.notify.clone(),
            listen: task
                .listen
                .iter()
                .filter_map(|n| n.text().map(str::to_owned))
                .collect(),
            handler,
            changed_when: own.changed_when.clone(),
            failed_when: own.failed_when.clone(),
            ignore_errors: inner.ignore_errors.clone(),
            ignore_unreachable: inner.ignore_unreachable.clone(),
            check_mode: inner.check_mode.clone(),
            no_log: inner.no_log.clone(),
            become_: inner.become_.clone(),
            become_user: inner.become_user.clone(),
            environment: inner.environment.clone(),
            takes_environment,
            delegate_to: inner.delegate_to.clone(),
        })))
    }

    fn variable_name(&mut self, node: &Node, keyword: &str) -> Option<String> {
        let name = node.text().unwrap_or_default();
        let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.chars().next().is_some_and(|c| !c.is_ascii_digit());
        if word {
            return Some(name.to_owned());
        }
        let wrong = Diagnostic::error(
            "bad-name",
            format!("`{keyword}` takes the name of a variable"),
        );
        self.errors.push(
            wrong
                .at(node.span, "")
                .help("letters, digits and `_`, not beginning with a digit"),
        );
        None
    }

    fn looped(&mut self, own: &Keywords) -> Option<Loop> {
        let items = own.looped.clone()?;
        let mut looped = Loop {
            items,
            var: "item".to_owned(),
            index_var: None,
            label: None,
            pause: None,
        };
        if let Some(Node {
            kind: Kind::Map(entries),
            ..
        }) = &own.loop_control
        {
            for (key, value) in entries {
                match key.text().unwrap_or_default() {
                    "loop_var" => {
                        looped.var = self.variable_name(value, "loop_var").unwrap_or(looped.var)
                    }
                    "index_var" => looped.index_var = self.variable_name(value, "index_var"),
                    "label" => looped.label = Some(value.clone()),
                    "pause" => looped.pause = Some(value.clone()),
                    "extended" | "break_when" => {}
                    other => {
                        let wrong = Diagnostic::error(
                            "unknown-keyword",
                            format!("unknown keyword `{other}` of `loop_control`"),
                        );
                        let known = ["loop_var", "index_var", "label", "pause"];
                        self.errors
                            .push(wrong.at(key.span, "").suggest(other, known));
                    }
                }
            }
        }
        Some(looped)
    }

    fn block(
        &mut self,
        block: &playbook::Block,
        inherited: &Inherited,
        path: &str,
        handler: bool,
    ) -> Item {
        let hosts = self.hosts_of(&block.keywords);
        let inner = inherited.inner(&block.keywords, hosts);
        let mut common = self.common(block.span, &block.keywords, &inner, path);
        common.run_once = false;
        let mut list = |items: &[playbook::Item], part: &str| {
            let mut compiled = Vec::with_capacity(items.len());
            for (at, item) in items.iter().enumerate() {
                self.item(
                    item,
                    &inner,
                    &format!("{path}/{part}/{at}"),
                    handler,
                    &mut compiled,
                );
            }
            compiled
        };
        let (items, rescue, always) = (
            list(&block.items, "block"),
            list(&block.rescue, "rescue"),
            list(&block.always, "always"),
        );
        let mut flag = |name: &str, node: &Option<Node>| {
            node.as_ref().is_some_and(|n| {
                let value = untyped(n);
                if !matches!(value, Value::Bool(_)) {
                    let wrong =
                        Diagnostic::error("wrong-type", format!("`{name}` is true or false"));
                    self.errors.push(wrong.at(n.span, ""));
                }
                value == Value::Bool(true)
            })
        };
        let parallel = flag("parallel", &block.parallel);
        let collect_failures = flag("collect_failures", &block.collect_failures);
        // `before` of a block holds for each of its tasks.
        let mut made = Block {
            common,
            parallel,
            collect_failures,
            items,
            rescue,
            always,
        };
        if !made.common.before.is_empty() {
            let (before, at) = (made.common.before.clone(), made.common.before_at.clone());
            for item in made
                .items
                .iter_mut()
                .chain(&mut made.rescue)
                .chain(&mut made.always)
            {
                add_before(item, &before, &at);
            }
        }
        Item::Block(Arc::new(made))
    }

    fn import(
        &mut self,
        include: &playbook::Include,
        inherited: &Inherited,
        path: &str,
        handler: bool,
        out: &mut Vec<Item>,
    ) {
        let name = include.file.text().unwrap_or_default().to_owned();
        if is_template(&name) {
            let wrong = Diagnostic::error(
                "import-unknown",
                "the file of an import has to be known beforehand",
            );
            self.errors
                .push(wrong.at(include.file.span, "").help("use `include_tasks`"));
            return;
        }
        let Some((items, folder)) = self.read(&name, include.file.span) else {
            return;
        };
        let hosts = self.hosts_of(&include.keywords);
        let inner = inherited.inner(&include.keywords, hosts);
        let mut compiled = Vec::new();
        let outer = std::mem::replace(&mut self.folder, folder);
        self.depth += 1;
        for (at, item) in items.iter().enumerate() {
            self.item(
                item,
                &inner,
                &format!("{path}/{at}"),
                handler,
                &mut compiled,
            );
        }
        self.depth -= 1;
        self.folder = outer;
        let before: Vec<String> = include
            .keywords
            .before
            .iter()
            .filter_map(|n| n.text().map(str::to_owned))
            .collect();
        let at: Vec<Span> = include.keywords.before.iter().map(|n| n.span).collect();
        if !before.is_empty() {
            compiled
                .iter_mut()
                .for_each(|item| add_before(item, &before, &at));
        }
        let own = &include.keywords;
        if own.id.is_some() || !own.needs.is_empty() {
            // What is named as a whole is kept as a whole.
            let mut common = self.common(include.span, own, &inner, path);
            common.run_once = false;
            let block = Block {
                common,
                parallel: false,
                collect_failures: false,
                items: compiled,
                rescue: Vec::new(),
                always: Vec::new(),
            };
            out.push(Item::Block(Arc::new(block)));
        } else {
            out.extend(compiled);
        }
    }

    fn read(&mut self, name: &str, span: Span) -> Option<(Vec<playbook::Item>, PathBuf)> {
        let path = self.folder.join(name);
        if self.depth > DEEPEST {
            let wrong = Diagnostic::error(
                "import-cycle",
                format!("{} is imported within itself", path.display()),
            );
            self.errors.push(wrong.at(span, ""));
            return None;
        }
        if !path.is_file() {
            let missing = Diagnostic::error(
                "missing-file",
                format!("there is no file {}", path.display()),
            );
            self.errors.push(missing.at(span, ""));
            return None;
        }
        let documents = self.tools.sources.documents(&path, &mut self.errors);
        let documents: Vec<Node> = documents.into_iter().map(Node::of_playbook).collect();
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let tools = self.tools.clone();
        let registry = tools.registry.as_ref();
        let document = documents.into_iter().next();
        let items = document
            .map(|d| playbook::read_tasks(&d, &tools.sources, registry, &mut self.errors))
            .unwrap_or_default();
        Some((items, folder))
    }

    fn include(
        &mut self,
        include: &playbook::Include,
        inherited: &Inherited,
        path: &str,
    ) -> Option<Item> {
        let hosts = self.hosts_of(&include.keywords);
        let own = inherited.inner(&include.keywords, hosts);
        let common = self.common(include.span, &include.keywords, &own, path);
        let looped = self.looped(&include.keywords);
        // As in Ansible: the tasks of a dynamic include inherit from around it and from `apply`, and its variables,
        // not its own condition and tags.
        let mut inner = inherited.clone();
        inner.layers.clone_from(&own.layers);
        inner.hosts.clone_from(&own.hosts);
        if let Some(apply) = &include.apply {
            inner = inner.inner(apply, None);
        }
        let text = include.file.text().unwrap_or_default();
        if !is_template(text) {
            // What is known is checked now; the same text is compiled again when it is reached.
            if let Some((items, folder)) = self.read(text, include.file.span) {
                let outer = std::mem::replace(&mut self.folder, folder);
                self.depth += 1;
                let checked = self.items(&items, &inner, path);
                self.depth -= 1;
                self.folder = outer;
                drop(checked);
            }
        }
        let template = Self {
            errors: Vec::new(),
            ..self.clone()
        };
        let prefix = path.to_owned();
        let compile = move |file: &Path, layer: Option<Layer>, index: usize| {
            let mut compiler = template.clone();
            let mut inner = inner.clone();
            inner.layers.extend(layer);
            compiler.folder = file.parent().map(Path::to_owned).unwrap_or_default();
            compiler.depth += 1;
            let name = file
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            let span = Span {
                file: crate::source::FileId::NOWHERE,
                start: 0,
                end: 0,
            };
            let items = compiler
                .read(&name, span)
                .map(|(items, _)| compiler.items(&items, &inner, &format!("{prefix}/{index}")))
                .unwrap_or_default();
            let sources = compiler.tools.sources.clone();
            let wrong: Vec<Diagnostic> = compiler.errors;
            if wrong.is_empty() {
                Ok(items)
            } else {
                Err(crate::diag::plain(&wrong, &sources))
            }
        };
        let compile: Arc<IncludeFn> = Arc::new(compile);
        let folder = self.folder.clone();
        Some(Item::Include(Arc::new(Include {
            common,
            file: include.file.clone(),
            folder,
            looped,
            compile,
        })))
    }

    fn meta(&mut self, meta: &playbook::Meta, inherited: &Inherited, path: &str) -> Option<Item> {
        let known = [
            "flush_handlers",
            "end_host",
            "end_play",
            "clear_host_errors",
            "reset_connection",
            "noop",
        ];
        let action = match meta.action.text().unwrap_or_default() {
            "flush_handlers" => MetaAction::FlushHandlers,
            "end_host" => MetaAction::EndHost,
            "end_play" => MetaAction::EndPlay,
            "clear_host_errors" => MetaAction::ClearHostErrors,
            "reset_connection" => MetaAction::ResetConnection,
            "noop" | "refresh_inventory" | "clear_facts" => MetaAction::Noop,
            other => {
                let wrong =
                    Diagnostic::error("bad-value", format!("`meta` does not know `{other}`"));
                self.errors
                    .push(wrong.at(meta.action.span, "").suggest(other, known));
                return None;
            }
        };
        let hosts = self.hosts_of(&meta.keywords);
        let inner = inherited.inner(&meta.keywords, hosts);
        let common = self.common(meta.span, &meta.keywords, &inner, path);
        Some(Item::Meta(Arc::new(Meta { common, action })))
    }
}

/// Lays arguments over the defaults that hold for the module, the innermost first.
fn defaults_under(args: &Node, defaults: &[Node], module: &str) -> Node {
    let Kind::Map(own) = &args.kind else {
        return args.clone();
    };
    let mut entries = own.clone();
    for level in defaults.iter().rev() {
        let Kind::Map(modules) = &level.kind else {
            continue;
        };
        let of_module = modules.iter().filter(|(k, _)| {
            let name = k.text().unwrap_or_default();
            name == module || name.rsplit('.').next() == Some(module)
        });
        for (_, values) in of_module {
            let Kind::Map(values) = &values.kind else {
                continue;
            };
            for (key, value) in values {
                if !entries.iter().any(|(k, _)| k.text() == key.text()) {
                    entries.push((key.clone(), value.clone()));
                }
            }
        }
    }
    Node {
        span: args.span,
        kind: Kind::Map(entries),
    }
}

fn add_before(item: &mut Item, before: &[String], at: &[Span]) {
    let add = |common: &mut Common| {
        common.before.extend(before.iter().cloned());
        common.before_at.extend(at.iter().copied());
    };
    match item {
        // These were made just now and are shared with nobody.
        Item::Task(task) => {
            if let Some(task) = Arc::get_mut(task) {
                add(&mut task.common);
            }
        }
        Item::Block(block) => {
            if let Some(block) = Arc::get_mut(block) {
                for inner in block
                    .items
                    .iter_mut()
                    .chain(&mut block.rescue)
                    .chain(&mut block.always)
                {
                    add_before(inner, before, at);
                }
            }
        }
        Item::Include(_) | Item::Meta(_) => {}
    }
}
