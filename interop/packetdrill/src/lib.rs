//! netlane's core as packetdrill's stack under test.
//!
//! packetdrill plays a peer from a script: system calls, packets that arrive and packets that are expected, each at
//! its time. For stacks in user space it loads a library that has a [table of functions](abi::Interface). This is
//! that library: it drives a bare [`Stack`](netlane_core::Stack) under virtual time, so that a second of a script
//! takes as long as what happens in it. What protocols do is the core's business; here is only what POSIX says about
//! sockets.
//!
//! The binary of this package runs folders of scripts and tells which pass.
#![deny(missing_docs)]

pub mod abi;
pub mod settings;
pub mod sysctl;

mod address;
mod calls;
mod device;
mod epoll;
mod errno;
mod interpose;
mod memory;
mod session;
mod socket;
mod world;

pub use calls::packetdrill_interface_init;
pub use interpose::{getsockopt, sendfile};
