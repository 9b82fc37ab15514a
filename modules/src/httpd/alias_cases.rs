//! What `httpd_alias` makes of configurations, judged by the server itself.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::httpd_alias::HttpdAlias;
use super::laws::load;
use super::scene::Scene;

fn alias(more: Json) -> Json {
    let mut args =
        json!({"alias": "/pacsone", "path": "$DIR/pacsone/php/", "conf": "$DIR/httpd.conf"});
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
    args
}

#[test]
fn a_new_alias_stands_behind_all_others() {
    let Some(scene) = Scene::one_file("a_new_alias", "# the end") else {
        return;
    };
    let args = alias(json!({"options": ["MultiViews"], "allow_override": ["None"]}));
    assert_eq!(scene.run::<HttpdAlias>(&args).unwrap(), ["httpd.conf"]);
    assert_eq!(
        scene.tail(),
        "# the end\nAlias /pacsone \"$DIR/pacsone/php/\"\n<Directory \"$DIR/pacsone/php/\">\n    Options MultiViews\n    \
         AllowOverride None\n    Require all granted\n</Directory>\n"
    );
    // Away with it.
    let gone = alias(json!({"state": "absent"}));
    scene.run::<HttpdAlias>(&gone).unwrap();
    assert_eq!(scene.tail(), "# the end\n");
}

#[test]
fn what_is_there_is_changed_line_by_line() {
    let cases = [
        // The path.
        (
            "Alias  /pacsone  \"/nowhere/\" \n# between\n<Directory $DIR/pacsone/php>\n\tRequire all granted\n</Directory>\n",
            json!({}),
            "Alias /pacsone \"$DIR/pacsone/php/\"\n# between\n<Directory $DIR/pacsone/php>\n\tRequire all granted\n</Directory>\n",
        ),
        // Options, in whatever order; who may, in the other form.
        (
            "Alias /pacsone \"$DIR/pacsone/php/\"\n<Directory \"$DIR/pacsone/php/\">\n  # ours\n  Options multiviews Indexes\n  \
             AllowOverride All\n  Order allow,deny # no\n  Allow from all\n</Directory>\n",
            json!({"options": ["Indexes", "MultiViews"], "allow_override": ["None"], "access": ["granted"]}),
            "",
        ),
        (
            "Alias /pacsone \"$DIR/pacsone/php/\"\n<Directory \"$DIR/pacsone/php/\">\n  # ours\n  Options multiviews Indexes\n  \
             AllowOverride All\n  Order allow,deny\n  Allow from all\n</Directory>\n",
            json!({"options": ["Indexes", "MultiViews"], "allow_override": ["None"]}),
            "Alias /pacsone \"$DIR/pacsone/php/\"\n<Directory \"$DIR/pacsone/php/\">\n  # ours\n  Options multiviews Indexes\n  \
             AllowOverride None\n  Require all granted\n</Directory>\n",
        ),
        (
            "Alias /pacsone $DIR/pacsone/php/\n<Directory $DIR/pacsone/php/>\n  Order deny,allow\n  Deny from all\n  Allow from \
             192.0.2.0/24 .example\n</Directory>\n",
            json!({}),
            "Alias /pacsone $DIR/pacsone/php/\n<Directory $DIR/pacsone/php/>\n  Require ip 192.0.2.0/24\n  Require host \
             .example\n</Directory>\n",
        ),
        // In both forms, one of which does not count.
        (
            "Alias /pacsone $DIR/pacsone/php/\n<Directory $DIR/pacsone/php/>\n<IfVersion < 2.4>\nOrder allow,deny\nAllow from \
             all\n</IfVersion>\n<IfVersion >= 2.4>\nRequire all granted\n</IfVersion>\n</Directory>\n",
            json!({"access": ["granted"]}),
            "Alias /pacsone $DIR/pacsone/php/\n<Directory $DIR/pacsone/php/>\n<IfVersion < 2.4>\nOrder allow,deny\nAllow from \
             all\n</IfVersion>\n<IfVersion >= 2.4>\nRequire all granted\n</IfVersion>\n</Directory>\n",
        ),
        // An alias without its section, a section without its alias.
        (
            "Alias /pacsone $DIR/pacsone/php/\r\nListen 8081\r\n",
            json!({"access": ["denied"]}),
            "Alias /pacsone $DIR/pacsone/php/\r\n<Directory \"$DIR/pacsone/php/\">\r\n    Require all denied\r\n</Directory>\r\n\
             Listen 8081\r\n",
        ),
        (
            "<Directory $DIR/pacsone/php>\n</Directory>\nListen 8081\n",
            json!({"options": ["None"], "access": ["192.0.2.7", "pacs.example"]}),
            "Alias /pacsone \"$DIR/pacsone/php/\"\n<Directory $DIR/pacsone/php>\n    Options None\n    Require ip 192.0.2.7\n    \
             Require host pacs.example\n</Directory>\nListen 8081\n",
        ),
        // A line that a backslash joins.
        (
            "Alias \\\n  /pacsone \\\n  /nowhere/\n<Directory $DIR/pacsone/php>\nRequire all granted\n</Directory>\n",
            json!({}),
            "Alias /pacsone \"$DIR/pacsone/php/\"\n<Directory $DIR/pacsone/php>\nRequire all granted\n</Directory>\n",
        ),
    ];
    for (before, more, after) in cases {
        let Some(scene) = Scene::one_file("what_is_there_is_changed", before) else {
            return;
        };
        let done = scene.run::<HttpdAlias>(&alias(more.clone()));
        if after.is_empty() {
            let why = done.unwrap_err();
            assert!(why.contains("cannot be said"), "{why}");
            assert_eq!(scene.tail(), before);
            continue;
        }
        assert_eq!(scene.tail(), after, "{before} {more} {done:?}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let section = "<Directory $DIR/pacsone/php>\nRequire all granted\n</Directory>\n";
    let cases = [
        (
            section,
            json!({"path": "$DIR/none"}),
            "there is no directory",
        ),
        (
            "Alias / $DIR/www/\n",
            json!({}),
            "httpd.conf:10: `Alias / $DIR/www/` comes before the alias /pacsone",
        ),
        (
            "AliasMatch ^/pacs(.*) $DIR/www$1\n",
            json!({}),
            "takes its URLs",
        ),
        (
            "ScriptAlias /pacsone $DIR/www/\n",
            json!({}),
            "takes its URLs",
        ),
        (
            "<Directory $DIR/pacsone/php>\nRequire all granted\nOrder allow,deny\n</Directory>\n",
            json!({}),
            "httpd.conf:10: the directives of Apache 2.4 (Require) and of 2.2",
        ),
        (
            "<Directory /x>\n",
            json!({}),
            "httpd.conf:10: <Directory> is never closed; mend the file first",
        ),
        ("</Directory>\n", json!({}), "closes no section"),
        ("Nonsense here\n", json!({}), "would not start with it"),
        (
            "Include none/x.conf\n",
            json!({}),
            "would not start with it",
        ),
        ("", json!({"dest": "$DIR/none/x.conf"}), "nothing includes"),
        (
            "",
            json!({"conf": "$DIR/none.conf"}),
            "there is no configuration at",
        ),
    ];
    for (before, more, expected) in cases {
        let Some(scene) = Scene::one_file("what_cannot_be_is_refused", before) else {
            return;
        };
        let why = scene.run::<HttpdAlias>(&alias(more)).unwrap_err();
        let why = why.replace(&scene.at(""), "$DIR/");
        assert!(why.contains(expected), "{before}: {why}");
        assert_eq!(scene.tail(), before);
    }
    let text = format!("{}Listen 8080\n", load(&["mpm_event", "authz_core"]));
    let Some(scene) = Scene::new("what_cannot_be_is_refused", &[("httpd.conf", &text)]) else {
        return;
    };
    let why = scene.run::<HttpdAlias>(&alias(json!({}))).unwrap_err();
    assert!(why.contains("does not load alias_module"), "{why}");
}

#[test]
fn what_a_person_should_know() {
    let text = "Alias /pacsone $DIR/pacsone/php/\n<Directory $DIR/pacsone/php>\nRequire all granted\n</Directory>\nAlias /pacsone/ \
                $DIR/www/\n<VirtualHost *:8080>\nAlias /pacsone $DIR/other/\n</VirtualHost>\n<IfFile /nowhere>\nTimeout 5\n</IfFile>\n";
    let Some(scene) = Scene::one_file("what_a_person_should_know", text) else {
        return;
    };
    let wanted = scene.wanted::<HttpdAlias>(&alias(json!({}))).unwrap();
    let notes = wanted.notes.join("\n");
    for expected in [
        "httpd.conf:14: this alias of the same path never counts",
        "httpd.conf:16: a virtual host has an alias of its own",
        "httpd.conf:18 (IfFile /nowhere) is a condition",
    ] {
        assert!(notes.contains(expected), "{notes}");
    }
}

#[test]
fn debians_layout_has_a_file_for_it() {
    let mods = load(&["mpm_event", "authz_core", "authz_host", "alias", "dir"]);
    let files = [
        (
            "httpd.conf",
            "ServerRoot $DIR\nListen 8080\nServerName x\nInclude mods-enabled/*.load\nIncludeOptional conf-enabled/*.conf\n",
        ),
        ("mods-enabled/all.load", &mods),
        ("conf-available/charset.conf", ""),
        ("conf-enabled/.keep", ""),
    ];
    let Some(scene) = Scene::new("debians_layout_has_a_file_for_it", &files) else {
        return;
    };
    let args = alias(json!({"access": ["192.0.2.0/24"]}));
    let changed = scene.run::<HttpdAlias>(&args).unwrap();
    assert_eq!(
        changed,
        ["conf-available/pacsone.conf", "conf-enabled/pacsone.conf"]
    );
    assert_eq!(
        scene.text("conf-enabled/pacsone.conf"),
        "Alias /pacsone \"$DIR/pacsone/php/\"\n<Directory \"$DIR/pacsone/php/\">\n    Require ip 192.0.2.0/24\n</Directory>\n"
    );
    let link = fs::read_link(scene.at("conf-enabled/pacsone.conf")).unwrap();
    assert_eq!(link, Path::new("../conf-available/pacsone.conf"));
    // It is changed where it lies.
    let args = alias(json!({"path": "$DIR/other", "access": ["granted"]}));
    scene.run::<HttpdAlias>(&args).unwrap();
    assert!(
        scene
            .text("conf-available/pacsone.conf")
            .starts_with("Alias /pacsone \"$DIR/other\"\n")
    );
    assert!(fs::read_link(scene.at("conf-enabled/pacsone.conf")).is_ok());
}
