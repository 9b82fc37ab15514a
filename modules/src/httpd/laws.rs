//! What holds of every configuration, judged by the server itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use runbook_engine::host::FileType;
use runbook_engine::module::LocalFiles;
use runbook_engine::resource::{Kind as _, Ref};
use runbook_engine::world::{Known, Lookup, View};

use super::conf::Conf;
use super::effective::{Effective, Server};
use super::tree::Tree;
use super::words::words;
use crate::file::FileKind;
use crate::file::listing::{Entry, ListingKind};
use crate::file::state::{FileKey, FileState};
use crate::realdata::realdata;
use crate::skip::skip;

/// The files of this machine, in place of a host.
struct Here;

impl Lookup for Here {
    fn lookup(&self, key: &Ref) -> Option<Known> {
        let file: FileKey = serde_json::from_value(key.data.clone()).unwrap();
        let state = if key.kind == FileKind::NAME {
            serde_json::to_value(state(&file.path))
        } else if key.kind == ListingKind::NAME {
            serde_json::to_value(listing(&file.path))
        } else {
            return None;
        };
        Some(Known::State(state.unwrap()))
    }
}

fn state(path: &str) -> FileState {
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => FileState::directory(path),
        Ok(_) => FileState::file(path, fs::read(path).unwrap()),
        Err(_) => FileState::absent(path),
    }
}

fn listing(path: &str) -> Vec<Entry> {
    let Ok(all) = fs::read_dir(path) else {
        return Vec::new();
    };
    all.map(|entry| {
        let entry = entry.unwrap();
        let is = if entry.path().is_dir() {
            FileType::Directory
        } else {
            FileType::File
        };
        Entry {
            path: entry.file_name().into_string().unwrap(),
            is,
            mode: 0o644,
            uid: None,
            owner: None,
            gid: None,
            group: None,
            inode: None,
        }
    })
    .collect()
}

pub(super) const MODULES: &str = "/usr/lib/apache2/modules";

/// A server's folder.
struct Rig {
    folder: tempfile::TempDir,
}

impl Rig {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { folder }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let at = self.folder.path().display().to_string();
        let names = ["APACHE_RUN_DIR", "APACHE_LOG_DIR", "APACHE_PID_FILE"];
        let mut all: BTreeMap<String, String> = names
            .iter()
            .map(|n| ((*n).to_owned(), at.clone()))
            .collect();
        for name in ["APACHE_RUN_USER", "APACHE_RUN_GROUP"] {
            all.insert(name.to_owned(), "daemon".to_owned());
        }
        all
    }

    fn effective(&self) -> Effective {
        let none = LocalFiles::new();
        let world = View::new(&Here, &none);
        let root = self.folder.path().display().to_string();
        let built_in = [
            "core.c",
            "mod_so.c",
            "mod_watchdog.c",
            "http_core.c",
            "mod_log_config.c",
            "mod_logio.c",
            "mod_version.c",
            "mod_unixd.c",
        ];
        let server = Server {
            version: Some(release()),
            built_in: built_in.map(str::to_owned).to_vec(),
            defined: Vec::new(),
            environment: self.environment(),
        };
        let tree = Tree::gather(&world, &self.at("apache2.conf"), Some(&root), &server).unwrap();
        Effective::of(&tree, &server)
    }

    /// What the server reads, as lines: file, depth, name and words. `Err`: why it does not take it.
    fn dumped(&self) -> Result<Vec<String>, String> {
        let out = Command::new("/usr/sbin/apache2")
            .arg("-d")
            .arg(self.folder.path())
            .args(["-f", "apache2.conf", "-t", "-D", "DUMP_CONFIG"])
            .args([
                "-C",
                &format!("LoadModule info_module {MODULES}/mod_info.so"),
            ])
            .envs(self.environment())
            .output()
            .unwrap();
        if !out.status.success() {
            return Err(String::from_utf8_lossy(&out.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let (mut file, mut depth, mut all) = (String::new(), 0, Vec::new());
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix("# In file: ") {
                name.clone_into(&mut file);
            } else if line.starts_with("</") {
                depth -= 1;
            } else if !line.starts_with('#') && !line.is_empty() {
                let bare = line.strip_prefix('<').and_then(|l| l.strip_suffix('>'));
                all.push(shown(&file, depth, &words(bare.unwrap_or(line).as_bytes())));
                depth += usize::from(bare.is_some());
            }
        }
        Ok(all)
    }
}

fn shown(file: &str, depth: usize, words: &[String]) -> String {
    let file = Path::new(file).file_name().unwrap_or_default();
    let name = words[0].to_ascii_lowercase();
    format!("{} {depth} {name} {:?}", file.display(), &words[1..])
}

/// What the server obeys while it reads, and does not keep.
const AT_ONCE: [&str; 9] = [
    "loadmodule",
    "loadfile",
    "include",
    "includeoptional",
    "define",
    "undefine",
    "serverroot",
    "defaultruntimedir",
    "error",
];

fn ours(effective: &Effective) -> Vec<String> {
    let kept = effective
        .directives
        .iter()
        .filter(|d| !AT_ONCE.contains(&d.directive.name.to_ascii_lowercase().as_str()));
    kept.map(|d| {
        let mut words = vec![d.directive.name.clone()];
        words.extend(d.directive.words.clone());
        shown(&d.path, d.around.len(), &words)
    })
    .collect()
}

/// `2.4.62`.
fn release() -> String {
    let out = Command::new("/usr/sbin/apache2")
        .arg("-v")
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    let (_, after) = said.split_once("Apache/").unwrap();
    after.split_whitespace().next().unwrap().to_owned()
}

fn has_server(test: &str) -> bool {
    let has = Path::new("/usr/sbin/apache2").exists();
    if !has {
        skip(test, "no apache2");
    }
    has
}

/// Lines that load modules.
pub(super) fn load(modules: &[&str]) -> String {
    modules
        .iter()
        .map(|m| format!("LoadModule {m}_module {MODULES}/mod_{m}.so\n"))
        .collect()
}

const USUAL: [&str; 12] = [
    "mpm_event",
    "authz_core",
    "authz_host",
    "access_compat",
    "alias",
    "dir",
    "mime",
    "status",
    "autoindex",
    "negotiation",
    "cgid",
    "setenvif",
];

fn all_below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(all_below(&path));
        } else {
            all.push(path);
        }
    }
    all.sort();
    all
}

#[test]
fn every_byte_of_every_file_belongs_to_one_line() {
    let Some(folder) = realdata("every_byte_of_every_file_belongs_to_one_line", "httpd") else {
        return;
    };
    for path in all_below(&folder) {
        let text = fs::read(&path).unwrap();
        let conf = Conf::read(&text);
        assert_eq!(conf.broken, None, "{}", path.display());
        let mut at = 0;
        for line in &conf.lines {
            assert_eq!(line.at.start, at);
            at = line.at.end;
        }
        assert_eq!(at, text.len());
    }
}

#[test]
fn debians_layout_says_what_the_server_reads() {
    let test = "debians_layout_says_what_the_server_reads";
    let Some(folder) = realdata(test, "httpd/debian-2.4") else {
        return;
    };
    if !has_server(test) {
        return;
    }
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let mods = load(&USUAL);
    let site = b"Define INSTALLED /home/pacsone\nAlias /pacsone \"${INSTALLED}/php/\"\n<Directory ${INSTALLED}/php/>\n \
        Options MultiViews \\\n  Indexes\n <IfVersion >= 2.4>\n  Require all granted\n </IfVersion>\n <IfVersion < 2.4>\n  \
        Order allow,deny\n </IfVersion>\n</Directory>\n# a comment \\\nAlias /not /here\n<IfModule !mod_alias.c>\n Nonsense\n\
        </IfModule>\n<IfDefine INSTALLED>\n <Location \"/x y\">\n  Require ip 192.0.2.0/24\n </Location>\n</IfDefine>\n\
        <IfModule mime_module>\n AddType application/x-httpd-php .php\n</IfModule>\nUnDefine INSTALLED\n<IfDefine INSTALLED>\n\
        Nonsense\n</IfDefine>\n";
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("apache2.conf", read("apache2.conf")),
        ("ports.conf", b"Listen 8080\n".to_vec()),
        ("mods-enabled/00.load", mods.into_bytes()),
        ("mods-enabled/alias.conf", read("mods-available/alias.conf")),
        ("mods-enabled/mime.conf", read("mods-available/mime.conf")),
        (
            "mods-enabled/status.conf",
            read("mods-available/status.conf"),
        ),
        (
            "mods-enabled/php8.2.conf",
            read("mods-available/php8.2.conf"),
        ),
        (
            "sites-enabled/000-default.conf",
            read("sites-available/000-default.conf"),
        ),
        ("conf-enabled/.hidden.conf", b"Nonsense\n".to_vec()),
        ("conf-enabled/other.bak", b"Nonsense\n".to_vec()),
        ("conf-enabled/pacsone.conf", site.to_vec()),
    ];
    let slices: Vec<(&str, &[u8])> = files.iter().map(|(n, t)| (*n, t.as_slice())).collect();
    let rig = Rig::new(&slices);
    let effective = rig.effective();
    assert_eq!(ours(&effective), rig.dumped().unwrap());
    let alias = effective
        .all("Alias")
        .find(|a| a.directive.words[0] == "/pacsone");
    assert_eq!(alias.unwrap().directive.words[1], "/home/pacsone/php/");
}

#[test]
fn one_file_says_what_the_server_reads() {
    let test = "one_file_says_what_the_server_reads";
    let Some(folder) = realdata(test, "httpd") else {
        return;
    };
    if !has_server(test) {
        return;
    }
    for version in ["2.2.34", "2.4.62"] {
        let text = fs::read_to_string(folder.join(version).join("httpd.conf.in")).unwrap();
        let mut text = text
            .replace("@@LoadModule@@", &load(&USUAL))
            .replace("@@Port@@", "8080")
            .replace("@exp_htdocsdir@", "/tmp")
            .replace("@exp_cgidir@", "/usr/lib/cgi-bin")
            .replace("@rel_logfiledir@", "logs")
            .replace("@rel_sysconfdir@", "conf");
        if version == "2.2.34" {
            // What 2.4 has no more.
            text = text.replace("\nDefaultType text/plain", "\n# none");
        }
        let rig = Rig::new(&[("logs/.keep", b""), ("conf/mime.types", b"")]);
        let root = rig.folder.path().display().to_string();
        let crlf = text.replace("@@ServerRoot@@", &root).replace('\n', "\r\n");
        fs::write(rig.at("apache2.conf"), crlf).unwrap();
        assert_eq!(ours(&rig.effective()), rig.dumped().unwrap(), "{version}");
    }
}

fn has_empty_section(effective: &Effective) -> bool {
    let all = &effective.directives;
    let kept = |n: &usize| !AT_ONCE.contains(&all[*n].directive.name.to_ascii_lowercase().as_str());
    (0..all.len()).filter(|n| all[*n].opens).any(|n| {
        let next = (n + 1..all.len()).find(kept);
        next.is_none_or(|next| all[next].around.len() <= all[n].around.len())
    })
}

/// Bits of files, those that are most likely to be misunderstood among them.
fn any_text() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "Alias /a /b\n",
        "alias \"/a b\" '/c \\'d'\n",
        "  ALIAS /x \"/y\\\"z\" # no comment\n",
        "# comment \\\n",
        "Alias \\\n /e \\\n\t/f\n",
        "<Directory /srv>\n",
        "<Directory \"/srv/x y\" >\n",
        "</Directory>\n",
        "</directory>\n",
        "<IfModule alias_module>\n",
        "<IfModule !mod_alias.c>\n",
        "<IfModule mod_none.c>\n",
        "<IfModule !none_module>\n",
        "</IfModule>\n",
        "Nonsense here\n",
        "AllowOverride None\n",
        "Options MultiViews\\\n Indexes\n",
        "Define ONE /one\n",
        "Define TWO\n",
        "UnDefine ONE\n",
        "<IfDefine ONE>\n",
        "<IfDefine !TWO>\n",
        "</IfDefine>\n",
        "Alias /v ${ONE}/x${TWO}\n",
        "Alias /u ${NONE}\n",
        "\n",
        "   \t\n",
        "Include more/*.conf\n",
        "IncludeOptional none/*.conf\n",
        "<IfVersion >= 2.4>\n",
        "<IfVersion < 2.4>\n",
        "<IfVersion ~ x>\n",
        "<IfVersion = /^2\\.4\\./>\n",
        "<IfVersion !> 2.4>\n",
        "<IfVersion 2.4>\n",
        "</IfVersion>\n",
        "Require all granted\n",
        "<VirtualHost *:81>\n",
        "</VirtualHost>\n",
        "Alias \"/q\\\\\" /r\\\\s\r\n",
        "Alias /s \"/t\n",
        "<Files \"a>b\">\n",
        "</Files>\n",
        "ServerName x.example\n",
    ]);
    prop::collection::vec(line, 0..9).prop_map(|lines| lines.concat())
}

#[test]
fn a_configuration_says_what_the_server_reads() {
    let test = "a_configuration_says_what_the_server_reads";
    if !has_server(test) {
        return;
    }
    let head = load(&["mpm_event", "authz_core", "alias", "dir"]) + "Listen 8080\nServerName x\n";
    let cases = if std::env::var_os("RUNBOOK_LONG").is_some() {
        3_000
    } else {
        250
    };
    let mut runner = TestRunner::new(Config::with_cases(cases));
    let good = std::cell::Cell::new(0);
    let result = runner.run(&(any_text(), any_text()), |(one, two)| {
        let text = format!("{head}{one}");
        let rig = Rig::new(&[
            ("apache2.conf", text.as_bytes()),
            ("more/a.conf", two.as_bytes()),
            ("logs/.keep", b""),
        ]);
        let effective = rig.effective();
        match rig.dumped() {
            // Of a section in which nothing counts it does not say where it ends.
            Ok(_) if has_empty_section(&effective) => {}
            Ok(dumped) => {
                good.set(good.get() + 1);
                prop_assert_eq!(ours(&effective), dumped);
            }
            // Sections that do not fit are seen; what a directive may say is the server's own affair.
            Err(why) => {
                let fits = [&one, &two]
                    .iter()
                    .all(|t| Conf::read(t.as_bytes()).broken.is_none());
                let of_sections =
                    why.contains("without matching") || why.contains("was not closed");
                prop_assert!(!(fits && of_sections), "{}", why);
            }
        }
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    assert!(good.get() > cases / 10, "{good:?} of them are good");
}
