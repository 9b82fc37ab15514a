//! The files of a project as they are on the host, and as the task wants them.

use runbook_engine::host::FileType;
use runbook_engine::module::{Stop, Wanted};
use runbook_engine::world::View;

use super::file::{self, File};
use super::module::{Args, State};
use crate::file::FileKind;
use crate::file::contents::bytes_of;
use crate::file::edit::{Edited, Frame};
use crate::file::state::{FileKey, join};

/// The files that may count.
pub(super) fn candidates(args: &Args) -> Vec<String> {
    match &args.files {
        Some(files) => files.clone(),
        None => {
            let names = file::NAMES.iter().map(|n| (*n).to_owned());
            names
                .chain(file::NAMES.iter().flat_map(|n| file::overrides(n)))
                .collect()
        }
    }
}

/// The project's files with their contents, and its variables (`.env`). Of a project that is to stop or to go they may be missing.
pub(super) fn files(args: &Args, world: &View<'_>) -> Result<(Vec<File>, String), Stop> {
    let mut names = candidates(args);
    let of_variables = match args.env_files.as_slice() {
        [] => vec![".env".to_owned()],
        named => named.to_vec(),
    };
    let count = names.len();
    names.extend(of_variables);
    let keys: Vec<FileKey> = names
        .iter()
        .map(|n| FileKey::following(&join(&args.project_src, n)))
        .collect();
    let states = world.all::<FileKind>(&keys)?;
    let mut found = Vec::new();
    let mut env = String::new();
    for (at, (name, state)) in names.into_iter().zip(&states).enumerate() {
        match state.is {
            FileType::File => {
                let text = String::from_utf8(bytes_of(state, world)?)
                    .map_err(|_| Stop::refuse(format!("{} is no text", state.path)))?;
                if at < count {
                    found.push(File { name, text });
                } else {
                    env.push_str(&text);
                    env.push('\n');
                }
            }
            FileType::Absent => {}
            _ => return Err(Stop::refuse(format!("{} is no file", state.path))),
        }
    }
    if args.files.is_none()
        && let Some(named) = file::variable(&env, "COMPOSE_FILE")
    {
        return Err(Stop::refuse(format!(
            "the project's variables say that its files are {named} (COMPOSE_FILE); name them with `files`"
        )));
    }
    let directory = &args.project_src;
    if let Some(files) = &args.files {
        let missing = files
            .iter()
            .find(|f| found.iter().all(|have| have.name != **f));
        if let Some(missing) = missing {
            return Err(Stop::refuse(format!(
                "{} does not exist",
                join(directory, missing)
            )));
        }
        return Ok((found, env));
    }
    let mut bases: Vec<String> = Vec::new();
    let are = found.iter().map(|f| f.name.clone());
    bases.extend(are.filter(|n| file::NAMES.contains(&n.as_str())));
    match bases.as_slice() {
        [] if args.state != State::Present => Ok((Vec::new(), env)),
        [] => Err(Stop::refuse(format!(
            "there is no compose file in {directory}: none of {}; name it with `files`",
            file::NAMES.join(", ")
        ))),
        [one] => {
            let beside = file::overrides(one);
            let over = found.iter().filter(|f| beside.contains(&f.name)).cloned();
            let over: Vec<File> = over.take(1).collect();
            found.retain(|f| f.name == *one);
            found.extend(over);
            Ok((found, env))
        }
        several => Err(Stop::refuse(format!(
            "there are {} in {directory}, and versions of compose take different ones: say with `files` which is meant",
            several.join(" and ")
        ))),
    }
}

/// One of the files is written anew.
pub(super) fn written(
    args: &Args,
    world: &View<'_>,
    old: &File,
    new: &File,
) -> Result<Wanted, Stop> {
    let frame = Frame {
        path: &join(&args.project_src, &old.name),
        create: false,
        absent_is_fine: false,
        made: None,
        backup: args.backup,
        validate: None,
        mode: None,
        owner: None,
        group: None,
    };
    frame.want(world, |_| {
        Ok(Edited {
            content: new.text.clone().into_bytes(),
            msg: String::new(),
            found: None,
        })
    })
}
