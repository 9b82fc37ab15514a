//! The module `selinux_fcontext`: which label SELinux gives to paths, and that they have it.

use std::fmt::Write as _;

use runbook_engine::module::{Footprint, Module, Stop, Wanted, reference};
use runbook_engine::resource::{Kind as _, contains};
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::fcontext::{Fcontext, FcontextKey, FcontextWant};
use super::labels::{Labels, LabelsKey, LabelsState, LabelsWant, type_of};
use super::policy::{Mode, Policy, PolicyKey, Selinux};
use super::rules::{Rule, Sort, canonical, is_exact, set, stem, written};
use crate::file::FileKind;
use crate::file::lineinfile::Presence;
use crate::file::target::absolute;

/// The module.
pub struct SelinuxFcontext;

/// A rule.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleArgs {
    /// The expression that has to find the whole path: `/home/pacsone(/.*)?`.
    #[serde(alias = "path")]
    pub target: String,
    /// The type: `httpd_sys_content_t`; `<<none>>`: labels are left alone.
    #[serde(default)]
    pub setype: Option<String>,
    /// The SELinux user. Default: what the rule has, or `system_u`.
    #[serde(default)]
    pub seuser: Option<String>,
    /// The level. Default: what the rule has, or `s0`.
    #[serde(default, alias = "serange")]
    pub selevel: Option<String>,
    /// The sort of files: a (all), f, d, c, b, s, l or p. Default: a.
    #[serde(default)]
    pub ftype: Sort,
    /// Whether the rule shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
}

/// Arguments of `selinux_fcontext`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelinuxFcontextArgs {
    /// The expression that has to find the whole path: `/home/pacsone(/.*)?`.
    #[serde(default, alias = "path")]
    pub target: Option<String>,
    /// The type: `httpd_sys_content_t`; `<<none>>`: labels are left alone.
    #[serde(default)]
    pub setype: Option<String>,
    /// The SELinux user. Default: what the rule has, or `system_u`.
    #[serde(default)]
    pub seuser: Option<String>,
    /// The level. Default: what the rule has, or `s0`.
    #[serde(default, alias = "serange")]
    pub selevel: Option<String>,
    /// The sort of files: a (all), f, d, c, b, s, l or p. Default: a.
    #[serde(default)]
    pub ftype: Sort,
    /// Whether the rule shall be there: present or absent. Default: present.
    #[serde(default)]
    pub state: Presence,
    /// Further rules, or all of them: they are set in one transaction.
    #[serde(default)]
    pub rules: Vec<RuleArgs>,
    /// Absolute paths below which each file gets the label that the rules say, where it has another. Default: none.
    #[serde(default)]
    pub restore: Vec<String>,
    /// With `restore`: user, role and level count, too, and so do types that an administrator may choose. Default: no.
    #[serde(default)]
    pub force: bool,
    /// The name of the policy. Default: the one that the host's configuration names.
    #[serde(default)]
    pub store: Option<String>,
    /// Do it where the kernel runs without SELinux, too. Default: no.
    #[serde(default)]
    pub ignore_selinux_state: bool,
}

impl SelinuxFcontextArgs {
    fn rules(&self) -> Vec<RuleArgs> {
        let own = self.target.as_ref().map(|target| RuleArgs {
            target: target.clone(),
            setype: self.setype.clone(),
            seuser: self.seuser.clone(),
            selevel: self.selevel.clone(),
            ftype: self.ftype,
            state: self.state,
        });
        own.into_iter().chain(self.rules.clone()).collect()
    }
}

impl RuleArgs {
    fn validate(&self) -> Result<(), String> {
        let target = &self.target;
        let one_line = !target.contains(char::is_whitespace);
        if !one_line {
            let without: String = target.split_whitespace().collect();
            return Err(format!(
                "`target: {target}` has a blank in it, and so finds nothing; write `{without}`, or `\\s` for a blank in a path"
            ));
        }
        if target.contains(['"', '\'']) {
            return Err(format!(
                "`target: {target}` has a quote in it, which `semanage` does not take; write `.` in its place, which finds it, too"
            ));
        }
        if !target.starts_with('/') {
            return Err(format!("`target: {target}` does not begin with `/`"));
        }
        if target.len() > 1 && target.ends_with('/') {
            let bare = target.trim_end_matches('/');
            return Err(format!(
                "`target: {target}` ends in `/`, and so finds nothing; write `{bare}(/.*)?` for the directory and all below it"
            ));
        }
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match &self.setype {
            None if self.state == Presence::Present => {
                return Err(format!("`setype` is missing for {target}"));
            }
            Some(setype)
                if setype != "<<none>>" && (setype.is_empty() || !setype.chars().all(name)) =>
            {
                return Err(format!(
                    "`setype: {setype}` is no type; write `httpd_sys_content_t`"
                ));
            }
            _ => {}
        }
        let level = |c: char| name(c) || ":.,-".contains(c);
        for (what, text) in [("seuser", &self.seuser), ("selevel", &self.selevel)] {
            if text
                .as_ref()
                .is_some_and(|t| t.is_empty() || !t.chars().all(level))
            {
                return Err(format!("`{what}` of {target} is none"));
            }
        }
        Ok(())
    }

    /// The label that it gives, beside what the rule there has.
    fn context(&self, there: Option<&str>) -> Option<String> {
        let setype = self
            .setype
            .as_deref()
            .filter(|_| self.state == Presence::Present)?;
        if setype == "<<none>>" {
            return Some(setype.to_owned());
        }
        let there: Vec<&str> = there
            .filter(|c| c.contains(':'))
            .map(|c| c.splitn(4, ':').collect())
            .unwrap_or_default();
        let user = self
            .seuser
            .as_deref()
            .or(there.first().copied())
            .unwrap_or("system_u");
        let level = self
            .selevel
            .as_deref()
            .or(there.get(3).copied())
            .unwrap_or("s0");
        Some(format!("{user}:object_r:{setype}:{level}"))
    }
}

impl Module for SelinuxFcontext {
    type Args = SelinuxFcontextArgs;
    const NAME: &'static str = "selinux_fcontext";
    const SUMMARY: &'static str = "Sees to the labels that SELinux gives to paths.";
    const DOC: &'static str = include_str!("selinux_fcontext.md");

    fn validate(args: &SelinuxFcontextArgs) -> Result<(), String> {
        let rules = args.rules();
        if args.target.is_none()
            && (args.setype.is_some() || args.seuser.is_some() || args.selevel.is_some())
        {
            return Err("`target` is missing: the expression that the rule is for".to_owned());
        }
        if rules.is_empty() && args.restore.is_empty() {
            return Err(
                "nothing is asked: name a `target` with its `setype`, or paths to `restore`"
                    .to_owned(),
            );
        }
        for (at, rule) in rules.iter().enumerate() {
            rule.validate()?;
            let same = |other: &RuleArgs| other.target == rule.target && other.ftype == rule.ftype;
            if rules[..at].iter().any(same) {
                return Err(format!("there are two rules for {}", rule.target));
            }
        }
        for path in &args.restore {
            absolute(path).map_err(|stop| format!("{stop:?}"))?;
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        match args
            .store
            .as_ref()
            .filter(|s| s.is_empty() || !s.chars().all(fits))
        {
            Some(store) => Err(format!("`store: {store}` is no policy")),
            None => Ok(()),
        }
    }

    fn touches(args: &SelinuxFcontextArgs) -> Footprint {
        let mut footprint = Footprint::nothing()
            .reads(Selinux::NAME, "*")
            .reads(Fcontext::NAME, "*");
        if !args.rules().is_empty() {
            footprint = footprint.writes(Fcontext::NAME, "*");
        }
        args.restore.iter().fold(footprint, |footprint, path| {
            footprint
                .reads(FileKind::NAME, path.clone())
                .writes(Labels::NAME, path.clone())
        })
    }

    fn want(args: &SelinuxFcontextArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let rules = args.rules();
        let asked = PolicyKey {
            store: args.store.clone(),
            stems: rules
                .iter()
                .map(|r| stem(&r.target))
                .filter(|s| s.len() > 1)
                .collect(),
            candidate: None,
        };
        let policy = world.get::<Selinux>(&asked)?;
        if policy.store.is_empty() || (policy.mode == Mode::Off && !args.ignore_selinux_state) {
            let mut wanted = Wanted::nothing();
            let why = "SELinux is off on this host";
            wanted.skipped = Some(why.to_owned());
            // Nobody has said beforehand that it may be so.
            wanted
                .notes
                .push(format!("{why}: rules and labels stay as they are"));
            return Ok(wanted);
        }
        if !policy.missing.is_empty() {
            return Err(Stop::refuse(format!(
                "{} missing on the host; install policycoreutils and policycoreutils-python-utils",
                match &policy.missing[..] {
                    [one] => format!("{one} is"),
                    several => format!("{} are", several.join(", ")),
                }
            )));
        }
        let mut wanted = Wanted::nothing();
        let local = ruled(&rules, &policy, &mut wanted)?;
        if local != policy.local {
            let key = PolicyKey {
                candidate: Some(written(&local)),
                ..asked.clone()
            };
            let refuses = world.get::<Selinux>(&key)?.refuses;
            if let Some(said) = refuses {
                // The library tells each of its calls, from the innermost on.
                let own: Vec<&str> = said.lines().filter(|l| !l.starts_with("libsep")).collect();
                let why = if own.is_empty() { said } else { own.join("; ") };
                return Err(Stop::refuse(format!(
                    "the policy does not take the rules: {why}"
                )));
            }
        }
        restored(args, &policy, &local, world, &mut wanted)?;
        Ok(wanted)
    }
}

/// The rules as they are asked for become wanted; gives all local rules as they will be.
fn ruled(rules: &[RuleArgs], policy: &Policy, wanted: &mut Wanted) -> Result<Vec<Rule>, Stop> {
    let mut local = policy.local.clone();
    let mut done = Vec::new();
    let mut seen: Vec<(String, Sort)> = Vec::new();
    for rule in rules {
        // One that somebody has made before the directory became another one is there under its own name.
        let is_there = |r: &Rule| r.target == rule.target && r.sort == rule.ftype;
        let other = canonical(&rule.target, &policy.equivalences);
        let target = match other.filter(|_| !policy.local.iter().any(is_there)) {
            Some(target) => {
                wanted.notes.push(format!(
                    "{}: the policy treats its directory as another one, so that the rule is for {target}",
                    rule.target
                ));
                target
            }
            None => rule.target.clone(),
        };
        if seen.contains(&(target.clone(), rule.ftype)) {
            return Err(Stop::refuse(format!("there are two rules for {target}")));
        }
        seen.push((target.clone(), rule.ftype));
        let there = local
            .iter()
            .find(|r| r.target == target && r.sort == rule.ftype);
        let there = there.map(|r| r.context.clone());
        let context = rule.context(there.as_deref());
        if there != context {
            done.push(match (&there, &context) {
                (None, Some(new)) => format!("{target} → {}", type_of(new)),
                (Some(old), Some(new)) if type_of(old) == type_of(new) => {
                    format!("{target}: {old} → {new}")
                }
                (Some(old), Some(new)) => format!("{target}: {} → {}", type_of(old), type_of(new)),
                _ => format!("without {target}"),
            });
        }
        set(&mut local, &target, rule.ftype, context.as_deref());
        let key = FcontextKey {
            store: policy.store.clone(),
            target: target.clone(),
            sort: rule.ftype,
        };
        let want = FcontextWant {
            context: context.clone(),
            ..FcontextWant::default()
        };
        wanted.set::<Fcontext>(&key, &want);
        if context.is_some() {
            wanted
                .notes
                .extend(shadows(&target, rule.ftype, &local, policy));
        }
    }
    wanted
        .facts
        .insert("msg".to_owned(), Value::from(done.join("; ")));
    Ok(local)
}

/// Which rules count before this one for paths that it finds.
///
/// Rules of one path come behind all others, wherever they stand; of the others the last one counts (selabel_file(5)).
fn shadows(target: &str, sort: Sort, local: &[Rule], policy: &Policy) -> Vec<String> {
    if is_exact(target) {
        return Vec::new();
    }
    let own = stem(target);
    let meets = |rule: &&Rule| {
        let other = stem(&rule.target);
        let same_sort = rule.sort == sort || rule.sort == Sort::All || sort == Sort::All;
        let overlaps =
            other.starts_with(&own) || !is_exact(&rule.target) && own.starts_with(&other);
        same_sort && overlaps && (rule.target != target || rule.sort != sort)
    };
    let at = local
        .iter()
        .position(|r| r.target == target && r.sort == sort);
    let at = at.unwrap_or(local.len());
    let before = local[..at].iter().filter(|r| is_exact(&r.target));
    let behind = local.iter().skip(at + 1);
    let later = before.chain(behind).filter(meets).map(|rule| {
        format!(
            "the local rule {} ({}) comes behind {target}, and counts where both find a path",
            rule.target,
            type_of(&rule.context)
        )
    });
    let exact = policy.own.iter().filter(|r| is_exact(&r.target));
    let exact = exact
        .filter(meets)
        .filter(|r| stem(&r.target).starts_with(&format!("{own}/")))
        .map(|rule| {
            format!(
                "the policy has a rule of its own for {} ({}), which counts there",
                rule.target,
                type_of(&rule.context)
            )
        });
    later.chain(exact).collect()
}

/// What has another label than the rules say gets it.
fn restored(
    args: &SelinuxFcontextArgs,
    policy: &Policy,
    local: &[Rule],
    world: &View<'_>,
    wanted: &mut Wanted,
) -> Result<(), Stop> {
    let mut keys: Vec<LabelsKey> = Vec::new();
    for path in &args.restore {
        let path = absolute(path)?;
        // What lies below another one is looked at with it.
        if keys
            .iter()
            .any(|k| k.path == path || contains(&k.path, &path))
        {
            continue;
        }
        keys.retain(|k| !contains(&path, &k.path));
        keys.push(LabelsKey {
            path,
            store: policy.store.clone(),
            rules: written(local),
            force: args.force,
        });
    }
    let refs: Vec<_> = keys.iter().map(reference::<Labels>).collect();
    world.need(&refs)?;
    let rules_diff = changed(&policy.local, local);
    let mut diff = String::new();
    let mut count = 0;
    for (key, state) in keys.iter().zip(world.all::<Labels>(&keys)?) {
        wanted.set::<Labels>(key, &LabelsWant::default());
        count += state.others.len();
        diff.push_str(&listed(&state));
    }
    wanted.facts.insert(
        "relabelled".to_owned(),
        Value::from(i64::try_from(count).unwrap_or(i64::MAX)),
    );
    if !diff.is_empty() {
        wanted.diff = Some(rules_diff + &diff);
    }
    Ok(())
}

/// The rules before and after, as lines.
fn changed(before: &[Rule], after: &[Rule]) -> String {
    let lines = |sign: char, some: &[Rule], others: &[Rule]| -> String {
        let own = some.iter().filter(|r| !others.contains(r));
        own.map(|r| format!("{sign}{} {} {}\n", r.target, r.sort.letter(), r.context))
            .collect()
    };
    lines('-', before, after) + &lines('+', after, before)
}

/// Each path with the label that it has and the one that it gets.
fn listed(state: &LabelsState) -> String {
    let mut out = String::new();
    for (path, other) in &state.others {
        let is = other.is.as_deref().unwrap_or("no label");
        let _ = writeln!(out, "-{path} {is}\n+{path} {}", other.should);
    }
    out
}
