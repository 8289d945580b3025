//! Multicast groups, of IPv4 and of IPv6 alike: which ones sockets hear and whose datagrams in them, and what routers are
//! told of that.
//!
//! | file | what it knows |
//! |---|---|
//! | `filter` | whose datagrams to a group are wanted (RFC 3376 §3, RFC 3810 §4) |
//! | `joined` | the groups of one socket, and how they change |
//! | `memberships` | the groups of the whole stack, and when to tell routers (IGMP and MLD, all versions) |

pub(crate) mod filter;
pub(crate) mod joined;
pub(crate) mod memberships;
