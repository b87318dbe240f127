//! The checks of the processes' metrics: processors, streams, storage, and the orders on processors
//! that are to be removed.

use super::CheckStatus::{Failed, Warning};
use super::volumes::volumes;
use super::workloads::deployed;
use super::{
    ApiServerResult, Group, InstallationFacts, InstallationFinding, MetricsPage, OpenOrderFacts,
    Pod,
};

/// The free fraction of a volume below which there is a warning; below [`FREE_FAIL`] the check
/// fails.
const FREE_WARN: f64 = 0.20;
const FREE_FAIL: f64 = 0.05;
/// Seconds that a sync of the journal may take on average.
const SYNC_SECONDS_MAX: f64 = 0.1;
/// Statuses that may wait without a warning.
const STATUSES_WAITING_MAX: f64 = 100.0;
/// Seconds that an expiry may be late: twice the promised time.
const OVERDUE_SECONDS_MAX: f64 = 2.0;
/// Orders that are named in one finding.
const NAMED_MAX: usize = 5;
/// Order requests without a status that are read at most.
pub(super) const UNANSWERED_MAX: usize = 500;

fn pods<'a>(
    facts: &'a InstallationFacts,
    component: &'a str,
) -> impl Iterator<Item = (&'a Pod, &'a MetricsPage)> {
    let of_kind = facts.pods().iter().filter(move |pod| pod.component == component);
    of_kind.filter_map(|pod| pod.metrics.as_ref().ok().map(|page| (pod, page)))
}

/// Returns the pod with the highest value, and the value.
fn highest<'a>(
    facts: &'a InstallationFacts,
    component: &'a str,
    metric: impl Fn(&MetricsPage) -> Option<f64>,
) -> Option<(&'a str, f64)> {
    let values =
        pods(facts, component).filter_map(|(pod, page)| Some((pod.name.as_str(), metric(page)?)));
    values.max_by(|(_, a), (_, b)| a.total_cmp(b))
}

pub(super) fn processors(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let group = Group::Processors;
    let mut findings = Vec::new();
    if let Some(found) = &facts.processors {
        findings.push(deployed((group, "processor-ready"), found, facts, "processor"));
    }
    let restarts = facts.pods().iter().filter(|pod| pod.component == "processor");
    if let Some(pod) = restarts.max_by_key(|pod| pod.restarts).filter(|pod| pod.restarts > 0) {
        findings.push(InstallationFinding::bad(
            (group, "processor-restarts", Warning),
            format!("{} was started again {} times", pod.name, pod.restarts),
            if pod.reason.is_empty() { "its container ended" } else { &pod.reason },
            format!("kubectl -n {} logs {} --previous", facts.namespace, pod.name),
        ));
    }
    let overdue = highest(facts, "processor", |page| {
        page.sum("orderstream_processor_expiry_overdue_seconds", &[])
    });
    findings.extend(overdue.map(|(pod, seconds)| {
        if seconds > OVERDUE_SECONDS_MAX {
            InstallationFinding::bad(
                (group, "processor-expiry", Failed),
                format!("{pod}: an order waits {seconds:.0} s for its expiry"),
                "the disk does not take the event, or the process has no time",
                "see storage-sync, and the pod's CPU throttling",
            )
        } else {
            InstallationFinding::good(group, "processor-expiry", "no expiry is overdue")
        }
    }));
    findings
}

pub(super) fn streams(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let group = Group::Streams;
    let leader = pods(facts, "controller").find(|(_, page)| {
        page.sum("leader_election_master_status", &[]).is_some_and(|leads| leads > 0.5)
    });
    let unanswered = facts.unanswered.as_ref().map(unanswered);
    let Some((pod, page)) = leader else {
        let absent = InstallationFinding::bad(
            (group, "streams-active", Failed),
            "no leading controller reports streams",
            "nobody leads, or its metrics cannot be read",
            "see controller-leader and monitoring-metrics",
        );
        return [Some(absent), unanswered].into_iter().flatten().collect();
    };
    let sum = |name: &str, labels: &[&str]| page.sum(name, labels).unwrap_or_default();
    let active = sum("orderstream_requestor_streams_active", &[]);
    let broken = sum("orderstream_order_streams", &["stream=\"Reconnecting\""]);
    let waiting = sum("orderstream_status_writes_waiting", &[]);
    let active = if broken > 0.0 {
        let status = if broken > active { Failed } else { Warning };
        InstallationFinding::bad(
            (group, "streams-active", status),
            format!("{broken} orders wait for their processor, {active} streams are up"),
            "their processor is away or starting; nothing is lost",
            format!(
                "see processor-ready; kubectl get oreq -A --field-selector \
                     status.tracker.stream=Reconnecting -o wide names it; log of {}",
                pod.name
            ),
        )
    } else {
        InstallationFinding::good(
            group,
            "streams-active",
            format!("{active} streams are up, none is broken"),
        )
    };
    let statuses = statuses(facts, &pod.name, waiting);
    [Some(active), Some(statuses), unanswered].into_iter().flatten().collect()
}

/// Checks whether the controller's statuses are written.
fn statuses(facts: &InstallationFacts, leader: &str, waiting: f64) -> InstallationFinding {
    let (group, id) = (Group::Streams, "streams-status");
    let text = format!("{waiting} statuses wait to be written");
    if facts.refused_statuses > 0.0 {
        let (namespace, count) = (&facts.namespace, facts.refused_statuses);
        let cause = if facts.may_not_write_statuses() {
            "the controller may not write the status of order requests: 403"
        } else {
            "a policy or a webhook refuses them, the definitions are of another version, or the \
             API server does not respond"
        };
        return InstallationFinding::bad(
            (group, id, Failed),
            format!("{count:.0} writes of statuses failed just now, {text}"),
            cause,
            format!(
                "see controller-rights and crd-version; kubectl -n {namespace} logs {leader} | grep \
                 'a status was not written'"
            ),
        );
    }
    if waiting > STATUSES_WAITING_MAX {
        return InstallationFinding::bad(
            (group, id, Warning),
            text,
            "the API server slows the controller down, or many orders changed at once",
            "check again in a minute; enable flowSchema if it stays",
        );
    }
    InstallationFinding::good(group, id, text)
}

/// Checks whether every order request gets a status.
fn unanswered(found: &ApiServerResult<Vec<String>>) -> InstallationFinding {
    let (group, id) = (Group::Streams, "streams-first-status");
    let orders = match found {
        Ok(orders) => orders,
        Err(error) => {
            return InstallationFinding::bad(
                (group, id, Warning),
                "whether every order request has a status cannot be found out",
                error,
                "give the kubeconfig's user the right to list orderrequests",
            );
        }
    };
    let count = orders.len();
    if count == 0 {
        let text = "no order request waits for its first status";
        return InstallationFinding::good(group, id, text);
    }
    let first = orders.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if count > NAMED_MAX { ", …" } else { "" };
    let least = if count >= UNANSWERED_MAX { "at least " } else { "" };
    InstallationFinding::bad(
        (group, id, Failed),
        format!("{least}{count} order requests have had no status for a minute: {first}{more}"),
        "no controller takes them, or it may not write their status",
        "see controller-leader, controller-rights and streams-status",
    )
}

pub(super) fn storage(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let findings = [volumes(facts), space(facts), journal(facts), damaged(facts), sync(facts)];
    findings.into_iter().flatten().collect()
}

fn space(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Storage, "storage-space");
    let used = |page: &MetricsPage| {
        let bytes = |state: &str| page.sum("orderstream_journal_disk_bytes", &[state]);
        let total = bytes("state=\"total\"").filter(|total| *total > 0.0)?;
        Some(1.0 - bytes("state=\"free\"")? / total)
    };
    let (pod, used) = highest(facts, "processor", used)?;
    let percent = used * 100.0;
    let status = match 1.0 - used {
        free if free < FREE_FAIL => Failed,
        free if free < FREE_WARN => Warning,
        _ => {
            return Some(InstallationFinding::good(
                group,
                id,
                format!("{pod}: {percent:.0} % used at most"),
            ));
        }
    };
    Some(InstallationFinding::bad(
        (group, id, status),
        format!("{pod}: its volume is {percent:.0} % full"),
        "orders are kept until they are removed; a full volume takes no more, and loses nothing",
        "make the claim larger, where its class allows it; or delete ended order requests",
    ))
}

fn journal(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Storage, "storage-journal");
    let read_only = |page: &MetricsPage| page.sum("orderstream_journal_read_only", &[]);
    let (pod, count) = highest(facts, "processor", read_only)?;
    if count > 0.0 {
        return Some(InstallationFinding::bad(
            (group, id, Failed),
            format!("{pod}: its journal is damaged and read only"),
            "the volume changed or lost bytes; orders are shown, and no command is accepted",
            "see OrderstreamJournalDamaged: orderstream journal verify, then salvage",
        ));
    }
    let damaged = |kind: &'static str| {
        move |page: &MetricsPage| page.sum("orderstream_journal_damaged", &[kind])
    };
    let (pod, records) = highest(facts, "processor", damaged("kind=\"record\""))?;
    if records > 0.0 {
        return Some(InstallationFinding::bad(
            (group, id, Failed),
            format!("{pod}: {records} records that were acknowledged are missing"),
            "the volume lost bytes that it had taken; their orders are refused, the others served",
            "see OrderstreamJournalDamaged: restore the volume, or salvage its journal",
        ));
    }
    let (pod, files) = highest(facts, "processor", damaged("kind=\"file\""))?;
    if files > 0.0 {
        return Some(InstallationFinding::bad(
            (group, id, Warning),
            format!("{pod}: {files} files of its journal were damaged"),
            "the volume changed or lost bytes; nothing that was acknowledged is missing",
            "see OrderstreamJournalDamaged, and check the node's disk",
        ));
    }
    Some(InstallationFinding::good(group, id, "every journal is as it was written"))
}

fn damaged(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Storage, "storage-damaged");
    let count = |page: &MetricsPage| page.sum("orderstream_journal_damaged_orders", &[]);
    let (pod, count) = highest(facts, "processor", count)?;
    if count < 1.0 {
        return Some(InstallationFinding::good(group, id, "no order has damaged records"));
    }
    Some(InstallationFinding::bad(
        (group, id, Failed),
        format!("{pod}: {count} orders have damaged records and are refused"),
        "the volume changed or lost bytes; the other orders are served",
        "keep the volume as it is, restore it from a snapshot, and check the node's disk",
    ))
}

fn sync(facts: &InstallationFacts) -> Option<InstallationFinding> {
    let (group, id) = (Group::Storage, "storage-sync");
    let seconds = |page: &MetricsPage| {
        let count = page.sum("orderstream_journal_sync_seconds_count", &[])?;
        let sum = page.sum("orderstream_journal_sync_seconds_sum", &[])?;
        Some(if count > 0.0 { sum / count } else { 0.0 })
    };
    let (pod, seconds) = highest(facts, "processor", seconds)?;
    let millis = seconds * 1_000.0;
    if seconds < SYNC_SECONDS_MAX {
        let text = format!("{pod}: a sync takes {millis:.1} ms on average, the slowest");
        return Some(InstallationFinding::good(group, id, text));
    }
    Some(InstallationFinding::bad(
        (group, id, Warning),
        format!("{pod}: a sync takes {millis:.0} ms on average"),
        "the volume is slow or busy; every command waits for one sync",
        "choose a faster storage class, or processors on more nodes",
    ))
}

pub(super) fn stranding(facts: &InstallationFacts) -> Vec<InstallationFinding> {
    let (group, id) = (Group::Stranding, "stranding");
    let Some((set, desired)) = &facts.desired_processors else { return Vec::new() };
    let orders = match &facts.orders {
        Some(Ok(orders)) => orders,
        Some(Err(error)) => {
            return vec![InstallationFinding::bad(
                (group, id, Failed),
                "the orders cannot be listed",
                error,
                "give the user the right to list orderrequests",
            )];
        }
        None => return Vec::new(),
    };
    let stranded: Vec<_> = orders
        .iter()
        .filter(|order| ordinal(order, set).is_some_and(|ordinal| ordinal >= *desired))
        .map(|order| order.name.as_str())
        .collect();
    if stranded.is_empty() {
        let text = format!("{desired} processors hold all {} open orders", orders.len());
        return vec![InstallationFinding::good(group, id, text)];
    }
    let (count, first) = (stranded.len(), stranded.iter().take(NAMED_MAX).copied());
    vec![InstallationFinding::bad(
        (group, id, Failed),
        format!(
            "{count} open orders are on processors beyond the first {desired}: {}{}",
            first.collect::<Vec<_>>().join(", "),
            if count > NAMED_MAX { ", …" } else { "" }
        ),
        "an order stays with its processor, whose volume holds its events",
        "wait until they have ended, or end them; then scale down. processor.refuseStranding=false \
         scales down at once: the orders wait until the processors are back",
    )]
}

/// Returns the ordinal of the pod that holds an order; `None` where it is not one of this set.
fn ordinal(order: &OpenOrderFacts, set: &str) -> Option<u32> {
    let host = order.processor.strip_prefix("http://")?.split('.').next()?;
    host.strip_prefix(set)?.strip_prefix('-')?.parse().ok()
}
