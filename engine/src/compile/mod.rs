//! From playbooks and inventory to a program: includes resolved, keywords inherited, every mistake of every task for
//! every host reported at once, before the first connection.

mod check;
mod inherit;
mod items;
mod part_of_site;
pub mod program;
mod select;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indexmap::IndexMap;

use self::inherit::Inherited;
use self::items::ItemCompiler;
use self::program::{Group, HostVars, Hosts, Item, Layer, Play, Program};
use crate::diag::{Diagnostic, in_order};
use crate::inventory::{Inventory, Pattern};
use crate::playbook::{self, Entry, ModuleNames, Prompt};
use crate::registry::Registry;
use crate::source::{FileId, Kind, Node, Sources, Span, locate, parse_one, untyped};
use crate::template::{Engine, Scope};
use crate::value::{Secret, Value};

/// What is compiled.
pub struct Call<'a> {
    /// The playbook files, in order.
    pub playbooks: &'a [PathBuf],
    /// The inventory.
    pub inventory: &'a Inventory,
    /// `-e`, later ones over earlier ones.
    pub extra: Layer,
    /// `--limit`.
    pub limit: Option<&'a str>,
    /// `--limit` may take a part of a site.
    pub part_of_site: bool,
    /// `--tags`.
    pub tags: Vec<String>,
    /// `--skip-tags`.
    pub skip_tags: Vec<String>,
    /// `--start-at-task`.
    pub start_at: Option<String>,
}

/// What has been compiled.
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// Hosts with their variables.
    pub hosts: Hosts,
    /// Things that are probably not meant so.
    pub warnings: Vec<Diagnostic>,
}

/// The compiler's tools, shared with includes that are compiled in the run.
pub struct Tools {
    /// Modules.
    pub registry: Arc<Registry>,
    /// Sources.
    pub sources: Arc<Sources>,
    /// Templates.
    pub engine: Arc<Engine>,
}

impl ModuleNames for Registry {
    fn names(&self) -> Vec<String> {
        self.modules().map(|m| m.name().to_owned()).collect()
    }
    fn free_form(&self, module: &str) -> Option<String> {
        self.find_module(module)
            .and_then(|m| m.free_form())
            .map(str::to_owned)
    }
    fn arguments(&self, module: &str) -> Vec<String> {
        let schema = self
            .find_module(module)
            .map(|m| m.schema())
            .unwrap_or_default();
        let properties = schema
            .get("properties")
            .and_then(serde_json::Value::as_object);
        properties
            .map(|p| p.keys().cloned().collect())
            .unwrap_or_default()
    }
}

/// Mistakes of files, because of which variables may be missing.
const UNREAD: [&str; 5] = [
    "vault-file",
    "vault-string",
    "yaml",
    "unreadable-file",
    "not-utf-8",
];

/// Compiles. `Err`: everything that is wrong.
pub fn compile(call: &Call<'_>, tools: &Arc<Tools>) -> Result<Compiled, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut compiler = Compiler {
        call,
        tools,
        errors: Vec::new(),
        program: Program::default(),
        lost: BTreeSet::new(),
        private: BTreeSet::new(),
        limit: None,
    };
    if let Some(limit) = call.limit {
        compiler.limit = compiler.limited(limit);
    }
    for path in call.playbooks {
        compiler.playbook(path, &Inherited::default(), &mut Vec::new());
    }
    errors.append(&mut compiler.errors);
    let hosts = hosts_of(call, &sealed(&call.extra, &compiler.private));
    let lost = compiler.lost;
    let mut program = compiler.program;
    // What stands in a file that cannot be read may be what seems to be undefined.
    let unread = errors.iter().any(|e| UNREAD.contains(&e.id));
    errors.extend(select::select(&mut program, call));
    let is_empty = |play: &Arc<program::Play>| play.groups.iter().all(|g| g.hosts.is_empty());
    if errors.is_empty() && !program.plays.is_empty() && program.plays.iter().all(is_empty) {
        let none = "no host is left for any play, so nothing will be done";
        errors.push(
            Diagnostic::warning("no-hosts", none)
                .help("`--list-hosts` shows whom each play is for; `hosts` and `--limit` choose"),
        );
    }
    // References between tasks and the meaning of arguments can only be judged where the structure is sound.
    let found = check::check(&program, &hosts, tools, &lost);
    errors.extend(
        found
            .into_iter()
            .filter(|d| !unread || d.id != "undefined-variable"),
    );
    let (errors, warnings): (Vec<_>, Vec<_>) = in_order(errors)
        .into_iter()
        .partition(|d| d.severity == crate::diag::Severity::Error);
    if errors.is_empty() {
        Ok(Compiled {
            program,
            hosts,
            warnings,
        })
    } else {
        Err(errors)
    }
}

/// What `-e` gives, where what answers a private question is a secret. A template stays what it is: what it takes its
/// text from says whether that is one.
fn sealed(extra: &Layer, private: &BTreeSet<String>) -> Layer {
    let seal = |(name, node): (&String, &Arc<Node>)| {
        let plain = node.text().filter(|t| !t.contains("{{"));
        let secret = plain.filter(|_| private.contains(name)).map(|text| Node {
            span: node.span,
            kind: Kind::Value(Value::Secret(Secret::new(text.to_owned()))),
        });
        (name.clone(), secret.map_or_else(|| node.clone(), Arc::new))
    };
    Arc::new(extra.iter().map(seal).collect())
}

fn hosts_of(call: &Call<'_>, extra: &Layer) -> Hosts {
    let inventory = call.inventory;
    let mut hosts = Hosts::default();
    for host in inventory.hosts.keys() {
        let layers = inventory.vars_of(host).into_iter().map(Arc::new).collect();
        hosts.vars.insert(
            host.clone(),
            HostVars {
                inventory: layers,
                extra: extra.clone(),
            },
        );
        if let Some(site) = inventory.site_of(host) {
            hosts.sites.insert(host.clone(), site.to_owned());
        }
    }
    for group in inventory.groups.keys() {
        hosts
            .groups
            .insert(group.clone(), inventory.hosts_of(group));
    }
    hosts.folder = inventory.sources.first().map(|path| {
        if path.is_dir() {
            path.clone()
        } else {
            path.parent().map(Path::to_owned).unwrap_or_default()
        }
    });
    hosts
}

struct Compiler<'a> {
    call: &'a Call<'a>,
    tools: &'a Arc<Tools>,
    errors: Vec<Diagnostic>,
    program: Program,
    /// Variables that tasks would have set which could not be understood.
    lost: BTreeSet<String>,
    /// Variables for which a play asks without showing the answer.
    private: BTreeSet<String>,
    /// The hosts that `--limit` leaves.
    limit: Option<BTreeSet<String>>,
}

impl Compiler<'_> {
    fn limited(&mut self, limit: &str) -> Option<BTreeSet<String>> {
        let text = match limit.strip_prefix('@') {
            Some(file) => match self.tools.sources.load(Path::new(file)) {
                Ok(file) => self
                    .tools
                    .sources
                    .get(file)
                    .1
                    .lines()
                    .map(str::trim)
                    .filter(|l| !l.is_empty())
                    .collect::<Vec<_>>()
                    .join(","),
                Err(error) => {
                    self.errors.push(error);
                    return None;
                }
            },
            None => limit.to_owned(),
        };
        match Pattern::parse(&text) {
            Ok(pattern) => {
                let (hosts, unknown) = pattern.hosts(self.call.inventory);
                for name in unknown {
                    self.unknown_host(&name, None, "`--limit`");
                }
                Some(hosts.into_iter().collect())
            }
            Err(message) => {
                self.errors.push(Diagnostic::error(
                    "bad-pattern",
                    format!("`--limit {text}`: {message}"),
                ));
                None
            }
        }
    }

    fn unknown_host(&mut self, name: &str, span: Option<Span>, of: &str) {
        let inventory = self.call.inventory;
        let known = inventory
            .groups
            .keys()
            .chain(inventory.hosts.keys())
            .map(String::as_str);
        let mut unknown = Diagnostic::error(
            "unknown-host",
            format!("{of}: there is no host or group `{name}`"),
        )
        .suggest(name, known);
        if let Some(span) = span {
            unknown = unknown.at(span, "");
        }
        self.errors.push(unknown);
    }

    fn playbook(&mut self, path: &Path, inherited: &Inherited, stack: &mut Vec<PathBuf>) {
        if stack.iter().any(|p| p == path) {
            let message = format!("{} imports itself", path.display());
            self.errors.push(Diagnostic::error("import-cycle", message));
            return;
        }
        let before = self.errors.len();
        let documents = self.tools.sources.documents(path, &mut self.errors);
        let documents: Vec<Node> = documents.into_iter().map(Node::of_playbook).collect();
        let Some(document) = documents.first() else {
            if self.errors.len() > before {
                return;
            }
            let message = format!("{} is empty", path.display());
            self.errors.push(
                Diagnostic::error("empty-playbook", message).help("a playbook is a list of plays"),
            );
            return;
        };
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        stack.push(path.to_owned());
        let tools = self.tools.clone();
        let registry = tools.registry.as_ref();
        for entry in playbook::read_playbook(document, &tools.sources, registry, &mut self.errors) {
            match entry {
                Entry::Play(play) => self.play(&play, &folder, inherited),
                Entry::Import {
                    file,
                    vars,
                    when,
                    tags,
                    span,
                } => {
                    let mut inner = inherited.clone();
                    inner.when.extend(when);
                    inner
                        .tags
                        .extend(tags.iter().filter_map(|t| t.text().map(str::to_owned)));
                    if let Some(vars) = vars {
                        inner.layers.push(layer_of(&vars));
                    }
                    let Some(name) = self.static_text(&file) else {
                        let wrong = Diagnostic::error(
                            "import-unknown",
                            "the file of an import has to be known beforehand",
                        );
                        self.errors.push(wrong.at(span, ""));
                        continue;
                    };
                    let target = folder.join(&name);
                    if target.is_file() {
                        self.playbook(&target, &inner, stack);
                    } else {
                        let missing = Diagnostic::error(
                            "missing-file",
                            format!("there is no file {}", target.display()),
                        );
                        self.errors.push(missing.at(file.span, ""));
                    }
                }
            }
        }
        stack.pop();
    }

    /// A text that only rests on `-e`.
    fn static_text(&self, node: &Node) -> Option<String> {
        let mut scope = Scope::default();
        scope.push_nodes(self.call.extra.clone());
        match self.tools.engine.value(&scope, node) {
            Ok(Value::Str(s)) => Some(s),
            _ => None,
        }
    }

    fn play(&mut self, play: &playbook::Play, folder: &Path, inherited: &Inherited) {
        let path = self.program.plays.len().to_string();
        let hosts = self
            .static_text(&play.hosts)
            .or_else(|| match &play.hosts.kind {
                Kind::Seq(items) => {
                    let all: Vec<String> =
                        items.iter().filter_map(|i| self.static_text(i)).collect();
                    Some(all.join(","))
                }
                _ => None,
            });
        let Some(pattern_text) = hosts else {
            let wrong = Diagnostic::error(
                "bad-pattern",
                "`hosts` has to be known beforehand: use `-e` for what differs",
            );
            self.errors.push(wrong.at(play.hosts.span, ""));
            return;
        };
        let chosen = self.chosen(&pattern_text, play.hosts.span);
        let groups = self.groups(&pattern_text, &chosen);
        if self.limit.is_some() && !self.call.part_of_site {
            let inventory = self.call.inventory;
            let parts = part_of_site::check(inventory, &pattern_text, &groups, play.hosts.span);
            self.errors.extend(parts);
        }
        let mut layers = inherited.layers.clone();
        layers.extend(play.keywords.vars.iter().map(layer_of));
        let (prompts, prompts_at) = (self.prompts(play), layers.len());
        layers.push(waiting(&prompts));
        let mut defaults = Vec::new();
        for file in &play.defaults_files {
            defaults.extend(self.vars_file(file, folder, &layers, &chosen));
        }
        for file in &play.vars_files {
            layers.extend(self.vars_file(file, folder, &layers, &chosen));
        }
        let mut own = inherited.clone();
        own.layers = Vec::new();
        let own = own.inner(&play.keywords, None);
        let name = play
            .name
            .as_ref()
            .and_then(|n| n.text())
            .unwrap_or(&pattern_text)
            .to_owned();
        let all: BTreeSet<String> = chosen.iter().cloned().collect();
        let mut compiler = ItemCompiler {
            tools: self.tools.clone(),
            inventory: Arc::new(self.call.inventory.clone()),
            folder: folder.to_owned(),
            hosts: all,
            errors: Vec::new(),
            lost: BTreeSet::new(),
            depth: 0,
        };
        let mut sections: Vec<Vec<Item>> = Vec::new();
        for (at, items) in play.sections.iter().enumerate() {
            let part = ["pre_tasks", "tasks", "post_tasks"][at];
            sections.push(compiler.items(items, &own, &format!("{path}/{part}")));
        }
        let handlers = compiler.handlers(&play.handlers, &own, &format!("{path}/handlers"));
        self.errors.append(&mut compiler.errors);
        self.lost.append(&mut compiler.lost);
        let facts = play.gather_facts.as_ref().map(untyped);
        let mut gives = BTreeSet::new();
        let items = sections.iter().flatten();
        items.for_each(|item| item.gives(&mut gives));
        gives.extend(handlers.iter().flat_map(|handler| handler.gives()));
        self.program.plays.push(Arc::new(Play {
            name,
            path,
            span: play.span,
            folder: folder.to_owned(),
            groups,
            free: play.strategy.as_ref().and_then(|s| s.text()) == Some("free"),
            any_errors_fatal: play
                .keywords
                .any_errors_fatal
                .as_ref()
                .is_some_and(|n| untyped(n) == Value::Bool(true)),
            goes_back: play.on_fail.as_ref().and_then(|n| n.text()) == Some("rollback"),
            defaults,
            layers,
            prompts,
            prompts_at,
            uses_facts: facts != Some(Value::Bool(false)),
            sections,
            handlers,
            gives,
        }));
    }

    /// What the play asks for; what `-e` gives is not asked for.
    fn prompts(&mut self, play: &playbook::Play) -> Vec<Prompt> {
        let extra = &self.call.extra;
        let private = play.prompts.iter().filter(|p| p.private);
        self.private.extend(private.map(|p| p.name.clone()));
        let asked = play.prompts.iter().filter(|p| !extra.contains_key(&p.name));
        let mut prompts: Vec<Prompt> = asked.cloned().collect();
        for prompt in &mut prompts {
            let span = prompt.span;
            for text in [Some(&mut prompt.question), prompt.default.as_mut()]
                .into_iter()
                .flatten()
            {
                let node = Node {
                    span,
                    kind: Kind::Scalar {
                        text: text.clone(),
                        plain: false,
                    },
                };
                match self.static_text(&node) {
                    Some(rendered) => *text = rendered,
                    None => self.errors.push(
                        Diagnostic::error(
                            "template",
                            "it is asked before anything else is known: a template in it may use `-e` only",
                        )
                        .at(span, ""),
                    ),
                }
            }
        }
        prompts
    }

    fn chosen(&mut self, text: &str, span: Span) -> Vec<String> {
        match Pattern::parse(text) {
            Ok(pattern) => {
                let (mut hosts, unknown) = pattern.hosts(self.call.inventory);
                let none_given = self.call.inventory.sources.is_empty()
                    && self.call.inventory.hosts.values().all(|h| h.implicit);
                if none_given && hosts.is_empty() && !unknown.iter().any(|n| n == "localhost") {
                    let message = format!("no inventory was given, so no host matches `{text}`");
                    self.errors.push(
                        Diagnostic::error("unknown-host", message)
                            .at(span, "")
                            .help("name one with `-i`; only `hosts: localhost` needs none"),
                    );
                    return hosts;
                }
                for name in unknown {
                    if name == "localhost" {
                        continue;
                    }
                    if name == "sites" {
                        let missing = Diagnostic::error(
                            "no-sites",
                            "this play is for sites, but the inventory has none",
                        );
                        self.errors.push(
                            missing
                                .at(span, "")
                                .help("name them under `sites:` (see inventories/sites.yaml)"),
                        );
                    } else {
                        self.unknown_host(&name, Some(span), "`hosts`");
                    }
                }
                if let Some(limit) = &self.limit {
                    hosts.retain(|h| limit.contains(h));
                }
                hosts
            }
            Err(message) => {
                self.errors
                    .push(Diagnostic::error("bad-pattern", message).at(span, ""));
                Vec::new()
            }
        }
    }

    /// A play on `hosts: sites` (or on sites picked from them) runs once per site.
    fn groups(&self, pattern: &str, chosen: &[String]) -> Vec<Group> {
        let inventory = self.call.inventory;
        let first = pattern
            .split([':', ',', '['])
            .next()
            .unwrap_or_default()
            .trim();
        let for_sites = first == "sites" || inventory.sites.contains_key(first);
        if !for_sites {
            return if chosen.is_empty() {
                Vec::new()
            } else {
                vec![Group {
                    site: None,
                    hosts: chosen.to_vec(),
                }]
            };
        }
        let mut groups: IndexMap<Option<String>, Vec<String>> = IndexMap::new();
        for host in chosen {
            groups
                .entry(inventory.site_of(host).map(str::to_owned))
                .or_default()
                .push(host.clone());
        }
        groups
            .into_iter()
            .map(|(site, hosts)| Group { site, hosts })
            .collect()
    }

    fn vars_file(
        &mut self,
        file: &Node,
        folder: &Path,
        layers: &[Layer],
        hosts: &[String],
    ) -> Option<Layer> {
        // The name may rest on play and inventory variables, where those are the same for all hosts.
        let mut names: BTreeMap<String, ()> = BTreeMap::new();
        let no_host = [String::new()];
        let all = if hosts.is_empty() {
            &no_host[..]
        } else {
            hosts
        };
        for host in all {
            let mut scope = Scope::default();
            for layer in self.call.inventory.vars_of(host) {
                scope.push_nodes(Arc::new(layer));
            }
            layers.iter().for_each(|l| scope.push_nodes(l.clone()));
            scope.push_nodes(self.call.extra.clone());
            match self.tools.engine.value(&scope, file) {
                Ok(Value::Str(name)) => {
                    names.insert(name, ());
                }
                Ok(_) => {}
                Err(found) => {
                    let sources = &self.tools.sources;
                    let found = found.iter().map(|e| check::template_error(e, sources));
                    self.errors.extend(found);
                    return None;
                }
            }
        }
        let mut all_of_them: IndexMap<String, Arc<Node>> = IndexMap::new();
        if names.len() > 1 {
            let wrong = Diagnostic::error(
                "vars-file-per-host",
                "this file would be another for different hosts",
            );
            self.errors.push(
                wrong
                    .at(file.span, "")
                    .help("use group_vars or host_vars for what differs"),
            );
            return None;
        }
        for name in names.into_keys() {
            let path = folder.join(&name);
            let mut found = Vec::new();
            for document in &self.tools.sources.documents(&path, &mut found) {
                match &document.kind {
                    Kind::Map(_) => all_of_them.extend(layer_of(document).as_ref().clone()),
                    _ => self.errors.push(
                        Diagnostic::error("wrong-type", "a file of variables is a mapping")
                            .at(document.span, ""),
                    ),
                }
            }
            for diagnostic in found {
                self.errors.push(if diagnostic.primary.is_none() {
                    diagnostic.at(file.span, "")
                } else {
                    diagnostic
                });
            }
        }
        Some(Arc::new(all_of_them))
    }
}

/// The variables that will be asked for, until they are.
fn waiting(prompts: &[Prompt]) -> Layer {
    let waiting = prompts.iter().map(|prompt| {
        let why = Value::Unknown("it is asked for when the run begins".to_owned());
        let node = Node {
            span: prompt.span,
            kind: Kind::Value(why),
        };
        (prompt.name.clone(), Arc::new(node))
    });
    Arc::new(waiting.collect())
}

/// A mapping as variables.
#[must_use]
pub fn layer_of(node: &Node) -> Layer {
    match &node.kind {
        Kind::Map(entries) => Arc::new(
            entries
                .iter()
                .map(|(k, v)| (k.text().unwrap_or_default().to_owned(), Arc::new(v.clone())))
                .collect(),
        ),
        _ => Arc::default(),
    }
}

/// Variables of `-e`: `name=value …`, `@FILE`, or YAML/JSON text. Later ones override earlier ones.
pub fn extra_vars(given: &[String], sources: &Sources) -> Result<Layer, Vec<Diagnostic>> {
    let mut all: IndexMap<String, Arc<Node>> = IndexMap::new();
    let mut errors = Vec::new();
    for text in given {
        let node = if let Some(path) = text.strip_prefix('@') {
            match sources.read(Path::new(path)) {
                Ok((_, documents)) => documents.into_iter().next(),
                Err(found) => {
                    errors.extend(found);
                    continue;
                }
            }
        } else {
            let file: FileId = sources.add("-e", text.clone());
            if text.trim_start().starts_with(['{', '[']) {
                match parse_one(sources, file) {
                    Ok(node) => node,
                    Err(found) => {
                        errors.extend(found);
                        continue;
                    }
                }
            } else {
                let span = Span {
                    file,
                    start: 0,
                    end: u32::try_from(text.len()).unwrap_or(0),
                };
                let whole = Node {
                    span,
                    kind: Kind::Scalar {
                        text: text.clone(),
                        plain: true,
                    },
                };
                let place = |range| locate(sources, &whole, range);
                match playbook::split_key_values(&whole, text, &place, playbook::Free::Nowhere) {
                    // As in Ansible, values given so are texts.
                    Ok(node) => Some(texts_only(node)),
                    Err((span, message)) => {
                        errors.push(Diagnostic::error("extra-vars", message).at(span, ""));
                        continue;
                    }
                }
            }
        };
        match node {
            Some(node) if matches!(node.kind, Kind::Map(_)) => {
                all.extend(layer_of(&node).as_ref().clone())
            }
            Some(node) => errors
                .push(Diagnostic::error("extra-vars", "`-e` takes a mapping").at(node.span, "")),
            None => {}
        }
    }
    if errors.is_empty() {
        Ok(Arc::new(all))
    } else {
        Err(errors)
    }
}

fn texts_only(node: Node) -> Node {
    let kind = match node.kind {
        Kind::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(k, v)| (k, texts_only(v)))
                .collect(),
        ),
        Kind::Scalar { text, .. } => Kind::Scalar { text, plain: false },
        other => other,
    };
    Node {
        span: node.span,
        kind,
    }
}
