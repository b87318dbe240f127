//! Tests of the causes and fixes that the checks give.

use super::*;

/// A change of the facts, the check that it fails, and parts of the cause and of the fix.
type CauseCase = (fn(&mut InstallationFacts), &'static str, &'static str, &'static str);

/// Returns the cause and the fix of a check, after a change of the facts.
fn advice_after(change: fn(&mut InstallationFacts), id: &str) -> Advice {
    let mut facts = healthy();
    change(&mut facts);
    let findings = judge(&facts, &Group::ALL);
    let found = findings.into_iter().find(|finding| finding.id == id && finding.advice.is_some());
    found.unwrap().advice.unwrap()
}

#[test]
fn causes_are_those_of_the_fault() {
    let cases: [CauseCase; 6] = [
        (
            |f| lose_address(f),
            "monitoring-metrics",
            "the pod has no address yet",
            "see processor-ready",
        ),
        (
            |f| all_pods(f)[2].metrics = Err("403: pods/proxy".into()),
            "monitoring-metrics",
            "403: pods/proxy",
            "the right to get pods/proxy",
        ),
        (
            |f| all_pods(f)[2].metrics = Err("503: connection refused".into()),
            "monitoring-metrics",
            "connection refused",
            "kubectl -n shop describe pod p-0",
        ),
        (
            |f| f.refused_statuses = 1.0,
            "streams-status",
            "a policy or a webhook refuses them",
            "see controller-rights and crd-version",
        ),
        (
            |f| {
                f.refused_statuses = 1.0;
                lose_right(f);
            },
            "streams-status",
            "the controller may not write the status of order requests: 403",
            "kubectl -n shop logs c-a | grep",
        ),
        (
            |f| {
                first(&mut f.controllers).ready = 0;
                f.lease = Some(Ok(None));
            },
            "controller-leader",
            "no controller is ready yet: see controller-ready",
            "look at the controller's log",
        ),
    ];
    for (change, id, cause, fix) in cases {
        let advice = advice_after(change, id);
        assert!(advice.cause.contains(cause), "{id}: {}", advice.cause);
        assert!(advice.fix.contains(fix), "{id}: {}", advice.fix);
    }
}

/// What Helm installed is upgraded by its release, and all else by hand.
#[test]
fn definitions_are_fixed_by_their_owner() {
    let missing = advice_after(
        |f| {
            first(&mut f.controllers).release = "quotes".to_owned();
            f.crds.insert(ORDERS.into(), Ok(None));
        },
        "crd-installed",
    );
    let helm =
        "helm upgrade quotes CHART -n shop --reset-then-reuse-values --set crds.enabled=true";
    let by_hand = "orderstream crd | kubectl apply --server-side -f -";
    assert_eq!(missing.fix, format!("{helm}; or without Helm: {by_hand}"));
    let by_kubectl = advice_after(
        |f| installed_crd(f)["spec"]["versions"][0]["name"] = json!("v0"),
        "crd-version",
    );
    assert!(by_kubectl.cause.ends_with("they differ at versions[0].name"), "{}", by_kubectl.cause);
    assert!(by_kubectl.fix.starts_with("orderstream crd | kubectl apply --server-side --force"));
    let by_helm = advice_after(
        |f| {
            let definition = installed_crd(f);
            definition["spec"]["versions"][0]["schema"] = json!({});
            definition["metadata"]["labels"]["helm.sh/chart"] = json!("orderstream-0.0.9");
            definition["metadata"]["annotations"] = json!({
                "meta.helm.sh/release-name": "quotes",
                "meta.helm.sh/release-namespace": "shop",
            });
        },
        "crd-version",
    );
    assert!(by_helm.cause.starts_with("it comes from orderstream-0.0.9"), "{}", by_helm.cause);
    assert!(by_helm.fix.starts_with(helm), "{}", by_helm.fix);
}

#[test]
fn texts_are_one_bounded_line() {
    assert_eq!(bounded(" one\n\ttwo\u{1b}[31m "), "one two [31m");
    let long = "é".repeat(TEXT_CHARS_MAX + 1);
    assert_eq!(bounded(&long), format!("{}…", "é".repeat(TEXT_CHARS_MAX)));
    assert_eq!(bounded(&long[2..]), long[2..]);
}
