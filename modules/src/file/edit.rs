//! What the editing modules share: a function from a file's bytes to its new bytes, and all that stands around it.

use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;

use super::account::{self, AccountKind};
use super::compare::type_name;
use super::contents::{ContentKind, bytes_of};
use super::state::{Content, FileKey, FileWant, Source, parent, tidy};
use super::target::{
    absolute, back_up, backups, missing_parents, need_parent_of_end, set_attributes,
};
use super::{FileKind, Mode};

/// The arguments around an edit.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The file.
    pub path: &'a str,
    /// Make it, and the directories above it, where it is missing.
    pub create: bool,
    /// Where it is missing and not to be made, there is nothing to do, in place of a failure.
    pub absent_is_fine: bool,
    /// What is said where the file was made, in place of what the edit says.
    pub made: Option<&'a str>,
    /// Keep the old file beside the new one.
    pub backup: bool,
    /// Checks the new content.
    pub validate: Option<&'a String>,
    /// Permission bits.
    pub mode: Option<&'a Mode>,
    /// Owner.
    pub owner: Option<&'a String>,
    /// Group.
    pub group: Option<&'a String>,
}

/// What an edit made of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The new bytes.
    pub content: Vec<u8>,
    /// What was done, as Ansible says it; empty where nothing was.
    pub msg: String,
    /// How many lines were found, where that is asked.
    pub found: Option<usize>,
}

impl Edited {
    /// Nothing was done.
    #[must_use]
    pub fn nothing(content: &[u8]) -> Self {
        Self {
            content: content.to_vec(),
            msg: String::new(),
            found: None,
        }
    }
}

impl<'a> Frame<'a> {
    /// A file that has to be there, whose rights stay.
    #[must_use]
    pub fn of(path: &'a str) -> Self {
        Self {
            path,
            create: false,
            absent_is_fine: false,
            made: None,
            backup: false,
            validate: None,
            mode: None,
            owner: None,
            group: None,
        }
    }
}

impl Frame<'_> {
    /// What an edit may touch.
    #[must_use]
    pub fn touches(&self) -> Footprint {
        let path = tidy(self.path);
        let footprint = Footprint::nothing()
            .reads(FileKind::NAME, parent(&path))
            .reads(ContentKind::NAME, &path)
            .reads(AccountKind::NAME, "*")
            .writes(FileKind::NAME, &path);
        if self.backup {
            backups(footprint, &path)
        } else {
            footprint
        }
    }

    /// Wants what `edit` makes of the file, of whose bytes nothing else changes. A link is followed.
    pub fn want(
        &self,
        world: &View<'_>,
        edit: impl FnOnce(&[u8]) -> Result<Edited, String>,
    ) -> Result<Wanted, Stop> {
        let path = absolute(self.path)?;
        let now = world.get::<FileKind>(&FileKey::following(&path))?;
        let mut wanted = Wanted::nothing();
        let old = match now.is {
            FileType::File => bytes_of(&now, world)?,
            FileType::Absent if self.create => {
                let missing = missing_parents(world, &path, &FileKey::following(&path))?;
                if missing.is_empty() {
                    need_parent_of_end(world, &path, &now)?;
                }
                for (key, _) in missing {
                    wanted.set::<FileKind>(
                        &key,
                        &FileWant {
                            is: Some(FileType::Directory),
                            ..FileWant::default()
                        },
                    );
                }
                Vec::new()
            }
            FileType::Absent if self.absent_is_fine => {
                wanted
                    .facts
                    .insert("msg".to_owned(), Value::from("file not present"));
                return Ok(wanted);
            }
            FileType::Absent => {
                return Err(Stop::refuse(format!(
                    "{path} does not exist; `create: true` makes it, where the module has it"
                )));
            }
            other => {
                return Err(Stop::refuse(format!(
                    "{path} is a {}, not a file",
                    type_name(other)
                )));
            }
        };
        let edited = edit(&old).map_err(Stop::Refuse)?;
        let mut want = FileWant {
            is: Some(FileType::File),
            validate: self.validate.cloned(),
            ..FileWant::default()
        };
        if edited.content != old || now.is_absent() {
            want.content = Some(Source::Bytes(Content(edited.content)));
            if self.backup {
                back_up(&mut wanted, &path, &now);
            }
        }
        set_attributes(
            &mut want,
            &now,
            FileType::File,
            self.mode,
            self.owner,
            self.group,
        )?;
        let at = FileKey::found_at(&now.path, &path);
        wanted.set::<FileKind>(&at, &want);
        let msg = match self.made {
            Some(made) if now.is_absent() => made.to_owned(),
            _ => edited.msg,
        };
        wanted.facts.insert("msg".to_owned(), Value::from(msg));
        if let Some(found) = edited.found {
            wanted.facts.insert(
                "found".to_owned(),
                Value::Int(i64::try_from(found).unwrap_or(i64::MAX)),
            );
        }
        let at = FileKey::following(&path);
        account::known(wanted, world, &at, self.owner, self.group)
    }
}

/// The lines of a file with their ends.
#[must_use]
pub fn lines(content: &[u8]) -> Vec<&[u8]> {
    content.split_inclusive(|b| *b == b'\n').collect()
}

/// A line without its end.
#[must_use]
pub fn bare(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r\n")
        .or_else(|| line.strip_suffix(b"\n"))
        .unwrap_or(line)
}

/// How the lines of a file end: as its first one does.
#[must_use]
pub fn ending(content: &[u8]) -> &'static [u8] {
    match lines(content).first() {
        Some(first) if first.ends_with(b"\r\n") => b"\r\n",
        _ => b"\n",
    }
}

/// Is the pattern found in the line? In a line that ends in CR LF, `$` stands before both.
#[must_use]
pub fn matches(pattern: &regex::bytes::Regex, line: &[u8]) -> bool {
    pattern.is_match(line) || line.ends_with(b"\r\n") && pattern.is_match(bare(line))
}
