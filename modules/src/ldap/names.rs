//! A site's own names in place of those that the archive's LDIF files are written with.
//!
//! The files are written for one device `dcm4chee-arc` with application entities `DCM4CHEE`, `WORKLIST` and so on,
//! below `dc=dcm4che,dc=org`. Names are replaced in parsed records: whole values of the attributes that hold them and
//! whole values in distinguished names, never parts of words.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::dn::{Dn, Rdn};
use super::ldif::{Record, RecordChange, Value};
use super::octets::Octets;

/// The base that the files are written with.
pub const WRITTEN_BASE: &str = "dc=dcm4che,dc=org";

/// A site's names. What is not given stays as the files have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Names {
    /// Device name of the archive. Default: `dcm4chee-arc`.
    pub device: Option<String>,
    /// Title of the archive's main application entity. Default: `DCM4CHEE`.
    pub aet: Option<String>,
    /// Title of the worklist's application entity. Default: `WORKLIST`.
    pub worklist_aet: Option<String>,
    /// Title of the application entity that shows objects as received. Default: `AS_RECEIVED`.
    pub as_received_aet: Option<String>,
    /// Title of the application entity for regular use after rejections. Default: `IOCM_REGULAR_USE`.
    pub iocm_regular_use_aet: Option<String>,
    /// Title of the application entity of objects rejected for quality. Default: `IOCM_QUALITY`.
    pub iocm_quality_aet: Option<String>,
    /// Title of the application entity of objects rejected for patient safety. Default: `IOCM_PAT_SAFETY`.
    pub iocm_pat_safety_aet: Option<String>,
    /// Title of the application entity of objects with a wrong worklist entry. Default: `IOCM_WRONG_MWL`.
    pub iocm_wrong_mwl_aet: Option<String>,
    /// Title of the application entity of expired objects. Default: `IOCM_EXPIRED`.
    pub iocm_expired_aet: Option<String>,
    /// Name of the archive's web application. Default: `dcm4chee-arc`.
    pub webapp: Option<String>,
    /// Host name of the archive. Default: `archive-host`, which the files have in its place.
    pub host: Option<String>,
    /// DICOM port. Default: 11112.
    pub dicom_port: Option<u16>,
    /// DICOM port with TLS. Default: 2762.
    pub dicom_tls_port: Option<u16>,
    /// HL7 port. Default: 2575.
    pub hl7_port: Option<u16>,
    /// HL7 port with TLS. Default: 12575.
    pub hl7_tls_port: Option<u16>,
    /// Device name of the scheduled station. Default: `scheduledstation`.
    pub scheduled_station_device: Option<String>,
    /// Application entity title of the scheduled station. Default: `SCHEDULEDSTATION`.
    pub scheduled_station_aet: Option<String>,
    /// Device name of Keycloak. Default: `keycloak`.
    pub keycloak_device: Option<String>,
    /// Host name of Keycloak. Default: `keycloak-host`.
    pub keycloak_host: Option<String>,
    /// Device name of the syslog server. Default: `logstash`.
    pub syslog_device: Option<String>,
    /// Host name of the syslog server. Default: `syslog-host`.
    pub syslog_host: Option<String>,
    /// Port of the syslog server. Default: 514.
    pub syslog_port: Option<u16>,
    /// Port of the syslog server with TLS. Default: 6514.
    pub syslog_tls_port: Option<u16>,
    /// Where the archive stores objects, an absolute path inside its container. Default: `fs1` in its data directory.
    pub storage_dir: Option<String>,
    /// Role of ordinary users. Default: `user`.
    pub user_role: Option<String>,
    /// Role of administrators. Default: `admin`.
    pub admin_role: Option<String>,
}

/// A value that the files are written with, where it may stand, and what stands there instead.
struct Rule<'a> {
    /// The argument's name, for the record of what was applied.
    name: &'static str,
    /// Attributes, in lower case, that hold it; `*` stands for any beginning.
    attributes: &'static [&'static str],
    written: &'static str,
    wanted: Option<&'a str>,
}

const AET: &[&str] = &["*aetitle", "*aet", "dcmaudituserid"];
const DEVICE: &[&str] = &["dicomdevicename"];
const HOST: &[&str] = &["dicomhostname", "dcmuri", "*url", "*uri"];
const ROLE: &[&str] = &["dcmaccepteduserrole"];

impl Names {
    fn rules(&self) -> Vec<Rule<'_>> {
        fn r<'a>(
            name: &'static str,
            attributes: &'static [&'static str],
            written: &'static str,
            wanted: &'a Option<String>,
        ) -> Rule<'a> {
            Rule {
                name,
                attributes,
                written,
                wanted: wanted.as_deref(),
            }
        }
        vec![
            r("device", DEVICE, "dcm4chee-arc", &self.device),
            r("aet", AET, "DCM4CHEE", &self.aet),
            r("worklist_aet", AET, "WORKLIST", &self.worklist_aet),
            r("as_received_aet", AET, "AS_RECEIVED", &self.as_received_aet),
            r(
                "iocm_regular_use_aet",
                AET,
                "IOCM_REGULAR_USE",
                &self.iocm_regular_use_aet,
            ),
            r(
                "iocm_quality_aet",
                AET,
                "IOCM_QUALITY",
                &self.iocm_quality_aet,
            ),
            r(
                "iocm_pat_safety_aet",
                AET,
                "IOCM_PAT_SAFETY",
                &self.iocm_pat_safety_aet,
            ),
            r(
                "iocm_wrong_mwl_aet",
                AET,
                "IOCM_WRONG_MWL",
                &self.iocm_wrong_mwl_aet,
            ),
            r(
                "iocm_expired_aet",
                AET,
                "IOCM_EXPIRED",
                &self.iocm_expired_aet,
            ),
            r("host", HOST, "archive-host", &self.host),
            r(
                "scheduled_station_device",
                DEVICE,
                "scheduledstation",
                &self.scheduled_station_device,
            ),
            r(
                "scheduled_station_aet",
                AET,
                "SCHEDULEDSTATION",
                &self.scheduled_station_aet,
            ),
            r("keycloak_device", DEVICE, "keycloak", &self.keycloak_device),
            r("keycloak_host", HOST, "keycloak-host", &self.keycloak_host),
            r("syslog_device", DEVICE, "logstash", &self.syslog_device),
            r("syslog_host", HOST, "syslog-host", &self.syslog_host),
            r("user_role", ROLE, "user", &self.user_role),
            r("admin_role", ROLE, "admin", &self.admin_role),
        ]
    }

    /// Titles of application entities: as written, as wanted.
    fn titles(&self) -> Vec<(&'static str, &'static str, &str)> {
        self.rules()
            .iter()
            .filter(|r| r.attributes == AET)
            .map(|r| (r.name, r.written, r.wanted.unwrap_or(r.written)))
            .collect()
    }

    /// Web applications are named after the device or after an application entity.
    fn webapp(&self, value: &str) -> Option<(&'static str, String)> {
        if value == "dcm4chee-arc" {
            return Some((
                "webapp",
                self.webapp.clone().unwrap_or_else(|| value.to_owned()),
            ));
        }
        self.titles()
            .into_iter()
            .find_map(|(name, written, wanted)| {
                let rest = value.strip_prefix(written)?;
                (rest.is_empty() || rest.starts_with('-'))
                    .then(|| (name, format!("{wanted}{rest}")))
            })
    }

    fn ports(&self) -> [(&'static str, &'static str, Option<u16>); 6] {
        [
            ("dicom_port", "11112", self.dicom_port),
            ("dicom_tls_port", "2762", self.dicom_tls_port),
            ("hl7_port", "2575", self.hl7_port),
            ("hl7_tls_port", "12575", self.hl7_tls_port),
            ("syslog_port", "514", self.syslog_port),
            ("syslog_tls_port", "6514", self.syslog_tls_port),
        ]
    }

    /// Replaces the names in a record. `base` takes the place of [`WRITTEN_BASE`]. Adds to `used` the names
    /// that occur in the entry's name, by argument.
    pub fn apply(
        &self,
        record: &mut Record,
        base: Option<&Dn>,
        used: &mut BTreeMap<&'static str, String>,
    ) {
        if let Some(dn) = self.dn(&record.dn, base, used) {
            record.dn = dn;
        }
        // Only the names of entries say whether a file was applied for the same part of the directory.
        let used = &mut BTreeMap::new();
        match &mut record.change {
            RecordChange::Add(attributes) => {
                for (name, values) in attributes {
                    values
                        .iter_mut()
                        .for_each(|v| self.value(name, v, base, used));
                }
            }
            RecordChange::Modify(operations) => {
                for operation in operations {
                    let name = operation.attribute.clone();
                    operation
                        .values
                        .iter_mut()
                        .for_each(|v| self.value(&name, v, base, used));
                }
            }
            RecordChange::Rename {
                new_rdn,
                new_superior,
                ..
            } => {
                if let Some(rdn) = self.dn(new_rdn, None, used) {
                    *new_rdn = rdn;
                }
                if let Some(dn) = new_superior.as_deref().and_then(|s| self.dn(s, base, used)) {
                    *new_superior = Some(dn);
                }
            }
            RecordChange::Delete => {}
        }
    }

    /// The name with every relative name replaced; `None` where nothing changes.
    fn dn(
        &self,
        text: &str,
        base: Option<&Dn>,
        used: &mut BTreeMap<&'static str, String>,
    ) -> Option<String> {
        let dn = Dn::parse(text).ok()?;
        let mut changed = false;
        let mut rdns: Vec<Rdn> = dn.rdns().to_vec();
        if let Some(base) = base {
            let written = Dn::parse(WRITTEN_BASE).ok()?;
            let (place, root) = (dn.folded(None), written.folded(None));
            if (place == root || place.starts_with(&format!("{root}/")))
                && base.folded(None) != root
            {
                rdns.truncate(rdns.len() - written.depth());
                rdns.extend_from_slice(base.rdns());
                changed = true;
            }
        }
        for (attribute, value) in rdns.iter_mut().flat_map(|r| r.parts.iter_mut()) {
            if let Some(new) = self.named(attribute, value, used) {
                changed |= new != *value;
                *value = new;
            }
        }
        changed.then(|| Dn::from_rdns(rdns).to_string())
    }

    /// What stands in place of a value of an attribute; `None` where the value is none of the names.
    fn named(
        &self,
        attribute: &str,
        value: &str,
        used: &mut BTreeMap<&'static str, String>,
    ) -> Option<String> {
        let attribute = attribute
            .split(';')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if matches!(
            attribute.as_str(),
            "dcmwebappname" | "dcmwebserviceapplicationname"
        ) {
            let (name, new) = self.webapp(value)?;
            used.insert(name, new.clone());
            return Some(new);
        }
        if attribute == "dicomport" {
            let (name, written, wanted) = self
                .ports()
                .into_iter()
                .find(|(_, written, _)| *written == value)?;
            let new = wanted.map_or_else(|| written.to_owned(), |p| p.to_string());
            used.insert(name, new.clone());
            return Some(new);
        }
        let rule = self.rules().into_iter().find(|r| {
            r.written == value
                && r.attributes.iter().any(|a| match a.strip_prefix('*') {
                    Some(end) => attribute.ends_with(end),
                    None => *a == attribute,
                })
        })?;
        let new = rule.wanted.unwrap_or(rule.written).to_owned();
        used.insert(rule.name, new.clone());
        Some(new)
    }

    fn value(
        &self,
        attribute: &str,
        value: &mut Value,
        base: Option<&Dn>,
        used: &mut BTreeMap<&'static str, String>,
    ) {
        let Value::Given(octets) = value else { return };
        let Some(text) = octets.text() else { return };
        if let Some(new) = self.named(attribute, text, used) {
            *octets = Octets::from(new);
            return;
        }
        // A name below the written base, in whatever attribute it stands.
        if text.contains('=')
            && text.contains(',')
            && let Some(new) = self.dn(text, base, used)
        {
            *octets = Octets::from(new);
            return;
        }
        let mut new = text.to_owned();
        if attribute.eq_ignore_ascii_case("dcmWebServicePath") {
            new = self.service_path(text, used).unwrap_or(new);
        }
        if let (Some(dir), Some(rest)) = (
            &self.storage_dir,
            new.strip_prefix("${jboss.server.data.url}/fs1"),
        ) && (rest.is_empty() || rest.starts_with('/'))
        {
            used.insert("storage_dir", dir.clone());
            new = format!("file://{dir}{rest}");
        }
        for (name, written, wanted) in [
            ("host", "archive-host", &self.host),
            ("keycloak_host", "keycloak-host", &self.keycloak_host),
            ("syslog_host", "syslog-host", &self.syslog_host),
        ] {
            let Some(wanted) = wanted else { continue };
            if let Some(replaced) = replace_word(&new, written, wanted) {
                used.insert(name, wanted.clone());
                new = replaced;
            }
        }
        if new != text {
            *octets = Octets::from(new);
        }
    }

    /// `/dcm4chee-arc/aets/TITLE/…` with the title replaced.
    fn service_path(
        &self,
        path: &str,
        used: &mut BTreeMap<&'static str, String>,
    ) -> Option<String> {
        let rest = path.strip_prefix("/dcm4chee-arc/aets/")?;
        let (title, tail) = rest.find('/').map_or((rest, ""), |i| rest.split_at(i));
        let (name, _, wanted) = self
            .titles()
            .into_iter()
            .find(|(_, written, _)| *written == title)?;
        used.insert(name, wanted.to_owned());
        Some(format!("/dcm4chee-arc/aets/{wanted}{tail}"))
    }
}

/// Replaces a host name where it stands as a whole word of it; `None` where it does not.
fn replace_word(text: &str, word: &str, with: &str) -> Option<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
    let mut new = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find(word) {
        let before = rest[..at].chars().next_back();
        let after = rest[at + word.len()..].chars().next();
        new.push_str(&rest[..at]);
        if before.is_some_and(part) || after.is_some_and(part) {
            new.push_str(word);
        } else {
            new.push_str(with);
            found = true;
        }
        rest = &rest[at + word.len()..];
    }
    new.push_str(rest);
    found.then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ldap::ldif::parse;

    /// Names are given as YAML-like pairs; the record and the expectation as LDIF.
    fn check(names: &Names, base: Option<&str>, text: &str, expected: &str, used: &[(&str, &str)]) {
        let mut record = parse(text.as_bytes()).unwrap().remove(0);
        let base = base.map(|b| Dn::parse(b).unwrap());
        let mut found = BTreeMap::new();
        names.apply(&mut record, base.as_ref(), &mut found);
        let expected = parse(expected.as_bytes()).unwrap().remove(0);
        assert_eq!(record, expected);
        let found: Vec<(&str, &str)> = found.iter().map(|(k, v)| (*k, v.as_str())).collect();
        assert_eq!(found, used);
    }

    #[test]
    fn names_in_names_and_values() {
        let names = Names {
            device: Some("arc-anna".into()),
            aet: Some("STANNA".into()),
            host: Some("pacs.anna.example".into()),
            dicom_port: Some(104),
            ..Names::default()
        };
        check(
            &names,
            Some("dc=anna,dc=at"),
            "dn: dicomAETitle=DCM4CHEE,dicomDeviceName=dcm4chee-arc,dc=dcm4che,dc=org\nobjectClass: x\n\
             dicomAETitle: DCM4CHEE\ndcmWebAppName: DCM4CHEE-WADO\ndicomDescription: the DCM4CHEE of dcm4chee-arc\n\
             dcmWebServicePath: /dcm4chee-arc/aets/DCM4CHEE/rs\ndicomPort: 11112\ndicomHostname: archive-host\n\
             dcmURI: http://archive-host:8080/my-archive-host\n\
             dicomNetworkConnectionReference: cn=dicom,dicomDeviceName=dcm4chee-arc,dc=dcm4che,dc=org\n",
            "dn: dicomAETitle=STANNA,dicomDeviceName=arc-anna,dc=anna,dc=at\nobjectClass: x\n\
             dicomAETitle: STANNA\ndcmWebAppName: STANNA-WADO\ndicomDescription: the DCM4CHEE of dcm4chee-arc\n\
             dcmWebServicePath: /dcm4chee-arc/aets/STANNA/rs\ndicomPort: 104\ndicomHostname: pacs.anna.example\n\
             dcmURI: http://pacs.anna.example:8080/my-archive-host\n\
             dicomNetworkConnectionReference: cn=dicom,dicomDeviceName=arc-anna,dc=anna,dc=at\n",
            &[("aet", "STANNA"), ("device", "arc-anna")],
        );
    }

    #[test]
    fn without_names_nothing_changes_but_what_occurs_is_known() {
        let text = "dn: dicomAETitle=WORKLIST,dicomDeviceName=dcm4chee-arc,dc=dcm4che,dc=org\n\
                    changetype: modify\ndelete: dcmAcceptedUserRole\ndcmAcceptedUserRole: admin\n";
        check(
            &Names::default(),
            None,
            text,
            text,
            &[("device", "dcm4chee-arc"), ("worklist_aet", "WORKLIST")],
        );
    }
}
