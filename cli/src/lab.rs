//! Networks for experiments: namespaces that nobody else sees, and links in them. All of it is gone when the process
//! ends, however it ends.

pub(crate) mod link;
pub(crate) mod namespace;
pub(crate) mod veth;

mod netlink;
