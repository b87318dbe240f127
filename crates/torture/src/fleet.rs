//! The processes of one run, the links between them and the clients, and their disks.

mod disk;
mod process;
mod relay;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

pub use self::disk::FillableDisk;
pub use self::process::RoleProcess;
pub use self::relay::Relay;
use crate::plan::{Link, LinkCondition, ProcessTopology, TargetProcess};

/// The product's addresses for clients: those of the relays.
#[derive(Clone, Debug)]
pub struct ProductAddresses {
    /// Each processor's REST.
    pub rest: Vec<SocketAddr>,
    /// Each processor's gRPC.
    pub grpc: Vec<SocketAddr>,
    /// The requestor's REST.
    pub requestor: SocketAddr,
    /// Each process's name and the address of its metrics, without a relay.
    pub metrics: Vec<(String, SocketAddr)>,
    /// The binary, for its subcommands.
    pub binary: PathBuf,
}

/// All processes of one run.
#[derive(Debug)]
pub struct ProcessFleet {
    topology: ProcessTopology,
    /// The processors; the single process for `dev`.
    pub processors: Vec<RoleProcess>,
    /// The requestor, if it is a process of its own.
    pub requestor: Option<RoleProcess>,
    disks: Vec<FillableDisk>,
    rest: Vec<Relay>,
    grpc: Vec<Relay>,
    between: Vec<Relay>,
    buyers: Relay,
    addresses: ProductAddresses,
}

const ANY_PORT: &str = "127.0.0.1:0";
/// The file of the sellers, in the folder of a run.
const SELLERS_FILE: &str = "sellers.yaml";

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

impl ProcessFleet {
    /// Starts all processes of a topology, in this folder, with these sellers.
    pub async fn start(
        binary: &Path,
        topology: ProcessTopology,
        dir: &Path,
        sellers: &[&str],
    ) -> Self {
        let disks: Vec<FillableDisk> = (0..topology.processors())
            .map(|number| FillableDisk::make(&dir.join(format!("disk-{number}"))))
            .collect();
        write_sellers(dir, sellers);
        let mut processors = Vec::new();
        for (number, disk) in disks.iter().enumerate() {
            let role = match topology {
                ProcessTopology::Dev => dev(binary, dir, disk).await,
                ProcessTopology::Pair | ProcessTopology::Peers => {
                    processor(binary, dir, disk, topology, number).await
                }
            };
            processors.push(role);
        }
        let (mut rest, mut grpc, mut between) = (Vec::new(), Vec::new(), Vec::new());
        for role in &processors {
            rest.push(Relay::start(role.address("rest")).await);
            grpc.push(Relay::start(role.address("grpc")).await);
            between.push(Relay::start(role.address("grpc")).await);
        }
        if topology == ProcessTopology::Peers {
            write_peers(dir, &processors);
        }
        let requestor = match topology {
            ProcessTopology::Dev => None,
            ProcessTopology::Pair | ProcessTopology::Peers => {
                Some(requestor(binary, dir, &between).await)
            }
        };
        let buyer_facing = requestor.as_ref().or_else(|| processors.first()).unwrap();
        let buyers = Relay::start(buyer_facing.address("requestor")).await;
        let all = processors.iter().chain(&requestor);
        let addresses = ProductAddresses {
            rest: rest.iter().map(Relay::address).collect(),
            grpc: grpc.iter().map(Relay::address).collect(),
            requestor: buyers.address(),
            metrics: all.map(|role| (role.name().to_owned(), role.address("metrics"))).collect(),
            binary: binary.to_owned(),
        };
        Self { topology, processors, requestor, disks, rest, grpc, between, buyers, addresses }
    }

    /// Returns the addresses for clients.
    pub const fn addresses(&self) -> &ProductAddresses {
        &self.addresses
    }

    /// Returns the topology.
    pub const fn topology(&self) -> ProcessTopology {
        self.topology
    }

    /// Returns a process.
    pub fn role(&mut self, target: TargetProcess) -> &mut RoleProcess {
        match (target, &mut self.requestor) {
            (TargetProcess::Requestor, Some(requestor)) => requestor,
            (TargetProcess::Requestor, None) => &mut self.processors[0],
            (TargetProcess::Processor(number), _) => &mut self.processors[number],
        }
    }

    /// Returns a processor's disk.
    pub fn disk(&self, number: usize) -> &FillableDisk {
        &self.disks[number]
    }

    /// Sets the condition of a link.
    pub fn set_condition(&self, link: Link, condition: LinkCondition) {
        let relay = match link {
            Link::Rest(number) => &self.rest[number],
            Link::Grpc(number) => &self.grpc[number],
            Link::Between(number) => &self.between[number],
            Link::Requestor => &self.buyers,
        };
        relay.set(condition);
    }

    /// Returns all processes.
    pub fn roles(&mut self) -> impl Iterator<Item = &mut RoleProcess> {
        self.processors.iter_mut().chain(&mut self.requestor)
    }
}

async fn dev(binary: &Path, dir: &Path, disk: &FillableDisk) -> RoleProcess {
    let data = disk.dir().join("data");
    let mut args = owned(&["dev", "--sellers", "0", "--data-dir", data.to_str().unwrap()]);
    for flag in ["--grpc-addr", "--rest-addr", "--requestor-addr", "--metrics-addr"] {
        args.extend(owned(&[flag, ANY_PORT]));
    }
    RoleProcess::start(binary, "dev", args, dir).await
}

async fn processor(
    binary: &Path,
    dir: &Path,
    disk: &FillableDisk,
    topology: ProcessTopology,
    number: usize,
) -> RoleProcess {
    let data = disk.dir().join("data");
    let sellers_file = dir.join(SELLERS_FILE);
    let mut args = owned(&["processor", "--data-dir", data.to_str().unwrap()]);
    args.extend(owned(&["--sellers", sellers_file.to_str().unwrap()]));
    if topology == ProcessTopology::Peers {
        let peers = dir.join("peers");
        std::fs::write(&peers, "").unwrap();
        args.extend(owned(&["--peers", peers.to_str().unwrap()]));
    }
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend(owned(&[flag, ANY_PORT]));
    }
    RoleProcess::start(binary, &format!("processor-{number}"), args, dir).await
}

/// Writes the file of the sellers that every processor reads.
fn write_sellers(dir: &Path, sellers: &[&str]) {
    let manifest = |name: &&str| {
        json!({"apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller",
            "metadata": {"name": name}, "spec": {}})
        .to_string()
    };
    let text = sellers.iter().map(manifest).collect::<Vec<_>>().join("\n---\n");
    std::fs::write(dir.join(SELLERS_FILE), text).unwrap();
}

/// Makes all processors known to each other; they read the file again by themselves.
fn write_peers(dir: &Path, processors: &[RoleProcess]) {
    let lines = processors.iter().map(|role| format!("http://{}\n", role.address("grpc")));
    std::fs::write(dir.join("peers"), lines.collect::<String>()).unwrap();
}

async fn requestor(binary: &Path, dir: &Path, between: &[Relay]) -> RoleProcess {
    let store = format!("embedded:{}", dir.join("requestor").display());
    let mut args = owned(&["requestor", "--rest-addr", ANY_PORT, "--metrics-addr", ANY_PORT]);
    args.extend(owned(&["--store", &store]));
    for relay in between {
        args.extend(owned(&["--processor", &format!("http://{}", relay.address())]));
    }
    RoleProcess::start(binary, "requestor", args, dir).await
}
