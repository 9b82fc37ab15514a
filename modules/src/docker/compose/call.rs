//! Calling compose on a host: the plugin of the Docker command (2 and later) or the program `docker-compose` (1, or 2).

use runbook_engine::transport::quote;
use serde::{Deserialize, Serialize};

/// What compose is told of a project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Name of the project.
    pub project: String,
    /// Folder of the project, from which relative paths count.
    pub directory: String,
    /// Its files, relative to the folder or absolute; later ones are put over earlier ones.
    pub files: Vec<String>,
    /// Files with variables for the files.
    pub env_files: Vec<String>,
    /// Profiles whose services count, too.
    pub profiles: Vec<String>,
    /// Its containers were made by version 1: `docker-compose` goes on with them where it is there, since the other one
    /// would make all of them anew.
    pub by_old: bool,
    /// Services are brought up without those that they need (`--no-deps`). From version 2 on that is a setting of a container
    /// like another: one that was made with it is made anew without it.
    pub alone: bool,
    /// Version 1: services are brought up one by one, since it would also make containers anew that are stopped and need one
    /// of the others.
    pub one_by_one: bool,
}

/// The function `compose`; with `old` set to 1 `docker-compose` comes first. 91: there is neither.
const FUNCTIONS: &str = r#"
plugin() { command -v docker >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }
program() { command -v docker-compose >/dev/null 2>&1; }
by=
if [ "$old" = 1 ] && program; then by=program; elif plugin; then by=plugin; elif program; then by=program; fi
compose() {
  case $by in
    plugin) docker compose "$@" ;;
    program) docker-compose "$@" ;;
    *) return 91 ;;
  esac
}
"#;

/// The function, in the folder of the project; `otherwise`: what becomes of it where there is none.
fn begin(call: &Call, otherwise: &str) -> String {
    let old = u8::from(call.by_old);
    let directory = quote::word(&call.directory);
    format!("old={old}\n{FUNCTIONS}\ncd {directory} {otherwise}\n")
}

/// The words that say which project, but for its files.
fn words(call: &Call) -> String {
    let mut words = vec![
        "-p".to_owned(),
        call.project.clone(),
        "--project-directory".to_owned(),
        call.directory.clone(),
    ];
    for (option, values) in [
        ("--env-file", &call.env_files),
        ("--profile", &call.profiles),
    ] {
        for value in values {
            words.extend([option.to_owned(), value.clone()]);
        }
    }
    quote::words(&words)
}

/// A script that has compose make the containers of services, out of the files as they are. Later versions get all of them
/// in one call: they make a container anew, too, when one that it needs is made anew in the same call.
pub(super) fn up(call: &Call, services: &[&str], stop_timeout: Option<i64>) -> String {
    let files: Vec<String> = call
        .files
        .iter()
        .map(|f| format!("-f {}", quote::word(f)))
        .collect();
    let limit = stop_timeout.map(|t| format!("-t {t} ")).unwrap_or_default();
    let (words, files) = (words(call), files.join(" "));
    // Version 1 has no such option; it asks a registry only for an image that is not there.
    let pull = if call.one_by_one { "" } else { "--pull never " };
    let up = |services: &[&str], alone: bool| {
        let alone = if alone { "--no-deps " } else { "" };
        let services: Vec<String> = services.iter().map(|s| quote::word(s)).collect();
        let services = services.join(" ");
        format!(
            "compose {words} {files} up -d --no-build {pull}{alone}{limit}{services} >\"$o\" 2>&1 </dev/null; s=$?; tail -n 6 \"$o\"; \
             [ $s = 0 ] || exit $s\n"
        )
    };
    let calls: String = if call.one_by_one {
        services.iter().map(|s| up(&[s], true)).collect()
    } else {
        up(services, call.alone)
    };
    // Into a file: compose ends what it has begun though nobody hears it any more.
    let begin = begin(call, "|| exit 90");
    format!("{begin}o=$(mktemp) || exit 92\ntrap 'rm -f \"$o\"' EXIT\n{calls}")
}

/// A script that waits until no compose of another call brings up the project, five minutes at most; 93: it still does.
pub(super) fn at_rest(call: &Call) -> String {
    let words = quote::word(&format!(
        " -p {} --project-directory {} ",
        call.project, call.directory
    ));
    format!(
        "w={words}\nn=0\nwhile :; do\n  busy=\n  for p in /proc/[0-9]*/cmdline; do\n    \
         case \" $(tr '\\000' ' ' <\"$p\" 2>/dev/null)\" in *\"$w\"*' up -d '*) busy=1 ;; esac\n  done\n  \
         [ -n \"$busy\" ] || exit 0\n  n=$((n + 1)); [ $n -lt 300 ] || exit 93\n  sleep 1\ndone"
    )
}

/// A script that asks compose what it makes of files with these contents, of which each that is not on the host as it is
/// lies in a folder in memory for as long as that takes. Standard input: the contents, one behind the other. Standard
/// output, each ended by a zero byte: version; exit status and text of `config`; hashes of the services (version 1); what
/// `up` of these services (or all) would do (version 2 from 2.15 on, `--dry-run`).
///
/// The plugin would leave files of the builder in the user's home, so that has a folder there, too. Without its images version
/// 2 would ask their registries, so it is told not to.
pub(super) fn asked(call: &Call, sizes: &[usize], services: &[String]) -> String {
    // An earlier task may make the folder.
    let mut script = begin(call, "2>/dev/null");
    script.push_str(
        "t=$(mktemp -d /dev/shm/runbook.XXXXXX 2>/dev/null || mktemp -d) || exit 92\n\
         trap 'rm -rf \"$t\"' EXIT\n\
         trap 'exit 99' HUP INT TERM PIPE\n\
         umask 077\n\
         export BUILDX_CONFIG=\"$t/buildx\"\n\
         set --\n",
    );
    for (at, (file, size)) in call.files.iter().zip(sizes).enumerate() {
        let file = quote::word(file);
        script.push_str(&format!(
            "head -c {size} >\"$t/{at}.yml\"\n\
             if cmp -s \"$t/{at}.yml\" {file}; then set -- \"$@\" -f {file}; else set -- \"$@\" -f \"$t/{at}.yml\"; fi\n"
        ));
    }
    let words = words(call);
    let mut up = vec!["up -d --no-build --pull never".to_owned()];
    up.extend(call.alone.then(|| "--no-deps".to_owned()));
    up.extend(services.iter().map(|s| quote::word(s)));
    let up = up.join(" ");
    script.push_str(&format!(
        "version=$(compose version --short 2>/dev/null </dev/null) || exit 91\n\
         printf '%s\\0' \"$version\"\n\
         compose {words} \"$@\" config >\"$t/config\" 2>\"$t/said\" </dev/null\n\
         status=$?\n\
         [ $status = 0 ] || cat \"$t/said\" >\"$t/config\"\n\
         printf '%s\\0' $status\n\
         cat \"$t/config\"\n\
         printf '\\0'\n\
         [ $status = 0 ] || exit 0\n\
         case ${{version#v}} in\n\
         1.*) compose {words} \"$@\" config --hash '*' 2>/dev/null </dev/null; printf '\\0\\0' ;;\n\
         *) printf '\\0'; compose --dry-run {words} \"$@\" {up} 2>&1 </dev/null; printf '\\0' ;;\n\
         esac\n\
         exit 0\n"
    ));
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_reaches_the_shell_unquoted() {
        let call = Call {
            project: "p".to_owned(),
            directory: "/srv/a b'c".to_owned(),
            files: vec!["$(x).yml".to_owned()],
            env_files: vec!["`y`".to_owned()],
            profiles: vec!["a;b".to_owned()],
            ..Call::default()
        };
        let services = ["s|t".to_owned()];
        let scripts = [up(&call, &["s|t"], Some(3)), asked(&call, &[7], &services)].join("\n");
        for quoted in [r"'/srv/a b'\''c'", "'$(x).yml'", "'`y`'", "'a;b'", "'s|t'"] {
            assert!(scripts.contains(quoted), "{quoted}: {scripts}");
        }
        for bare in [" $(x)", " `y`", " a;b", " s|t"] {
            assert!(!scripts.contains(bare), "{bare}: {scripts}");
        }
    }
}
