//! From nodes to plays and tasks. Everything that is wrong is reported; nothing stops at the first mistake.

use super::keywords::{BLOCK, PLAY, TASK, take, texts, unknown};
use super::shapes::shaped;
use super::{
    Block, Entry, Free, Include, Item, Keywords, Meta, Play, Task, other_name, split_key_values,
};
use crate::diag::{Diagnostic, nearest};
use crate::source::{Kind, Node, Sources, Span, locate};

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
    sources: &Sources,
    modules: &dyn ModuleNames,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Entry> {
    let mut reader = Reader {
        sources,
        modules,
        errors,
    };
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
    sources: &Sources,
    modules: &dyn ModuleNames,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Item> {
    Reader {
        sources,
        modules,
        errors,
    }
    .items(document, "the file", false)
}

fn start_of(node: &Node) -> Span {
    Span {
        end: node.span.start,
        ..node.span
    }
}

fn is_for_localhost(play: &[(Node, Node)]) -> bool {
    let hosts = play.iter().find(|(key, _)| key.text() == Some("hosts"));
    hosts.is_some_and(|(_, hosts)| matches!(hosts.text(), Some("localhost" | "127.0.0.1")))
}

struct Reader<'a> {
    sources: &'a Sources,
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
            defaults_files: Vec::new(),
            prompts: Vec::new(),
            gather_facts: None,
            strategy: None,
            on_fail: None,
        };
        let mut hosts = None;
        let mut task = Vec::new();
        for (key, value) in entries {
            match key.text().unwrap_or_default() {
                "hosts" => hosts = Some(value.clone()),
                // It says what holds anyway.
                "connection" if value.text() == Some("local") && is_for_localhost(entries) => {}
                "pre_tasks" => play.sections[0] = self.items(value, "`pre_tasks`", false),
                "tasks" => play.sections[1] = self.items(value, "`tasks`", false),
                "post_tasks" => play.sections[2] = self.items(value, "`post_tasks`", false),
                "handlers" => play.handlers = self.items(value, "`handlers`", true),
                "vars_files" => play.vars_files = texts(value, "vars_files", self.errors),
                "defaults_files" => {
                    play.defaults_files = texts(value, "defaults_files", self.errors);
                }
                "vars_prompt" => play.prompts = super::prompts::read(value, self.errors),
                "gather_facts" => {
                    play.gather_facts = Some(shaped("gather_facts", value, self.errors));
                }
                "strategy" => {
                    if !matches!(value.text(), Some("linear" | "free")) {
                        let wrong =
                            Diagnostic::error("bad-value", "`strategy` is `linear` or `free`");
                        self.errors.push(wrong.at(value.span, ""));
                    }
                    play.strategy = Some(value.clone());
                }
                "on_fail" => {
                    if !matches!(value.text(), Some("stop" | "rollback")) {
                        let wrong =
                            Diagnostic::error("bad-value", "`on_fail` is `stop` or `rollback`");
                        self.errors.push(wrong.at(value.span, "").help(
                            "`stop`, the default, leaves a host or site that has failed as it is; `rollback` takes back \
                             what the play has done there",
                        ));
                    }
                    play.on_fail = Some(value.clone());
                }
                name if PLAY.contains(&name)
                    && take(&mut play.keywords, name, value, self.errors) => {}
                _ if self.is_task(key) => task.push(key),
                _ => self.errors.push(unknown(key, PLAY, "a play")),
            }
        }
        if let Some(key) = task.first() {
            let name = key.text().unwrap_or_default();
            let message = format!("`{name}` is a task, and this is where plays stand");
            let wrong = Diagnostic::error("task-outside-play", message).at(key.span, "");
            let help =
                "tasks stand under `tasks:` of a play; a file of tasks is read by `import_tasks`";
            self.errors.push(wrong.help(help));
            return None;
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

    fn is_task(&self, key: &Node) -> bool {
        let name = base(key);
        matches!(name, "block" | "include_tasks" | "import_tasks" | "meta")
            || self.modules.names().iter().any(|n| n == name)
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
        let is = |name: &str| entries.iter().find(|(k, _)| base(k) == name);
        if let (Some((key, _)), Some(_)) = (is("hosts"), is("tasks")) {
            let wrong = Diagnostic::error(
                "play-among-tasks",
                "this is a play, and this is where tasks stand",
            );
            let help = "a file of plays is read by `import_playbook`, beside plays";
            self.errors.push(wrong.at(key.span, "").help(help));
            return None;
        }
        if let Some((key, _)) = is("import_playbook") {
            let wrong = Diagnostic::error(
                "play-among-tasks",
                "`import_playbook` stands beside plays, not among tasks",
            );
            self.errors.push(
                wrong
                    .at(key.span, "")
                    .help("for a file of tasks there is `import_tasks`"),
            );
            return None;
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
            collect_failures: None,
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
                "parallel" => block.parallel = Some(shaped("parallel", value, self.errors)),
                "collect_failures" => {
                    block.collect_failures = Some(shaped("collect_failures", value, self.errors));
                }
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
                keywords.refused(key);
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
        let unfolded;
        let mut wrong = false;
        let entries = match self.action(entries, &mut keywords) {
            Some((found, is_sound)) => {
                wrong = !is_sound;
                unfolded = found;
                unfolded.as_slice()
            }
            None => entries,
        };
        let mut listen = Vec::new();
        let mut more_args = None;
        let mut strangers: Vec<&Node> = Vec::new();
        let mut module: Option<(&Node, String, &Node)> = None;
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            match name {
                "args" => more_args = Some(value),
                "listen" if handler => listen = texts(value, "listen", self.errors),
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
                        strangers.push(key);
                        keywords.refused(key);
                        wrong = true;
                    }
                }
            }
        }
        if let Some((key, module, value)) = &module
            && self.beside_its_module(key, module, value, &mut strangers)
        {
            return keywords.lost();
        }
        for key in strangers {
            let unknown = self.unknown_key(key, base(key), &names, entries);
            self.errors.push(unknown);
        }
        let Some((key, module, value)) = module else {
            if !wrong {
                let missing = Diagnostic::error("missing-module", "this task calls no module")
                    .at(start_of(node), "");
                self.errors.push(missing.help(
                    "a task is its keywords and one module, as in `copy: {src: a, dest: /b}`",
                ));
            }
            return keywords.lost();
        };
        let Some(args) = self.arguments(&module, value, more_args) else {
            return keywords.lost();
        };
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

    /// The arguments of a module that has none below it, where they stand beside it: one mistake for all of them. They
    /// are taken out of `strangers`.
    fn beside_its_module(
        &mut self,
        key: &Node,
        module: &str,
        value: &Node,
        strangers: &mut Vec<&Node>,
    ) -> bool {
        let empty = matches!(&value.kind, Kind::Scalar { text, plain: true } if text.is_empty());
        if !empty {
            return false;
        }
        let known = self.modules.arguments(module);
        let is_argument = |key: &&Node| known.iter().any(|k| Some(k.as_str()) == key.text());
        let arguments: Vec<&Node> = strangers.iter().copied().filter(is_argument).collect();
        let Some(first) = arguments.first() else {
            return false;
        };
        let names: Vec<String> = arguments
            .iter()
            .filter_map(|k| k.text().map(|t| format!("`{t}`")))
            .collect();
        let stand = if names.len() == 1 { "stands" } else { "stand" };
        let message = format!(
            "{} {stand} beside `{module}`, not below it",
            names.join(", ")
        );
        let wrong = Diagnostic::error("unknown-keyword", message)
            .at(first.span, "")
            .and(key.span, "of this module");
        self.errors.push(wrong.help(format!(
            "indent the arguments further than `{module}`: by two blanks more"
        )));
        strangers.retain(|key| !is_argument(key));
        for key in strangers.iter() {
            self.errors.push(unknown(key, TASK, "a task"));
        }
        true
    }

    /// The entries of a task with its module as a key, and whether they are sound:
    /// `action: copy src=a` and `action: {module: copy, src: a}` are `copy: …`; `local_action` also runs it here.
    fn action(
        &mut self,
        entries: &[(Node, Node)],
        keywords: &mut Keywords,
    ) -> Option<(Vec<(Node, Node)>, bool)> {
        let (at, (key, value)) = entries
            .iter()
            .enumerate()
            .find(|(_, (k, _))| matches!(k.text(), Some("action" | "local_action")))?;
        if key.text() == Some("local_action") {
            let text = "localhost".to_owned();
            keywords.delegate_to = Some(Node {
                span: key.span,
                kind: Kind::Scalar { text, plain: false },
            });
        }
        let call = match &value.kind {
            Kind::Map(inner) => {
                let (module, rest): (Vec<_>, Vec<_>) = inner
                    .iter()
                    .cloned()
                    .partition(|(k, _)| k.text() == Some("module"));
                let arguments = Node {
                    span: value.span,
                    kind: Kind::Map(rest),
                };
                module.into_iter().next().map(|(_, name)| (name, arguments))
            }
            Kind::Scalar { text, .. } => {
                let start = text.len() - text.trim_start().len();
                let end = text[start..]
                    .find(char::is_whitespace)
                    .map_or(text.len(), |n| start + n);
                let part = |from: usize, to: usize| Node {
                    span: locate(self.sources, value, from..to),
                    kind: Kind::Scalar {
                        text: text[from..to].to_owned(),
                        plain: true,
                    },
                };
                let rest = end + text[end..].len() - text[end..].trim_start().len();
                (end > start).then(|| (part(start, end), part(rest, text.len())))
            }
            _ => None,
        };
        let Some(call) = call else {
            let name = key.text().unwrap_or_default();
            let message = format!("`{name}` takes a module and its arguments");
            self.errors
                .push(Diagnostic::error("wrong-type", message).at(value.span, ""));
            let mut rest = entries.to_vec();
            rest.remove(at);
            return Some((rest, false));
        };
        let mut entries = entries.to_vec();
        entries[at] = call;
        Some((entries, true))
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
        let id = "unknown-module";
        let at = |d: Diagnostic| d.at(key.span, "");
        if let Some(instead) = other_name(short, names) {
            return at(Diagnostic::error(
                id,
                format!("there is no module `{short}`"),
            ))
            .help(instead);
        }
        let near_keyword = nearest(short, TASK.iter().copied())
            .filter(|_| key.text().is_none_or(|whole| !whole.contains('.')));
        let near_module = nearest(short, names.iter().map(String::as_str));
        let far = |near: Option<&str>| near.map(|n| strsim::damerau_levenshtein(short, n));
        if near_keyword.is_some() && (near_module.is_none() || far(near_keyword) < far(near_module))
        {
            return unknown(key, TASK, "a task");
        }
        let unknown = at(Diagnostic::error(
            id,
            format!("there is no module `{short}`"),
        ));
        match near_module {
            Some(near) => unknown.help(format!("did you mean `{near}`?")),
            None => unknown.help("`runbook doc` lists the modules"),
        }
    }

    /// Tells of an argument that stands twice in a text of them.
    fn given_once(&mut self, args: &Node) {
        let Kind::Map(entries) = &args.kind else {
            return;
        };
        for (at, (key, _)) in entries.iter().enumerate() {
            let name = key.text().unwrap_or_default();
            let earlier = |(k, _): &&(Node, Node)| k.text() == Some(name);
            if let Some((first, _)) = entries[..at].iter().find(earlier) {
                let message = format!("the argument `{name}` stands twice");
                let twice = Diagnostic::error("duplicate-key", message);
                self.errors
                    .push(twice.at(key.span, "again").and(first.span, "first here"));
            }
        }
    }

    /// The arguments as a mapping.
    fn arguments(&mut self, module: &str, value: &Node, more: Option<&Node>) -> Option<Node> {
        let free = self.modules.free_form(module);
        let mut args = match &value.kind {
            Kind::Scalar { text, .. } if !text.trim().is_empty() => {
                let known = self.modules.arguments(module);
                let place = |range| locate(self.sources, value, range);
                let free = match free.as_deref() {
                    Some(line) if matches!(module, "command" | "shell") => Free::Line(line),
                    Some(free) => Free::Text(free, &known),
                    None => Free::Nowhere,
                };
                match split_key_values(value, text, &place, free) {
                    Ok(args) => {
                        self.given_once(&args);
                        args
                    }
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
            Kind::Seq(_) | Kind::Encrypted(_) => {
                let wrong =
                    Diagnostic::error("wrong-type", "the arguments of a module are a mapping");
                self.errors.push(wrong.at(value.span, ""));
                return None;
            }
        };
        if let Some(more) = more {
            match (&mut args.kind, &more.kind) {
                // What the module itself is given wins over `args`.
                (Kind::Map(entries), Kind::Map(added)) => {
                    for (key, value) in added {
                        if !entries.iter().any(|(k, _)| k.text() == key.text()) {
                            entries.push((key.clone(), value.clone()));
                        }
                    }
                }
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
