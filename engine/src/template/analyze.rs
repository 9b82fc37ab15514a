//! Which variables, filters, tests and functions a text mentions, and which of its variables have to exist.
//!
//! This is the only place that looks at minijinja's syntax tree, an interface that may change with any release; the
//! table in its tests pins what is relied on.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use minijinja::Error;
use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Macro, Stmt, UnaryOpKind};
use minijinja::machinery::{Span, parse, parse_expr};

use super::is_template;

/// What a text mentions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// All variables, the first part of each path. Sound: no other variable can be read, except through `vars`,
    /// `hostvars` and files that are included.
    pub all: BTreeSet<String>,
    /// Those that have to exist: somewhere they stand under no `default` and no `is defined`.
    pub needed: BTreeSet<String>,
    /// Every use of a variable.
    pub uses: Vec<Use>,
    /// Filters, with the place of the filtered expression and its filter.
    pub filters: Vec<(String, Range<usize>)>,
    /// Tests (`x is NAME`), with the place of the whole test.
    pub tests: Vec<(String, Range<usize>)>,
    /// Functions that are called.
    pub functions: Vec<(String, Range<usize>)>,
    /// Lookups whose name is written out, with the place of the call.
    pub lookups: Vec<(String, Range<usize>)>,
    /// Other templates that are included, imported or extended, where their name is a plain text.
    pub templates: Vec<String>,
    /// `'…' % x`, which formats in Python.
    pub(super) formats: Vec<Range<usize>>,
    /// The first inline `if` without `else`.
    pub(super) elseless: Option<Range<usize>>,
    /// Operands of `default` and `is defined`: what is undefined in them is no mistake.
    pub(super) guarded: Vec<Range<usize>>,
    /// It keeps no value for later: what is asked of one is asked where it stands.
    pub(super) straight: bool,
}

/// One use of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The path as far as it is written out: `["db", "hosts", "0"]`.
    pub path: Vec<String>,
    /// Bytes in the text.
    pub range: Range<usize>,
    /// It may be undefined: it stands under `default` or `is defined`, or behind a question whether it is defined.
    pub guarded: bool,
}

/// What a template mentions, or with `bare` an expression. Empty where it is not well-formed.
#[must_use]
pub fn names(text: &str, bare: bool) -> Names {
    analyze(text, bare).unwrap_or_default()
}

/// The variables that are defined wherever a condition holds: those that it asks for by `is defined`. Empty where it is not
/// well-formed.
#[must_use]
pub fn defined_where(condition: &str) -> BTreeSet<String> {
    let mut paths = Vec::new();
    if let Ok(tree) = parse_expr(condition) {
        implied(&tree, true, &mut paths);
    }
    let roots = paths.into_iter().filter_map(|path| path.into_iter().next());
    roots.collect()
}

/// What a template mentions, or with `bare` an expression.
pub(super) fn analyze(text: &str, bare: bool) -> Result<Names, Error> {
    let mut walk = Walk::default();
    walk.found.straight = true;
    if is_template(text) {
        let tree = parse(text, "", super::syntax())?;
        walk.scoped(|walk| walk.statement(&tree));
    } else if bare {
        let tree = parse_expr(text)?;
        walk.scoped(|walk| walk.expression(&tree, false));
    }
    let mut found = walk.found;
    for used in &found.uses {
        // `vars` is all variables: `vars.x` is `x`.
        let path = match used.path.as_slice() {
            [vars, rest @ ..] if vars == "vars" && !rest.is_empty() => rest,
            path => path,
        };
        if let Some(root) = path.first() {
            found.all.insert(root.clone());
            if !used.guarded {
                found.needed.insert(root.clone());
            }
        }
    }
    Ok(found)
}

/// The expression and its offset, where a text is just one `{{ expression }}`, perhaps with the line end of a block
/// scalar behind it: then the value keeps its type.
pub(super) fn single_expression(text: &str) -> Option<(usize, &str)> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let inner = body.strip_prefix("{{")?.strip_suffix("}}")?;
    let Ok(Stmt::Template(template)) = parse(body, "", super::syntax()) else {
        return None;
    };
    let [Stmt::EmitExpr(_)] = template.children.as_slice() else {
        return None;
    };
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    let (lead, inner) = match inner.strip_prefix(['-', '+']) {
        Some(rest) => (3, rest),
        None => (2, inner),
    };
    Some((lead, inner))
}

/// Where the operands end that a condition asks only whether they are true: `x` in `x`, `not x`, `x and y`. Not those
/// that are true or false in any case.
pub(super) fn judged(condition: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    if let Ok(tree) = parse_expr(condition) {
        operands(&tree, &mut ends);
    }
    // Not where the end is not that of a name, a subscript or a call after all.
    let closes = |c: char| c.is_alphanumeric() || "_])".contains(c);
    ends.retain(|end| condition.get(..*end).is_some_and(|t| t.ends_with(closes)));
    ends.sort_unstable();
    ends.dedup();
    ends
}

fn operands(expr: &Expr<'_>, ends: &mut Vec<usize>) {
    match expr {
        Expr::UnaryOp(op) if matches!(op.op, UnaryOpKind::Not) => operands(&op.expr, ends),
        Expr::BinOp(op) if matches!(op.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
            operands(&op.left, ends);
            operands(&op.right, ends);
        }
        Expr::IfExpr(cond) => {
            operands(&cond.test_expr, ends);
            operands(&cond.true_expr, ends);
            cond.false_expr.iter().for_each(|e| operands(e, ends));
        }
        Expr::Filter(filter) if filter.name == "bool" => {}
        Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) | Expr::Filter(_) | Expr::Call(_) => {
            ends.push(extent(expr).end);
        }
        _ => {}
    }
}

#[derive(Default)]
struct Walk {
    found: Names,
    /// Names that the template itself gives a meaning.
    locals: Vec<HashSet<String>>,
    /// Paths known to be defined where the walk is.
    guards: Vec<Vec<String>>,
}

fn range(span: Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

/// All bytes of an expression. minijinja's own span of a longer chain (`a.b.c`) begins somewhere within it.
fn extent(expr: &Expr<'_>) -> Range<usize> {
    let own = range(expr.span());
    let first = match expr {
        Expr::GetAttr(get) => Some(&get.expr),
        Expr::GetItem(get) => Some(&get.expr),
        Expr::Slice(slice) => Some(&slice.expr),
        Expr::Call(call) => Some(&call.expr),
        Expr::Filter(filter) => filter.expr.as_ref(),
        Expr::Test(test) => Some(&test.expr),
        Expr::BinOp(op) => Some(&op.left),
        Expr::Compare(compare) => Some(&compare.expr),
        Expr::IfExpr(cond) => Some(&cond.true_expr),
        _ => None,
    };
    let start = first.map_or(own.start, |e| extent(e).start.min(own.start));
    start..own.end
}

fn constant(expr: &Expr<'_>) -> Option<String> {
    match expr {
        Expr::Const(found) => Some(found.value.to_string()),
        _ => None,
    }
}

/// The path as far as it is written out, and the subscripts behind that.
fn path<'a, 's>(expr: &'a Expr<'s>) -> Option<(Vec<String>, bool, Vec<&'a Expr<'s>>)> {
    match expr {
        Expr::Var(var) => Some((vec![var.id.to_owned()], true, Vec::new())),
        Expr::GetAttr(get) => {
            let (mut path, whole, subscripts) = path(&get.expr)?;
            if whole {
                path.push(get.name.to_owned());
            }
            Some((path, whole, subscripts))
        }
        Expr::GetItem(get) => {
            let (mut path, whole, mut subscripts) = path(&get.expr)?;
            match constant(&get.subscript_expr) {
                Some(key) if whole => {
                    path.push(key);
                    Some((path, true, subscripts))
                }
                Some(_) => Some((path, false, subscripts)),
                None => {
                    subscripts.push(&get.subscript_expr);
                    Some((path, false, subscripts))
                }
            }
        }
        _ => None,
    }
}

/// Paths that are defined where `expr` is true, or with `holds` unset, where it is false.
fn implied(expr: &Expr<'_>, holds: bool, out: &mut Vec<Vec<String>>) {
    match expr {
        Expr::Test(test) if test.name == if holds { "defined" } else { "undefined" } => {
            out.extend(path(&test.expr).map(|(path, ..)| path));
        }
        Expr::UnaryOp(op) if matches!(op.op, UnaryOpKind::Not) => implied(&op.expr, !holds, out),
        Expr::BinOp(op) => {
            let both = match op.op {
                BinOpKind::ScAnd => holds,
                BinOpKind::ScOr => !holds,
                _ => false,
            };
            if both {
                implied(&op.left, holds, out);
                implied(&op.right, holds, out);
            }
        }
        _ => {}
    }
}

impl Walk {
    fn scoped(&mut self, inner: impl FnOnce(&mut Self)) {
        self.locals.push(HashSet::new());
        inner(self);
        self.locals.pop();
    }

    fn guarded_by(&mut self, condition: &Expr<'_>, holds: bool, inner: impl FnOnce(&mut Self)) {
        let before = self.guards.len();
        implied(condition, holds, &mut self.guards);
        inner(self);
        self.guards.truncate(before);
    }

    fn assign(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(var) => {
                if let Some(scope) = self.locals.last_mut() {
                    scope.insert(var.id.to_owned());
                }
            }
            Expr::List(list) => list.items.iter().for_each(|t| self.assign(t)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|t| self.assign(t)),
            // An attribute of a namespace.
            other => self.expression(other, true),
        }
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|scope| scope.contains(name))
    }

    fn body(&mut self, statements: &[Stmt<'_>]) {
        statements.iter().for_each(|s| self.statement(s));
    }

    fn template(&mut self, name: &Expr<'_>) {
        self.found.templates.extend(constant(name));
        self.expression(name, false);
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        if !matches!(
            statement,
            Stmt::Template(_) | Stmt::EmitExpr(_) | Stmt::EmitRaw(_) | Stmt::IfCond(_)
        ) {
            self.found.straight = false;
        }
        match statement {
            Stmt::Template(template) => self.body(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr, false),
            Stmt::IfCond(cond) => {
                self.expression(&cond.expr, false);
                self.guarded_by(&cond.expr, true, |walk| walk.body(&cond.true_body));
                self.guarded_by(&cond.expr, false, |walk| walk.body(&cond.false_body));
            }
            Stmt::ForLoop(each) => {
                self.expression(&each.iter, false);
                self.scoped(|walk| {
                    walk.assign(&each.target);
                    if let Some(scope) = walk.locals.last_mut() {
                        scope.insert("loop".to_owned());
                    }
                    if let Some(filter) = &each.filter_expr {
                        walk.expression(filter, false);
                    }
                    walk.body(&each.body);
                });
                self.scoped(|walk| walk.body(&each.else_body));
            }
            Stmt::WithBlock(with) => self.scoped(|walk| {
                for (target, value) in &with.assignments {
                    walk.expression(value, false);
                    walk.assign(target);
                }
                walk.body(&with.body);
            }),
            Stmt::Set(set) => {
                self.expression(&set.expr, false);
                self.assign(&set.target);
            }
            Stmt::SetBlock(set) => {
                self.scoped(|walk| walk.body(&set.body));
                if let Some(filter) = &set.filter {
                    self.expression(filter, false);
                }
                self.assign(&set.target);
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter, false);
                self.scoped(|walk| walk.body(&block.body));
            }
            Stmt::AutoEscape(block) => {
                self.expression(&block.enabled, false);
                self.body(&block.body);
            }
            Stmt::Block(block) => self.scoped(|walk| walk.body(&block.body)),
            Stmt::Extends(extends) => self.template(&extends.name),
            Stmt::Include(include) => self.template(&include.name),
            Stmt::Import(import) => {
                self.template(&import.expr);
                self.assign(&import.name);
            }
            Stmt::FromImport(import) => {
                self.template(&import.expr);
                for (name, alias) in &import.names {
                    self.assign(alias.as_ref().unwrap_or(name));
                }
            }
            Stmt::Macro(declared) => {
                if let Some(scope) = self.locals.last_mut() {
                    scope.insert(declared.name.to_owned());
                }
                self.declared(declared);
            }
            Stmt::CallBlock(block) => {
                self.call(&block.call, range(block.call.span()));
                self.declared(&block.macro_decl);
            }
            Stmt::Do(action) => self.call(&action.call, range(action.call.span())),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
        }
    }

    fn declared(&mut self, declared: &Macro<'_>) {
        self.scoped(|walk| {
            declared
                .defaults
                .iter()
                .for_each(|d| walk.expression(d, false));
            declared.args.iter().for_each(|a| walk.assign(a));
            if let Some(scope) = walk.locals.last_mut() {
                scope.extend(["caller", "varargs", "kwargs"].map(str::to_owned));
            }
            walk.body(&declared.body);
        });
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(e)
                | CallArg::Kwarg(_, e)
                | CallArg::PosSplat(e)
                | CallArg::KwargSplat(e) => self.expression(e, false),
            }
        }
    }

    fn call(&mut self, call: &Call<'_>, place: Range<usize>) {
        match &call.expr {
            Expr::Var(var) => {
                if !self.is_local(var.id) {
                    let end = place.start + var.id.len();
                    self.found
                        .functions
                        .push((var.id.to_owned(), place.start..end));
                }
                let name = match call.args.first() {
                    Some(CallArg::Pos(Expr::Const(first))) => first.value.as_str(),
                    _ => None,
                };
                if let ("lookup" | "query" | "q", Some(name)) = (var.id, name) {
                    self.found.lookups.push((name.to_owned(), place.clone()));
                }
                self.lookup_of_variable(var.id, call, place);
            }
            // A method: the name of it is no part of the path.
            Expr::GetAttr(get) => self.expression(&get.expr, false),
            other => self.expression(other, false),
        }
        self.arguments(&call.args);
    }

    /// `lookup('vars', 'name')` reads a variable.
    fn lookup_of_variable(&mut self, function: &str, call: &Call<'_>, place: Range<usize>) {
        let text = |arg: &CallArg<'_>| match arg {
            CallArg::Pos(e) => constant(e),
            _ => None,
        };
        if !matches!(function, "lookup" | "query" | "q")
            || call.args.first().and_then(text).as_deref() != Some("vars")
        {
            return;
        }
        let guarded = call
            .args
            .iter()
            .any(|a| matches!(a, CallArg::Kwarg("default", _)));
        for name in call.args.iter().skip(1).filter_map(text) {
            self.found.uses.push(Use {
                path: vec![name],
                range: place.clone(),
                guarded,
            });
        }
    }

    fn expression(&mut self, expr: &Expr<'_>, guarded: bool) {
        if let Some((path, _, subscripts)) = path(expr) {
            let root = path.first().map_or("", String::as_str);
            if !self.is_local(root) {
                let guarded = guarded
                    || self
                        .guards
                        .iter()
                        .any(|guard| guard.starts_with(&path) || path.starts_with(guard));
                self.found.uses.push(Use {
                    path,
                    range: extent(expr),
                    guarded,
                });
            }
            for subscript in subscripts {
                self.expression(subscript, false);
            }
            return;
        }
        match expr {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::GetAttr(get) => self.expression(&get.expr, guarded),
            Expr::GetItem(get) => {
                self.expression(&get.expr, guarded);
                self.expression(&get.subscript_expr, false);
            }
            Expr::Slice(slice) => {
                self.expression(&slice.expr, guarded);
                for bound in [&slice.start, &slice.stop, &slice.step]
                    .into_iter()
                    .flatten()
                {
                    self.expression(bound, false);
                }
            }
            Expr::UnaryOp(op) => self.expression(&op.expr, guarded),
            Expr::BinOp(op) => {
                let text = matches!(&op.left, Expr::Const(c) if c.value.as_str().is_some());
                if text && matches!(op.op, BinOpKind::Rem) {
                    self.found.formats.push(extent(expr));
                }
                self.expression(&op.left, guarded);
                let right = |walk: &mut Self| walk.expression(&op.right, guarded);
                match op.op {
                    BinOpKind::ScAnd => self.guarded_by(&op.left, true, right),
                    BinOpKind::ScOr => self.guarded_by(&op.left, false, right),
                    _ => right(self),
                }
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr, guarded);
                compare
                    .ops
                    .iter()
                    .for_each(|op| self.expression(&op.expr, guarded));
            }
            Expr::IfExpr(cond) => {
                if cond.false_expr.is_none() {
                    self.found.elseless.get_or_insert(extent(expr));
                }
                self.expression(&cond.test_expr, false);
                self.guarded_by(&cond.test_expr, true, |walk| {
                    walk.expression(&cond.true_expr, guarded);
                });
                if let Some(other) = &cond.false_expr {
                    self.guarded_by(&cond.test_expr, false, |walk| {
                        walk.expression(other, guarded);
                    });
                }
            }
            Expr::Filter(filter) => {
                let place = extent(expr);
                self.found.filters.push((filter.name.to_owned(), place));
                if matches!(
                    filter.name,
                    "select" | "reject" | "selectattr" | "rejectattr" | "map"
                ) {
                    self.found.straight = false;
                }
                if let Some(operand) = &filter.expr {
                    let lenient = matches!(filter.name, "default" | "d");
                    if lenient {
                        self.found.guarded.push(extent(operand));
                    }
                    self.expression(operand, guarded || lenient);
                }
                self.arguments(&filter.args);
            }
            Expr::Test(test) => {
                let place = extent(expr);
                self.found.tests.push((test.name.to_owned(), place));
                let lenient = matches!(test.name, "defined" | "undefined");
                if lenient {
                    self.found.guarded.push(extent(&test.expr));
                }
                self.expression(&test.expr, guarded || lenient);
                self.arguments(&test.args);
            }
            Expr::Call(call) => self.call(call, extent(expr)),
            Expr::List(list) => list.items.iter().for_each(|i| self.expression(i, guarded)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|i| self.expression(i, guarded)),
            Expr::Map(map) => map
                .keys
                .iter()
                .chain(&map.values)
                .for_each(|i| self.expression(i, guarded)),
        }
    }
}
