//! A cluster as the command line sees it, through the kubeconfig: its resources, the REST of its
//! Services, and the state of an installation.

pub(crate) mod checks;
pub(crate) mod edit;
pub(crate) mod resources;
pub(crate) mod service_proxy;
