//! Services, each behind those that it needs. Pure.

use std::collections::BTreeMap;

/// What each service needs.
pub type Needs = BTreeMap<String, Vec<String>>;

/// These services and all that they need, each behind what it needs itself. A circle, which compose refuses, is cut.
#[must_use]
pub fn in_order(asked: &[String], needs: &Needs) -> Vec<String> {
    let mut order = Vec::new();
    for service in asked {
        behind(service, needs, &mut Vec::new(), &mut order);
    }
    order
}

fn behind(service: &str, needs: &Needs, above: &mut Vec<String>, order: &mut Vec<String>) {
    if order.iter().chain(above.iter()).any(|s| s == service) {
        return;
    }
    above.push(service.to_owned());
    for need in needs.get(service).into_iter().flatten() {
        behind(need, needs, above, order);
    }
    above.pop();
    order.push(service.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_comes_first() {
        let list =
            |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
        let needs = Needs::from([
            ("arc".to_owned(), list(&["db", "ldap"])),
            ("ldap".to_owned(), list(&["net"])),
            ("net".to_owned(), list(&["arc"])),
        ]);
        assert_eq!(
            in_order(&list(&["arc"]), &needs),
            ["db", "net", "ldap", "arc"]
        );
        assert_eq!(
            in_order(&list(&["db", "ldap"]), &Needs::new()),
            ["db", "ldap"]
        );
    }
}
