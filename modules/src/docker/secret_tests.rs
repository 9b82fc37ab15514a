//! Settings as people give them to containers, and what of them may be seen.

use serde_json::json;

use super::super::spec;
use super::super::state::ContainerWant;
use super::*;

const SECRET: &str = "geheim/wort";

#[test]
fn all_patterns_are_in_use() {
    assert_eq!(PATTERNS.looks.len(), LOOKS.len());
    assert!(PATTERNS.named.is_some() && PATTERNS.value.is_some());
}

#[test]
fn names_of_secrets() {
    for name in [
        "DB_PWD",
        "DBPW",
        "PW",
        "ADMIN_PW",
        "CREDENTIALS",
        "APP_CRED",
        "BASIC_AUTH",
        "SENTRY_DSN",
        "PASSPHRASE",
        "PRIVATE_PEM",
        "HASH_SALT",
        "API_TOKEN",
        "client-secret",
        "keyPass",
        "apikey",
        "traefik.http.middlewares.a.basicauth.users",
        "AUTHORIZATION",
        "--password",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in [
        "PWD",
        "OLDPWD",
        "POSTGRES_PASSWORD_FILE",
        "passwordFile",
        "AUTHOR",
        "org.opencontainers.image.authors",
        "AUTH_SERVER_URL",
        "POSTGRES_HOST_AUTH_METHOD",
        "KEYSTORE",
        "KEYCLOAK_VERSION",
        "JAVA_OPTS",
        "TZ",
    ] {
        assert!(!is_secret_name(name), "{name}");
    }
}

/// Variables, labels and command lines, with `…` where the secret stands.
const HOLDERS: [(&str, &str); 30] = [
    ("DB_PWD", "…"),
    ("traefik.auth", "…"),
    ("JAVA_OPTS", "-Xmx1g -Dpw=… -Dx=y"),
    ("JAVA_OPTS", "-Djavax.net.ssl.trustStorePassword=… -Xmx1g"),
    ("OPTS", "EXTRA=-Dkey.pass=… b"),
    ("DATABASE_URL", "postgres://arc:…@db:5432/arc"),
    ("DATABASE_URL", "postgres://:…@db/arc?x=a@b"),
    ("MIRROR", "https://ghp_0123456789abcdef0123@github.com/…"),
    (
        "JDBC",
        "jdbc:postgresql://db/arc?user=arc&password=…&ssl=true",
    ),
    ("CONNECTION", "Server=db;Password=…;Encrypt=true"),
    ("ARGS", "--db-password=… --verbose"),
    ("ARGS", "--db-password … --verbose"),
    ("ARGS", "--password '…' x"),
    ("CONFIG", "{\"password\": \"…\", \"user\": \"arc\"}"),
    ("CONFIG", "{\"password\":\"…\"}"),
    ("CONFIG", "user: arc\npassword: …\n"),
    (
        "CERT",
        "-----BEGIN PRIVATE KEY-----\n…\n-----END PRIVATE KEY-----",
    ),
    ("CERT", "-----BEGIN RSA PRIVATE KEY-----\\n…\\n"),
    ("HEADER", "Authorization: Basic …"),
    ("HEADER", "bearer …"),
    ("USERS", "admin:$apr1$…"),
    ("USERS", "admin:$$2y$$05$$…"),
    ("SENTRY_DSN", "https://…@sentry/1"),
    ("LINE", "PGPASSWORD=… psql -h db"),
    ("LINE", "export PGPASSWORD=\"…\"; psql"),
    ("LINE", "curl -fsS -u me:… http://db/"),
    ("LINE", "mysqladmin -uroot -p… ping"),
    ("LINE", "sshpass -p … ssh db"),
    ("LINE", "redis-cli -h db -a … ping"),
    ("LINE", "ldapsearch -x -w … -b dc=x"),
];

fn container(key: &str, value: &Json) -> ContainerState {
    ContainerState {
        exists: true,
        own: json!({key: value}),
        ..ContainerState::default()
    }
}

#[test]
fn options_of_programs_and_of_log_drivers_are_known_word_by_word() {
    for words in [
        &["mysql", "-uroot", "-pgeheim/wort", "db"][..],
        &["/usr/bin/curl", "-u", "me:geheim/wort", "http://x"],
        &["redis-cli", "-a", "geheim/wort"],
        &["ldapwhoami", "-x", "-w", "geheim/wort"],
    ] {
        let read = container("Cmd", &json!(words));
        let text = spec::text(&read);
        assert!(!text.contains(SECRET) && text.contains(MASK), "{text}");
        assert_eq!(of(&read), [SECRET]);
    }
    // A user and a group, and what other programs mean by `-p`.
    for words in [&["gosu", "-u", "1000:1000"][..], &["mkdir", "-p/srv/x"]] {
        assert!(!spec::text(&container("Cmd", &json!(words))).contains(MASK));
    }
    let read = ContainerState {
        exists: true,
        host: json!({"LogConfig": {"Type": "splunk", "Config": {"splunk-token": SECRET, "tag": "arc-log"}}}),
        own: json!({"Healthcheck": {"Test": ["CMD-SHELL", format!("curl -u me:{SECRET} http://x")]}}),
        ..ContainerState::default()
    };
    assert!(!spec::text(&read).contains(SECRET));
    assert_eq!(of(&read), [SECRET]);
    let shown = masked_json("LogConfig", read.host.get("LogConfig").unwrap()).to_string();
    assert!(
        !shown.contains(SECRET) && shown.contains("arc-log"),
        "{shown}"
    );
}

#[test]
fn no_secret_is_shown_wherever_it_stands() {
    for (name, template) in HOLDERS {
        let (now, then) = (
            template.replace('…', SECRET),
            template.replace('…', "anderes/wort"),
        );
        if name == "MIRROR" {
            assert!(!masked(name, &now).contains("ghp_"), "{now}");
            continue;
        }
        for key in ["Env", "Labels", "Cmd", "Entrypoint"] {
            let whole = is_secret_name(name);
            let form = |value: &str| match key {
                "Env" => json!([format!("{name}={value}")]),
                "Labels" => json!({name: value}),
                _ if whole => json!(["run", format!("--{name}"), value]),
                _ => json!(["sh", "-c", value]),
            };
            let (read, wanted) = (container(key, &form(&now)), container(key, &form(&then)));
            let text = spec::text(&read);
            assert!(!text.contains(SECRET), "{text}");
            assert!(text.contains(MASK), "{text}");
            let secrets = of(&read);
            assert!(
                secrets.iter().any(|s| s.contains(SECRET)),
                "{template}: {secrets:?}"
            );
            let want = ContainerWant {
                earlier: Some(Box::new(super::super::state::Earlier {
                    state: wanted,
                    aside: false,
                })),
                ..ContainerWant::default()
            };
            let lines = spec::differences(&want, &read).lines();
            let said = lines.join("\n");
            assert!(
                said.contains("differs in a secret"),
                "{key} {template}: {said}"
            );
            assert!(!said.contains("wort"), "{said}");
        }
    }
}

#[test]
fn what_is_masked_still_counts() {
    use runbook_engine::resource::{Change, Kind as _};
    for key in ["Labels", "Cmd"] {
        let of = |word: &str| match key {
            "Labels" => container(key, &json!({"traefik.auth": word})),
            _ => container(key, &json!(["run", "--password", word])),
        };
        let (left, other) = (of(SECRET), of("anderes"));
        assert_eq!(spec::text(&left), spec::text(&other));
        let change = Change {
            from: ContainerState::default(),
            to: left.clone(),
            want: ContainerWant::default(),
        };
        let key = super::super::ContainerKey {
            name: "a".to_owned(),
        };
        let kind = super::super::Container;
        assert!(kind.still(&key, &change, &left) && !kind.still(&key, &change, &other));
    }
}

#[test]
fn only_the_secret_itself_is_searched_for() {
    for (name, value, secrets) in [
        ("DB_PWD", "geheim", vec!["geheim"]),
        ("DB_PWD", "abc", vec![]),
        ("PRIVATE", "true", vec![]),
        (
            "DATABASE_DSN",
            "postgres://arc:geheim@db/arc",
            vec!["geheim"],
        ),
        ("URL", "http://u:p@ss@db/x", vec!["p@ss"]),
        (
            "URLS",
            "amqp://u:eins1@a,amqp://u:zwei2@b",
            vec!["eins1", "zwei2"],
        ),
        ("JAVA_OPTS", "-Xmx1g -Dpw=geheim", vec!["geheim"]),
        ("DB_PASSWORD", "${DB_PASSWORD}", vec![]),
    ] {
        let state = container("Env", &json!([format!("{name}={value}")]));
        assert_eq!(of(&state), secrets, "{name}={value}");
    }
}

#[test]
fn what_is_no_secret_stays_to_be_read() {
    for (name, value) in [
        ("LDAP_URL", "ldap://ldap:389"),
        ("AUTH_SERVER_URL", "https://auth:8843/auth?mail=a@b.org"),
        (
            "JAVA_OPTS",
            "-Xms64m -Djavax.net.ssl.keyStore=/opt/key.jks -Djboss.bind=0.0.0.0",
        ),
        (
            "ARGS",
            "--password-file /run/secrets/pw --token $TOKEN --user arc",
        ),
        ("TEXT", "the password is given by the site"),
        ("REPO", "ssh://git@github.com/x"),
        ("PWD", "/opt"),
    ] {
        assert_eq!(masked(name, value), value);
        let state = container("Env", &json!([format!("{name}={value}")]));
        assert_eq!(of(&state), Vec::<String>::new());
    }
    assert_eq!(
        masked_words(&["redis-server", "--requirepass", "geheim", "--port", "80"]),
        ["redis-server", "--requirepass", MASK, "--port", "80"]
    );
}
