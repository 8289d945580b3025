//! Simulated hosts, links and time for testing netlane.
//!
//! - [`World`]: hosts with a stack each, joined by links that may be bad, under a clock that jumps from one event
//!   to the next. The same seed gives the same run, to the last bit of the last frame.
//! - [`Script`]: one stack against a peer that the test plays itself, segment by segment.
//! - [`impairment`]: the bad link alone, as a machine without a clock.

pub mod impairment;

#[cfg(feature = "hosts")]
mod device;
#[cfg(feature = "hosts")]
mod narrow;
#[cfg(feature = "hosts")]
mod offload;
#[cfg(feature = "hosts")]
mod packet;
#[cfg(feature = "hosts")]
mod runs;
#[cfg(feature = "hosts")]
mod script;
#[cfg(feature = "hosts")]
mod seed;
#[cfg(feature = "hosts")]
mod segment;
#[cfg(feature = "hosts")]
mod trace;
#[cfg(feature = "hosts")]
mod world;

#[cfg(feature = "hosts")]
pub use device::{DeviceConfig, SimDevice, SimFrame};
#[cfg(feature = "hosts")]
pub use narrow::Narrow;
#[cfg(feature = "hosts")]
pub use runs::many_runs;
#[cfg(feature = "hosts")]
pub use script::{Script, ScriptBuilder};
#[cfg(feature = "hosts")]
pub use seed::{pattern, seed};
#[cfg(feature = "hosts")]
pub use segment::{Seg, ack, data, fin, rst, rst_ack, syn, syn_ack};
#[cfg(feature = "hosts")]
pub use trace::Trace;
#[cfg(feature = "hosts")]
pub use world::{Host, HostId, SimStack, World};
