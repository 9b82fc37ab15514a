//! What `httpd_module` makes of configurations, judged by the server itself.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::httpd_module::HttpdModule;
use super::laws::{MODULES, load};
use super::scene::Scene;

const HEAD: &str = "ServerRoot $DIR\nListen 8080\nServerName x\n";

/// One file of this text behind the usual head, in which `$MODULES` is the server's directory of modules.
fn one_file(test: &str, text: &str) -> Option<Scene> {
    let text = format!("{HEAD}{text}").replace("$MODULES", MODULES);
    Scene::new(test, &[("httpd.conf", &text)])
}

fn text(scene: &Scene) -> String {
    let text = scene.text("httpd.conf").replace(MODULES, "$MODULES");
    text.strip_prefix(HEAD).unwrap().to_owned()
}

fn module(name: &str) -> serde_json::Value {
    json!({"name": name, "conf": "$DIR/httpd.conf"})
}

#[test]
fn in_one_file_a_line_is_uncommented_or_put_behind_the_others() {
    let mpm = "LoadModule mpm_event_module $MODULES/mod_mpm_event.so\n";
    let cases = [
        // As a comment, the first that counts.
        (
            "<IfDefine NEVER>\n#LoadModule alias_module $MODULES/mod_alias.so\n</IfDefine>\n  # LoadModule  alias_module  \
             $MODULES/mod_alias.so\r\nTimeout 5\r\n",
            "<IfDefine NEVER>\n#LoadModule alias_module $MODULES/mod_alias.so\n</IfDefine>\n  LoadModule alias_module \
             $MODULES/mod_alias.so\r\nTimeout 5\r\n",
        ),
        // A comment whose file is not there is none.
        (
            "#LoadModule alias_module modules/mod_alias.so\nTimeout 5\n",
            "LoadModule alias_module $MODULES/mod_alias.so\n#LoadModule alias_module modules/mod_alias.so\nTimeout 5\n",
        ),
        // Not into a section.
        (
            "<IfModule !dir_module>\nLoadModule dir_module $MODULES/mod_dir.so\n</IfModule>\n",
            "LoadModule alias_module $MODULES/mod_alias.so\n<IfModule !dir_module>\nLoadModule dir_module \
             $MODULES/mod_dir.so\n</IfModule>\n",
        ),
    ];
    for (before, after) in cases {
        let (before, after) = (format!("{mpm}{before}"), format!("{mpm}{after}"));
        let Some(scene) = one_file("in_one_file", &before) else {
            return;
        };
        scene.run::<HttpdModule>(&module("alias")).unwrap();
        assert_eq!(text(&scene), after, "{before}");
        // By its other name it is there; and away with it: its line is a comment that is found again.
        assert!(
            scene
                .run::<HttpdModule>(&module("alias_module"))
                .unwrap()
                .is_empty()
        );
        let mut gone = module("mod_alias");
        gone["state"] = "absent".into();
        scene.run::<HttpdModule>(&gone).unwrap();
        let line = "LoadModule alias_module $MODULES/mod_alias.so";
        assert_eq!(
            text(&scene),
            after
                .replacen(&format!("\n{line}"), &format!("\n#{line}"), 1)
                .replacen(&format!("\n  {line}"), &format!("\n  #{line}"), 1)
        );
        scene.run::<HttpdModule>(&module("alias")).unwrap();
        assert_eq!(text(&scene), after);
    }
}

#[test]
fn it_is_loaded_from_the_file_that_is_asked_for() {
    let before = "LoadModule mpm_event_module $MODULES/mod_mpm_event.so\nLoadModule alias_module own/mod_alias.so # no\n";
    let Some(scene) = one_file("it_is_loaded_from", &before.replace(" # no", "")) else {
        return;
    };
    fs::create_dir_all(scene.at("own")).unwrap();
    fs::copy(
        format!("{MODULES}/mod_alias.so"),
        scene.at("own/mod_alias.so"),
    )
    .unwrap();
    let mut args = module("alias_module");
    args["file"] = "$DIR/own/mod_alias.so".into();
    assert!(
        scene.run::<HttpdModule>(&args).unwrap().is_empty(),
        "it is that file"
    );
    args["file"] = format!("{MODULES}/mod_alias.so").into();
    scene.run::<HttpdModule>(&args).unwrap();
    assert!(text(&scene).ends_with("LoadModule alias_module $MODULES/mod_alias.so\n"));
    args["file"] = "own/none.so".into();
    let why = scene.run::<HttpdModule>(&args).unwrap_err();
    assert!(
        why.contains("own/none.so, from which alias_module would be loaded"),
        "{why}"
    );
}

#[test]
fn what_cannot_be_loaded_is_refused() {
    let head = load(&["mpm_event", "authz_core", "alias"]);
    let cases = [
        (
            "",
            json!({"name": "nothing"}),
            "neither mod_nothing.so nor libnothing.so in",
        ),
        (
            "",
            json!({"name": "core", "state": "absent"}),
            "core_module is built into the server",
        ),
        (
            "",
            json!({"name": "so", "state": "absent"}),
            "so_module is built into the server",
        ),
        (
            "",
            json!({"name": "so", "file": "x.so"}),
            "so_module is built into the server, and is loaded from no file",
        ),
        (
            "",
            json!({"name": "mpm_event_module", "state": "absent"}),
            "would not start with it",
        ),
        (
            "Alias /x $DIR/www\n",
            json!({"name": "alias", "state": "absent"}),
            "at $DIR/httpd.conf:7",
        ),
    ];
    for (more, args, expected) in cases {
        let before = format!("{head}{more}");
        let Some(scene) = one_file("what_cannot_be_loaded", &before) else {
            return;
        };
        let mut all = module("x");
        for (name, value) in args.as_object().unwrap() {
            all[name] = value.clone();
        }
        let before = text(&scene);
        let done = scene.run::<HttpdModule>(&all);
        let why = done.unwrap_err().replace(&scene.at(""), "$DIR/");
        assert!(why.contains(expected), "{args}: {why}");
        assert_eq!(text(&scene), before);
    }
}

/// Debian's layout, with a module that depends on others.
fn debian(test: &str) -> Option<Scene> {
    let of = |name: &str| format!("LoadModule {name}_module {MODULES}/mod_{name}.so\n");
    let files = [
        (
            "httpd.conf",
            format!(
                "{HEAD}IncludeOptional mods-enabled/*.load\nIncludeOptional mods-enabled/*.conf\n"
            ),
        ),
        (
            "mods-available/mpm_event.load",
            format!("# Conflicts: mpm_worker mpm_prefork\n{}", of("mpm_event")),
        ),
        (
            "mods-available/mpm_prefork.load",
            format!("# Conflicts: mpm_worker mpm_event\n{}", of("mpm_prefork")),
        ),
        ("mods-available/authz_core.load", of("authz_core")),
        ("mods-available/mime.load", of("mime")),
        (
            "mods-available/mime.conf",
            "<IfModule mod_mime.c>\nTypesConfig /etc/mime.types\n</IfModule>\n".to_owned(),
        ),
        ("mods-available/setenvif.load", of("setenvif")),
        ("mods-available/socache_shmcb.load", of("socache_shmcb")),
        (
            "mods-available/ssl.load",
            format!("# Depends: setenvif mime socache_shmcb\n{}", of("ssl")),
        ),
        (
            "mods-available/lbmethod.load",
            format!("# Depends: proxy_balancer\n{}", of("lbmethod_byrequests")),
        ),
        ("mods-available/one.load", of("headers")),
        ("mods-available/two.load", of("headers")),
        ("mods-available/other.load", of("rewrite")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(n, t)| (*n, t.as_str())).collect();
    let scene = Scene::new(test, &files)?;
    fs::create_dir_all(scene.at("mods-enabled")).unwrap();
    for name in ["mpm_event", "authz_core"] {
        let to = format!("../mods-available/{name}.load");
        std::os::unix::fs::symlink(to, scene.at(&format!("mods-enabled/{name}.load"))).unwrap();
    }
    Some(scene)
}

#[test]
fn in_debians_layout_it_is_linked_with_what_it_needs() {
    let Some(scene) = debian("in_debians_layout") else {
        return;
    };
    let mut changed = scene.run::<HttpdModule>(&module("ssl_module")).unwrap();
    changed.sort();
    let expected = [
        "mime.conf",
        "mime.load",
        "setenvif.load",
        "socache_shmcb.load",
        "ssl.load",
    ];
    assert_eq!(changed, expected.map(|n| format!("mods-enabled/{n}")));
    let link = fs::read_link(scene.at("mods-enabled/ssl.load")).unwrap();
    assert_eq!(link, Path::new("../mods-available/ssl.load"));

    let absent = |name: &str| {
        let mut args = module(name);
        args["state"] = "absent".into();
        scene.run::<HttpdModule>(&args)
    };
    let why = absent("mime").unwrap_err();
    assert!(
        why.contains("ssl depends on mime; take it away first"),
        "{why}"
    );
    assert_eq!(absent("ssl").unwrap(), ["mods-enabled/ssl.load"]);
    assert_eq!(
        absent("mime").unwrap(),
        ["mods-enabled/mime.conf", "mods-enabled/mime.load"]
    );
    assert!(Path::new(&scene.at("mods-available/mime.conf")).exists());

    // By what it loads, where its file has another name.
    assert_eq!(
        scene.run::<HttpdModule>(&module("rewrite_module")).unwrap(),
        ["mods-enabled/other.load"]
    );
    for (name, expected) in [
        ("headers", "headers_module is loaded by more than one in"),
        (
            "lbmethod",
            "lbmethod depends on proxy_balancer, which is not in",
        ),
    ] {
        let why = scene.run::<HttpdModule>(&module(name)).unwrap_err();
        assert!(why.contains(expected), "{why}");
    }
    // What nobody has packed gets a file of its own.
    let mut own = module("autoindex");
    own["file"] = format!("{MODULES}/mod_autoindex.so").into();
    assert_eq!(
        scene.run::<HttpdModule>(&own).unwrap(),
        [
            "mods-available/autoindex.load",
            "mods-enabled/autoindex.load"
        ]
    );
    assert_eq!(
        absent("autoindex_module").unwrap(),
        ["mods-enabled/autoindex.load"]
    );
}

#[test]
fn what_cannot_be_beside_it_gives_way() {
    let Some(scene) = debian("what_cannot_be_beside_it") else {
        return;
    };
    let wanted = scene.wanted::<HttpdModule>(&module("mpm_prefork")).unwrap();
    let notes = wanted.notes.join("\n");
    assert!(notes.contains("mpm_event_module gives way"), "{notes}");
    let mut changed = scene.run::<HttpdModule>(&module("mpm_prefork")).unwrap();
    changed.sort();
    let expected = ["mpm_event.load", "mpm_prefork.load"];
    assert_eq!(changed, expected.map(|n| format!("mods-enabled/{n}")));
    let mpm = "LoadModule mpm_event_module $MODULES/mod_mpm_event.so\n";
    let Some(scene) = one_file("what_cannot_be_beside_it", mpm) else {
        return;
    };
    scene.run::<HttpdModule>(&module("mpm_worker")).unwrap();
    assert_eq!(
        text(&scene),
        "#LoadModule mpm_event_module $MODULES/mod_mpm_event.so\nLoadModule mpm_worker_module $MODULES/mod_mpm_worker.so\n"
    );
    scene.run::<HttpdModule>(&module("mpm_event")).unwrap();
    assert_eq!(
        text(&scene),
        "LoadModule mpm_event_module $MODULES/mod_mpm_event.so\n#LoadModule mpm_worker_module $MODULES/mod_mpm_worker.so\n"
    );
}

#[test]
fn files_of_debians_layout_that_say_more_than_one_thing() {
    let Some(scene) = debian("files_that_say_more") else {
        return;
    };
    let put = |name: &str, text: &str| {
        let text = text.replace("$MODULES", MODULES);
        fs::write(scene.at(&format!("mods-available/{name}.load")), text).unwrap();
    };
    let both = "# Depends: setenvif\n<IfModule !env_module>\nLoadModule env_module $MODULES/mod_env.so\n</IfModule>\nLoadModule \
                expires_module $MODULES/mod_expires.so\n";
    put("expires", both);
    put(
        "unique",
        "LoadFile $MODULES/mod_headers.so\nLoadModule unique_id_module $MODULES/mod_unique_id.so\n",
    );
    let absent = |name: &str| {
        let mut args = module(name);
        args["state"] = "absent".into();
        scene.run::<HttpdModule>(&args)
    };
    let mut changed = scene.run::<HttpdModule>(&module("expires")).unwrap();
    changed.sort();
    assert_eq!(
        changed,
        ["mods-enabled/expires.load", "mods-enabled/setenvif.load"]
    );
    let why = absent("env").unwrap_err();
    assert!(why.contains("loaded together with others"), "{why}");
    assert_eq!(absent("expires").unwrap(), ["mods-enabled/expires.load"]);
    assert_eq!(
        fs::read_to_string(scene.at("mods-available/expires.load")).unwrap(),
        both.replace("$MODULES", MODULES)
    );
    // By what it loads.
    for _ in 0..2 {
        assert_eq!(
            scene.run::<HttpdModule>(&module("unique_id")).unwrap(),
            ["mods-enabled/unique.load"]
        );
        assert_eq!(absent("unique_id").unwrap(), ["mods-enabled/unique.load"]);
    }
    // From another file: that of who packed it keeps what else it says.
    fs::create_dir_all(scene.at("own")).unwrap();
    fs::copy(format!("{MODULES}/mod_ssl.so"), scene.at("own/mod_ssl.so")).unwrap();
    let mut args = module("ssl");
    args["file"] = "$DIR/own/mod_ssl.so".into();
    let changed = scene.run::<HttpdModule>(&args).unwrap();
    assert!(
        changed.contains(&"mods-enabled/socache_shmcb.load".to_owned()),
        "{changed:?}"
    );
    assert_eq!(
        scene.text("mods-available/ssl.load"),
        "# Depends: setenvif mime socache_shmcb\nLoadModule ssl_module $DIR/own/mod_ssl.so\n"
    );
    // One whose file is not there, without a server to say so.
    put("none", "LoadModule none_module modules/none.so\n");
    let mut args = module("none");
    args["program"] = "/none/httpd".into();
    args["version"] = "2.4".into();
    let why = scene.run::<HttpdModule>(&args).unwrap_err();
    assert!(
        why.contains("modules/none.so, from which none_module would be loaded"),
        "{why}"
    );
}

#[test]
fn what_stands_behind_variables_and_names_of_sources() {
    let text = "Define MODS $MODULES\nLoadModule mpm_event_module ${MODS}/mod_mpm_event.so\n<IfModule event.c>\nTimeout \
                5\n</IfModule>\nInclude ${MORE}\n";
    let text = text.replace(
        "Include ${MORE}",
        "Define MORE extra/x.conf\nInclude ${MORE}",
    );
    let Some(scene) = one_file("what_stands_behind_variables", &text) else {
        return;
    };
    fs::create_dir_all(scene.at("extra")).unwrap();
    let more = format!("#LoadModule alias_module {MODULES}/mod_alias.so\nKeepAlive Off\n");
    fs::write(scene.at("extra/x.conf"), more).unwrap();
    assert_eq!(
        scene.run::<HttpdModule>(&module("alias")).unwrap(),
        ["extra/x.conf"]
    );
    let directive = |name: &str, value: &str| {
        let args = json!({"name": name, "value": value, "conf": "$DIR/httpd.conf"});
        scene.run::<super::httpd_directive::HttpdDirective>(&args)
    };
    assert!(directive("KeepAlive", "off").unwrap().is_empty());
    assert!(directive("Timeout", "5").unwrap().is_empty());
    assert_eq!(directive("KeepAlive", "On").unwrap(), ["extra/x.conf"]);
}
