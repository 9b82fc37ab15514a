//! The module `pg_database`: which database has a name, or that none has.

use runbook_engine::module::{Footprint, Module, Stop, Wanted, reference};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Secret;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::database_kind::{DatabaseKey, DatabaseWant, PgDatabase};
use super::server::Server;
use crate::docker::Container;

/// The module.
pub struct PgDatabaseModule;

/// Arguments of `pg_database`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PgDatabaseArgs {
    /// The container that the server runs in, `NAME` or `NAME:PORT` (port 5432 by default).
    #[serde(default)]
    pub container: Option<String>,
    /// The server as seen from the host, in place of `container`: `HOST:PORT`, or its socket or the folder of it.
    #[serde(default)]
    pub server: Option<String>,
    /// The user to log in as.
    pub user: String,
    /// The password of `user`. Without it none is given.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The database.
    pub name: String,
    /// `present` (the default) or `absent`.
    #[serde(default)]
    pub state: PresentOrAbsent,
    /// With `present`: the database that gets this name.
    #[serde(default)]
    pub from: Option<String>,
    /// With `from`: the name that the database gets which has had this one. It stays as it is.
    #[serde(default)]
    pub keep_as: Option<String>,
    /// A database of the server to log in to meanwhile. Default: postgres.
    #[serde(default)]
    pub maintenance_db: Option<String>,
}

/// There or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PresentOrAbsent {
    /// There.
    #[default]
    Present,
    /// Not there.
    Absent,
}

impl PgDatabaseArgs {
    fn server(&self) -> Result<Server, String> {
        Server::from_args(
            self.container.as_deref(),
            self.server.as_deref(),
            self.maintenance_db.as_deref().unwrap_or("postgres"),
            &self.user,
            self.password.as_ref(),
        )
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        [Some(&self.name), self.from.as_ref(), self.keep_as.as_ref()]
            .into_iter()
            .flatten()
    }
}

impl Module for PgDatabaseModule {
    type Args = PgDatabaseArgs;

    const NAME: &'static str = "pg_database";
    const SUMMARY: &'static str = "Gives a database another one's name, or removes it.";
    const DOC: &'static str = include_str!("pg_database.md");

    fn validate(args: &Self::Args) -> Result<(), String> {
        let server = args.server()?;
        let mut names: Vec<&String> = args.names().collect();
        names.sort();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err("`name`, `from` and `keep_as` are three databases".to_owned());
        }
        if names
            .iter()
            .any(|n| n.is_empty() || n.contains('\0') || **n == server.database)
        {
            return Err(format!(
                "a name is empty, or is `{}`, the database that one logs in to meanwhile (`maintenance_db`)",
                server.database
            ));
        }
        match (args.state, &args.from, &args.keep_as) {
            (PresentOrAbsent::Present, None, _) => {
                Err("`from` is missing: which database gets the name?".to_owned())
            }
            (PresentOrAbsent::Absent, None, None) | (PresentOrAbsent::Present, Some(_), _) => {
                Ok(())
            }
            (PresentOrAbsent::Absent, ..) => {
                Err("`from` and `keep_as` go with `state: present`".to_owned())
            }
        }
    }

    fn touches(args: &Self::Args) -> Footprint {
        let Ok(server) = args.server() else {
            return Footprint::everything();
        };
        let mut footprint = Footprint::nothing();
        for name in args.names() {
            let id = server.other(name).id();
            // What is in it has another name, too.
            footprint = footprint
                .writes(PgDatabase::NAME, &id)
                .writes("pg-schema", &id)
                .writes("pg-facts", id);
        }
        match server.container() {
            Some(name) => footprint.reads(Container::NAME, name),
            None => footprint,
        }
    }

    fn want(args: &Self::Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let server = args.server().map_err(Stop::Refuse)?;
        let key = |name: &String| DatabaseKey {
            server: server.clone(),
            name: name.clone(),
        };
        let refs: Vec<_> = args
            .names()
            .map(|n| reference::<PgDatabase>(&key(n)))
            .collect();
        world.need(&refs)?;
        let own = key(&args.name);
        let now = world.get::<PgDatabase>(&own)?;
        let Some(from) = &args.from else {
            return Ok(Wanted::one::<PgDatabase>(&own, &DatabaseWant::Absent));
        };
        let shown = |name: &str| server.other(name).shown();
        let coming = world.get::<PgDatabase>(&key(from))?;
        if !coming.exists {
            if !now.exists {
                return Err(Stop::refuse(format!(
                    "there is neither {} nor {}",
                    shown(from),
                    shown(&args.name)
                )));
            }
            let mut wanted = Wanted::nothing();
            wanted
                .notes
                .push(format!("no database is called {from} any more"));
            return Ok(wanted);
        }
        let mut wanted = Wanted::nothing();
        let of = |database, was: &String| DatabaseWant::Of {
            database,
            was: Some(was.clone()),
        };
        match (&args.keep_as, now.exists) {
            (None, true) => {
                return Err(Stop::refuse(format!(
                    "{} is there; say with `keep_as` what it shall be called",
                    shown(&args.name)
                )));
            }
            (Some(other), true) => {
                if world.get::<PgDatabase>(&key(other))?.exists {
                    return Err(Stop::refuse(format!(
                        "{} is there; say with `keep_as` another name for {}",
                        shown(other),
                        args.name
                    )));
                }
                wanted.set::<PgDatabase>(&key(other), &of(now, &args.name));
            }
            (_, false) => {}
        }
        wanted.set::<PgDatabase>(&own, &of(coming, from));
        wanted.set::<PgDatabase>(&key(from), &DatabaseWant::Free);
        Ok(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::database_kind::DatabaseState;
    use runbook_engine::world::Fixture;
    use serde_json::json;

    fn args(more: serde_json::Value) -> PgDatabaseArgs {
        let mut args = json!({"container": "db", "user": "pacs", "name": "pacsdb"});
        for (name, value) in more.as_object().unwrap() {
            args[name] = value.clone();
        }
        serde_json::from_value(args).unwrap()
    }

    fn want(more: serde_json::Value, there: &[&str]) -> Result<Vec<String>, Stop> {
        let args = args(more);
        let server = args.server().unwrap();
        let mut world = Fixture::default();
        for (oid, name) in ["pacsdb", "new", "old"].into_iter().enumerate() {
            let key = DatabaseKey {
                server: server.clone(),
                name: name.to_owned(),
            };
            let state = DatabaseState {
                exists: there.contains(&name),
                oid: u32::try_from(oid).ok(),
                ..DatabaseState::default()
            };
            world = world.with::<PgDatabase>(&key, &state);
        }
        let wanted = PgDatabaseModule::want(&args, &world.view())?;
        Ok(wanted.resources.iter().map(|r| r.key.id.clone()).collect())
    }

    #[test]
    fn one_takes_the_place_of_the_other() {
        let swap = json!({"from": "new", "keep_as": "old"});
        assert_eq!(
            want(swap.clone(), &["pacsdb", "new"]).unwrap(),
            ["db/old", "db/pacsdb", "db/new"]
        );
        assert_eq!(
            want(swap.clone(), &["new"]).unwrap(),
            ["db/pacsdb", "db/new"]
        );
        assert!(want(swap.clone(), &["pacsdb", "old"]).unwrap().is_empty());
        assert!(matches!(want(swap.clone(), &[]), Err(Stop::Refuse(_))));
        assert!(matches!(
            want(swap, &["pacsdb", "new", "old"]),
            Err(Stop::Refuse(_))
        ));
        assert!(matches!(
            want(json!({"from": "new"}), &["pacsdb", "new"]),
            Err(Stop::Refuse(_))
        ));
        assert_eq!(
            want(json!({"state": "absent"}), &["pacsdb"]).unwrap(),
            ["db/pacsdb"]
        );
    }

    #[test]
    fn refused_arguments() {
        for more in [
            json!({}),
            json!({"from": "pacsdb"}),
            json!({"from": "postgres"}),
            json!({"from": ""}),
            json!({"state": "absent", "from": "x"}),
        ] {
            assert!(
                PgDatabaseModule::validate(&args(more.clone())).is_err(),
                "{more}"
            );
        }
    }
}
