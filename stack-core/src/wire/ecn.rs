//! The congestion notification field of IPv4 and IPv6 (RFC 3168 §5, RFC 8311).

/// The field's bits in the type of service octet and in the traffic class.
pub const MASK: u8 = 0b11;
/// The transport does not understand marks.
pub const NOT_CAPABLE: u8 = 0b00;
/// The transport understands marks, ECT(0).
pub const CAPABLE: u8 = 0b10;
/// The packet met congestion, CE.
pub const EXPERIENCED: u8 = 0b11;
