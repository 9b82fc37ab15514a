use super::{Inventory, Pattern, read};
use crate::diag;
use crate::source::Sources;

fn inventory(name: &str, text: &str) -> (Inventory, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let sources = Sources::new();
    let (inventory, errors) = read(&[path.display().to_string()], &sources);
    let shown = errors
        .iter()
        .map(|d| {
            let at = d.primary.as_ref().map(|l| diag::place(&sources, l.span));
            format!(
                "{}:{} {}",
                at.as_ref().map_or(0, |p| p.1),
                at.as_ref().map_or(0, |p| p.2),
                d.message
            )
        })
        .collect();
    (inventory, shown)
}

fn hosts(inventory: &Inventory, pattern: &str) -> String {
    let (hosts, unknown) = Pattern::parse(pattern).unwrap().hosts(inventory);
    format!(
        "{}{}",
        hosts.join(" "),
        unknown.iter().map(|u| format!(" ?{u}")).collect::<String>()
    )
}

const SITES: &str = "
all:
  vars: {x: from-all, y: from-all}
sites:
  st-anna:
    labels: {tier: canary}
    jump: bastion
    vars: {y: from-site}
    hosts:
      pacs1: {ansible_host: 192.0.2.11, groups: [ldap, db, arc]}
  st-josef:
    hosts:
      dir1: {groups: [ldap]}
      data1: {groups: [db], y: own}
      arch1: {groups: arc}
";

#[test]
fn sites_are_groups() {
    let (inventory, errors) = inventory("sites.yaml", SITES);
    assert_eq!(errors, Vec::<String>::new());
    for (pattern, expected) in [
        ("sites", "pacs1 dir1 data1 arch1"),
        ("st-anna", "pacs1"),
        ("st-josef:&db", "data1"),
        ("ldap", "pacs1 dir1"),
        ("all:!st-anna", "dir1 data1 arch1"),
        ("ldap,db", "pacs1 dir1 data1"),
        ("~.*1$:!arch1", "pacs1 dir1 data1"),
        ("d*1", "dir1 data1"),
        ("sites[0]", "pacs1"),
        ("sites[1:2]", "dir1 data1"),
        ("sites[-1]", "arch1"),
        ("nothing", " ?nothing"),
    ] {
        assert_eq!(hosts(&inventory, pattern), expected, "{pattern}");
    }
    assert_eq!(inventory.site_of("data1"), Some("st-josef"));
    let last = |host: &str, name: &str| {
        let layers = inventory.vars_of(host);
        let found = layers
            .iter()
            .rev()
            .find_map(|l| l.get(name))
            .and_then(|n| n.text().map(str::to_owned));
        found.unwrap_or_default()
    };
    assert_eq!(
        (last("pacs1", "x"), last("pacs1", "y"), last("data1", "y")),
        ("from-all".into(), "from-site".into(), "own".into())
    );
    assert_eq!(last("pacs1", "jump"), "bastion");
}

#[test]
fn ini() {
    let text = "lone ansible_port=2222\n[web]\nweb[01:03].x a=1 b='x y' # why\n\n[web:vars]\nc = 5\n[top:children]\nweb\n";
    let (inventory, errors) = inventory("hosts", text);
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(hosts(&inventory, "top"), "web01.x web02.x web03.x");
    assert_eq!(hosts(&inventory, "ungrouped"), "lone");
    let layers = inventory.vars_of("web02.x");
    let all: Vec<String> = layers
        .iter()
        .flatten()
        .map(|(k, v)| format!("{k}={}", v.text().unwrap()))
        .collect();
    assert_eq!(all.join(" "), "c=5 a=1 b=x y");
}

/// The last value of a variable of a host, as JSON.
fn value(inventory: &Inventory, host: &str, name: &str) -> String {
    let layers = inventory.vars_of(host);
    let found = layers.iter().rev().find_map(|l| l.get(name));
    found.map_or_else(String::new, |n| {
        crate::source::untyped(n).to_json(false).to_string()
    })
}

#[test]
fn values_in_ini_are_literals_of_python() {
    let text = "[g]\na n=5 z=0644 t=true p=True q=\"x y\" w='5' e=it\\'s # c\nb:2222\n[2001:db8::1]:22 x=1\n\n[g:vars]\nl=['a', 1]\nm={'k': True}\ns = two words\nh=a # b\nquoted=\"5\"\n";
    let (inventory, errors) = inventory("hosts", text);
    assert_eq!(errors, Vec::<String>::new());
    for (host, name, expected) in [
        ("a", "n", "5"),
        ("a", "z", "\"0644\""),
        ("a", "t", "\"true\""),
        ("a", "p", "true"),
        ("a", "q", "\"x y\""),
        // A shell would have taken the quotes away before anybody could see them.
        ("a", "w", "5"),
        ("a", "e", "\"it's\""),
        ("b", "ansible_port", "2222"),
        ("2001:db8::1", "ansible_port", "22"),
        ("b", "l", "[\"a\",1]"),
        ("b", "m", "{\"k\":true}"),
        ("b", "s", "\"two words\""),
        ("b", "h", "\"a # b\""),
        ("b", "quoted", "\"5\""),
    ] {
        assert_eq!(value(&inventory, host, name), expected, "{host} {name}");
    }
}

#[test]
fn precedence_is_ansibles() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    // Each variable stands in its own place and in all places that it is to win over.
    let upto = |n: usize| (n..=9).map(|v| format!("v{v}: {n}\n")).collect::<String>();
    let inline = |n: usize| {
        (n..=9)
            .map(|v| format!("v{v}: {n}"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    write(
        "inventory/hosts.yaml",
        &format!(
            "all:\n  vars: {{{}}}\n  children:\n    outer:\n      vars: {{{}}}\n      children:\n        inner:\n          vars: {{{}}}\n          hosts:\n            h: {{{}}}\n",
            inline(0),
            inline(1),
            inline(2),
            inline(7),
        ),
    );
    write("inventory/group_vars/all.yaml", &upto(3));
    write("playbook/group_vars/all/one.yaml", &upto(4));
    write("inventory/group_vars/outer.yml", &upto(5));
    write("playbook/group_vars/inner", &upto(6));
    write("inventory/host_vars/h.yaml", &upto(8));
    write("playbook/host_vars/h.json", "{\"v9\": 9}");
    write("inventory/group_vars/README.md", "no variables");
    let sources = Sources::new();
    let given = dir.path().join("inventory").display().to_string();
    let (mut inventory, mut errors) = read(&[given], &sources);
    super::load_beside(
        &dir.path().join("playbook"),
        &sources,
        &mut inventory,
        &mut errors,
    );
    // A folder is read once.
    super::load_beside(
        &dir.path().join("inventory"),
        &sources,
        &mut inventory,
        &mut errors,
    );
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(inventory.groups_of("h"), ["all", "outer", "inner"]);
    for at in 0..=9 {
        assert_eq!(value(&inventory, "h", &format!("v{at}")), at.to_string());
    }
}

#[test]
fn groups_of_one_depth_go_by_priority_and_name() {
    let text = "all:\n  children:\n    a: {hosts: {h: }, vars: {x: a}}\n    b: {hosts: {h: }, vars: {x: b}}\n    c: {hosts: {h: }, vars: {x: c, ansible_group_priority: 0}}\n";
    let (found, errors) = inventory("hosts.yaml", text);
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(found.groups_of("h"), ["all", "c", "a", "b"]);
    assert_eq!(value(&found, "h", "x"), "\"b\"");
}

#[test]
fn localhost_is_there_and_belongs_to_nothing() {
    let (named, _) = inventory("hosts", "a\nb\n");
    for (pattern, expected) in [
        ("all", "a b"),
        ("*", "a b"),
        ("ungrouped", "a b"),
        ("~.*", "a b"),
        ("!a", "b"),
        ("localhost", "localhost"),
        ("a,localhost", "a localhost"),
        ("[!b]", "a"),
    ] {
        assert_eq!(hosts(&named, pattern), expected, "{pattern}");
    }
    assert_eq!(
        value(&named, "localhost", "ansible_connection"),
        "\"local\""
    );
    let sources = Sources::new();
    let (listed, errors) = read(&["localhost,web[1:2]:2222".to_owned()], &sources);
    assert!(errors.is_empty());
    assert_eq!(hosts(&listed, "all"), "localhost web1 web2");
    assert_eq!(value(&listed, "web2", "ansible_port"), "2222");
    let (none, errors) = read(&[], &sources);
    assert!(errors.is_empty());
    assert_eq!(
        (hosts(&none, "all"), hosts(&none, "localhost")),
        (String::new(), "localhost".into())
    );
}

#[test]
fn all_mistakes_are_told() {
    let text = "\
sites:
  one:
    lables: {tier: canary}
    hosts:
      a: {ansible_port: 99999, ansible_connection: winrm}
      b: {host_key: 'MD5:aa', ansible_become: maybe}
      c: {ansible_ssh_common_args: '-o StrictHostKeyChecking=no'}
      d: {ansible_prot: 22, 'my-var': 1, ansible_user: [x]}
      e: {ansible_port: '{{ port }}', host_key: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'}
  two:
    hosts: [x]
  a:
    hosts: {z: }
  three:
    hosts:
      a: {}
";
    let (_, mut errors) = inventory("sites.yaml", text);
    errors.sort_by_key(|e| {
        let mut numbers = e.split([':', ' ']).filter_map(|n| n.parse::<usize>().ok());
        (numbers.next(), numbers.next())
    });
    assert_eq!(
        errors,
        [
            "3:5 `lables` is not part of a site",
            "5:25 `ansible_port` takes a port, 1 to 65535, not `99999`",
            "5:52 Windows hosts are reached by SSH here, not by WinRM",
            "6:21 `host_key` takes a fingerprint",
            "6:47 `ansible_become` is true or false",
            "7:36 host keys are always checked: pin one with `host_key`, or use `--accept-new`",
            "8:25 `ansible_prot` has no meaning for the connection",
            "8:29 `my-var` cannot be the name of a variable",
            "8:56 `ansible_user` takes a text",
            "10:3 the site `two` has no hosts",
            "11:12 `hosts` is a mapping",
            "12:3 `a` is the name of a host or of another group already",
            "16:7 the host `a` is already in site `one`",
        ],
        "{errors:#?}"
    );
}

#[test]
fn mistakes_have_places() {
    for (name, text, expected) in [
        (
            "a.yaml",
            "all:\n  host:\n    a:\n",
            "2:3 `host` is not part of a group",
        ),
        (
            "a.yaml",
            "sites:\n  x:\n    host: {a: }\n",
            "3:5 `host` is not part of a site",
        ),
        (
            "a.ini",
            "[g:varz]\n",
            "1:1 `:varz` is not a kind of section",
        ),
        ("a.ini", "[g:children]\nx\n", "2:1 there is no group `x`"),
        ("a.ini", "[g]\na b\n", "2:3 `b` is not `name=value`"),
        (
            "a.ini",
            "[g]\na\n[h:vars]\nx=1\n",
            "3:1 there is no group `h`",
        ),
        ("a.ini", "a x='y\n", "1:5 a quote is not closed"),
        (
            "a.yaml",
            "plugin: aws\n",
            "1:1 inventory plugins are not run",
        ),
        (
            "a.sh",
            "#!/bin/sh\n",
            "1:1 this inventory is a program, and programs are not run",
        ),
        (
            "a.yaml",
            "all:\n  hosts: [a]\n",
            "2:10 `hosts` is a mapping",
        ),
        (
            "a.ini",
            "[a:children]\nb\n[b:children]\na\n",
            "1:1 the groups a → b → a contain each other",
        ),
        (
            "a.yaml",
            "all:\n  hosts:\n    'x[1': {}\n",
            "3:5 a `[` is not closed",
        ),
    ] {
        let (_, errors) = inventory(name, text);
        assert_eq!(errors.first().map(String::as_str), Some(expected), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_reader_fall(text in "[-a-c:=#'\"\\[\\]{}~&!*\\\\, 0-3\nü]{0,60}") {
        let sources = Sources::new();
        let mut errors = Vec::new();
        let mut found = Inventory::default();
        let file = sources.add("hosts", text.clone());
        super::ini::read(&sources, file, std::path::Path::new(""), &mut found, &mut errors);
        found.complete(&mut errors);
        if let Ok(pattern) = Pattern::parse(&text) {
            let _ = pattern.hosts(&found);
        }
    }
}
