//! Things with several names: a file is one thing under all of its hard links, and what is changed under one name is
//! changed under the others.

use serde_json::Value as Json;

/// How the states of a kind tell that two keys are names of one thing. All fields are those of the serialised state.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// The field that says which thing it is, a text; null where nothing is there or it is not known.
    pub thing: &'static str,
    /// The field that is true where the thing has more than one name.
    pub shared: &'static str,
    /// The fields that belong to the name. All others belong to the thing.
    pub own: &'static [&'static str],
}

impl Names {
    /// Which thing a state is of.
    #[must_use]
    pub fn thing<'a>(&self, state: &'a Json) -> Option<&'a str> {
        state.get(self.thing)?.as_str()
    }

    /// Has the thing of this state more than one name?
    #[must_use]
    pub fn is_shared(&self, state: &Json) -> bool {
        state.get(self.shared).and_then(Json::as_bool) == Some(true)
    }

    /// The state under the name of `name`, when the thing is as `thing` tells under another.
    #[must_use]
    pub fn under(&self, name: &Json, thing: &Json) -> Json {
        let mut state = thing.clone();
        if let Some(fields) = state.as_object_mut() {
            for own in self.own {
                match name.get(own) {
                    Some(value) => drop(fields.insert((*own).to_owned(), value.clone())),
                    None => drop(fields.remove(*own)),
                }
            }
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_belongs_to_the_name_stays_with_it() {
        let names = Names {
            thing: "inode",
            shared: "shared",
            own: &["path", "closed"],
        };
        let here = json!({"path": "/a", "closed": true, "inode": "1:2", "mode": 420});
        let there = json!({"path": "/b", "inode": "1:2", "mode": 384});
        assert_eq!(names.thing(&here), Some("1:2"));
        assert_eq!(
            names.under(&here, &there),
            json!({"path": "/a", "closed": true, "inode": "1:2", "mode": 384})
        );
        assert_eq!(
            names.under(&there, &here),
            json!({"path": "/b", "inode": "1:2", "mode": 420})
        );
        assert_eq!(names.thing(&json!({"inode": null})), None);
        assert!(names.is_shared(&json!({"shared": true})) && !names.is_shared(&here));
    }
}
