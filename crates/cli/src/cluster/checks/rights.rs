//! The check of the controller's rights: by the API server's own answer, or else by the requests that
//! it refused.

use super::CheckStatus::{Failed, Warning};
use super::{ControllerRights, Group, InstallationFacts, InstallationFinding, MetricsPage};

/// The fix for a missing right.
const FIX: &str = "helm upgrade puts roles and bindings back; with rbac.create=false, compare yours \
                   with: orderstream rbac";

/// Checks whether the controller's service account has the rights that the controller needs.
pub(super) fn controller(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Controller, "controller-rights");
    let ControllerRights { account, count, refused } = match facts.controller_rights.as_ref()? {
        Ok(rights) => rights,
        Err(error) => return Some(by_metrics(facts, error)),
    };
    if refused.is_empty() {
        let text = format!("the controller has all its {count} rights");
        return Some(InstallationFinding::good(group, id, text));
    }
    let effect = if facts.may_not_write_statuses() {
        "the controller may not write the status of order requests: 403; "
    } else {
        ""
    };
    Some(InstallationFinding::bad(
        (group, id, Failed),
        format!(
            "the controller lacks {} of its {count} rights: {}",
            refused.len(),
            refused.join(", ")
        ),
        format!("{effect}a role or a binding of {account} was deleted or changed"),
        FIX,
    ))
}

/// Judges the rights by the refused requests in the controllers' metrics, where the API server does
/// not answer for others. They are counted from the start of the process, so that the right may be
/// back.
fn by_metrics(facts: &InstallationFacts, error: &str) -> InstallationFinding {
    let (group, id) = (Group::Controller, "controller-rights");
    let controllers = facts.pods().iter().filter(|pod| pod.component == "controller");
    let pages: Vec<_> = controllers.filter_map(|pod| pod.metrics.as_ref().ok()).collect();
    if pages.is_empty() {
        return InstallationFinding::bad(
            (group, id, Warning),
            "whether the controller has its rights cannot be found out",
            error,
            "give the kubeconfig's user the right to create subjectaccessreviews, or to get \
             pods/proxy",
        );
    }
    let of_page = |page: &&MetricsPage| page.sum("rest_client_requests_total", &["code=\"403\""]);
    let refused: f64 = pages.iter().filter_map(of_page).sum();
    if refused < 1.0 {
        let text = "no request of the controller was refused since it started";
        return InstallationFinding::good(group, id, text);
    }
    InstallationFinding::bad(
        (group, id, Warning),
        format!("{refused:.0} requests of the controller were refused since it started: 403"),
        "it lacks a right, or has lacked one; which one, only the right to create \
         subjectaccessreviews shows",
        FIX,
    )
}

#[cfg(test)]
mod tests {
    use super::super::{ApiServerResult, CheckStatus, Pod};
    use super::*;

    fn facts(rights: ApiServerResult<ControllerRights>) -> InstallationFacts {
        InstallationFacts {
            namespace: "shop".to_owned(),
            controller_rights: Some(rights),
            ..InstallationFacts::default()
        }
    }

    fn rights(refused: &[&str]) -> ControllerRights {
        ControllerRights {
            account: "system:serviceaccount:shop:c".to_owned(),
            count: 19,
            refused: refused.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn missing_rights_are_named_with_their_effect() {
        let finding = controller(&facts(Ok(rights(&[])))).unwrap();
        assert_eq!(finding.status, CheckStatus::Good);
        assert_eq!(finding.text, "the controller has all its 19 rights");
        for (refused, effect) in [
            (["watch orderrequests", "patch orderrequests/status"], true),
            (["create leases", "list sellers"], false),
        ] {
            let finding = controller(&facts(Ok(rights(&refused)))).unwrap();
            assert_eq!(finding.status, Failed);
            assert!(finding.text.contains(&refused.join(", ")), "{}", finding.text);
            let cause = finding.advice.unwrap().cause;
            assert!(
                cause.ends_with("binding of system:serviceaccount:shop:c was deleted or changed")
            );
            let status = "the controller may not write the status of order requests: 403";
            assert_eq!(cause.contains(status), effect, "{cause}");
        }
    }

    /// A user who may not ask for others still learns that requests are refused.
    #[test]
    fn metrics_replace_the_answer_about_rights() {
        let check = |page: Option<&str>| {
            let pod = |page: &str| Pod {
                name: "c-a".to_owned(),
                component: "controller".to_owned(),
                is_ready: true,
                address: "10.0.0.1".to_owned(),
                reason: String::new(),
                restarts: 0,
                metrics: Ok(MetricsPage::parse(page)),
            };
            let pods = page.map(pod).into_iter().collect();
            let mut facts = facts(Err("403: may not create subjectaccessreviews".to_owned()));
            facts.pods = Some(Ok(pods));
            controller(&facts).unwrap()
        };
        let allowed = "rest_client_requests_total{code=\"200\",method=\"GET\"} 7\n";
        let refused = "rest_client_requests_total{code=\"403\",method=\"PATCH\"} 4\n";
        for (page, status, text) in [
            (None, Warning, "cannot be found out"),
            (Some(allowed), CheckStatus::Good, "no request of the controller was refused"),
            (Some(refused), Warning, "4 requests of the controller were refused"),
        ] {
            let finding = check(page);
            assert_eq!(finding.status, status, "{}", finding.text);
            assert!(finding.text.contains(text), "{}", finding.text);
        }
    }
}
