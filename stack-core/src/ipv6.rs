//! What a host has to do to take part in IPv6, as machines without input and output of their own.
//!
//! | file | what it decides |
//! |---|---|
//! | `host` | all of these together: what they know, and when the next one has something to do |
//! | `duplicate_address` | when an address is ours (RFC 4862 §5.4) |
//! | `router_discovery` | who leads off the link, and who is on it (RFC 4861 §6.3) |
//! | `autoconfiguration` | which addresses follow from advertised prefixes (RFC 4862 §5.5) |
//! | `source_selection` | which of our addresses a packet leaves from (RFC 6724) |

pub(crate) mod autoconfiguration;
pub(crate) mod duplicate_address;
pub(crate) mod host;
pub(crate) mod router_discovery;
pub(crate) mod source_selection;
