//! What `httpd_directive` makes of configurations, judged by the server itself.

use serde_json::{Value as Json, json};

use super::httpd_directive::HttpdDirective;
use super::laws::load;
use super::scene::Scene;

/// One file with modules that are usual, and this behind them.
fn one_file(text: &str) -> Option<Scene> {
    let names = ["mpm_event", "authz_core", "alias", "mime", "env", "dir"];
    let text = format!(
        "ServerRoot $DIR\nListen 8080\nServerName x\n{}{text}",
        load(&names)
    );
    Scene::new("httpd_directive", &[("httpd.conf", &text)])
}

fn directive(name: &str, more: Json) -> Json {
    let mut args = json!({"name": name, "conf": "$DIR/httpd.conf"});
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
    args
}

#[test]
fn only_the_line_that_is_meant_changes() {
    let host = "<VirtualHost *:8080>\n  ServerName a\n  TimeOut 3\n</VirtualHost>\n<VirtualHost *:8080>\n  ServerName b\n\
                </VirtualHost>\n";
    let cases: Vec<(&str, &str, Json, &str)> = vec![
        // One of a name: the last one is changed, and a comment shows where a new one goes.
        (
            "Timeout 5\n# Timeout: prose\n\tTimeOut 7 \nKeepAlive off\n",
            "Timeout",
            json!({"value": "60"}),
            "Timeout 5\n# Timeout: prose\n\tTimeout 60\nKeepAlive off\n",
        ),
        (
            "KeepAlive off\n",
            "KeepAlive",
            json!({"value": "Off"}),
            "KeepAlive off\n",
        ),
        (
            "#ServerAdmin you@example.com\n<IfModule alias_module>\n#ServerAdmin b\n</IfModule>\nKeepAlive On",
            "ServerAdmin",
            json!({"value": "pacs@example.org"}),
            "#ServerAdmin you@example.com\nServerAdmin pacs@example.org\n<IfModule alias_module>\n#ServerAdmin \
             b\n</IfModule>\nKeepAlive On",
        ),
        (
            "KeepAlive On",
            "ServerAdmin",
            json!({"value": ["a b"]}),
            "KeepAlive On\nServerAdmin \"a b\"\n",
        ),
        // What its variables stand for; in a condition that holds it is changed, too.
        (
            "Define WAIT 7\n<IfDefine WAIT>\n  Timeout ${WAIT}\n</IfDefine>\n",
            "Timeout",
            json!({"value": "7"}),
            "Define WAIT 7\n<IfDefine WAIT>\n  Timeout ${WAIT}\n</IfDefine>\n",
        ),
        (
            "Define WAIT 7\n<IfDefine WAIT>\n  Timeout ${WAIT}\n</IfDefine>\n",
            "Timeout",
            json!({"value": "8"}),
            "Define WAIT 7\n<IfDefine WAIT>\n  Timeout 8\n</IfDefine>\n",
        ),
        // Side by side, and away with one.
        (
            "Listen 8081\nKeepAlive On\n",
            "Listen",
            json!({"value": "192.0.2.7:8082"}),
            "Listen 8081\nListen 192.0.2.7:8082\nKeepAlive On\n",
        ),
        (
            "Listen 8081\nlisten 8082\nKeepAlive On\n",
            "Listen",
            json!({"value": "8082", "state": "absent"}),
            "Listen 8081\nKeepAlive On\n",
        ),
        // One for each first word.
        (
            "SetEnv A 1\nSetEnv B \"two words\"\n",
            "SetEnv",
            json!({"value": ["B", "three more words"]}),
            "SetEnv A 1\nSetEnv B \"three more words\"\n",
        ),
        (
            "SetEnv A 1\nSetEnv B 2\n",
            "SetEnv",
            json!({"value": "A", "state": "absent"}),
            "SetEnv B 2\n",
        ),
        (
            "SetEnv A 1\n",
            "SetEnv",
            json!({"value": "A 2", "state": "absent"}),
            "SetEnv A 1\n",
        ),
        // Extensions.
        (
            "AddType text/html .html .PHP\nAddType application/x-gzip .gz\n",
            "AddType",
            json!({"value": "application/x-httpd-php .php"}),
            "AddType text/html .html\nAddType application/x-gzip .gz\nAddType application/x-httpd-php .php\n",
        ),
        (
            "AddType application/x-httdp-php .php\n",
            "AddType",
            json!({"value": "application/x-httpd-php .php .phtml"}),
            "AddType application/x-httpd-php .php .phtml\n",
        ),
        (
            "AddType application/x-httpd-php php .phtml\nAddType text/x .x\n",
            "AddType",
            json!({"value": "application/x-httpd-php .php"}),
            "AddType application/x-httpd-php php .phtml\nAddType text/x .x\n",
        ),
        (
            "AddType application/x-httpd-php .php .phtml\nAddType text/x .x\n",
            "AddType",
            json!({"value": "application/x-httpd-php .phtml", "state": "absent"}),
            "AddType application/x-httpd-php .php\nAddType text/x .x\n",
        ),
        (
            "AddType application/x-httpd-php .php .phtml\nAddType text/x .x\n",
            "AddType",
            json!({"value": "application/x-httpd-php", "state": "absent"}),
            "AddType text/x .x\n",
        ),
        (
            "Define T application/x-own\nAddType ${T} .php .phtml\n",
            "AddType",
            json!({"value": "text/plain .phtml"}),
            "Define T application/x-own\nAddType ${T} .php\nAddType text/plain .phtml\n",
        ),
        (
            "AddType application/x-httdp-php .php\nAddType text/x .x\n",
            "AddType",
            json!({"value": "application/x-httdp-php", "state": "absent"}),
            "AddType text/x .x\n",
        ),
        // With a variable in what tells it from others.
        (
            "Define LOGS $DIR/logs\nCustomLog ${LOGS}/access.log combined\n",
            "CustomLog",
            json!({"value": "${LOGS}/access.log common"}),
            "Define LOGS $DIR/logs\nCustomLog ${LOGS}/access.log common\n",
        ),
        (
            "Redirect permanent /a http://x.example/a\nKeepAlive On\n",
            "Redirect",
            json!({"value": "permanent /b http://x.example/b"}),
            "Redirect permanent /a http://x.example/a\nRedirect permanent /b http://x.example/b\nKeepAlive On\n",
        ),
        (
            "AcceptFilter http data\nAcceptFilter https data\n",
            "AcceptFilter",
            json!({"value": "http none"}),
            "AcceptFilter http none\nAcceptFilter https data\n",
        ),
        (
            "<Directory /srv>\nOptions All\n</Directory>\n<Directory /srv/>\nAllowOverride None\n</Directory>\n",
            "Options",
            json!({"state": "absent", "section": "Directory /srv"}),
            "<Directory /srv>\n</Directory>\n<Directory /srv/>\nAllowOverride None\n</Directory>\n",
        ),
        (
            "<VirtualHost *:8080>\nServerName https://a.example:443\n</VirtualHost>\n",
            "Timeout",
            json!({"value": "9", "section": "VirtualHost *:8080", "server_name": "a.example"}),
            "<VirtualHost *:8080>\nServerName https://a.example:443\nTimeout 9\n</VirtualHost>\n",
        ),
        (
            "<If \"true\">\nFileETag None\n</If>\n",
            "FileETag",
            json!({"value": "All", "section": "If true"}),
            "<If \"true\">\nFileETag All\n</If>\n",
        ),
        // In a section, and only there.
        (
            host,
            "Timeout",
            json!({"value": "9", "section": "VirtualHost *:8080", "server_name": "A"}),
            "<VirtualHost *:8080>\n  ServerName a\n  Timeout 9\n</VirtualHost>\n<VirtualHost *:8080>\n  ServerName b\n\
             </VirtualHost>\n",
        ),
        (
            host,
            "Timeout",
            json!({"value": "9", "section": "<VirtualHost *:8080>", "server_name": "b"}),
            "<VirtualHost *:8080>\n  ServerName a\n  TimeOut 3\n</VirtualHost>\n<VirtualHost *:8080>\n  ServerName b\n  \
             Timeout 9\n</VirtualHost>\n",
        ),
        (
            "<VirtualHost *:8080>\n\t<Directory \"$DIR/www/\">\n\t</Directory>\n</VirtualHost>\n",
            "Options",
            json!({"value": "None", "section": ["VirtualHost *:8080", "Directory $DIR/www"]}),
            "<VirtualHost *:8080>\n\t<Directory \"$DIR/www/\">\n\t    Options None\n\t</Directory>\n</VirtualHost>\n",
        ),
    ];
    for (before, name, more, after) in cases {
        let Some(scene) = one_file(before) else {
            return;
        };
        let done = scene.run::<HttpdDirective>(&directive(name, more.clone()));
        assert_eq!(scene.tail(), after, "{before} {name} {more} {done:?}");
        done.unwrap();
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let hosts = "<VirtualHost *:8080>\n</VirtualHost>\n<VirtualHost *:8080>\n</VirtualHost>\n";
    let cases = [
        ("", "Timeout", json!({}), "`value` is missing"),
        ("", "Time out", json!({"value": "1"}), "is no directive"),
        (
            "",
            "Timeout",
            json!({"value": "1\nListen 1"}),
            "more than a line",
        ),
        ("", "Timeout", json!({"value": "1\\"}), "more than a line"),
        (
            "",
            "Alias",
            json!({"value": "/a /b"}),
            "what `httpd_alias` is for",
        ),
        (
            "",
            "Nonsense",
            json!({"value": "1"}),
            "nothing is known of the directive Nonsense",
        ),
        (
            "",
            "Nonsense",
            json!({"value": "1", "by": "name"}),
            "would not start with it",
        ),
        (
            "",
            "TraceEnable",
            json!({"value": "perhaps"}),
            "would not start with it",
        ),
        (
            "",
            "AddType",
            json!({"value": "text/html"}),
            "names no extension",
        ),
        (
            "",
            "AddType",
            json!({"value": "application/x-httdp-php .php"}),
            "is a slip: nothing handles it",
        ),
        (
            "",
            "Timeout",
            json!({"value": "1", "section": "Directory /none"}),
            "there is no section <directory /none>",
        ),
        (
            "",
            "Timeout",
            json!({"value": "1", "section": "IfModule x"}),
            "only asks something",
        ),
        (
            "",
            "Timeout",
            json!({"value": "1", "server_name": "x"}),
            "there is none",
        ),
        (
            hosts,
            "Timeout",
            json!({"value": "1", "section": "VirtualHost *:8080"}),
            "httpd.conf:10, $DIR/httpd.conf:12; say with `server_name`",
        ),
        (
            "",
            "Timeout",
            json!({"value": "1", "dest": "$DIR/other.conf"}),
            "nothing includes",
        ),
        (
            "Include early.conf\nTimeout 5\n",
            "Timeout",
            json!({"value": "7"}),
            "",
        ),
    ];
    for (before, name, more, expected) in cases {
        let Some(scene) = one_file(before) else {
            return;
        };
        if expected.is_empty() {
            // A file that is read before what counts is no place for it.
            std::fs::write(scene.at("early.conf"), "# early\n").unwrap();
            let mut args = directive("SetEnv", json!({"value": "A 1"}));
            args["dest"] = "$DIR/early.conf".into();
            scene.run::<HttpdDirective>(&args).unwrap();
            assert_eq!(scene.text("early.conf"), "# early\nSetEnv A 1\n");
            continue;
        }
        let why = scene
            .run::<HttpdDirective>(&directive(name, more))
            .unwrap_err();
        let why = why.replace(&scene.at(""), "$DIR/");
        assert!(why.contains(expected), "{name}: {why}");
        assert_eq!(scene.tail(), before);
    }
}

#[test]
fn a_person_is_told_of_what_else_is_there() {
    let text = "Timeout 5\nTimeout 7\n<VirtualHost *:8080>\nTimeout 3\n</VirtualHost>\nAddType application/x-hpttd-php .phtml\n";
    let Some(scene) = one_file(text) else {
        return;
    };
    let notes = |name: &str, value: &str| {
        let args = directive(name, json!({"value": value}));
        scene
            .wanted::<HttpdDirective>(&args)
            .unwrap()
            .notes
            .join("\n")
    };
    let timeout = notes("Timeout", "9");
    for expected in [
        "httpd.conf:10: this Timeout never counts, since",
        "httpd.conf:13: a virtual host says it for itself: Timeout 3",
    ] {
        assert!(timeout.contains(expected), "{timeout}");
    }
    let slip = notes("AddType", "application/x-httpd-php .php");
    assert!(
        slip.contains("httpd.conf:15: `application/x-hpttd-php` is a slip"),
        "{slip}"
    );
}

#[test]
fn what_several_sections_include_stays() {
    let host = |name: &str| {
        format!("<VirtualHost *:8080>\nServerName {name}\nInclude common.conf\n</VirtualHost>\n")
    };
    let Some(scene) = one_file(&format!("{}{}", host("a.example"), host("b.example"))) else {
        return;
    };
    std::fs::write(scene.at("common.conf"), "ServerAdmin root@x\n").unwrap();
    let args = |state: &str| {
        directive(
            "ServerAdmin",
            json!({"value": "a@a.example", "section": "VirtualHost *:8080", "server_name": "a.example", "state": state}),
        )
    };
    assert_eq!(
        scene.run::<HttpdDirective>(&args("present")).unwrap(),
        ["httpd.conf"]
    );
    let own = host("a.example").replace("common.conf\n", "common.conf\nServerAdmin a@a.example\n");
    assert_eq!(scene.tail(), format!("{own}{}", host("b.example")));
    assert_eq!(scene.text("common.conf"), "ServerAdmin root@x\n");
    scene.run::<HttpdDirective>(&args("absent")).unwrap();
    let gone = directive(
        "ServerAdmin",
        json!({"section": "VirtualHost *:8080", "server_name": "a.example", "state": "absent"}),
    );
    let why = scene.run::<HttpdDirective>(&gone).unwrap_err();
    assert!(
        why.contains("common.conf:1: more than one section includes this line"),
        "{why}"
    );
}

#[test]
fn what_the_command_line_defines_is_judged_so() {
    let text = format!("<IfDefine OWN>\n{}</IfDefine>\n", load(&["expires"]));
    let Some(scene) = one_file(&text) else {
        return;
    };
    let args = directive("ExpiresActive", json!({"value": "On", "defines": ["OWN"]}));
    assert_eq!(scene.run::<HttpdDirective>(&args).unwrap(), ["httpd.conf"]);
    let args = directive("ExpiresActive", json!({"value": "On", "defines": ["-D x"]}));
    let why = scene.run::<HttpdDirective>(&args).unwrap_err();
    assert!(why.contains("`-D x` is no name"), "{why}");
}
