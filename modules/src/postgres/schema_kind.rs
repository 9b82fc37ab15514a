//! Resource kind `pg-schema`: the version of a database's schema, as its ledger and its catalogue show it.

use async_trait::async_trait;
use runbook_engine::host::{HostError, Probe, Target};
use runbook_engine::resource::{
    Change, Kept, KeyedChange, Kind, Ref, Reversible, Shadow, WriteError,
};
use runbook_engine::world::Predicted;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::catalogue;
use super::ledger::{Progress, SchemaState};
use super::object::{Fact, Object};
use super::plan::{self, Step};
use super::server::Server;
use super::session::reading;
use super::writing;

/// The kind.
pub struct PgSchema;

/// A database, and the objects that one wants to know of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaKey {
    /// The database.
    pub server: Server,
    /// The objects that statements name, sorted.
    pub objects: Vec<Object>,
}

impl std::fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Another set of objects is another excerpt of the catalogue, hence another state.
        let names: Vec<String> = self.objects.iter().map(ToString::to_string).collect();
        let excerpt = hex::encode(&Sha256::digest(names.join("\n"))[..4]);
        write!(f, "{}/{excerpt}", self.server.id())
    }
}

/// Statements to have been applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SchemaWant {
    /// The parts in order.
    pub steps: Vec<Step>,
    /// They are to be taken back, last first.
    #[serde(default)]
    pub undo: bool,
    /// How.
    pub pace: Pace,
}

/// How carefully statements are applied beside other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// A statement gives up a lock that it does not get within this many milliseconds, and tries again. Less than
    /// the server's `deadlock_timeout` (1 s), so that it is never a client that is picked to resolve a deadlock.
    pub lock_timeout_ms: u64,
    /// It goes on trying for this many seconds.
    pub within_s: u64,
    /// Rows that an update changes in one transaction, at most; 0: all at once.
    pub batch: u32,
    /// A part for a stopped archive is refused while others are logged in as the same user.
    pub alone: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            lock_timeout_ms: 250,
            within_s: 600,
            batch: 2000,
            alone: true,
        }
    }
}

#[async_trait]
impl Kind for PgSchema {
    type Key = SchemaKey;
    type State = SchemaState;
    type Want = SchemaWant;

    const NAME: &'static str = "pg-schema";

    async fn read(&self, host: &Probe, keys: &[SchemaKey]) -> Vec<Result<SchemaState, HostError>> {
        let mut states = Vec::with_capacity(keys.len());
        for key in keys {
            let objects = std::sync::Arc::new(key.objects.clone());
            states.push(
                reading(host, &key.server, |client| {
                    let objects = objects.clone();
                    Box::pin(async move { catalogue::state(client, &objects).await })
                })
                .await,
            );
        }
        states
    }

    fn differences(&self, want: &SchemaWant, read: &SchemaState) -> Vec<String> {
        let mut lines = Vec::new();
        for step in &want.steps {
            for statement in &step.statements {
                let row = read.row(&step.version, statement.number);
                let agrees = if want.undo {
                    row.is_none()
                } else {
                    row.is_some_and(|r| r.state != Progress::Running && r.hash == statement.hash)
                };
                if !agrees {
                    let how = match (want.undo, step.adopt) {
                        (true, _) => "take back ",
                        (false, true) => "note as applied: ",
                        (false, false) => "",
                    };
                    lines.push(format!(
                        "{}: {how}{}",
                        step.title,
                        one_line(&statement.text)
                    ));
                }
            }
        }
        lines
    }

    fn predict(&self, want: &SchemaWant, from: &SchemaState) -> SchemaState {
        if !want.undo {
            return plan::predict(&want.steps, from);
        }
        let mut state = from.clone();
        for step in want.steps.iter().rev() {
            for statement in step.statements.iter().rev() {
                state
                    .ledger
                    .retain(|r| r.version != step.version || r.number != statement.number);
                if !step.adopt {
                    plan::predict_undone(&statement.operations, &mut state);
                }
            }
        }
        state
    }

    fn text(&self, _key: &SchemaKey, state: &SchemaState) -> Option<String> {
        let mut text = String::new();
        for row in &state.ledger {
            text.push_str(&format!(
                "{} part {} statement {}: {}\n",
                row.version,
                row.part,
                row.number,
                row.state.word()
            ));
        }
        for (object, fact) in &state.catalogue {
            match fact {
                Fact::Absent => {}
                Fact::Present { not_null: true, .. } => {
                    text.push_str(&format!("{object} not null\n"))
                }
                Fact::Present {
                    called: Some(name), ..
                } => text.push_str(&format!("{object} (as {name})\n")),
                Fact::Present { .. } => text.push_str(&format!("{object}\n")),
                Fact::Invalid => text.push_str(&format!("{object} invalid\n")),
            }
        }
        Some(text)
    }

    fn reversible(&self, change: &Change<SchemaState, SchemaWant>, _key: &SchemaKey) -> Reversible {
        if change.want.undo {
            return Reversible::Loses(
                "nothing but what was lost when it was taken back".to_owned(),
            );
        }
        let applied = || {
            change
                .want
                .steps
                .iter()
                .filter(|s| !s.adopt)
                .flat_map(|s| &s.statements)
        };
        let never: Vec<&str> = applied()
            .flat_map(|s| &s.inverse.never)
            .map(String::as_str)
            .collect();
        if !never.is_empty() {
            return Reversible::Never(never.join("; "));
        }
        let loses: Vec<&str> = applied()
            .flat_map(|s| &s.inverse.loses)
            .map(String::as_str)
            .collect();
        let mut why = "the version before works with the newer schema".to_owned();
        if !loses.is_empty() {
            why.push_str(&format!(
                "; taken back by name it loses: {}",
                loses.join("; ")
            ));
        }
        Reversible::Stays(why)
    }

    fn back(&self, _: &SchemaKey, change: &Change<SchemaState, SchemaWant>) -> Option<SchemaWant> {
        (!change.want.undo).then(|| SchemaWant {
            undo: true,
            ..change.want.clone()
        })
    }

    fn drifted(
        &self,
        key: &SchemaKey,
        _want: Option<&SchemaWant>,
        was: &SchemaState,
        now: &SchemaState,
    ) -> Vec<String> {
        let shown = |state: &SchemaState| self.text(key, state).unwrap_or_default();
        let lines = runbook_engine::run::diff::lines(&shown(was), &shown(now));
        if lines.is_empty() && was.ledger != now.ledger {
            return vec!["the ledger has other statements under the same numbers".to_owned()];
        }
        lines
    }

    fn touched_by(&self, key: &SchemaKey, written: &Ref) -> bool {
        let id = key.server.id();
        (written.kind == Self::NAME
            && (written.id == id || written.id.starts_with(&format!("{id}/"))))
            || key.server.is_touched_by(written)
    }

    fn predicted(&self, key: &SchemaKey, world: &Predicted<'_>) -> Shadow<SchemaKey, SchemaState> {
        let same = world
            .of::<Self>()
            .filter(|(other, ..)| other.server.id() == key.server.id())
            .last();
        if let Some((other, _, to, task)) = same {
            // The state of the same excerpt is answered before this is asked; of another one not all is known.
            return match to {
                Some(state)
                    if key.objects.iter().all(|o| state.fact(o).is_some())
                        && other.server.id() == key.server.id() =>
                {
                    let known = |k: &String| key.objects.iter().any(|o| o.to_string() == *k);
                    let catalogue = state
                        .catalogue
                        .into_iter()
                        .filter(|(k, _)| known(k))
                        .collect();
                    Shadow::Known(SchemaState {
                        ledger: state.ledger,
                        catalogue,
                    })
                }
                _ => Shadow::Unknown(format!("until \"{task}\"")),
            };
        }
        key.server.predicted(world).shadow()
    }

    async fn write(
        &self,
        host: &Target,
        changes: &[KeyedChange<Self>],
    ) -> Result<Vec<Kept>, WriteError> {
        for keyed in changes {
            writing::apply(host, &keyed.key, &keyed.change).await?;
        }
        Ok(Vec::new())
    }
}

/// A statement on one line, shortened.
#[must_use]
pub fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(120) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runbook_engine::module::reference;
    use runbook_engine::world::PredictedChange;
    use serde_json::json;

    fn key(table: &str) -> SchemaKey {
        SchemaKey {
            server: Server::from_args(Some("db"), None, "pacsdb", "pacs", None).unwrap(),
            objects: vec![Object::Table(table.to_owned())],
        }
    }

    fn state(table: &str) -> SchemaState {
        let catalogue = [(format!("table {table}"), Fact::present(false))].into();
        SchemaState {
            ledger: Vec::new(),
            catalogue,
        }
    }

    fn change(
        key: Ref,
        from: &serde_json::Value,
        to: Option<serde_json::Value>,
    ) -> PredictedChange {
        PredictedChange {
            key,
            from: Some(from.clone()),
            to,
            task: "Swap".to_owned(),
        }
    }

    fn container(name: &str) -> Ref {
        Ref {
            kind: "container".to_owned(),
            id: name.to_owned(),
            data: json!({}),
        }
    }

    #[test]
    fn ids_tell_excerpts_apart_and_lie_below_the_database() {
        assert_ne!(key("a").to_string(), key("b").to_string());
        assert!(key("a").to_string().starts_with("db/pacsdb/"));
        for (written, touched) in [
            (reference::<PgSchema>(&key("b")), true),
            (container("db"), true),
            (container("other"), false),
            (
                Ref {
                    kind: "pg-schema".into(),
                    id: "db/pacsdb2/x".into(),
                    data: json!({}),
                },
                false,
            ),
        ] {
            assert_eq!(
                PgSchema.touched_by(&key("a"), &written),
                touched,
                "{written}"
            );
        }
    }

    #[test]
    fn another_excerpt_is_answered_from_what_was_predicted() {
        let both = SchemaState {
            catalogue: [
                ("table a".to_owned(), Fact::present(false)),
                ("table b".to_owned(), Fact::Absent),
            ]
            .into(),
            ledger: Vec::new(),
        };
        let wide = SchemaKey {
            objects: vec![Object::Table("a".into()), Object::Table("b".into())],
            ..key("a")
        };
        let to = serde_json::to_value(&both).unwrap();
        let changes = [change(reference::<PgSchema>(&wide), &to, Some(to.clone()))];
        let world = Predicted { changes: &changes };
        assert_eq!(
            PgSchema.predicted(&key("a"), &world),
            Shadow::Known(state("a"))
        );
        assert_eq!(
            PgSchema.predicted(&key("c"), &world),
            Shadow::Unknown("until \"Swap\"".to_owned())
        );
        assert_eq!(
            PgSchema.predicted(&key("a"), &Predicted { changes: &[] }),
            Shadow::AsRead
        );
    }

    #[test]
    fn through_a_replaced_container() {
        let mount = |source: &str, target: &str| crate::docker::state::Mount {
            kind: "bind".to_owned(),
            source: source.to_owned(),
            target: target.to_owned(),
            read_only: target.starts_with("/etc"),
            anonymous: source.is_empty(),
            options: String::new(),
        };
        let container_of = |id: &str, running: bool, source: Option<&str>| {
            let mut mounts = vec![mount("/etc/localtime", "/etc/localtime")];
            mounts.extend(source.map(|s| mount(s, "/var/lib/postgresql/data")));
            serde_json::to_value(crate::docker::ContainerState {
                exists: true,
                id: id.to_owned(),
                running,
                mounts,
                ..Default::default()
            })
            .unwrap()
        };
        let now = container_of("1", true, Some("/data"));
        let bare = container_of("1", true, None);
        for (from, to, expected) in [
            (
                &now,
                Some(container_of("", true, Some("/data"))),
                "assuming",
            ),
            (
                &now,
                Some(container_of("1", true, Some("/data"))),
                "assuming",
            ),
            (&now, Some(container_of("", true, Some("/new"))), "unknown"),
            (&now, Some(container_of("", true, None)), "unknown"),
            (&now, Some(container_of("", true, Some(""))), "unknown"),
            (&bare, Some(container_of("", true, None)), "unknown"),
            (&bare, Some(container_of("1", true, None)), "assuming"),
            (
                &now,
                Some(container_of("1", false, Some("/data"))),
                "unknown",
            ),
            (
                &container_of("1", false, Some("/data")),
                Some(now.clone()),
                "unknown",
            ),
            (&now, None, "unknown"),
        ] {
            let data = json!({"name": "db"});
            let changes = [change(
                Ref {
                    data,
                    ..container("db")
                },
                from,
                to.clone(),
            )];
            let shadow = PgSchema.predicted(&key("a"), &Predicted { changes: &changes });
            let found = match shadow {
                Shadow::Assuming(_) => "assuming",
                Shadow::Unknown(_) => "unknown",
                _ => "other",
            };
            assert_eq!(found, expected, "{to:?}");
        }
    }
}
