//! A person at a terminal is asked, and can always say no.

use anyhow::Result;
use runbook_e2e::{Scene, Terminal};

const PLAYBOOK: &str = r#"
- hosts: localhost
  tasks:
    - name: A file
      copy: {dest: "{{ playbook_dir }}/made", content: "here\n"}
"#;

const PLAY: &str = "runbook play play.yaml -i localhost,";
const QUESTION: &str = "Do exactly this? [y/N]";

fn scene() -> Result<Scene> {
    let scene = Scene::new()?;
    scene.write("play.yaml", PLAYBOOK)?;
    Ok(scene)
}

#[test]
fn yes_does_what_was_shown() -> Result<()> {
    let scene = scene()?;
    let mut terminal = Terminal::start(&scene, PLAY)?;
    terminal.until(QUESTION)?;
    assert!(!scene.path("made").exists());
    assert!(
        terminal.seen().contains("change      A file"),
        "{}",
        terminal.seen()
    );
    terminal.press("y\r")?;
    let (code, seen) = terminal.end()?;
    assert_eq!(code, 0, "{seen}");
    assert!(scene.path("made").exists());
    // There is nothing left to be asked about.
    let (code, seen) = Terminal::start(&scene, PLAY)?.end()?;
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("There is nothing to do."), "{seen}");
    Ok(())
}

#[test]
fn no_and_ctrl_c_do_nothing() -> Result<()> {
    for (keys, expected) in [("n\r", 0), ("\r", 0), ("\x03", 130), ("y\x03", 130)] {
        let scene = scene()?;
        let mut terminal = Terminal::start(&scene, PLAY)?;
        terminal.until(QUESTION)?;
        terminal.press(keys)?;
        let (code, seen) = terminal.end()?;
        assert_eq!(code, expected, "{keys:?}: {seen}");
        assert!(
            seen.to_lowercase().contains("nothing has been changed."),
            "{keys:?}: {seen}"
        );
        assert!(!scene.path("made").exists(), "{keys:?}");
        assert!(!scene.path("state/runs.db").exists(), "{keys:?}");
    }
    Ok(())
}

#[test]
fn what_changed_while_the_plan_was_looked_at_stops_it() -> Result<()> {
    let scene = scene()?;
    let mut terminal = Terminal::start(&scene, PLAY)?;
    terminal.until(QUESTION)?;
    scene.write("made", "by somebody else\n")?;
    terminal.press("y\r")?;
    let (code, seen) = terminal.end()?;
    assert_eq!(code, 5, "{seen}");
    assert!(
        seen.contains("A host has changed since the plan was made."),
        "{seen}"
    );
    assert_eq!(
        std::fs::read_to_string(scene.path("made"))?,
        "by somebody else\n"
    );
    Ok(())
}

#[test]
fn ctrl_c_at_a_password_gives_the_terminal_back() -> Result<()> {
    let scene = scene()?;
    // The shell gets the Ctrl-C as well, and must live to tell what became of the terminal.
    let command = format!("trap : INT; {PLAY} -k; echo code=$?; stty -a");
    let mut terminal = Terminal::start(&scene, &command)?;
    terminal.until("Password: ")?;
    terminal.press("geheim\x03")?;
    let (_, seen) = terminal.end()?;
    assert!(seen.contains("code=130"), "{seen}");
    assert!(!seen.contains("geheim"), "{seen}");
    assert!(seen.contains(" echo "), "{seen}");
    Ok(())
}
