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
