//! The module `docker_image`.

use indexmap::IndexMap;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::archive::{ArchiveKey, ArchivedImage, ImageArchive};
use super::image::{Image, ImageKey, ImageSource, ImageWant};
use super::registry::RegistryImage;

/// The module.
pub struct DockerImage;

/// An image that shall be on the host, or not.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Args {
    /// The image, `repository:tag`.
    pub name: String,
    /// `present` (the default) or `absent`.
    #[serde(default)]
    pub state: State,
    /// How it gets there: `local` (it has to be there), `pull` (from its registry), `load` (from an archive made by
    /// `docker save` on the controller). Without it: `load` where `load_path` is given, else `local`.
    #[serde(default)]
    pub source: Option<Source>,
    /// The archive on the controller, looked up in `files/`. Loaded where the image is not there yet, or where another
    /// one has its name (images are compared by id).
    #[serde(default)]
    pub load_path: Option<String>,
    /// With `pull`: also where an image of this name is there, if its registry has another one under it. Default: no.
    #[serde(default)]
    pub force_source: bool,
    /// With `absent`: though containers that do not run were made from it.
    #[serde(default)]
    pub force_absent: bool,
}

/// There or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There.
    #[default]
    Present,
    /// Not there.
    Absent,
}

/// How it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// It has to be there.
    Local,
    /// From its registry.
    Pull,
    /// From an archive.
    Load,
}

impl Args {
    fn key(&self) -> ImageKey {
        let (_, tail) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
        let reference = if tail.contains([':', '@']) {
            self.name.clone()
        } else {
            format!("{}:latest", self.name)
        };
        ImageKey { reference }
    }

    fn source(&self) -> Source {
        self.source.unwrap_or(if self.load_path.is_some() {
            Source::Load
        } else {
            Source::Local
        })
    }
}

impl Module for DockerImage {
    type Args = Args;

    const NAME: &'static str = "docker_image";
    const SUMMARY: &'static str = "Brings an image to the host, or removes it.";
    const DOC: &'static str = include_str!("image.md");
    const LOCAL_FILES: &'static [&'static str] = &["load_path"];

    fn validate(args: &Args) -> Result<(), String> {
        if args.source() == Source::Load && args.load_path.is_none() {
            return Err("`source: load` wants `load_path`".to_owned());
        }
        if args.force_source && (args.source() != Source::Pull || args.state == State::Absent) {
            return Err("`force_source` goes with `source: pull`".to_owned());
        }
        if let Some((_, digest)) = args.name.split_once('@')
            && !digest.starts_with("sha256:")
        {
            return Err(format!("`{digest}` is no digest (sha256:…)"));
        }
        Ok(())
    }

    fn touches(args: &Args) -> Footprint {
        let footprint = Footprint::nothing().writes(Image::NAME, args.key().reference);
        let footprint = match args.source() {
            Source::Pull => footprint.reads(RegistryImage::NAME, args.key().reference),
            Source::Load | Source::Local => footprint,
        };
        match args.load_path {
            Some(_) => footprint.reads(ImageArchive::NAME, "*"),
            None => footprint,
        }
    }

    fn want(args: &Args, world: &View<'_>) -> Result<Wanted, Stop> {
        let key = args.key();
        let state = world.get::<Image>(&key)?;
        let present = args.state == State::Present;
        if !present && !state.used_by.is_empty() && !args.force_absent {
            return Err(Stop::refuse(format!(
                "image {key} is used by {}",
                state.used_by.join(", ")
            )));
        }
        let mut archived = ArchivedImage::default();
        let mut digest = None;
        let source = match args.source() {
            Source::Local if present && state.id.is_none() => {
                return Err(Stop::refuse(format!(
                    "image {key} is not on the host; name a `load_path`, or `source: pull`"
                )));
            }
            Source::Local => ImageSource::Local,
            Source::Pull => {
                if present && (state.id.is_none() || args.force_source) {
                    let found = world.get::<RegistryImage>(&key)?;
                    digest = Some(found.digest.ok_or_else(|| {
                        Stop::refuse(format!(
                            "image {key} cannot be pulled: {}",
                            found.refused.trim()
                        ))
                    })?);
                }
                ImageSource::Pull
            }
            Source::Load => {
                let name = args.load_path.as_deref().unwrap_or_default();
                let path = world.local(name)?.path.clone();
                if present {
                    let archive = ArchiveKey { path: path.clone() };
                    let content = world.get::<ImageArchive>(&archive)?;
                    if let Some(images) = content.images {
                        let found = images.get(&key.reference).cloned();
                        archived = found.ok_or_else(|| {
                            let holds: Vec<&str> = images.keys().map(String::as_str).collect();
                            Stop::refuse(format!(
                                "the archive {archive} does not hold {key}, but {}",
                                holds.join(", ")
                            ))
                        })?;
                    }
                }
                ImageSource::Load(path)
            }
        };
        let want = ImageWant {
            present,
            source,
            ids: archived.ids,
            config: archived.config,
            force: args.force_absent,
            digest,
        };
        let mut wanted = Wanted::one::<Image>(&key, &want);
        if let Some(digest) = want.digest.filter(|digest| !state.has_digest(digest)) {
            wanted
                .notes
                .push(format!("{key} is {digest} in its registry"));
        }
        Ok(wanted)
    }

    fn output(args: &Args, _: &View<'_>, after: &View<'_>) -> IndexMap<String, Value> {
        let Ok(state) = after.get::<Image>(&args.key()) else {
            return IndexMap::new();
        };
        let id = match &state.id {
            Some(id) if id.is_empty() => Value::Unknown("until it is there".to_owned()),
            Some(id) => Value::Str(id.clone()),
            None => Value::Null,
        };
        let env = state
            .config
            .get("Env")
            .map(Value::from_json)
            .unwrap_or_default();
        let image = IndexMap::from([
            ("exists".to_owned(), Value::Bool(state.id.is_some())),
            ("id".to_owned(), id),
            ("size".to_owned(), Value::Int(state.size)),
            ("env".to_owned(), env),
        ]);
        IndexMap::from([("image".to_owned(), Value::Map(image))])
    }
}
