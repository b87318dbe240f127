//! The processes of one run, the links between them and the clients, and their disks.

mod disk;
mod process;
mod relay;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

pub use self::disk::Disk;
pub use self::process::Role;
pub use self::relay::Relay;
use crate::plan::{Link, Shape, Weather, Whom};

/// The product's addresses for clients: the near ends of the links.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Each processor's REST.
    pub rest: Vec<SocketAddr>,
    /// Each processor's gRPC.
    pub grpc: Vec<SocketAddr>,
    /// The requestor's REST.
    pub requestor: SocketAddr,
    /// Each process's name and the address of its metrics, without a link between.
    pub metrics: Vec<(String, SocketAddr)>,
    /// The binary, for its verbs.
    pub binary: PathBuf,
}

/// All processes of one run.
#[derive(Debug)]
pub struct World {
    shape: Shape,
    /// The processors; in `dev` the one process.
    pub processors: Vec<Role>,
    /// The requestor, where it is a process of its own.
    pub requestor: Option<Role>,
    disks: Vec<Disk>,
    rest: Vec<Relay>,
    grpc: Vec<Relay>,
    between: Vec<Relay>,
    buyers: Relay,
    addresses: Addresses,
}

const ANY_PORT: &str = "127.0.0.1:0";

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

impl World {
    /// Starts all processes of this shape, in this folder, with these sellers.
    pub async fn start(binary: &Path, shape: Shape, dir: &Path, sellers: &[&str]) -> Self {
        let disks: Vec<Disk> = (0..shape.processors())
            .map(|number| Disk::make(&dir.join(format!("disk-{number}"))))
            .collect();
        let mut processors = Vec::new();
        for (number, disk) in disks.iter().enumerate() {
            let role = match shape {
                Shape::Dev => dev(binary, dir, disk).await,
                Shape::Pair | Shape::Peers => {
                    processor(binary, (dir, disk), sellers, (shape, number)).await
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
        if shape == Shape::Peers {
            introduce(dir, &processors);
        }
        let requestor = match shape {
            Shape::Dev => None,
            Shape::Pair | Shape::Peers => Some(requestor(binary, dir, &between).await),
        };
        let owner = requestor.as_ref().or_else(|| processors.first()).unwrap();
        let buyers = Relay::start(owner.address("requestor")).await;
        let all = processors.iter().chain(&requestor);
        let addresses = Addresses {
            rest: rest.iter().map(Relay::address).collect(),
            grpc: grpc.iter().map(Relay::address).collect(),
            requestor: buyers.address(),
            metrics: all.map(|role| (role.name().to_owned(), role.address("metrics"))).collect(),
            binary: binary.to_owned(),
        };
        Self { shape, processors, requestor, disks, rest, grpc, between, buyers, addresses }
    }

    /// Returns the addresses for clients.
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Returns the set of processes.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns a process.
    pub fn role(&mut self, whom: Whom) -> &mut Role {
        match (whom, &mut self.requestor) {
            (Whom::Requestor, Some(requestor)) => requestor,
            (Whom::Requestor, None) => &mut self.processors[0],
            (Whom::Processor(number), _) => &mut self.processors[number],
        }
    }

    /// Returns a processor's disk.
    pub fn disk(&self, number: usize) -> &Disk {
        &self.disks[number]
    }

    /// Changes the state of a link.
    pub fn weather(&self, link: Link, weather: Weather) {
        let relay = match link {
            Link::Rest(number) => &self.rest[number],
            Link::Grpc(number) => &self.grpc[number],
            Link::Between(number) => &self.between[number],
            Link::Requestor => &self.buyers,
        };
        relay.set(weather);
    }

    /// Returns all processes.
    pub fn roles(&mut self) -> impl Iterator<Item = &mut Role> {
        self.processors.iter_mut().chain(&mut self.requestor)
    }
}

async fn dev(binary: &Path, dir: &Path, disk: &Disk) -> Role {
    let data = disk.dir().join("data");
    let mut args = owned(&["dev", "--sellers", "0", "--data-dir", data.to_str().unwrap()]);
    for flag in ["--grpc-addr", "--rest-addr", "--requestor-addr", "--metrics-addr"] {
        args.extend(owned(&[flag, ANY_PORT]));
    }
    Role::start(binary, "dev", args, dir).await
}

async fn processor(
    binary: &Path,
    (dir, disk): (&Path, &Disk),
    sellers: &[&str],
    (shape, number): (Shape, usize),
) -> Role {
    let data = disk.dir().join("data");
    let known = dir.join("sellers.yaml");
    let manifest = |name: &&str| {
        json!({"apiVersion": "orderstream.dev/v1alpha1", "kind": "Seller",
            "metadata": {"name": name}, "spec": {}})
        .to_string()
    };
    let text = sellers.iter().map(manifest).collect::<Vec<_>>().join("\n---\n");
    std::fs::write(&known, text).unwrap();
    let mut args = owned(&["processor", "--data-dir", data.to_str().unwrap()]);
    args.extend(owned(&["--sellers", known.to_str().unwrap()]));
    if shape == Shape::Peers {
        let peers = dir.join("peers");
        std::fs::write(&peers, "").unwrap();
        args.extend(owned(&["--peers", peers.to_str().unwrap()]));
    }
    for flag in ["--grpc-addr", "--rest-addr", "--metrics-addr"] {
        args.extend(owned(&[flag, ANY_PORT]));
    }
    Role::start(binary, &format!("processor-{number}"), args, dir).await
}

/// Makes all processors known to each other; they read the file again by themselves.
fn introduce(dir: &Path, processors: &[Role]) {
    let lines = processors.iter().map(|role| format!("http://{}\n", role.address("grpc")));
    std::fs::write(dir.join("peers"), lines.collect::<String>()).unwrap();
}

async fn requestor(binary: &Path, dir: &Path, between: &[Relay]) -> Role {
    let store = format!("embedded:{}", dir.join("requestor").display());
    let mut args = owned(&["requestor", "--rest-addr", ANY_PORT, "--metrics-addr", ANY_PORT]);
    args.extend(owned(&["--store", &store]));
    for relay in between {
        args.extend(owned(&["--processor", &format!("http://{}", relay.address())]));
    }
    Role::start(binary, "requestor", args, dir).await
}
