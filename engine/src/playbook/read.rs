//! From nodes to plays and tasks. Everything that is wrong is reported; nothing stops at the first mistake.

use super::keywords::{BLOCK, PLAY, TASK, take, texts, unknown};
use super::{
    Block, Entry, Include, Item, Keywords, Meta, Play, Task, other_name, split_key_values,
};
use crate::diag::{Diagnostic, nearest};
use crate::source::{Kind, Node, Span};

/// What the reader has to know of modules.
pub trait ModuleNames {
    /// Names of all modules.
    fn names(&self) -> Vec<String>;
    /// The argument that a bare text sets, if any.
    fn free_form(&self, module: &str) -> Option<String>;
    /// Names of its arguments.
    fn arguments(&self, module: &str) -> Vec<String>;
}

/// Reads a playbook.
pub fn read_playbook(
    document: &Node,
    modules: &dyn ModuleNames,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Entry> {
    let mut reader = Reader { modules, errors };
    let Kind::Seq(plays) = &document.kind else {
        let wrong = Diagnostic::error("wrong-type", "a playbook is a list of plays");
        reader.errors.push(
            wrong
                .at(start_of(document), "")
                .help("begin each play with `- name:` and `hosts:`"),
        );
        return Vec::new();
    };
    plays.iter().filter_map(|play| reader.entry(play)).collect()
}

/// Reads a list of tasks (the content of an included file).
pub fn read_tasks(
    document: &Node,
    modules: &dyn ModuleNames,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Item> {
    Reader { modules, errors }.items(document, "the file", false)
}

fn start_of(node: &Node) -> Span {
    Span {
        end: node.span.start,
        ..node.span
    }
}

struct Reader<'a> {
    modules: &'a dyn ModuleNames,
    errors: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn entry(&mut self, node: &Node) -> Option<Entry> {
        let Kind::Map(entries) = &node.kind else {
            self.errors
                .push(Diagnostic::error("wrong-type", "a play is a mapping").at(node.span, ""));
            return None;
        };
        let import = entries.iter().find(|(k, _)| base(k) == "import_playbook");
        if let Some((_, file)) = import {
            let mut keywords = Keywords::default();
            for (key, value) in entries {
                let name = key.text().unwrap_or_default();
                let known = ["name", "vars", "when", "tags", "import_playbook"];
                if !known.contains(&base(key))
                    || !(base(key) == "import_playbook"
                        || take(&mut keywords, name, value, self.errors))
                {
                    self.errors.push(unknown(key, &known, "an import"));
                }
            }
            let Keywords {
                vars, when, tags, ..
            } = keywords;
            return Some(Entry::Import {
                file: file.clone(),
                vars,
                when,
                tags,
                span: node.span,
            });
        }
        Some(Entry::Play(Box::new(self.play(node, entries)?)))
    }

    fn play(&mut self, node: &Node, entries: &[(Node, Node)]) -> Option<Play> {
        let mut play = Play {
            span: node.span,
            name: None,
            hosts: node.clone(),
            sections: [Vec::new(), Vec::new(), Vec::new()],
            handlers: Vec::new(),
            keywords: Keywords::default(),
            vars_files: Vec::new(),
            gather_facts: None,
            strategy: None,
        };
        let mut hosts = None;
        for (key, value) in entries {
            match key.text().unwrap_or_default() {
                "hosts" => hosts = Some(value.clone()),
                "pre_tasks" => play.sections[0] = self.items(value, "`pre_tasks`", false),
                "tasks" => play.sections[1] = self.items(value, "`tasks`", false),
                "post_tasks" => play.sections[2] = self.items(value, "`post_tasks`", false),
                "handlers" => play.handlers = self.items(value, "`handlers`", true),
                "vars_files" => play.vars_files = texts(value, "vars_files", self.errors),
                "gather_facts" => play.gather_facts = Some(value.clone()),
                "strategy" => {
                    if !matches!(value.text(), Some("linear" | "free")) {
                        let wrong =
                            Diagnostic::error("bad-value", "`strategy` is `linear` or `free`");
                        self.errors.push(wrong.at(value.span, ""));
                    }
                    play.strategy = Some(value.clone());
                }
                name if PLAY.contains(&name)
                    && take(&mut play.keywords, name, value, self.errors) => {}
                _ => self.errors.push(unknown(key, PLAY, "a play")),
            }
        }
        play.name.clone_from(&play.keywords.name);
        let Some(hosts) = hosts else {
            let missing = Diagnostic::error("missing-hosts", "the play has no `hosts`")
                .at(start_of(node), "");
            self.errors
                .push(missing.help("name a group, a host, `sites` or `all`"));
            return None;
        };
        play.hosts = hosts;
        Some(play)
    }

    fn items(&mut self, node: &Node, of: &str, handlers: bool) -> Vec<Item> {
        match &node.kind {
            Kind::Seq(items) => items
                .iter()
                .filter_map(|item| self.item(item, handlers))
                .collect(),
            Kind::Scalar { text, plain: true } if text.is_empty() => Vec::new(),
            _ => {
                let wrong = Diagnostic::error("wrong-type", format!("{of} takes a list of tasks"));
                self.errors.push(wrong.at(start_of(node), ""));
                Vec::new()
            }
        }
    }

    fn item(&mut self, node: &Node, handler: bool) -> Option<Item> {
        let Kind::Map(entries) = &node.kind else {
            let wrong = Diagnostic::error(
                "wrong-type",
                "a task is a mapping: its keywords and one module",
            );
            self.errors.push(wrong.at(node.span, ""));
            return None;
        };
        if entries
            .iter()
            .any(|(k, _)| matches!(k.text(), Some("block" | "rescue" | "always")))
        {
            return Some(self.block(node, entries, handler));
        }
        for (key, value) in entries {
            match base(key) {
                "include_tasks" | "import_tasks" => {
                    return self.include(node, entries, base(key) == "import_tasks", value);
                }
                "meta" => return Some(self.meta(node, entries, value)),
                _ => {}
            }
        }
        self.task(node, entries, handler)
    }

    fn block(&mut self, node: &Node, entries: &[(Node, Node)], handler: bool) -> Item {
        let mut block = Block {
            span: node.span,
            keywords: Keywords::default(),
            parallel: None,
            items: Vec::new(),
            rescue: Vec::new(),
            always: Vec::new(),
        };
        let mut has_block = false;
        for (key, value) in entries {
            match key.text().unwrap_or_default() {
                "block" => {
                    has_block = true;
                    block.items = self.items(value, "`block`", handler);
                }
                "rescue" => block.rescue = self.items(value, "`rescue`", handler),
                "always" => block.always = self.items(value, "`always`", handler),
                "parallel" => block.parallel = Some(value.clone()),
                name if BLOCK.contains(&name)
                    && take(&mut block.keywords, name, value, self.errors) => {}
                _ => self.errors.push(unknown(key, BLOCK, "a block")),
            }
        }
        if !has_block {
            let missing =
                Diagnostic::error("missing-block", "`rescue` and `always` belong to a `block`");
            self.errors.push(missing.at(start_of(node), ""));
        }
        Item::Block(Box::new(block))
    }

    fn include(
        &mut self,
        node: &Node,
        entries: &[(Node, Node)],
        is_static: bool,
        value: &Node,
    ) -> Option<Item> {
        let mut keywords = Keywords::default();
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            if matches!(base(key), "include_tasks" | "import_tasks") {
                continue;
            }
            if !(TASK.contains(&name) && take(&mut keywords, name, value, self.errors)) {
                self.errors.push(unknown(key, TASK, "a task"));
            }
        }
        let (mut file, mut apply) = (value.clone(), None);
        if let Kind::Map(arguments) = &value.kind {
            let mut found = None;
            for (key, value) in arguments {
                match key.text().unwrap_or_default() {
                    "file" | "_raw_params" => found = Some(value.clone()),
                    "apply" if !is_static => {
                        let mut inner = Keywords::default();
                        if let Kind::Map(entries) = &value.kind {
                            for (key, value) in entries {
                                let name = key.text().unwrap_or_default();
                                if !(BLOCK.contains(&name)
                                    && take(&mut inner, name, value, self.errors))
                                {
                                    self.errors.push(unknown(key, BLOCK, "a block"));
                                }
                            }
                        }
                        apply = Some(Box::new(inner));
                    }
                    other => {
                        let wrong = Diagnostic::error(
                            "unknown-argument",
                            format!("unknown argument `{other}`"),
                        );
                        self.errors.push(
                            wrong
                                .at(key.span, "")
                                .help("there are: file, apply (of include_tasks)"),
                        );
                    }
                }
            }
            match found {
                Some(found) => file = found,
                None => {
                    let missing =
                        Diagnostic::error("missing-argument", "the argument `file` is missing");
                    self.errors.push(missing.at(start_of(value), ""));
                    return None;
                }
            }
        }
        if is_static && keywords.looped.is_some() {
            let wrong = Diagnostic::error(
                "import-loop",
                "`import_tasks` is resolved before the run and cannot loop",
            );
            self.errors
                .push(wrong.at(node.span, "").help("use `include_tasks`"));
        }
        Some(Item::Include(Box::new(Include {
            span: node.span,
            keywords,
            is_static,
            file,
            apply,
        })))
    }

    fn meta(&mut self, node: &Node, entries: &[(Node, Node)], action: &Node) -> Item {
        let mut keywords = Keywords::default();
        for (key, value) in entries.iter().filter(|(k, _)| base(k) != "meta") {
            let name = key.text().unwrap_or_default();
            if !(TASK.contains(&name) && take(&mut keywords, name, value, self.errors)) {
                self.errors.push(unknown(key, TASK, "a task"));
            }
        }
        Item::Meta(Box::new(Meta {
            span: node.span,
            keywords,
            action: action.clone(),
        }))
    }

    fn task(&mut self, node: &Node, entries: &[(Node, Node)], handler: bool) -> Option<Item> {
        let names = self.modules.names();
        let mut keywords = Keywords::default();
        let mut listen = Vec::new();
        let mut more_args = None;
        let mut module: Option<(&Node, String, &Node)> = None;
        let mut wrong = false;
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            match name {
                "args" => more_args = Some(value),
                "listen" if handler => listen = texts(value, "listen", self.errors),
                "action" => {
                    let wrong =
                        Diagnostic::error("unknown-keyword", "`action` is Ansible's old form");
                    self.errors.push(
                        wrong
                            .at(key.span, "")
                            .help("write the module's name as the key"),
                    );
                }
                _ if TASK.contains(&name) && take(&mut keywords, name, value, self.errors) => {}
                _ => {
                    let short = base(key).to_owned();
                    let known = names.contains(&short);
                    if let (true, Some((first, _, _))) = (known, &module) {
                        let two = Diagnostic::error("two-modules", "a task calls one module");
                        self.errors
                            .push(two.at(key.span, "the second").and(first.span, "the first"));
                        wrong = true;
                    } else if known {
                        module = Some((key, short, value));
                    } else {
                        self.errors
                            .push(self.unknown_key(key, &short, &names, entries));
                        wrong = true;
                    }
                }
            }
        }
        let Some((key, module, value)) = module else {
            if !wrong {
                let missing = Diagnostic::error("missing-module", "this task calls no module")
                    .at(start_of(node), "");
                self.errors.push(missing.help(
                    "a task is its keywords and one module, as in `copy: {src: a, dest: /b}`",
                ));
            }
            return None;
        };
        let args = self.arguments(&module, value, more_args)?;
        let task = Task {
            span: node.span,
            keywords,
            module,
            module_span: key.span,
            args,
            listen,
        };
        Some(Item::Task(Box::new(task)))
    }

    /// A key that is neither a keyword nor a module: probably the one that is missing.
    fn unknown_key(
        &self,
        key: &Node,
        short: &str,
        names: &[String],
        entries: &[(Node, Node)],
    ) -> Diagnostic {
        let has_module = entries
            .iter()
            .any(|(k, _)| names.iter().any(|n| n == base(k)));
        if has_module || super::keywords::not_here(short).is_some() {
            return unknown(key, TASK, "a task");
        }
        let near_keyword = nearest(short, TASK.iter().copied());
        let near_module = nearest(short, names.iter().map(String::as_str));
        let id = "unknown-module";
        let at = |d: Diagnostic| d.at(key.span, "");
        if let Some(instead) = other_name(short) {
            return at(Diagnostic::error(
                id,
                format!("there is no module `{short}`"),
            ))
            .help(instead);
        }
        match (near_module, near_keyword) {
            (Some(near), _) => at(Diagnostic::error(
                id,
                format!("there is no module `{short}`"),
            ))
            .help(format!("did you mean `{near}`?")),
            (None, Some(_)) => unknown(key, TASK, "a task"),
            (None, None) => at(Diagnostic::error(
                id,
                format!("there is no module `{short}`"),
            ))
            .help("`runbook doc` lists the modules"),
        }
    }

    /// The arguments as a mapping.
    fn arguments(&mut self, module: &str, value: &Node, more: Option<&Node>) -> Option<Node> {
        let free = self.modules.free_form(module);
        let mut args = match &value.kind {
            Kind::Scalar { text, .. } if !text.trim().is_empty() => {
                let known = self.modules.arguments(module);
                match split_key_values(value, text, free.as_deref(), &known) {
                    Ok(args) => args,
                    Err((span, message)) => {
                        let wrong = Diagnostic::error("key-value", message).at(span, "");
                        self.errors
                            .push(wrong.help("write the arguments as a mapping"));
                        return None;
                    }
                }
            }
            Kind::Scalar { .. } => Node {
                span: value.span,
                kind: Kind::Map(Vec::new()),
            },
            Kind::Seq(_) if free.is_some() => {
                let name = Node {
                    span: value.span,
                    kind: Kind::Scalar {
                        text: "argv".to_owned(),
                        plain: true,
                    },
                };
                Node {
                    span: value.span,
                    kind: Kind::Map(vec![(name, value.clone())]),
                }
            }
            Kind::Map(_) | Kind::Value(_) => value.clone(),
            Kind::Seq(_) => {
                let wrong =
                    Diagnostic::error("wrong-type", "the arguments of a module are a mapping");
                self.errors.push(wrong.at(value.span, ""));
                return None;
            }
        };
        if let Some(more) = more {
            match (&mut args.kind, &more.kind) {
                (Kind::Map(entries), Kind::Map(added)) => entries.extend(added.iter().cloned()),
                _ => {
                    let wrong = Diagnostic::error("wrong-type", "`args` takes a mapping");
                    self.errors.push(wrong.at(more.span, ""));
                }
            }
        }
        Some(args)
    }
}

/// The last part of a key: `ansible.builtin.copy` is `copy`.
fn base(key: &Node) -> &str {
    let name = key.text().unwrap_or_default();
    let parts = name.split('.').count();
    if parts == 3 {
        name.rsplit('.').next().unwrap_or(name)
    } else {
        name
    }
}
