//! Where LDIF files come from: a folder on the controller or inside an image, with its layout.

use std::collections::BTreeMap;

use runbook_engine::module::LocalFile;

use super::ldif::{Problem, Record, parse};
use super::version::Version;

/// Files by path relative to the folder, `/` between parts.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// What is shown before a path.
    pub origin: String,
    files: BTreeMap<String, Vec<u8>>,
}

/// An update file by what its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateFile {
    /// Version, from its name and its folder.
    pub version: Version,
    /// Component, from its name.
    pub component: String,
    /// Path in the tree.
    pub path: String,
}

impl Tree {
    /// From files by path.
    #[must_use]
    pub fn new(origin: impl Into<String>, files: BTreeMap<String, Vec<u8>>) -> Self {
        Self {
            origin: origin.into(),
            files,
        }
    }

    /// From a folder on the controller.
    #[must_use]
    pub fn local(folder: &LocalFile) -> Self {
        let mut files = BTreeMap::new();
        gather(folder, "", &mut files);
        Self {
            origin: folder.path.display().to_string(),
            files,
        }
    }

    /// A file's text.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The path of a file that is named by its path, or by the end of it where there is one such file.
    ///
    /// # Errors
    /// There is none, or several.
    pub fn find(&self, name: &str) -> Result<&str, String> {
        let name = name.trim_start_matches("./");
        if let Some((path, _)) = self.files.get_key_value(name) {
            return Ok(path);
        }
        let end = format!("/{name}");
        let found: Vec<&str> = self
            .files
            .keys()
            .filter(|path| path.ends_with(&end))
            .map(String::as_str)
            .collect();
        match found.as_slice() {
            [path] => Ok(path),
            [] => Err(format!("there is no file `{name}` in {}", self.origin)),
            several => Err(format!(
                "there are {} files `{name}` in {}; give more of the path of one of them: {}",
                several.len(),
                self.origin,
                several.join(", ")
            )),
        }
    }

    /// The update files `V/update-COMPONENT-V.ldif`, in the order of their versions.
    #[must_use]
    pub fn updates(&self) -> Vec<UpdateFile> {
        let mut updates: Vec<UpdateFile> =
            self.files.keys().filter_map(|p| update_file(p)).collect();
        updates.sort_by(|a, b| a.version.cmp(&b.version).then_with(|| a.path.cmp(&b.path)));
        updates
    }

    /// The schema files `…-modify.ldif` of a version: in a folder of its name if there is one, else those that stand
    /// in no folder of a version.
    #[must_use]
    pub fn schema_files(&self, version: &Version) -> Vec<String> {
        let folder_version = |path: &str| path.rsplit('/').skip(1).find_map(Version::parse);
        let all: Vec<&String> = self
            .files
            .keys()
            .filter(|p| p.ends_with("-modify.ldif"))
            .collect();
        let of = |wanted: Option<&Version>| -> Vec<String> {
            all.iter()
                .filter(|p| folder_version(p).as_ref() == wanted)
                .map(|p| (*p).clone())
                .collect()
        };
        let exact = of(Some(version));
        if exact.is_empty() { of(None) } else { exact }
    }

    /// The records of a file, with the contents of the files that it names: beside it, or in a folder above.
    ///
    /// # Errors
    /// All mistakes, with their lines.
    pub fn records(&self, path: &str) -> Result<Vec<Record>, Vec<Problem>> {
        let mut records = self.records_unloaded(path)?;
        let folder = path.rsplit_once('/').map_or("", |(f, _)| f);
        let content = |name: &str| {
            let name = name.trim_start_matches("./");
            let mut folder = folder;
            loop {
                let place = if folder.is_empty() {
                    name.to_owned()
                } else {
                    format!("{folder}/{name}")
                };
                if let Some(found) = self.get(&place) {
                    return Some(found.to_vec());
                }
                if folder.is_empty() {
                    return None;
                }
                folder = folder.rsplit_once('/').map_or("", |(f, _)| f);
            }
        };
        let problems: Vec<Problem> = records.iter_mut().flat_map(|r| r.load(&content)).collect();
        if problems.is_empty() {
            Ok(records)
        } else {
            Err(problems)
        }
    }

    /// The records of a file without the contents of the files that it names.
    ///
    /// # Errors
    /// All mistakes, with their lines.
    pub fn records_unloaded(&self, path: &str) -> Result<Vec<Record>, Vec<Problem>> {
        parse(self.get(path).unwrap_or_default())
    }

    /// A path as shown.
    #[must_use]
    pub fn shown(&self, path: &str) -> String {
        if self.origin.is_empty() {
            path.to_owned()
        } else {
            format!("{}/{path}", self.origin)
        }
    }
}

fn gather(folder: &LocalFile, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for (name, file) in folder.entries.iter().flatten() {
        let path = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}/{name}")
        };
        if file.entries.is_some() {
            gather(file, &path, files);
        } else {
            files.insert(path, file.content.to_vec());
        }
    }
}

fn update_file(path: &str) -> Option<UpdateFile> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_prefix("update-")?.strip_suffix(".ldif")?;
    let (component, version) = stem.rsplit_once('-')?;
    let version = Version::parse(version)?;
    // A file that lies in another version's folder is not run by anyone; it is not ours to guess.
    let folder = folder.rsplit('/').next().unwrap_or_default();
    if Version::parse(folder).is_some_and(|f| f != version) {
        return None;
    }
    Some(UpdateFile {
        version,
        component: component.to_owned(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> Tree {
        Tree::new(
            "",
            paths
                .iter()
                .map(|p| ((*p).to_owned(), b"dn: cn=a\nx:< file:v.zip\n".to_vec()))
                .collect(),
        )
    }

    #[test]
    fn layouts() {
        let tree = tree(&[
            "data/5.31.10/update-dev-5.31.10.ldif",
            "data/5.31.2/update-IOCM_QUALITY-5.31.2.ldif",
            "data/5.31.2/update-dev-5.32.0.ldif",
            "data/5.31.2/update-ui-config.ldif",
            "data/v.zip",
            "schema/dicom-modify.ldif",
            "schema/dicom.ldif",
            "schema/5.31.2/dicom-modify.ldif",
        ]);
        let found: Vec<String> = tree
            .updates()
            .iter()
            .map(|u| format!("{} {} {}", u.version, u.component, u.path))
            .collect();
        assert_eq!(
            found,
            [
                "5.31.2 IOCM_QUALITY data/5.31.2/update-IOCM_QUALITY-5.31.2.ldif",
                "5.31.10 dev data/5.31.10/update-dev-5.31.10.ldif"
            ]
        );
        let version = |t: &str| Version::parse(t).unwrap();
        assert_eq!(
            tree.schema_files(&version("5.31.2")),
            ["schema/5.31.2/dicom-modify.ldif"]
        );
        assert_eq!(
            tree.schema_files(&version("5.32.0")),
            ["schema/dicom-modify.ldif"]
        );
        assert!(
            tree.records("data/5.31.2/update-IOCM_QUALITY-5.31.2.ldif")
                .is_ok()
        );
        assert!(tree.records("schema/dicom.ldif").is_err());
        assert_eq!(tree.find("data/v.zip"), Ok("data/v.zip"));
        assert_eq!(tree.find("v.zip"), Ok("data/v.zip"));
        assert!(tree.find("zip").unwrap_err().contains("no file `zip`"));
        let several = tree.find("dicom-modify.ldif").unwrap_err();
        assert!(
            several.contains("2 files") && several.contains("schema/5.31.2/dicom-modify.ldif"),
            "{several}"
        );
    }
}
