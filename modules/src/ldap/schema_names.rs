//! Names of schema entries. slapd numbers them: what is added as `cn=x` is `cn={4}x` from then on, and what was
//! written as `cn={4}x` for one server is `cn={7}x` on another.

use std::collections::BTreeMap;

use super::dn::{Dn, Rdn};
use super::ldif::{Record, RecordChange, Value};
use super::listing::Listing;
use super::matching::without_index;
use super::octets::Octets;

/// Where schema entries lie.
pub const PLACE: &str = "cn=schema,cn=config";

/// The schema entries of a server, by name without number.
pub(super) struct SchemaNames {
    by_name: BTreeMap<String, Dn>,
    count: usize,
}

impl SchemaNames {
    /// From the names right below `cn=schema,cn=config`.
    pub(super) fn of(listing: &Listing) -> Self {
        let mut by_name = BTreeMap::new();
        for name in &listing.names {
            if let Ok(dn) = Dn::parse(name)
                && let Some(name) = name_of(&dn)
            {
                by_name.insert(name.to_ascii_lowercase(), dn);
            }
        }
        Self {
            count: listing.names.len(),
            by_name,
        }
    }

    /// The entry of this name, whatever its number.
    pub(super) fn find(&self, name: &str) -> Option<&Dn> {
        self.by_name.get(&name.to_ascii_lowercase())
    }

    /// All names.
    pub(super) fn all(&self) -> Vec<String> {
        self.by_name.keys().cloned().collect()
    }

    /// Gives a record about a schema entry the name that this server has for it; a new one gets the next number, as
    /// the server would give it. Other records stay.
    pub(super) fn settle(&mut self, record: &mut Record) {
        let Some(name) = Dn::parse(&record.dn)
            .ok()
            .filter(is_schema)
            .and_then(|d| name_of(&d))
        else {
            return;
        };
        if let Some(dn) = self.find(&name) {
            record.dn = dn.to_string();
        } else if matches!(record.change, RecordChange::Add(_))
            && let Ok(place) = Dn::parse(PLACE)
        {
            let rdn = Rdn {
                parts: vec![("cn".to_owned(), format!("{{{}}}{name}", self.count))],
            };
            let dn = Dn::below(rdn, &place);
            record.dn = dn.to_string();
            self.count += 1;
            self.by_name.insert(name.to_ascii_lowercase(), dn);
        } else {
            return;
        }
        let written = Dn::parse(&record.dn).ok();
        let numbered = written
            .as_ref()
            .and_then(|dn| Some(dn.rdns().first()?.parts.first()?.1.clone()));
        if let (RecordChange::Add(attributes), Some(numbered)) = (&mut record.change, numbered) {
            for (_, values) in attributes
                .iter_mut()
                .filter(|(a, _)| a.eq_ignore_ascii_case("cn"))
            {
                for value in values {
                    let text = value.octets().and_then(Octets::text);
                    if text.map(without_index) == Some(name.as_str()) {
                        *value = Value::Given(numbered.as_str().into());
                    }
                }
            }
        }
    }
}

/// Does it name an entry right below `cn=schema,cn=config`?
pub(super) fn is_schema(dn: &Dn) -> bool {
    dn.parent()
        .is_some_and(|above| above.folded(None) == PLACE_FOLDED)
}

/// [`PLACE`] as a place in keys.
const PLACE_FOLDED: &str = "cn=config/cn=schema";

/// The name without its number.
fn name_of(dn: &Dn) -> Option<String> {
    let (_, value) = dn.rdns().first()?.parts.first()?;
    Some(without_index(value).to_owned())
}
