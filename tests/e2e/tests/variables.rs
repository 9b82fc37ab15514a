//! Which variable counts where several have one name.

use anyhow::Result;
use runbook_e2e::Scene;

#[test]
fn defaults_hold_where_nobody_says_otherwise() -> Result<()> {
    let scene = Scene::new()?;
    scene.write(
        "defaults.yaml",
        "nobody: default\nsite: default\nplay: default\nfile: default\ntask: default\ncall: default\nbuilt: \"of {{ site }}\"\n",
    )?;
    scene.write("file.yaml", "site: file\nfile: file\n")?;
    scene.write(
        "sites.yaml",
        "sites:\n  one:\n    vars: {site: site, play: site, task: site, call: site}\n    hosts:\n      \
         h1: {ansible_connection: local}\n",
    )?;
    let play = |more: &str| {
        format!(
            "- hosts: all\n  gather_facts: false\n  defaults_files: [defaults.yaml]\n{more}  vars: {{play: play}}\n  tasks:\n    - debug: \
             {{msg: \"{{{{ [nobody, site, play, file, task, call, built] | join(' ') }}}}\"}}\n      vars: {{task: task}}\n"
        )
    };
    let args = [
        "play",
        "play.yaml",
        "-i",
        "sites.yaml",
        "--check",
        "-e",
        "call=call",
    ];
    scene.write("play.yaml", &play(""))?;
    let run = scene.runbook(&args)?;
    let said = "default site play default task call of site";
    assert!(run.out.contains(said), "{}{}", run.out, run.err);
    // What a play names with `vars_files` goes above the inventory, as in Ansible.
    scene.write("play.yaml", &play("  vars_files: [file.yaml]\n"))?;
    let run = scene.runbook(&args)?;
    let said = "default file play file task call of file";
    assert!(run.out.contains(said), "{}{}", run.out, run.err);
    // They are read beforehand, and bound by a plan, as all files are.
    scene.write("play.yaml", &play("").replace("defaults.yaml", "none.yaml"))?;
    let run = scene.runbook(&args)?;
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert!(run.err.contains("none.yaml"), "{}", run.err);
    Ok(())
}
