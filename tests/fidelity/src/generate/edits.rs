//! Tasks that change a part of a file.

use serde_json::{Map, Value, json};

use super::files::on_host;
use super::picture::Thing;
use super::{Holds, Writer, call};

const LINES: [&str; 6] = ["a=5", "b=2", "new=1", "# {{ word }}", "listen=8080", ""];
const PATTERNS: [&str; 6] = ["^a=", "^b=.*", "^#", "[0-9]$", "listen", "^nothing$"];

impl Writer {
    pub(super) fn edit_task(&mut self) -> Map<String, Value> {
        let mut task = match self.random.below(4) {
            0 | 1 => self.line(),
            2 => self.block_of_lines(),
            _ => self.replace(),
        };
        self.maybe_registered(&mut task, Holds::Change, 30);
        self.maybe_notifies(&mut task);
        task
    }

    fn line(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        let mut args = json!({"path": on_host(&path)});
        if self.random.chance(20) {
            args["state"] = json!("absent");
            match self.random.chance(50) {
                true => args["regexp"] = json!(self.random.pick(&PATTERNS)),
                false => args["line"] = json!(self.random.pick(&LINES[..3])),
            }
        } else {
            args["line"] = json!(self.random.pick(&LINES));
            match self.random.below(5) {
                0 | 1 => args["regexp"] = json!(self.random.pick(&PATTERNS)),
                2 => args["search_string"] = json!("b="),
                3 => {
                    args["regexp"] = json!("^(\\w)=(.*)$");
                    args["backrefs"] = json!(true);
                    args["line"] = json!("\\1=\\2\\2");
                }
                _ => {}
            }
            match self.random.below(6) {
                0 => args["insertafter"] = json!(self.random.pick(&["^a=", "EOF", "^#"])),
                1 => args["insertbefore"] = json!(self.random.pick(&["^b=", "BOF"])),
                _ => {}
            }
            if args.get("backrefs").is_none() && self.random.chance(70) {
                args["create"] = json!(true);
            }
            if self.random.chance(10) {
                args["firstmatch"] = json!(true);
            }
        }
        self.finish_edit(&path, &mut args);
        call("lineinfile", args)
    }

    fn block_of_lines(&mut self) -> Map<String, Value> {
        let path = self.a_file();
        let mut args = json!({"path": on_host(&path)});
        if self.random.chance(15) {
            args["state"] = json!("absent");
        } else {
            args["block"] = json!(self.content());
            args["create"] = json!(self.random.chance(80));
        }
        match self.random.below(5) {
            0 => args["insertafter"] = json!("^a="),
            1 => args["insertbefore"] = json!("BOF"),
            2 => args["marker"] = json!("// {mark} of {{ word }}"),
            _ => {}
        }
        self.finish_edit(&path, &mut args);
        call("blockinfile", args)
    }

    fn replace(&mut self) -> Map<String, Value> {
        let path = self.picture.existing(Thing::File, &mut self.random);
        let path = path.unwrap_or_else(|| self.a_file());
        let mut args = json!({
            "path": on_host(&path),
            "regexp": self.random.pick(&["[0-9]+", "^a=(.*)$", "(?m)^#.*$", "e"]),
            "replace": self.random.pick(&["0", "<\\g<0>>", "", "x"]),
        });
        if self.random.chance(15) {
            args["after"] = json!("a=");
        }
        self.finish_edit(&path, &mut args);
        call("replace", args)
    }

    fn finish_edit(&mut self, path: &str, args: &mut Value) {
        if self.random.chance(10) {
            args["backup"] = json!(true);
        }
        if self.random.chance(15) {
            args["mode"] = json!("0640");
        }
        self.writes(path, Thing::File);
    }
}
