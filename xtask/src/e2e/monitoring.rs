//! A real Prometheus reads the running installation.

use super::cluster::Cluster;

pub(super) fn run(_cluster: &Cluster) -> anyhow::Result<()> {
    Ok(())
}
