//! The checks of the controllers of all releases: that no two of them take the same orders, and that
//! one takes each order.

use orderstream_api::escaped;

use super::CheckStatus::{Failed, Warning};
use super::{
    ControllerFacts, Group, InstallationFacts, InstallationFinding, UntakenOrder, watched,
};

/// Orders that are named in one finding.
const NAMED_MAX: usize = 5;

/// Checks whether another release's controller takes the orders of this installation.
pub(super) fn others(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Controller, "controller-others");
    let controllers = match facts.all_controllers.as_ref()? {
        Ok(controllers) => controllers,
        Err(error) => {
            return Some(InstallationFinding::bad(
                (group, id, Warning),
                "whether another controller takes the same orders was not checked",
                error,
                "give the kubeconfig's user the right to list deployments in all namespaces",
            ));
        }
    };
    let overlapping = overlapping(controllers, &facts.namespace);
    let rival =
        overlapping.iter().find(|(own, other)| own.controller_name == other.controller_name);
    if let Some((own, other)) = rival {
        return Some(InstallationFinding::bad(
            (group, id, Failed),
            format!("{} takes the same orders as {}", described(other), described(own)),
            format!(
                "both controllers are named {}, and both watch {}: each opens every order, at its \
                 own processors",
                own.controller_name,
                watched::described(&own.watched.shared(&other.watched))
            ),
            "once its orders have ended, uninstall one of the two releases and install it with \
             another controllerName, or let them watch different namespaces",
        ));
    }
    let named =
        |other: &ControllerFacts| format!("{} ({})", other.controller_name, other.namespace);
    let mut names: Vec<_> = overlapping.iter().map(|(_, other)| named(other)).collect();
    names.sort();
    names.dedup();
    let text = match names.as_slice() {
        [] => "no other release's controller watches the same namespaces".to_owned(),
        names => format!("controllers with other names watch beside it: {}", names.join(", ")),
    };
    Some(InstallationFinding::good(group, id, text))
}

/// Returns each pair of a controller in the installation's namespace and another one that watches a
/// namespace in common with it.
fn overlapping<'a>(
    controllers: &'a [ControllerFacts],
    namespace: &str,
) -> Vec<(&'a ControllerFacts, &'a ControllerFacts)> {
    let own = controllers.iter().filter(|controller| controller.namespace == namespace);
    own.flat_map(|own| {
        let others = controllers
            .iter()
            .filter(move |other| *other != own && own.watched.overlaps(&other.watched));
        others.map(move |other| (own, other))
    })
    .collect()
}

fn described(controller: &ControllerFacts) -> String {
    let ControllerFacts { namespace, name, release, .. } = controller;
    if release.is_empty() {
        return format!("{namespace}/{name}");
    }
    format!("{namespace}/{name} (release {release})")
}

/// Checks whether there are orders that no controller takes, because none has the name that they
/// have as `controllerName`, or none of that name watches their namespace.
pub(super) fn untaken(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Controller, "controller-orders");
    // Without all controllers it is not known that no one takes an order.
    let controllers = facts.all_controllers.as_ref()?.as_ref().ok()?;
    let untaken = match facts.untaken.as_ref()? {
        Ok(untaken) => untaken,
        Err(error) => {
            return Some(InstallationFinding::bad(
                (group, id, Warning),
                "whether every order has a controller was not checked",
                error,
                "give the kubeconfig's user the right to list orderrequests",
            ));
        }
    };
    let has_controller = |order: &&UntakenOrder| {
        controllers.iter().any(|controller| {
            controller.controller_name == order.controller_name
                && watched::includes(&controller.watched, &order.namespace)
        })
    };
    let lost = untaken.orders.iter().filter(|order| !has_controller(order));
    let lost: Vec<_> = lost.map(described_order).collect();
    if lost.is_empty() {
        let part = if untaken.is_partial { ", of those that were read" } else { "" };
        let text = format!("every order is for a controller that is there{part}");
        return Some(InstallationFinding::good(group, id, text));
    }
    let (count, more) = (lost.len(), if lost.len() > NAMED_MAX { ", …" } else { "" });
    let first: Vec<_> = lost.into_iter().take(NAMED_MAX).collect();
    Some(InstallationFinding::bad(
        (group, id, Warning),
        format!("{count} orders are for no controller: {}{more}", first.join(", ")),
        "no release's controller has the name in their spec.controllerName and watches their \
         namespace",
        "correct the name, which may change until a controller has taken the order; or install a \
         controller of that name",
    ))
}

fn described_order(order: &UntakenOrder) -> String {
    let UntakenOrder { namespace, name, controller_name } = order;
    format!("{namespace}/{name} ({})", escaped(controller_name))
}

#[cfg(test)]
mod tests {
    use orderstream_api::controller_name::watched_scope;

    use super::super::{CheckStatus, UntakenOrders};
    use super::*;

    /// Returns a controller that watches the namespaces of an annotation.
    fn controller(namespace: &str, name: &str, watched: &str) -> ControllerFacts {
        ControllerFacts {
            namespace: namespace.to_owned(),
            name: "c".to_owned(),
            release: String::new(),
            controller_name: name.to_owned(),
            watched: watched_scope(watched),
        }
    }

    #[test]
    fn only_shared_names_and_namespaces_fail() {
        let (rival, none) =
            ("team/c takes the same orders as shop/c", "no other release's controller watches");
        for (own, other, status, text) in [
            ("desks", ("a", "desks"), Failed, rival),
            ("desks", ("a", "*"), Failed, rival),
            ("desks", ("a", "team"), CheckStatus::Good, none),
            ("desks", ("b", "*"), CheckStatus::Good, "watch beside it: b (team)"),
            ("desks,team", ("a", "team,chairs"), Failed, rival),
            ("desks,team", ("a", "chairs"), CheckStatus::Good, none),
            ("desks,team", ("a", "*,!desks"), Failed, rival),
            ("desks,team", ("a", "*,!team,!desks"), CheckStatus::Good, none),
            ("*,!desks", ("a", "*,!team"), Failed, rival),
            ("*,!desks", ("a", "desks"), CheckStatus::Good, none),
        ] {
            let (name, watched) = other;
            let controllers = vec![controller("shop", "a", own), controller("team", name, watched)];
            let facts = InstallationFacts {
                namespace: "shop".to_owned(),
                all_controllers: Some(Ok(controllers)),
                ..InstallationFacts::default()
            };
            let finding = others(&facts).unwrap();
            assert_eq!(finding.status, status, "{own} beside {other:?}");
            assert!(finding.text.contains(text), "{}", finding.text);
        }
    }

    /// A controller of the name in their namespace, or in all, takes them.
    #[test]
    fn orders_need_controllers_in_their_namespace() {
        let order = |namespace: &str, controller: &str| UntakenOrder {
            namespace: namespace.to_owned(),
            name: "o".to_owned(),
            controller_name: controller.to_owned(),
        };
        let orders =
            [("desks", "a"), ("chairs", "a"), ("team", "a"), ("team", "b"), ("chairs", "b")];
        let orders = orders.map(|(namespace, controller)| order(namespace, controller)).to_vec();
        let facts = InstallationFacts {
            all_controllers: Some(Ok(vec![
                controller("shop", "a", "desks,chairs"),
                controller("team", "b", "*,!chairs"),
            ])),
            untaken: Some(Ok(UntakenOrders { orders, is_partial: false })),
            ..InstallationFacts::default()
        };
        let finding = untaken(&facts).unwrap();
        assert_eq!(finding.text, "2 orders are for no controller: team/o (a), chairs/o (b)");
    }
}
