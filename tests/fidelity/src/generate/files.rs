//! Tasks that make, change and remove what stands at a path.

use serde_json::{Map, Value, json};

use super::picture::Thing;
use super::{Holds, Writer, call};
use crate::script::AT;

const MODES: [&str; 6] = ["0644", "0600", "0640", "u+x", "go-rwx", "a+r"];
const CONTENTS: [&str; 10] = [
    "",
    "a=1\n",
    "a=1\nb=2\n",
    "# settings\na=1\nb=2\nc=3\n",
    "no end of line",
    "one\r\ntwo\r\n",
    "{{ word }}\n",
    "{{ names | join(',') }}\n",
    "number={{ number * 6 }}\nlisten=80\n",
    "ä ö ü\n\ttab\n",
];

/// A path on the host as tasks write it.
pub fn on_host(path: &str) -> String {
    format!("{AT}/{path}")
}

impl Writer {
    /// What is on the host before.
    pub(super) fn before(&mut self) -> Vec<String> {
        let mut lines = vec!["mkdir -p etc srv/data".to_owned()];
        for path in ["etc", "srv", "srv/data"] {
            self.picture.found(path, Thing::Directory);
        }
        for _ in 0..self.random.between(3, 8) {
            let path = self.picture.new_path(&mut self.random);
            let content = self.random.pick(&CONTENTS[..6]).escape_default();
            let mode = self.random.pick(&["644", "600", "640", "755"]);
            lines.push(format!("printf '{content}' > {path}; chmod {mode} {path}"));
            // Only root may give files away.
            if self.random.chance(15) {
                lines.push(format!("[ \"$(id -u)\" != 0 ] || chown 1:1 {path}"));
            }
            self.picture.found(&path, Thing::File);
        }
        if self.random.chance(40) {
            let path = self.picture.new_path(&mut self.random);
            let to = self.random.pick(&["../etc", "nowhere", "a.conf"]);
            lines.push(format!("ln -s {to} {path}"));
            self.picture.found(&path, Thing::Link);
        }
        lines
    }

    /// What somebody else does to the half-done host.
    pub(super) fn damage(&mut self) -> String {
        let path = match self.random.chance(80) {
            true => self.picture.existing(Thing::File, &mut self.random),
            false => self.picture.existing(Thing::Directory, &mut self.random),
        };
        let path = path.unwrap_or_else(|| self.picture.new_path(&mut self.random));
        match self.random.below(6) {
            0 => format!("rm -rf {path}"),
            1 => format!("echo theirs >> {path}"),
            2 => format!("chmod 604 {path}"),
            3 => format!("rm -rf {path}; mkdir -p {path}"),
            4 => format!("rm -rf {path}; ln -s elsewhere {path}"),
            _ => format!("sed -i 's/1/11/' {path}"),
        }
    }

    /// A file that a task is to work on: mostly one that is there.
    pub(super) fn a_file(&mut self) -> String {
        let existing = match self.random.chance(75) {
            true => self.picture.existing(Thing::File, &mut self.random),
            false => None,
        };
        existing.unwrap_or_else(|| self.picture.new_path(&mut self.random))
    }

    /// Notes that the task works on the path.
    pub(super) fn uses(&mut self, path: &str) {
        self.builds |= self.picture.is_written(path);
    }

    pub(super) fn writes(&mut self, path: &str, thing: Thing) {
        self.uses(path);
        self.untouched = false;
        self.picture.writes(path, thing);
    }

    fn with_mode(&mut self, args: &mut Value) {
        if self.random.chance(35) {
            args["mode"] = json!(self.random.pick(&MODES));
        }
        if self.random.chance(8) {
            args["owner"] = json!("{{ ansible_facts.user_id }}");
        }
        if self.random.chance(5) {
            args["group"] = json!("{{ ansible_facts.user_gid }}");
        }
    }

    fn with_backup(&mut self, args: &mut Value) {
        if self.random.chance(10) {
            args["backup"] = json!(true);
        }
    }

    /// A content, sometimes made of what an earlier task has registered.
    pub(super) fn content(&mut self) -> String {
        if self.random.chance(25)
            && let Some(part) = self.value_of_register()
        {
            return format!("from={part}\n");
        }
        (*self.random.pick(&CONTENTS)).to_owned()
    }

    /// A task that changes what stands at a path.
    pub(super) fn file_task(&mut self) -> Map<String, Value> {
        let mut task = match self.random.weighed(&[
            (14, 0),
            (8, 1),
            (10, 2),
            (8, 3),
            (26, 4),
            (8, 5),
            (6, 6),
            (6, 7),
            (12, 8),
            (3, 9),
        ]) {
            0 => self.directory(),
            1 => self.touch(),
            2 => self.absent(),
            3 => self.link(),
            4 => self.copy_content(),
            5 => self.copy_file(),
            6 => self.copy_tree(),
            7 => self.copy_on_host(),
            8 => self.template(),
            _ => self.hard(),
        };
        self.maybe_registered(&mut task, Holds::Change, 30);
        self.maybe_notifies(&mut task);
        task
    }

    pub(super) fn maybe_registered(
        &mut self,
        task: &mut Map<String, Value>,
        holds: Holds,
        percent: usize,
    ) {
        if self.random.chance(percent) {
            let name = self.new_register(holds);
            task.insert("register".to_owned(), json!(name));
        }
    }

    fn directory(&mut self) -> Map<String, Value> {
        let path = match self.random.chance(30) {
            true => self.picture.existing(Thing::Directory, &mut self.random),
            false => None,
        };
        let path = path.unwrap_or_else(|| self.picture.directory(&mut self.random));
        let mut args = json!({"path": on_host(&path), "state": "directory"});
        if self.random.chance(25) {
            args["recurse"] = json!(true);
            args["mode"] = json!(self.random.pick(&["u+rwX,go-w", "u=rwX,go=rX", "0755"]));
        } else if self.random.chance(40) {
            args["mode"] = json!(self.random.pick(&["0755", "0700", "0750", "g+w"]));
        }
        self.writes(&path, Thing::Directory);
        call("file", args)
    }

    fn touch(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        let mut args = json!({"path": on_host(&path), "state": "touch"});
        if self.random.chance(60) {
            args["modification_time"] = json!("preserve");
            args["access_time"] = json!("preserve");
        }
        self.with_mode(&mut args);
        self.writes(&path, Thing::File);
        call("file", args)
    }

    fn absent(&mut self) -> Map<String, Value> {
        let thing = self.random.weighed(&[
            (6, Thing::File),
            (2, Thing::Directory),
            (1, Thing::Link),
            (1, Thing::Murky),
        ]);
        let path = self.picture.existing(thing, &mut self.random);
        let path = path.unwrap_or_else(|| self.picture.new_path(&mut self.random));
        self.uses(&path);
        self.untouched = false;
        self.picture.removes(&path);
        call("file", json!({"path": on_host(&path), "state": "absent"}))
    }

    fn link(&mut self) -> Map<String, Value> {
        let path = match self.random.chance(25) {
            true => self.picture.existing(Thing::Link, &mut self.random),
            false => None,
        };
        let path = path.unwrap_or_else(|| self.picture.new_path(&mut self.random));
        let to = match self.random.below(4) {
            0 => "nowhere".to_owned(),
            1 => "../etc".to_owned(),
            _ => on_host(&self.a_file()),
        };
        let mut args = json!({"path": on_host(&path), "src": to, "state": "link"});
        if self.random.chance(60) {
            args["force"] = json!(true);
        }
        self.writes(&path, Thing::Link);
        call("file", args)
    }

    fn hard(&mut self) -> Map<String, Value> {
        let from = self.a_file();
        let path = self.picture.new_path(&mut self.random);
        self.uses(&from);
        self.writes(&path, Thing::File);
        call(
            "file",
            json!({"path": on_host(&path), "src": on_host(&from), "state": "hard"}),
        )
    }

    fn copy_content(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        let mut args = json!({"dest": on_host(&path), "content": self.content()});
        self.with_mode(&mut args);
        self.with_backup(&mut args);
        if self.random.chance(6) {
            args["force"] = json!(false);
        }
        if self.random.chance(6) {
            args["follow"] = json!(true);
        }
        if self.random.chance(4) {
            args["validate"] = json!("test -e %s");
        }
        self.writes(&path, Thing::File);
        call("copy", args)
    }

    fn copy_file(&mut self) -> Map<String, Value> {
        let name = *self.random.pick(&["short.conf", "long.conf"]);
        let (path, dest) = match self.random.chance(30) {
            true => {
                let above = self.picture.existing(Thing::Directory, &mut self.random);
                let above = above.unwrap_or_else(|| "etc".to_owned());
                (format!("{above}/{name}"), format!("{above}/"))
            }
            false => {
                let path = self.a_file();
                (path.clone(), path)
            }
        };
        let mut args = json!({"dest": on_host(&dest), "src": name});
        self.with_mode(&mut args);
        self.with_backup(&mut args);
        self.writes(&path, Thing::File);
        call("copy", args)
    }

    fn copy_tree(&mut self) -> Map<String, Value> {
        let above = self.picture.directory(&mut self.random);
        let inside = self.random.chance(50);
        let src = if inside { "tree/" } else { "tree" };
        let root = if inside {
            above.clone()
        } else {
            format!("{above}/tree")
        };
        self.writes(&above, Thing::Directory);
        self.picture.writes(&root, Thing::Directory);
        self.picture.writes(&format!("{root}/in"), Thing::Directory);
        for name in ["a", "in/b"] {
            self.picture.writes(&format!("{root}/{name}"), Thing::File);
        }
        let mut args = json!({"dest": on_host(&above), "src": src});
        if self.random.chance(30) {
            args["mode"] = json!("0640");
            args["directory_mode"] = json!("0750");
        }
        call("copy", args)
    }

    fn copy_on_host(&mut self) -> Map<String, Value> {
        let from = self.a_file();
        let path = self.a_file();
        self.uses(&from);
        let mut args = json!({"dest": on_host(&path), "src": on_host(&from), "remote_src": true});
        if self.random.chance(40) {
            args["mode"] = json!("preserve");
        }
        self.writes(&path, Thing::File);
        call("copy", args)
    }

    fn template(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        let src = *self.random.pick(&["plain.j2", "asks.j2"]);
        let mut args = json!({"dest": on_host(&path), "src": src});
        self.with_mode(&mut args);
        self.with_backup(&mut args);
        let mut task = call("template", args);
        if src == "asks.j2"
            && let Some(part) = self.value_of_register()
        {
            task.insert("vars".to_owned(), json!({"asked": part}));
        }
        self.writes(&path, Thing::File);
        task
    }
}
