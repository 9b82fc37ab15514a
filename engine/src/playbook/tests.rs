use super::{Entry, Item, ModuleNames, read_playbook};
use crate::diag::{in_order, place};
use crate::source::{Sources, parse_all, untyped};

struct Modules;

impl ModuleNames for Modules {
    fn names(&self) -> Vec<String> {
        let names = [
            "copy",
            "command",
            "shell",
            "debug",
            "stat",
            "windows_service",
            "file",
            "fail",
        ];
        names.iter().map(ToString::to_string).collect()
    }
    fn free_form(&self, module: &str) -> Option<String> {
        match module {
            "command" | "shell" => Some("cmd".to_owned()),
            "debug" | "fail" => Some("msg".to_owned()),
            _ => None,
        }
    }
    fn arguments(&self, _: &str) -> Vec<String> {
        ["cmd", "chdir", "creates", "argv", "msg"]
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

fn read(text: &str) -> (Vec<Entry>, Vec<String>) {
    let sources = Sources::new();
    let file = sources.add("p.yaml", text);
    let mut errors = Vec::new();
    let documents = parse_all(&sources, file, &mut errors);
    let mut entries = Vec::new();
    if let Some(document) = documents.first() {
        entries = read_playbook(document, &sources, &Modules, &mut errors);
    }
    let shown = in_order(errors)
        .iter()
        .map(|d| {
            let (_, line, column) = place(&sources, d.primary.as_ref().unwrap().span);
            let help = d
                .help
                .as_ref()
                .map(|h| format!(" ({h})"))
                .unwrap_or_default();
            format!("{line}:{column} {}: {}{help}", d.id, d.message)
        })
        .collect();
    (entries, shown)
}

/// One task in a play: its mistakes, with places as if the task began in the first column of the first line.
fn task(text: &str) -> Vec<String> {
    let body: String = text.lines().map(|l| format!("    {l}\n")).collect();
    let (_, errors) = read(&format!(
        "- hosts: all\n  tasks:\n{}",
        body.replacen("    ", "  - ", 1)
    ));
    let moved = |e: String| {
        let (at, rest) = e.split_once(' ').unwrap();
        let (line, column) = at.split_once(':').unwrap();
        let number = |n: &str, less: usize| n.parse::<usize>().unwrap() - less;
        format!("{}:{} {rest}", number(line, 2), number(column, 4))
    };
    errors.into_iter().map(moved).collect()
}

#[test]
fn fifteen_mistakes_in_one_playbook() {
    let (_, errors) = read(FIFTEEN);
    let expected = [
        "3:3 unknown-keyword: unknown keyword `gather_fact` of a play (did you mean `gather_facts`?)",
        "5:5 bad-name: `my-var` cannot be the name of a variable (letters, digits and `_`, not beginning with a digit)",
        "9:7 unknown-module: there is no module `win_service` (the module is called `windows_service` here)",
        "11:7 unknown-module: there is no module `cpoy` (did you mean `copy`?)",
        "15:7 unknown-keyword: unknown keyword `wehn` of a task (did you mean `when`?)",
        "18:15 wrong-type: `become` takes true or false",
        "21:13 wrong-type: `loop` takes a list (for a variable write `\"{{ packages }}\"`)",
        "24:7 unknown-keyword: `with_items` is not a keyword here (write `loop: [...]`, with `| flatten` where lists are nested)",
        "27:16 wrong-type: `retries` takes a whole number",
        "30:7 two-modules: a task calls one module",
        "31:7 missing-module: this task calls no module (a task is its keywords and one module, as in `copy: {src: a, dest: /b}`)",
        "34:7 duplicate-key: the key `debug` stands twice",
        "36:7 unknown-keyword: `tasks` is a keyword of a play, not of a block",
        "40:27 key-value: `oops` is not `key=value` (write the arguments as a mapping)",
        "43:13 wrong-type: `when` takes an expression or a list of them (an expression that holds `: ` or begins with `{` has to be quoted)",
        "45:1 missing-hosts: the play has no `hosts` (name a group, a host, `sites` or `all`)",
    ];
    // The start of a play stands where its first key does.
    let expected: Vec<String> = expected
        .iter()
        .map(|e| e.replace("45:1 ", "45:3 "))
        .collect();
    assert_eq!(errors, expected, "\n{}", errors.join("\n"));
}

const FIFTEEN: &str = "\
- name: Wrong in many ways
  hosts: all
  gather_fact: false
  vars:
    my-var: 1
    good: 2
  tasks:
    - name: Another's name
      win_service: {name: x}
    - name: A slip of the pen
      cpoy:
        src: a
    - name: A keyword with a slip
      debug:
      wehn: good == 2
    - name: Not a truth value
      debug:
      become: maybe
    - name: A bare variable
      debug:
      loop: packages
    - name: Ansible's old loops
      debug:
      with_items: [1, 2]
    - name: Many
      debug:
      retries: many
    - name: Two modules
      debug:
      stat: {path: /x}
    - name: No module
    - name: Twice
      debug: {msg: a}
      debug: {msg: b}
    - name: Tasks in a block
      tasks: []
      block:
        - debug:
    - name: Old arguments
      copy: src=a dest=/b oops
    - name: A mapping for a condition
      debug:
      when: {a: b}

- name: Without hosts
  tasks: []
";

#[test]
fn tasks_that_are_wrong() {
    for (text, expected) in [
        (
            "debug:\nregister: [x]\n",
            "2:11 wrong-type: `register` takes a text",
        ),
        (
            "debug:\nrun_once: \"{{ x }}\"\n",
            "2:11 wrong-type: `run_once` takes true or false, no template",
        ),
        (
            "debug:\nloop: {a: 1}\n",
            "2:7 wrong-type: `loop` takes a list",
        ),
        (
            "debug:\nenvironment: [1]\n",
            "2:15 wrong-type: `environment` takes a mapping",
        ),
        (
            "debug:\ntags: {a: b}\n",
            "2:7 wrong-type: `tags` takes a text",
        ),
        (
            "debug:\ndelay: -1\n",
            "2:8 wrong-type: `delay` takes a number of seconds",
        ),
        (
            "debug:\nmodule_defaults:\n  copy: 5\n",
            "3:9 wrong-type: the defaults of `copy` are a mapping",
        ),
        (
            "debug:\nvars: [1]\n",
            "2:7 wrong-type: `vars` takes a mapping",
        ),
        (
            "debug:\nlocal: x\n",
            "2:1 unknown-keyword: unknown keyword `local`",
        ),
        (
            "action: frob a=b\n",
            "1:9 unknown-module: there is no module `frob`",
        ),
        ("action: copy src=a oops\n", "1:20 key-value: `oops` is not"),
        ("action: [x]\n", "1:9 wrong-type: `action` takes a module"),
        (
            "hosts: all\ntasks: []\n",
            "1:1 play-among-tasks: this is a play",
        ),
        (
            "import_playbook: x.yaml\n",
            "1:1 play-among-tasks: `import_playbook` stands beside plays",
        ),
        (
            "copy: \"src=a dest=\\\"b c\\\" oops\"\n",
            "1:27 key-value: `oops` is not",
        ),
        (
            "copy: >-\n  src=a\n  oops\n",
            "3:3 key-value: `oops` is not",
        ),
        ("copy: src='a b\n", "1:11 key-value: a quote is not closed"),
        (
            "tag: x\n",
            "1:1 unknown-keyword: unknown keyword `tag` of a task (did you mean `tags`?)",
        ),
        (
            "mysql_query: {}\n",
            "1:1 unknown-module: there is no module `mysql_query` (this version has no module for MySQL",
        ),
        (
            "ansible.builtin.cpoy: {}\n",
            "1:1 unknown-module: there is no module `cpoy` (did you mean `copy`?)",
        ),
        (
            "git: {repo: x}\n",
            "1:1 unknown-module: there is no module `git` (this version has no module for git",
        ),
        (
            "ansible.builtin.git: {repo: x}\n",
            "1:1 unknown-module: there is no module `git` (this version has no module for git",
        ),
        (
            "ansible.builtin.idd: {repo: x}\n",
            "1:1 unknown-module: there is no module `idd`",
        ),
        (
            "systemd: {name: x}\n",
            "1:1 unknown-module: there is no module `systemd` (this version has no module for services yet",
        ),
        (
            "include: x.yaml\n",
            "1:1 unknown-module: there is no module `include` (use `include_tasks`",
        ),
        (
            "include_role: {name: x}\n",
            "1:1 unknown-module: there is no module `include_role` (roles are not read by this version; put",
        ),
        (
            "name: x\ncommand:\ncmd: ls\nchdir: /\n",
            "3:1 unknown-keyword: `cmd`, `chdir` stand beside `command`, not below it (indent",
        ),
        (
            "rescue: []\n",
            "1:1 missing-block: `rescue` and `always` belong to a `block`",
        ),
        (
            "block:\n  debug:\n",
            "2:3 wrong-type: `block` takes a list of tasks",
        ),
        (
            "block: []\nparallel: perhaps\n",
            "2:11 wrong-type: `parallel` takes true or false",
        ),
        (
            "import_tasks: x.yaml\nloop: [1]\n",
            "1:1 import-loop: `import_tasks` is resolved before the run",
        ),
        (
            "include_tasks: {path: x}\n",
            "1:17 unknown-argument: unknown argument `path`",
        ),
        (
            "debug:\nasync: 5\npoll: 0\n",
            "2:1 unknown-keyword: `async` is not a keyword here",
        ),
    ] {
        let errors = task(text);
        assert!(
            errors.iter().any(|e| e.starts_with(expected)),
            "{text}\nexpected {expected}\nfound    {errors:#?}"
        );
    }
}

#[test]
fn playbooks_that_are_wrong() {
    for (text, expected) in [
        (
            "hosts: all\n",
            "1:1 wrong-type: a playbook is a list of plays",
        ),
        (
            "- copy: {src: a}\n",
            "1:3 task-outside-play: `copy` is a task, and this is where plays stand",
        ),
        (
            "- hosts: all\n  roles: [x]\n",
            "2:3 unknown-keyword: `roles` is not a keyword here",
        ),
        (
            "- hosts: all\n  serial: 1\n",
            "2:3 unknown-keyword: `serial` is not a keyword here",
        ),
        (
            "- hosts: all\n  strategy: fast\n",
            "2:13 bad-value: `strategy` is",
        ),
        (
            "- hosts: all\n  on_fail: pause\n",
            "2:12 bad-value: `on_fail` is `stop` or `rollback`",
        ),
        (
            "- hosts: all\n  on_fail: \"{{ how }}\"\n",
            "2:12 bad-value: `on_fail` is",
        ),
        (
            "- hosts: all\n  tasks:\n    - command: x\n      on_fail: rollback\n",
            "4:7 unknown-keyword: `on_fail` is a keyword of a play",
        ),
        (
            "- hosts: all\n  gather_facts: maybe\n",
            "2:17 wrong-type: `gather_facts` takes true or false",
        ),
        (
            "- hosts: all\n  become_method: su\n",
            "2:18 bad-value: the only way",
        ),
        (
            "- import_playbook: x\n  tasks: []\n",
            "2:3 unknown-keyword: `tasks` is a keyword of a play",
        ),
        ("- 5\n", "1:3 wrong-type: a play is a mapping"),
    ] {
        let (_, errors) = read(text);
        assert!(
            errors.iter().any(|e| e.starts_with(expected)),
            "{text}\nexpected {expected}\nfound    {errors:#?}"
        );
    }
}

/// The module, its arguments and its host of the only task of a play.
fn call(text: &str) -> String {
    let body: String = text.lines().map(|l| format!("    {l}\n")).collect();
    let (entries, errors) = read(&format!(
        "- hosts: all\n  tasks:\n{}",
        body.replacen("    ", "  - ", 1)
    ));
    assert_eq!(errors, Vec::<String>::new(), "{text}");
    let Some(Entry::Play(play)) = entries.first() else {
        panic!("{text}")
    };
    let Some(Item::Task(task)) = play.sections[1].first() else {
        panic!("{text}")
    };
    let host = task
        .keywords
        .delegate_to
        .as_ref()
        .and_then(|n| n.text())
        .unwrap_or_default();
    format!(
        "{} {} {host}",
        task.module,
        untyped(&task.args).to_json(false)
    )
    .trim_end()
    .to_owned()
}

#[test]
fn a_text_of_arguments_that_is_wrong() {
    for (text, mistake) in [
        (
            "debug: msg={{ a }} and more",
            "1:20 key-value: `and` is not `key=value` (write the arguments as a mapping)",
        ),
        (
            "copy: src=a dest=/b src=c",
            "1:21 duplicate-key: the argument `src` stands twice",
        ),
        (
            "shell: ls creates=/a creates=/b",
            "1:22 duplicate-key: the argument `creates` stands twice",
        ),
    ] {
        assert_eq!(task(text), [mistake], "{text}");
    }
}

#[test]
fn one_call_written_in_many_ways() {
    for (text, expected) in [
        (
            "copy: {src: a, dest: /b}",
            r#"copy {"src":"a","dest":"/b"}"#,
        ),
        ("ansible.builtin.copy:\n  src: a", r#"copy {"src":"a"}"#),
        (
            "copy: src=a mode=0644 force=yes",
            r#"copy {"src":"a","mode":"0644","force":true}"#,
        ),
        (
            "copy: >-\n  src=a\n  dest=\"/b c\"",
            r#"copy {"src":"a","dest":"/b c"}"#,
        ),
        (
            "copy: \"src={{ a | default('x y') }} dest=/b\"",
            r#"copy {"src":"{{ a | default('x y') }}","dest":"/b"}"#,
        ),
        (
            "command: ls -l chdir=/tmp",
            r#"command {"cmd":"ls -l","chdir":"/tmp"}"#,
        ),
        (
            "command: chdir=/tmp ls -l",
            r#"command {"cmd":"ls -l","chdir":"/tmp"}"#,
        ),
        (
            "command: ls\nargs: {chdir: /tmp, cmd: no}",
            r#"command {"cmd":"ls","chdir":"/tmp"}"#,
        ),
        (
            "shell: pwd chdir=/etc\nargs: {chdir: /usr, creates: /x}",
            r#"shell {"cmd":"pwd","chdir":"/etc","creates":"/x"}"#,
        ),
        ("debug: all is well", r#"debug {"msg":"all is well"}"#),
        ("command: [ls, -l]", r#"command {"argv":["ls","-l"]}"#),
        (
            "shell: echo a=b | cat > x",
            r#"shell {"cmd":"echo a=b | cat > x"}"#,
        ),
        ("action: copy src=a", r#"copy {"src":"a"}"#),
        ("action: {module: copy, src: a}", r#"copy {"src":"a"}"#),
        (
            "local_action: command ls -l",
            r#"command {"cmd":"ls -l"} localhost"#,
        ),
        ("action: debug", "debug {}"),
        ("debug:", "debug {}"),
    ] {
        assert_eq!(call(text), expected, "{text}");
    }
}

#[test]
fn keywords_are_understood_as_ansible_does() {
    let text = "\
- hosts: all
  tasks:
    - debug:
      become: 'yes'
      when:
      tags: a, b
      notify: one
      changed_when: []
    - debug:
      when: [a, b == 1]
      tags: [c, d]
      no_log: no
";
    let (entries, errors) = read(text);
    assert_eq!(errors, Vec::<String>::new());
    let Some(Entry::Play(play)) = entries.first() else {
        panic!()
    };
    let of = |at: usize| match &play.sections[1][at] {
        Item::Task(task) => task.keywords.clone(),
        _ => panic!(),
    };
    let texts = |nodes: &[crate::source::Node]| {
        nodes
            .iter()
            .filter_map(|n| n.text().map(str::to_owned))
            .collect::<Vec<_>>()
            .join("|")
    };
    let (first, second) = (of(0), of(1));
    assert_eq!(untyped(first.become_.as_ref().unwrap()), true.into());
    assert_eq!(
        (texts(&first.when), texts(&first.tags), texts(&first.notify)),
        ("".into(), "a|b".into(), "one".into())
    );
    assert!(first.changed_when.is_none());
    assert_eq!(
        (texts(&second.when), texts(&second.tags)),
        ("a|b == 1".into(), "c|d".into())
    );
    assert_eq!(untyped(second.no_log.as_ref().unwrap()), false.into());
}

proptest::proptest! {
    /// Whatever stands where: mistakes are told, and each has its place within the file.
    #[test]
    fn no_playbook_makes_the_reader_fall(
        words in proptest::collection::vec(
            proptest::sample::select(vec![
                "hosts", "tasks", "block", "rescue", "copy", "when", "loop", "action", "include_tasks", "vars", ": ",
                ":\n    ", "\n  - ", "\n- ", "{", "}", "[", "]", "a=b", "'", "\"", "{{ x }}", "\n      ", "meta", ", ",
            ]),
            0..40,
        )
    ) {
        let text = format!("- hosts: all\n  tasks:\n  - {}", words.concat());
        read(&text);
    }
}
