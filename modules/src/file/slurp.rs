//! The module `slurp`: the content of a file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use runbook_engine::host::FileType;
use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::resource::Kind as _;
use runbook_engine::value::Value;
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::FileKind;
use super::compare::type_name;
use super::contents::{ContentKind, bytes_of};
use super::state::{FileKey, tidy};
use super::target::absolute;

/// Arguments of `slurp`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlurpArgs {
    /// The absolute path of the file. A link is followed. Also written `path`.
    #[serde(alias = "path")]
    pub src: String,
}

/// The module.
pub struct Slurp;

impl Module for Slurp {
    type Args = SlurpArgs;
    const NAME: &'static str = "slurp";
    const SUMMARY: &'static str = "Reads the content of a file.";
    const DOC: &'static str = r#"
```yaml
- slurp: {src: /etc/machine-id}
  register: id
- debug: {msg: "{{ id.content | b64decode }}"}
```

**Check mode**: it reads what will be there when its turn comes.
"#;
    const PATHS: &'static [&'static str] = &["src", "path"];

    fn touches(args: &SlurpArgs) -> Footprint {
        Footprint::nothing()
            .reads(FileKind::NAME, tidy(&args.src))
            .reads(ContentKind::NAME, "*")
    }

    fn want(args: &SlurpArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        let path = absolute(&args.src)?;
        let state = world.get::<FileKind>(&FileKey::following(&path))?;
        match state.is {
            FileType::File => {}
            FileType::Absent => return Err(Stop::refuse(format!("{path} does not exist"))),
            other => {
                return Err(Stop::refuse(format!(
                    "{path} is a {}, not a file",
                    type_name(other)
                )));
            }
        }
        let mut wanted = Wanted::nothing();
        let content = STANDARD.encode(bytes_of(&state, world)?);
        wanted
            .facts
            .insert("content".to_owned(), Value::from(content));
        wanted
            .facts
            .insert("encoding".to_owned(), Value::from("base64"));
        wanted.facts.insert("source".to_owned(), Value::from(path));
        Ok(wanted)
    }
}
