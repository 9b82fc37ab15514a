//! The cases of all modules that there are.

use crate::case::{Case, Needs, PLAIN};

const LDAP: &str =
    "server: 127.0.0.1:$PORT, bind_dn: \"cn=admin,dc=dcm4che,dc=org\", password: secret";

/// All of them.
pub fn all() -> Vec<Case> {
    let mut cases = files();
    cases.extend(owned());
    cases.extend(commands());
    cases.extend(flow());
    cases.extend(docker());
    cases.extend(directory());
    cases.extend(database());
    cases.extend(crate::web::all());
    cases
}

fn files() -> Vec<Case> {
    let conf = "printf 'a=1\\nb=2\\n' > $DIR/conf; chmod 640 $DIR/conf";
    let elsewhere = "printf 'a=9\\n' > $DIR/conf";
    vec![
        Case {
            module: "file",
            args: "{path: $DIR/d/e, state: directory, mode: \"0750\"}",
            foreign: "mkdir $DIR/d; printf x > $DIR/d/e",
            ..PLAIN
        },
        Case {
            module: "file",
            args: "{path: $DIR/conf, mode: \"0600\"}",
            before: conf,
            foreign: "chmod 644 $DIR/conf",
            ..PLAIN
        },
        Case {
            module: "file",
            args: "{path: $DIR/conf, state: absent}",
            before: conf,
            foreign: elsewhere,
            ..PLAIN
        },
        Case {
            module: "file",
            args: "{path: $DIR/link, src: conf, state: link}",
            before: conf,
            foreign: "ln -s other $DIR/link",
            ..PLAIN
        },
        Case {
            module: "file",
            args: "{path: $DIR/tree, state: absent}",
            before: "mkdir $DIR/tree",
            foreign: "rmdir $DIR/tree; printf x > $DIR/tree",
            ..PLAIN
        },
        Case {
            module: "file",
            args: "{path: $DIR/tree, state: directory, recurse: true, mode: \"u+rwX,go-rwx\"}",
            before: "mkdir -p $DIR/tree/in; printf x > $DIR/tree/in/f",
            ..PLAIN
        },
        Case {
            module: "copy",
            args: "{dest: $DIR/new, content: \"one\\ntwo\\n\", mode: \"0640\"}",
            foreign: "printf x > $DIR/new",
            ..PLAIN
        },
        Case {
            module: "copy",
            args: "{dest: $DIR/conf, src: conf, mode: preserve}",
            before: conf,
            foreign: elsewhere,
            files: &[("conf", "a=1\nb=3\n")],
            ..PLAIN
        },
        Case {
            module: "copy",
            args: "{dest: $DIR/conf, content: \"a=1\\nb=2\\n\", validate: \"grep -q a %s\"}",
            before: conf,
            ..PLAIN
        },
        Case {
            module: "copy",
            args: "{dest: $DIR, src: tree}",
            before: "mkdir $DIR/tree; printf old > $DIR/tree/b",
            foreign: "printf mine > $DIR/tree/b",
            files: &[("tree/a", "1\n"), ("tree/b", "2\n")],
            ..PLAIN
        },
        Case {
            module: "template",
            args: "{dest: $DIR/conf, src: t.j2}",
            before: conf,
            foreign: elsewhere,
            files: &[("t.j2", "a=5\n")],
            ..PLAIN
        },
        Case {
            module: "lineinfile",
            args: "{path: $DIR/conf, regexp: \"^b=\", line: \"b=7\"}",
            before: conf,
            foreign: elsewhere,
            ..PLAIN
        },
        Case {
            module: "lineinfile",
            args: "{path: $DIR/conf, line: c=3, create: true}",
            foreign: "printf x > $DIR/conf",
            ..PLAIN
        },
        Case {
            module: "blockinfile",
            args: "{path: $DIR/conf, block: \"x\\ny\"}",
            before: conf,
            foreign: elsewhere,
            ..PLAIN
        },
        Case {
            module: "replace",
            args: "{path: $DIR/conf, regexp: \"[0-9]\", replace: \"0\"}",
            before: conf,
            foreign: elsewhere,
            ..PLAIN
        },
        Case {
            module: "ini_file",
            args: "{path: $DIR/new/app.ini, section: a, option: x, value: 1, mode: \"0640\"}",
            foreign: "mkdir $DIR/new; echo '[b]' > $DIR/new/app.ini",
            ..PLAIN
        },
        Case {
            module: "ini_file",
            args: "{path: $DIR/conf, section: a, option: x, values: [1, 2], backup: true}",
            before: "printf '[a]\\r\\n;x=2\\r\\nx=3\\r\\n' > $DIR/conf",
            foreign: elsewhere,
            ..PLAIN
        },
        Case {
            module: "verify_signature",
            args: "{src: $DIR/conf, signature: $DIR/conf.sig, key: vendor.pub, remote_src: true}",
            files: &[("vendor.pub", "@$DIR/conf.pub")],
            before: "printf 'a=1\\n' > $DIR/conf; cd $DIR; openssl ecparam -genkey -name prime256v1 -noout -out k; \
                     openssl pkey -in k -pubout -out conf.pub; openssl dgst -sha256 -sign k -out conf.sig conf",
            ..PLAIN
        },
        Case {
            module: "env_file",
            args: "{path: $DIR/new/env, values: {A: 1, B: x}, create: true, mode: \"0640\"}",
            foreign: "mkdir $DIR/new; echo A=2 > $DIR/new/env",
            ..PLAIN
        },
        Case {
            module: "env_file",
            args: "{path: $DIR/env, name: A, value: \"a b\", format: shell, backup: true}",
            before: "printf 'export A=1 # why\\r\\nB=2' > $DIR/env",
            foreign: "echo A=2 > $DIR/env",
            ..PLAIN
        },
        Case {
            module: "stat",
            args: "{path: $DIR/conf, get_checksum: true}",
            before: conf,
            ..PLAIN
        },
        Case {
            module: "directory_dump",
            args: "{path: $DIR/tree, dest: $DIR/out/tree.tar.gz, exclude: [log]}",
            before: "mkdir -p $DIR/tree/log; echo one > $DIR/tree/x",
            ..PLAIN
        },
        Case {
            module: "slurp",
            args: "{src: $DIR/conf}",
            before: conf,
            ..PLAIN
        },
        Case {
            module: "replace",
            args: "{path: $DIR/large, regexp: \"b=2\", replace: \"b=3\"}",
            before: "(head -c 1500000 /dev/zero | tr '\\0' x; echo; echo b=2) > $DIR/large",
            foreign: "echo more >> $DIR/large",
            ..PLAIN
        },
    ]
}

/// Files of another owner, another group and with special modes: they have them again when they come back.
fn owned() -> Vec<Case> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata("/proc/self").map_or(0, |m| m.uid()) != 0 {
        eprintln!("skipped: files of other owners: only root can make them");
        return Vec::new();
    }
    let conf = "printf 'a=1\\nb=2\\n' > $DIR/conf; chown 1234:2345 $DIR/conf; chmod 4751 $DIR/conf";
    let tree = "mkdir -p $DIR/tree/in; printf x > $DIR/tree/in/f; chown -R 1234:2345 $DIR/tree; chown 7:8 $DIR/tree/in; \
                chmod 2770 $DIR/tree/in";
    let case = |module, args, before| Case {
        module,
        args,
        before,
        ..PLAIN
    };
    vec![
        case(
            "file",
            "{path: $DIR/conf, owner: \"7\", group: \"8\", mode: \"0600\"}",
            conf,
        ),
        case("file", "{path: $DIR/conf, mode: \"0600\"}", conf),
        case(
            "file",
            "{path: $DIR/conf, owner: daemon, group: daemon}",
            conf,
        ),
        case("file", "{path: $DIR/conf, state: absent}", conf),
        case(
            "copy",
            "{dest: $DIR/conf, content: \"new\\n\", owner: \"7\", group: \"8\", mode: \"0644\"}",
            conf,
        ),
        case("copy", "{dest: $DIR/conf, content: \"new\\n\"}", conf),
        case(
            "lineinfile",
            "{path: $DIR/conf, regexp: \"^b=\", line: \"b=7\"}",
            conf,
        ),
        case(
            "file",
            "{path: $DIR/tree/in, state: directory, owner: \"9\", group: \"10\", mode: \"0700\"}",
            tree,
        ),
        case(
            "file",
            "{path: $DIR/tree, state: directory, recurse: true, owner: \"9\", group: \"10\"}",
            tree,
        ),
        case(
            "file",
            "{path: $DIR/link, src: other, state: link}",
            "printf x > $DIR/other; ln -s conf $DIR/link; chown -h 1234:2345 $DIR/link",
        ),
    ]
}

fn commands() -> Vec<Case> {
    vec![
        Case {
            module: "command",
            args: "{argv: [sh, -c, 'test -n \"$API_TOKEN\" && cat >/dev/null'], environment: {API_TOKEN: geheimes-wort}, \
                   stdin: tiefes-wort}",
            secrets: &["geheimes-wort", "tiefes-wort"],
            ..PLAIN
        },
        Case {
            module: "shell",
            args: "{cmd: 'echo no >&2; exit 3', environment: {API_TOKEN: geheimes-wort}, stdin: tiefes-wort}",
            secrets: &["geheimes-wort", "tiefes-wort"],
            ..PLAIN
        },
        Case {
            module: "command",
            args: "{argv: [no-such-program], environment: {API_TOKEN: geheimes-wort}, timeout: 5}",
            secrets: &["geheimes-wort"],
            ..PLAIN
        },
        Case {
            module: "command",
            args: "{argv: [sh, -c, 'exit 3'], reads_only: true, environment: {API_TOKEN: geheimes-wort}}",
            secrets: &["geheimes-wort"],
            ..PLAIN
        },
        Case {
            module: "uri",
            args: "{url: \"http://127.0.0.1:$PORT/\", method: POST, body: geheimes-wort, url_username: anna, \
                   url_password: passendes-wort, force_basic_auth: true, headers: {X-Token: tiefes-wort}}",
            needs: Needs::Http,
            secrets: &["geheimes-wort", "tiefes-wort", "passendes-wort"],
            ..PLAIN
        },
        Case {
            module: "uri",
            args: "{url: \"http://127.0.0.1:$PORT/\", method: POST, body: geheimes-wort, url_username: anna, \
                   url_password: passendes-wort, force_basic_auth: true, headers: {X-Token: tiefes-wort}, status_code: [201]}",
            needs: Needs::Http,
            secrets: &["geheimes-wort", "tiefes-wort", "passendes-wort"],
            ..PLAIN
        },
        Case {
            module: "command",
            args: "{cmd: \"touch $DIR/x\", creates: \"$DIR/*.y\"}",
            ..PLAIN
        },
        Case {
            module: "command",
            args: "{argv: [touch, $DIR/x], creates: $DIR/x}",
            before: "touch $DIR/x",
            ..PLAIN
        },
        Case {
            module: "command",
            args: "{argv: [cat, $DIR/x], reads_only: true, reads: [\"file:$DIR/x\"]}",
            before: "echo one > $DIR/x",
            ..PLAIN
        },
        Case {
            module: "shell",
            args: "{cmd: \"echo two >> $DIR/x\", removes: $DIR/gone}",
            ..PLAIN
        },
        Case {
            module: "shell",
            args: "{cmd: \"echo two >> $DIR/x\"}",
            ..PLAIN
        },
        Case {
            module: "wait_for",
            args: "{port: $PORT, timeout: 5}",
            needs: Needs::Http,
            ..PLAIN
        },
        Case {
            module: "uri",
            args: "{url: \"http://127.0.0.1:$PORT/\", return_content: true}",
            needs: Needs::Http,
            ..PLAIN
        },
        Case {
            module: "uri",
            args: "{url: \"http://127.0.0.1:$PORT/\", method: POST, body: x}",
            needs: Needs::Http,
            ..PLAIN
        },
    ]
}

fn flow() -> Vec<Case> {
    vec![
        Case {
            module: "assert",
            args: "{that: {expr: 1 == 1, value: true}}",
            ..PLAIN
        },
        Case {
            module: "debug",
            args: "{msg: hello}",
            ..PLAIN
        },
        Case {
            module: "fail",
            args: "{msg: it is so}",
            ..PLAIN
        },
        Case {
            module: "pause",
            args: "{seconds: 1}",
            ..PLAIN
        },
        Case {
            module: "set_fact",
            args: "{a: 1}",
            ..PLAIN
        },
    ]
}

/// An image that no container of another test uses.
macro_rules! own_image {
    () => {
        "mkdir $DIR/own; echo $NAME > $DIR/own/name; tar -C $DIR/own -c . | \
         docker import --change \"LABEL org.runbook.test=$NAME\" - $NAME:1 >/dev/null; rm -r $DIR/own; "
    };
}

/// A project of one service in $DIR/p.
macro_rules! project {
    () => {
        "mkdir $DIR/p; printf '%s\\n' 'services:' '  web:' '    image: runbook-test/server:1 # by hand' \
         \"    container_name: $NAME\" '    environment: {API_TOKEN: geheimes-wort}' '    network_mode: bridge' \
         '    stop_grace_period: 1s' > $DIR/p/compose.yaml; "
    };
}

fn docker() -> Vec<Case> {
    let run = "docker run -d --name $NAME -e BY_HAND=1 -e API_TOKEN=geheimes-wort runbook-test/server:1 >/dev/null";
    let base = Case {
        needs: Needs::Docker,
        ..PLAIN
    };
    vec![
        Case {
            module: "docker_container",
            args: "{name: $NAME, image: runbook-test/server:1, env: {API_TOKEN: geheimes-wort}, healthy: {tcp: 80, within: 20s}, stop_timeout: 1}",
            foreign: run,
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, image: runbook-test/server:2, healthy: {tcp: 80, within: 20s}, stop_timeout: 1}",
            before: run,
            foreign: "docker stop -t 1 $NAME >/dev/null",
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, image: runbook-test/server:1, state: oneshot, env: {API_TOKEN: geheimes-wort}, \
                   command: [sh, -c, 'echo $API_TOKEN'], oneshot: {changes: [\"file:/srv/none\"]}}",
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "docker_image",
            args: "{name: \"127.0.0.1:$PORT/$NAME:1\", source: pull}",
            needs: Needs::Registry,
            before: "r=127.0.0.1:$PORT/$NAME:1; docker tag runbook-test/server:1 $r; docker push -q $r >/dev/null; docker rmi $r >/dev/null",
            foreign: "docker tag runbook-test/server:2 127.0.0.1:$PORT/$NAME:1",
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, state: stopped, stop_timeout: 1}",
            before: run,
            foreign: "docker rm -f $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, image: runbook-test/server:2, volumes: [\"$DIR/kept:/kept\"], save: [\"$DIR/kept\"], \
                   healthy: {tcp: 80, within: 20s}, stop_timeout: 1}",
            before: "mkdir $DIR/kept; echo old > $DIR/kept/file; docker run -d --name $NAME --restart always -m 32m \
                     -v $DIR/kept:/kept runbook-test/server:1 >/dev/null",
            foreign: "docker update --restart no $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, image: runbook-test/server:2, volumes: [\"$DIR/kept:/kept\"], save: [\"$DIR/kept\"], \
                   unpack: {\"$DIR/kept\": \"$DIR/kept.tar.gz\"}, healthy: {tcp: 80, within: 20s}, stop_timeout: 1}",
            before: "mkdir -p $DIR/kept/sub; echo older > $DIR/kept/sub/file; tar -czf $DIR/kept.tar.gz -C $DIR/kept .; \
                     rm -r $DIR/kept/sub; echo old > $DIR/kept/file; \
                     docker run -d --name $NAME --restart always -v $DIR/kept:/kept runbook-test/server:1 >/dev/null",
            foreign: "docker update --restart no $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, state: absent, stop_timeout: 1}",
            before: run,
            foreign: "docker rm -f $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, state: present, restart_policy: unless-stopped, memory: 64M}",
            before: "docker run -d --name $NAME -m 32m runbook-test/server:1 >/dev/null; docker pause $NAME >/dev/null",
            foreign: "docker unpause $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, stop_timeout: 1}",
            before: "docker run -d --name $NAME runbook-test/server:1 >/dev/null; docker pause $NAME >/dev/null",
            foreign: "docker stop -t 1 $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, memory: 64M}",
            before: run,
            foreign: "docker rm -f $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_compose",
            args: "{project_src: $DIR/p, project_name: $NAME, images: {web: runbook-test/server:2}, timeout: 1}",
            before: concat!(
                project!(),
                "sed -i s/API_TOKEN/MODE/ $DIR/p/compose.yaml; ",
                "docker compose -p $NAME --project-directory $DIR/p -f $DIR/p/compose.yaml up -d 2>/dev/null"
            ),
            foreign: "docker stop -t 1 $NAME >/dev/null; echo '# mine' >> $DIR/p/compose.yaml",
            ..base
        },
        Case {
            module: "docker_compose",
            args: "{project_src: $DIR/p, project_name: $NAME, timeout: 1}",
            before: project!(),
            foreign: "docker run -d --name $NAME runbook-test/server:1 >/dev/null",
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "docker_compose",
            args: "{project_src: $DIR/p, project_name: $NAME, state: stopped, timeout: 1}",
            before: concat!(
                project!(),
                "docker compose -p $NAME --project-directory $DIR/p -f $DIR/p/compose.yaml up -d 2>/dev/null"
            ),
            foreign: "docker rm -f $NAME >/dev/null",
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "docker_compose",
            args: "{project_src: $DIR/p, project_name: $NAME, state: absent, timeout: 1}",
            before: concat!(
                project!(),
                "docker compose -p $NAME --project-directory $DIR/p -f $DIR/p/compose.yaml up -d 2>/dev/null"
            ),
            foreign: "docker stop -t 1 $NAME >/dev/null",
            secrets: &["geheimes-wort"],
            ..base
        },
        // Every argument that decides how a container is made is idempotent by itself.
        made("ports: [\"127.0.0.1:$PORT:80\"]"),
        made("labels: {owner: radiology, api.token: geheimes-wort}"),
        made("etc_hosts: {pacs.example: 192.0.2.7, db.example: 192.0.2.8}"),
        made(
            "command: [sh, -c, \"httpd -f -p 80 -h /etc; echo --password=geheimes-wort\"], entrypoint: [busybox, env]",
        ),
        made("hostname: archive, user: \"0:0\", working_dir: /etc, cpus: 0.5, memory: 32M"),
        Case {
            before: "docker network create $NAME >/dev/null",
            ..made("networks: [{name: $NAME, aliases: [archive, arc]}]")
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, labels: {owner: radiology}, command: [httpd, -f, -p, \"80\", -h, /etc/data], stop_timeout: 1}",
            before: "docker run -d --name $NAME -l traefik.auth=geheimes-wort -e DB_PWD=tiefes-wort \
                     -e URL=postgres://arc:passendes-wort@db/arc runbook-test/server:1 httpd -f -p 80 -h /etc >/dev/null",
            foreign: "docker rm -f $NAME >/dev/null; docker run -d --name $NAME -l traefik.auth=fremdes-wort \
                      -e DB_PWD=fremdes-wort runbook-test/server:1 >/dev/null",
            secrets: &[
                "geheimes-wort",
                "tiefes-wort",
                "passendes-wort",
                "fremdes-wort",
            ],
            ..base
        },
        Case {
            module: "docker_container",
            args: "{name: $NAME, state: restarted, stop_timeout: 1}",
            before: run,
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "docker_exec",
            args: "{container: $NAME, argv: [sh, -c, 'test -n \"$PW\"; echo no >&2; exit 3'], env: {PW: tiefes-wort}}",
            before: run,
            secrets: &["geheimes-wort", "tiefes-wort"],
            ..base
        },
        Case {
            module: "docker_exec",
            args: "{container: $NAME, argv: [cat, /etc/data/a.ldif], reads_only: true}",
            before: run,
            ..base
        },
        Case {
            module: "docker_exec",
            args: "{container: $NAME, argv: [mkdir, /made]}",
            before: run,
            ..base
        },
        Case {
            module: "docker_network",
            args: "{name: $NAME}",
            foreign: "docker network create $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_network",
            args: "{name: $NAME, state: absent}",
            before: "docker network create $NAME >/dev/null",
            foreign: "docker network rm $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_volume",
            args: "{name: $NAME, labels: {site: st-anna}}",
            foreign: "docker volume create $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_volume",
            args: "{name: $NAME, labels: {site: st-anna}, recreate: options-changed}",
            before: "docker volume create $NAME >/dev/null",
            foreign: "docker volume rm $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_volume",
            args: "{name: $NAME, state: absent}",
            before: "docker volume create $NAME >/dev/null",
            foreign: "docker volume rm $NAME >/dev/null",
            ..base
        },
        Case {
            module: "docker_image",
            args: "{name: \"$NAME:1\", source: load, load_path: $DIR/image.tar}",
            before: concat!(
                own_image!(),
                "docker save $NAME:1 -o $DIR/image.tar; docker rmi $NAME:1 >/dev/null"
            ),
            files: &[("$DIR/image.tar", "@$DIR/image.tar")],
            foreign: "docker tag runbook-test/server:2 $NAME:1",
            ..base
        },
        Case {
            module: "docker_image",
            args: "{name: \"$NAME:1\", load_path: $DIR/image.tar}",
            before: concat!(
                own_image!(),
                "docker save $NAME:1 -o $DIR/image.tar; docker rmi $NAME:1 >/dev/null; \
                 docker tag runbook-test/server:2 $NAME:1"
            ),
            files: &[("$DIR/image.tar", "@$DIR/image.tar")],
            foreign: "docker rmi $NAME:1 >/dev/null",
            ..base
        },
        Case {
            module: "docker_image",
            args: "{name: \"$NAME:1\", state: absent}",
            before: own_image!(),
            foreign: "docker tag runbook-test/server:2 $NAME:1",
            ..base
        },
    ]
}

/// A container with these arguments, made from nothing.
fn made(arguments: &str) -> Case {
    Case {
        module: "docker_container",
        args: leak(format!(
            "{{name: $NAME, image: runbook-test/server:1, stop_timeout: 1, {arguments}}}"
        )),
        needs: Needs::Docker,
        secrets: &["geheimes-wort"],
        ..PLAIN
    }
}

const SCHEMA: &str = "ldapsearch -x -LLL -o ldif-wrap=no -H ldap://127.0.0.1:$PORT -D cn=admin,cn=config -w config-secret \
                      -b cn=schema,cn=config";
const NEW_SCHEMA: &str = "dn: cn=law,cn=schema,cn=config\nobjectClass: olcSchemaConfig\ncn: law\nolcAttributeTypes: ( 1.3.6.1.4.1.99999.1 NAME 'lawFirst' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n";

fn directory() -> Vec<Case> {
    let base = Case {
        needs: Needs::Directory,
        ..PLAIN
    };
    let modify = "printf 'dn: ou=users,dc=dcm4che,dc=org\\nchangetype: modify\\nreplace: description\\ndescription: others\\n' | \
                  ldapmodify -x -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret >/dev/null";
    vec![
        Case {
            module: "ldap_update",
            args: "{server: \"127.0.0.1:$PORT\", bind_dn: \"cn=admin,cn=config\", password: config-secret, ldif: [schema.ldif]}",
            look: SCHEMA,
            secrets: &["config-secret"],
            files: &[("schema.ldif", NEW_SCHEMA)],
            ..base
        },
        Case {
            module: "ldap_update",
            args: "{server: \"127.0.0.1:$PORT\", bind_dn: \"cn=admin,cn=config\", password: config-secret, ldif: [more.ldif]}",
            before: leak(format!(
                "printf '%s' \"{NEW_SCHEMA}\" | ldapadd -x -H ldap://127.0.0.1:$PORT -D cn=admin,cn=config -w config-secret >/dev/null"
            )),
            look: SCHEMA,
            secrets: &["config-secret"],
            files: &[(
                "more.ldif",
                "dn: cn=law,cn=schema,cn=config\nchangetype: modify\nadd: olcAttributeTypes\nolcAttributeTypes: ( 1.3.6.1.4.1.99999.2 NAME 'lawSecond' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n",
            )],
            ..base
        },
        Case {
            module: "ldap_search",
            args: leak(format!(
                "{{{LDAP}, dn: \"dc=dcm4che,dc=org\", scope: children, filter: (ou=users)}}"
            )),
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "ldap_update",
            args: leak(format!("{{{LDAP}, ldif: [change.ldif]}}")),
            foreign: modify,
            secrets: &["geheimes-wort", "neues-wort"],
            files: &[(
                "change.ldif",
                "dn: ou=users,dc=dcm4che,dc=org\nchangetype: modify\nadd: description\ndescription: more of them\n-\nreplace: l\nl: Graz\n-\nreplace: userPassword\nuserPassword: neues-wort\n\ndn: cn=anna,ou=users,dc=dcm4che,dc=org\nobjectClass: person\ncn: anna\nsn: anna\n",
            )],
            ..base
        },
        Case {
            module: "ldap_update",
            args: leak(format!("{{{LDAP}, ldif: [password.ldif]}}")),
            foreign: "printf 'dn: ou=users,dc=dcm4che,dc=org\\nchangetype: modify\\nreplace: userPassword\\nuserPassword: fremdes-wort\\n' | \
                      ldapmodify -x -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret >/dev/null",
            secrets: &["geheimes-wort", "neues-wort", "fremdes-wort"],
            files: &[(
                "password.ldif",
                "dn: ou=users,dc=dcm4che,dc=org\nchangetype: modify\nreplace: userPassword\nuserPassword: neues-wort\n",
            )],
            ..base
        },
        Case {
            module: "ldap_update",
            args: leak(format!("{{{LDAP}, ldif: [gone.ldif]}}")),
            before: "printf 'dn: cn=b,ou=users,dc=dcm4che,dc=org\\nobjectClass: person\\ncn: b\\nsn: b\\n' | ldapadd -x -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret >/dev/null",
            files: &[(
                "gone.ldif",
                "dn: cn=b,ou=users,dc=dcm4che,dc=org\nchangetype: delete\n\ndn: ou=users,dc=dcm4che,dc=org\nchangetype: delete\n",
            )],
            ..base
        },
        Case {
            module: "ldap_update",
            args: "{server: 127.0.0.1:$PORT, bind_dn: \"cn=admin,cn=config\", password: config-secret, schema: 5.32.0, files: {image: \"$NAME:1\"}}",
            needs: Needs::DirectoryAndDocker,
            before: SCHEMA_IMAGE,
            look: "ldapsearch -x -LLL -H ldap://127.0.0.1:$PORT -D cn=admin,cn=config -w config-secret -b cn=schema,cn=config olcAttributeTypes",
            ..base
        },
        Case {
            module: "ldap_entry",
            args: leak(format!(
                "{{{LDAP}, dn: \"cn=anna,ou=users,dc=dcm4che,dc=org\", objectClass: person, attributes: {{sn: anna, userPassword: neues-wort}}}}"
            )),
            foreign: "printf 'dn: cn=anna,ou=users,dc=dcm4che,dc=org\\nobjectClass: person\\ncn: anna\\nsn: other\\n' | ldapadd -x -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret >/dev/null",
            secrets: &["geheimes-wort", "neues-wort"],
            ..base
        },
        Case {
            module: "ldap_entry",
            args: leak(format!(
                "{{{LDAP}, dn: \"ou=users,dc=dcm4che,dc=org\", state: absent, recursive: true}}"
            )),
            before: "printf 'dn: cn=b,ou=users,dc=dcm4che,dc=org\\nobjectClass: person\\ncn: b\\nsn: b\\n' | ldapadd -x -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret >/dev/null",
            foreign: modify,
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "ldap_attrs",
            args: leak(format!(
                "{{{LDAP}, dn: \"ou=users,dc=dcm4che,dc=org\", attributes: {{description: [more of them], userPassword: neues-wort}}}}"
            )),
            foreign: modify,
            secrets: &["geheimes-wort", "neues-wort"],
            ..base
        },
        Case {
            module: "ldap_attrs",
            args: leak(format!(
                "{{{LDAP}, dn: \"ou=users,dc=dcm4che,dc=org\", state: exact, attributes: {{l: Graz, userPassword: []}}}}"
            )),
            foreign: modify,
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "ldap_export",
            args: leak(format!(
                "{{{LDAP}, base: \"dc=dcm4che,dc=org\", dest: $DIR/all.ldif}}"
            )),
            secrets: &["geheimes-wort"],
            ..base
        },
        Case {
            module: "ldap_restore",
            args: leak(format!("{{{LDAP}, src: $DIR/users.ldif}}")),
            before: "ldapsearch -x -LLL -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret -b ou=users,dc=dcm4che,dc=org > $DIR/users.ldif; \
                     printf 'dn: cn=b,ou=users,dc=dcm4che,dc=org\\nobjectClass: person\\ncn: b\\nsn: b\\n' | ldapadd -x -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret >/dev/null; \
                     printf 'dn: ou=users,dc=dcm4che,dc=org\\nchangetype: modify\\nreplace: userPassword\\nuserPassword: fremdes-wort\\n' | ldapmodify -x -H ldap://127.0.0.1:$PORT -D cn=admin,dc=dcm4che,dc=org -w secret >/dev/null",
            foreign: modify,
            secrets: &["geheimes-wort", "fremdes-wort"],
            ..base
        },
    ]
}

/// An image with the update of one schema file of our own, laid out as in the vendor's images.
const SCHEMA_IMAGE: &str = "\
mkdir -p $DIR/root/etc/openldap/schema
i=3
for n in dicom dcm4che dcm4chee-archive dcm4chee-archive-ui; do
printf 'dn: cn=%s,cn=schema,cn=config\\nobjectClass: olcSchemaConfig\\ncn: %s\\n' $n $n | \
  ldapadd -x -H ldap://127.0.0.1:$PORT -D cn=admin,cn=config -w config-secret >/dev/null
i=$((i + 1))
printf \"dn: cn={%s}%s,cn=schema,cn=config\\nchangetype: modify\\nadd: olcAttributeTypes\\nolcAttributeTypes: ( 1.3.6.1.4.1.99999.%s NAME 'law%s' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\\n\" $i $n ${#n} ${#n} > $DIR/root/etc/openldap/schema/$n-modify.ldif
done
tar -C $DIR/root -c . | docker import - $NAME:1 >/dev/null
rm -r $DIR/root";

fn database() -> Vec<Case> {
    let server =
        "server: 127.0.0.1:$PORT, database: $DB, user: pacs, password: \"pacs'secret\\\\1\"";
    let base = Case {
        needs: Needs::Database,
        before: "psql -qX -v ON_ERROR_STOP=1 -c \"create table study (pk bigint primary key, name text); insert into study select n, 'n' || n from generate_series(1, 50) n\"",
        secrets: &["pacs'secret"],
        ..PLAIN
    };
    vec![
        Case {
            module: "pg_schema",
            args: leak(format!(
                "{{{server}, files: {{path: sql}}, from: \"1.1\", to: \"1.2\", parts: [1]}}"
            )),
            files: &[
                (
                    "sql/update-1.2-1-psql.sql",
                    "alter table study add gone boolean;\ncreate index idx_name on study (name);\n",
                ),
                (
                    "sql/update-1.2-2-psql.sql",
                    "update study set gone = false where gone is null;\n",
                ),
            ],
            foreign: "psql -qX -c 'create index idx_name on study (name)'",
            ..base
        },
        Case {
            module: "pg_schema",
            args: leak(format!(
                "{{{server}, files: {{path: sql}}, from: \"1.1\", to: \"1.2\"}}"
            )),
            files: &[(
                "sql/update-1.2-psql.sql",
                "create index idx_name on study (name);\n",
            )],
            ..base
        },
        Case {
            module: "pg_info",
            args: leak(format!("{{{server}, tables: [study]}}")),
            ..base
        },
        Case {
            module: "pg_dump",
            args: leak(format!("{{{server}, dest: $DIR/all.dump}}")),
            ..base
        },
        Case {
            module: "pg_restore",
            args: "{server: 127.0.0.1:$PORT, user: pacs, password: \"pacs'secret\\\\1\", src: $DIR/all.dump, \
                   database: $DB-restored, instead_of: $DB}",
            before: "psql -qX -v ON_ERROR_STOP=1 -c \"create table study as select n from generate_series(1, 50) n\"; \
                     pg_dump -Fc -f $DIR/all.dump; printf 'public.study\\t51\\n' > $DIR/all.dump.rows",
            ..base
        },
        Case {
            module: "pg_database",
            args: "{server: 127.0.0.1:$PORT, user: pacs, password: \"pacs'secret\\\\1\", name: $DB-a, from: $DB-b, \
                   keep_as: $DB-c}",
            before: "for n in a b; do psql -qX -c \"create database \\\"$DB-$n\\\"\"; done",
            foreign: "psql -qX -c \"alter database \\\"$DB-b\\\" rename to \\\"$DB-x\\\"\"",
            ..base
        },
    ]
}

/// Cases live as long as the tests.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
