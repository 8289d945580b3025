//! What a host has to do to take part in IPv6, as machines without input and output of their own.
//!
//! | file | what it decides |
//! |---|---|
//! | `source_selection` | which of our addresses a packet leaves from (RFC 6724) |

pub(crate) mod source_selection;
