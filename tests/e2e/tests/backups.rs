//! `backup: true`, and files behind links: what a task writes lies within its footprint, under the same name in the
//! check and in the run.

use anyhow::{Context as _, Result, ensure};
use runbook_e2e::Scene;

const PLAYBOOK: &str = r#"
- hosts: localhost
  gather_facts: false
  tasks:
    - copy: {content: "two\n", dest: FOLDER/copied, backup: true}
      register: copied
    - lineinfile: {path: FOLDER/copied, line: three, backup: true}
      register: lined
    - replace: {path: FOLDER/copied, regexp: three, replace: four, backup: true}
    - blockinfile: {path: FOLDER/copied, block: five, backup: true}
    - template: {src: t.j2, dest: FOLDER/copied, backup: true}
    - copy: {src: many/, dest: FOLDER/whole, backup: true}
    - debug: {msg: "{{ copied.backup_file }} {{ lined.backup_file }}"}
"#;

fn play(scene: &Scene, args: &[&str]) -> Result<runbook_e2e::Run> {
    let run = scene.runbook(&[&["play", "p.yaml", "-i", "localhost,"], args].concat())?;
    ensure!(run.code == 0, "{}", run.text());
    Ok(run)
}

fn kept_in(scene: &Scene, folder: &str) -> Result<Vec<String>> {
    let mut names: Vec<String> = std::fs::read_dir(scene.path(folder))?
        .filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|n| n.ends_with('~'))
        .collect();
    names.sort();
    Ok(names)
}

#[test]
fn every_module_that_has_it_keeps_the_file_under_the_name_that_the_check_gave() -> Result<()> {
    let scene = Scene::new()?;
    let folder = scene.path("host").display().to_string();
    scene.write("p.yaml", &PLAYBOOK.replace("FOLDER", &folder))?;
    scene.write("templates/t.j2", "six\n")?;
    scene.write("files/many/below/a", "new\n")?;
    scene.write("host/copied", "one\n")?;
    scene.write("host/whole/below/a", "old\n")?;
    let check = play(&scene, &["--check"])?;
    let run = play(&scene, &["-y"])?;
    let said = |run: &runbook_e2e::Run| {
        let found: Vec<String> = run
            .out
            .split_whitespace()
            .filter(|w| w.contains("/copied.") && w.ends_with('~'))
            .map(str::to_owned)
            .collect();
        found.last().cloned().context("no backup is named")
    };
    assert_eq!(said(&check)?, said(&run)?);
    assert_eq!(kept_in(&scene, "host")?.len(), 5);
    let first = "copied.2c8b08da5ce6~";
    assert_eq!(
        std::fs::read_to_string(scene.path("host").join(first))?,
        "one\n"
    );
    assert_eq!(kept_in(&scene, "host/whole/below")?.len(), 1);
    assert_eq!(std::fs::read_to_string(scene.path("host/copied"))?, "six\n");
    Ok(())
}

#[test]
fn a_file_behind_a_link_is_written_where_it_is() -> Result<()> {
    let scene = Scene::new()?;
    let at = scene.folder().display().to_string();
    scene.write("real/file", "one\n")?;
    std::os::unix::fs::symlink("real", scene.path("folder"))?;
    std::os::unix::fs::symlink("real/file", scene.path("link"))?;
    let playbook = r"
- hosts: localhost
  gather_facts: false
  tasks:
    - lineinfile: {path: AT/link, line: two, backup: true}
    - copy: {content: x, dest: AT/folder/new}
    - lineinfile: {path: AT/folder/new, line: y}
    - file: {path: AT/folder/new, mode: '0600'}
    - file: {src: AT/real/file, dest: AT/later, state: link}
    - file: {path: AT/later, mode: '0600'}
    - copy: {content: z, dest: AT/later, follow: true}
";
    scene.write("p.yaml", &playbook.replace("AT", &at))?;
    play(&scene, &["--check"])?;
    play(&scene, &["-y"])?;
    assert!(scene.path("link").is_symlink());
    assert_eq!(std::fs::read_to_string(scene.path("real/new"))?, "x\ny\n");
    assert_eq!(std::fs::read_to_string(scene.path("real/file"))?, "z");
    assert_eq!(kept_in(&scene, ".")?, ["link.2c8b08da5ce6~"]);
    assert_eq!(kept_in(&scene, "real")?, Vec::<String>::new());
    Ok(())
}
