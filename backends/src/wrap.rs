//! Wrappers: a [`PacketIo`](netlane_packet_io::PacketIo) over any other one.
//!
//! They may be stacked. A capture over an impaired link shows what the stack sees; an impaired link over a capture
//! leaves a capture of what the device sees.

#[cfg(feature = "impair")]
pub mod impair;
#[cfg(feature = "pcap")]
pub mod pcap;
