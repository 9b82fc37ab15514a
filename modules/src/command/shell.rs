//! The module `shell`: a line for a shell.

use std::collections::BTreeMap;

use runbook_engine::module::{Footprint, Module, Stop, Wanted};
use runbook_engine::world::View;
use schemars::JsonSchema;
use serde::Deserialize;

use super::exec::Shown;
use super::guide;
use super::launch::{Launch, stdin};

/// Arguments of `shell`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellArgs {
    /// The line, or lines. What a bare string sets.
    #[serde(alias = "_raw_params")]
    pub cmd: String,
    /// The shell, an absolute path on the host. Default: /bin/sh.
    pub executable: Option<String>,
    /// Working directory on the host.
    pub chdir: Option<String>,
    /// Path or pattern: where it exists, the line does not run.
    pub creates: Option<String>,
    /// Path or pattern: where it does not exist, the line does not run.
    pub removes: Option<String>,
    /// Text for the standard input.
    pub stdin: Option<String>,
    /// End `stdin` with a newline. Default: yes.
    #[serde(default = "yes")]
    pub stdin_add_newline: bool,
    /// Cut empty lines from the ends of stdout and stderr. Default: yes.
    #[serde(default = "yes")]
    pub strip_empty_ends: bool,
    /// It changes nothing: it runs in check mode too, together with all other reads, and is never `changed`.
    /// Default: no.
    #[serde(default)]
    pub reads_only: bool,
    /// With `reads_only` or `changes`: the resources it reads (`/etc/php.ini`, `container:arc`). Default: anything, so that in a
    /// parallel block nothing that writes goes beside it.
    pub reads: Option<Vec<String>>,
    /// The resources it changes, and no others (`/etc/php.ini`, `container:arc`). Without this and without `creates`
    /// nothing on the machine is known after it.
    pub changes: Option<Vec<String>>,
    /// A shell line that only reads: where it ends with status 0, the line does not run.
    pub unless: Option<String>,
    /// A shell line that only reads: the line runs only where it ends with status 0.
    pub only_if: Option<String>,
    /// Seconds after which it is stopped. Default: none.
    pub timeout: Option<u64>,
    /// Variables added to its environment. Set by the task's keyword `environment`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// The module.
pub struct Shell;

impl Module for Shell {
    type Args = ShellArgs;
    const NAME: &'static str = "shell";
    const SUMMARY: &'static str = "Runs a line in a shell on the host.";
    const DOC: &'static str = r#"
```yaml
- shell: tar cf - /var/lib/app | gzip > /var/backups/app.tar.gz
  args: {creates: /var/backups/app.tar.gz}
- shell: {cmd: "df -Pk /var | awk 'NR==2 {print $4}'", reads_only: true}
  register: free
```

Where no pipe, redirection or variable is needed, `command` is the safer choice. In a template, `quote` makes one word
of a value.

**Secrets.** A line that holds one is read by the shell from a file of its user and stands in no list of arguments, unless it
only reads; `$0` is then `/dev/fd/9`. What the line calls has its arguments as always: what is secret belongs into `stdin`.

**Check mode, way back**: as `command`.

**On the target**: the shell.
"#;
    const FREE_FORM: Option<&'static str> = Some("cmd");

    fn validate(args: &ShellArgs) -> Result<(), String> {
        if args.cmd.trim().is_empty() {
            return Err("there is no command in it".to_owned());
        }
        if let Some(wrong) = guide::mistaken(&args.cmd).or_else(|| guide::cut_off(&args.cmd)) {
            return Err(wrong);
        }
        if let Some(shell) = args.executable.as_ref().filter(|e| !e.starts_with('/')) {
            return Err(format!("`executable: {shell}` must be an absolute path"));
        }
        launch(args).validate()
    }

    fn touches(args: &ShellArgs) -> Footprint {
        launch(args).touches()
    }

    fn want(args: &ShellArgs, world: &View<'_>) -> Result<Wanted, Stop> {
        launch(args).want(world)
    }
}

fn launch(args: &ShellArgs) -> Launch<'_> {
    let shell = args
        .executable
        .clone()
        .unwrap_or_else(|| "/bin/sh".to_owned());
    Launch {
        argv: vec![shell, "-c".to_owned(), args.cmd.clone()],
        shown: Some(Shown::Line(args.cmd.clone())),
        chdir: args.chdir.as_ref(),
        creates: args.creates.as_ref(),
        removes: args.removes.as_ref(),
        stdin: stdin(args.stdin.as_ref(), args.stdin_add_newline),
        strip_empty_ends: args.strip_empty_ends,
        reads_only: args.reads_only,
        reads: args.reads.as_ref(),
        changes: args.changes.as_ref(),
        unless: args.unless.as_ref(),
        only_if: args.only_if.as_ref(),
        timeout: args.timeout,
        environment: Some(&args.environment),
    }
}
