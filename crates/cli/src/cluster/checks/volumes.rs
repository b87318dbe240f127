//! The check of the processors' volume claims, with the cause of a claim without a volume: its class,
//! or its newest event.

use super::CheckStatus::{Failed, Warning};
use super::{Advice, Group, InstallationFacts, InstallationFinding, StorageClass, VolumeClaim};

/// Storage classes that are named in one finding.
const NAMED_MAX: usize = 5;

/// Checks whether every claim is bound.
pub(super) fn volumes(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Storage, "storage-volumes");
    let claims = match facts.claims.as_ref()? {
        Ok(claims) => claims,
        Err(error) => {
            return Some(InstallationFinding::bad(
                (group, id, Warning),
                "the volumes cannot be listed",
                error,
                "give the kubeconfig's user the right to list persistentvolumeclaims",
            ));
        }
    };
    let Some(claim) = claims.iter().find(|claim| !claim.is_bound()) else {
        let text = format!("every volume is bound, {} in all", claims.len());
        return Some(InstallationFinding::good(group, id, text));
    };
    let Advice { cause, fix } = advice(facts, claim);
    let text = format!("{} is {}", claim.name, claim.phase);
    Some(InstallationFinding::bad((group, id, Failed), text, cause, fix))
}

/// Returns the cause for which a claim has no volume, and the fix.
fn advice(facts: &InstallationFacts, claim: &VolumeClaim) -> Advice {
    let (namespace, name) = (&facts.namespace, &claim.name);
    // Without the right to list the classes, the event names the missing one.
    if let Some(Ok(classes)) = &facts.storage_classes
        && let Some(cause) = class_fault(claim.class.as_deref(), classes)
    {
        return Advice { cause, fix: class_fix(namespace, claim, classes) };
    }
    let event = claim.event.clone();
    Advice {
        cause: if event.is_empty() { "no volume fits the claim".to_owned() } else { event },
        fix: format!("kubectl -n {namespace} describe pvc {name}"),
    }
}

/// Returns the fault of a claim's class; `None` where there is such a class. A claim with an empty
/// class takes volumes without one.
fn class_fault(class: Option<&str>, classes: &[StorageClass]) -> Option<String> {
    let Some(class) = class else {
        let has_default = classes.iter().any(|class| class.is_default);
        let cause = "the claim names no storage class, and the cluster has no default one";
        return (!has_default).then(|| cause.to_owned());
    };
    let is_missing = !class.is_empty() && classes.iter().all(|known| known.name != class);
    is_missing.then(|| format!("the storage class {class} does not exist"))
}

/// Returns the fix for a wrong class. Claims keep the class of their creation, and so does the
/// template in the `StatefulSet`.
fn class_fix(namespace: &str, claim: &VolumeClaim, classes: &[StorageClass]) -> String {
    let described = |class: &StorageClass| {
        let default = if class.is_default { " (default)" } else { "" };
        format!("{}{default}", class.name)
    };
    let mut names: Vec<_> = classes.iter().take(NAMED_MAX).map(described).collect();
    if classes.len() > NAMED_MAX {
        names.push("…".to_owned());
    }
    let existing = if names.is_empty() { "there is none yet".to_owned() } else { names.join(", ") };
    let first =
        if claim.class.is_some() { "create that class" } else { "make a class the default one" };
    let name = &claim.name;
    format!(
        "{first}; or choose one with processor.storage.className ({existing}): a claim keeps its \
         class, so helm uninstall, kubectl -n {namespace} delete pvc {name}, and helm install again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> StorageClass {
        StorageClass { name: name.to_owned(), is_default: false }
    }

    fn default_class(name: &str) -> StorageClass {
        StorageClass { is_default: true, ..class(name) }
    }

    fn advice_of(
        class: Option<&str>,
        event: &str,
        storage_classes: Option<Vec<StorageClass>>,
    ) -> Advice {
        let claim = VolumeClaim {
            name: "data-p-0".to_owned(),
            phase: "Pending".to_owned(),
            class: class.map(ToOwned::to_owned),
            event: event.to_owned(),
        };
        let facts = InstallationFacts {
            namespace: "shop".to_owned(),
            claims: Some(Ok(vec![claim])),
            storage_classes: storage_classes.map(Ok),
            ..InstallationFacts::default()
        };
        let finding = volumes(&facts).unwrap();
        assert_eq!(finding.text, "data-p-0 is Pending");
        finding.advice.unwrap()
    }

    #[test]
    fn pending_claims_name_the_missing_class() {
        let event = "storageclass.storage.k8s.io \"fast-ssd\" not found";
        let known = || Some(vec![default_class("local-path"), class("standard")]);
        for (named, event, classes, expected) in [
            (Some("fast-ssd"), event, known(), "the storage class fast-ssd does not exist"),
            (Some("fast-ssd"), event, None, event),
            (Some("standard"), "no space", known(), "no space"),
            (Some("standard"), "", known(), "no volume fits the claim"),
            (Some(""), "", Some(Vec::new()), "no volume fits the claim"),
            (None, "", known(), "no volume fits the claim"),
            (
                None,
                "",
                Some(vec![class("standard")]),
                "the claim names no storage class, and the cluster has no default one",
            ),
        ] {
            assert_eq!(advice_of(named, event, classes).cause, expected);
        }
    }

    #[test]
    fn the_fix_lists_the_existing_classes() {
        let known = vec![default_class("local-path"), class("standard")];
        let fix = advice_of(Some("fast-ssd"), "", Some(known)).fix;
        let names = "processor.storage.className (local-path (default), standard)";
        assert!(fix.contains(names) && fix.contains("-n shop delete pvc data-p-0"), "{fix}");
        let many = (0..7).map(|number| class(&format!("c{number}"))).collect();
        let fix = advice_of(Some("fast-ssd"), "", Some(many)).fix;
        assert!(fix.contains("(c0, c1, c2, c3, c4, …)"), "{fix}");
        let fix = advice_of(Some("fast-ssd"), "", Some(Vec::new())).fix;
        assert!(fix.contains("(there is none yet)"), "{fix}");
    }
}
