//! The Dynamic Host Configuration Protocol (RFC 2131, RFC 2132): what a client writes and reads.

use core::net::Ipv4Addr;

use arrayvec::ArrayVec;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{MacAddr, Malformed};

/// The UDP port of clients (RFC 2131 §4.1).
pub const CLIENT_PORT: u16 = 68;
/// The UDP port of servers.
pub const SERVER_PORT: u16 = 67;
/// Length of every message that [`DhcpRequest::emit`] writes: relays of BOOTP want 300 bytes at least (RFC 1542 §2.1).
pub const REQUEST_LEN: usize = 300;
/// The most routers and the most DNS servers that are kept of a message.
pub const MAX_SERVERS: usize = 4;

/// What a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhcpRequest {
    /// What it is for.
    pub kind: RequestKind,
    /// What the answer will bear.
    pub xid: u32,
    /// Seconds since the client began.
    pub seconds: u16,
    /// The client's Ethernet address.
    pub mac: MacAddr,
    /// The client's address, where it has one that it answers to; unspecified otherwise.
    pub client: Ipv4Addr,
    /// The address that is asked for, declined or accepted.
    pub requested: Option<Ipv4Addr>,
    /// The server that is spoken to.
    pub server: Option<Ipv4Addr>,
}

/// What a client's message is for (RFC 2131 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Is there a server?
    Discover,
    /// May I have, or keep, this address?
    Request,
    /// Somebody else has it.
    Decline,
    /// I need it no longer.
    Release,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpReply {
    /// What it says.
    pub kind: ReplyKind,
    /// As in the client's message.
    pub xid: u32,
    /// The Ethernet address of the client that is meant.
    pub mac: MacAddr,
    /// The client's address.
    pub address: Ipv4Addr,
    /// The server's name for itself.
    pub server: Option<Ipv4Addr>,
    /// The length of the prefix of the client's subnet.
    pub prefix_len: Option<u8>,
    /// For how many seconds the client may use the address; `u32::MAX` for ever.
    pub lease: Option<u32>,
    /// After how many seconds to ask the server for more time (T1).
    pub renewal: Option<u32>,
    /// After how many seconds to ask any server (T2).
    pub rebinding: Option<u32>,
    /// Routers, the best first.
    pub routers: ArrayVec<Ipv4Addr, MAX_SERVERS>,
    /// DNS servers, the best first.
    pub dns: ArrayVec<Ipv4Addr, MAX_SERVERS>,
}

/// What a server's message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// You can have this address.
    Offer,
    /// It is yours.
    Ack,
    /// It is not.
    Nak,
}

impl DhcpRequest {
    /// Writes the message to `out`.
    ///
    /// # Panics
    /// If `out` is shorter than [`REQUEST_LEN`].
    pub fn emit(&self, out: &mut [u8]) {
        const ETHERNET: u8 = 1;
        let Self { kind, xid, seconds, mac, client, requested, server } = *self;
        let out = &mut out[..REQUEST_LEN];
        out.fill(0);
        let (header, options) = Header::mut_from_prefix(out).expect("room for a message");
        header.op = BOOT_REQUEST;
        header.hardware = ETHERNET;
        header.hardware_len = 6;
        header.xid = xid.into();
        header.seconds = seconds.into();
        // RFC 2131 §4.1: a packet for an address that we don't have yet would be dropped.
        header.flags = if client.is_unspecified() { BROADCAST } else { 0 }.into();
        header.client = client.octets();
        header.mac[..6].copy_from_slice(&mac.0);
        header.cookie = COOKIE;
        let mut at = 0;
        let mut put = |code: u8, value: &[u8]| {
            options[at] = code;
            options[at + 1] = value.len() as u8;
            options[at + 2..at + 2 + value.len()].copy_from_slice(value);
            at += 2 + value.len();
        };
        put(MESSAGE_TYPE, &[kind.code()]);
        put(CLIENT_ID, &client_id(mac));
        if let Some(address) = requested {
            put(REQUESTED_ADDRESS, &address.octets());
        }
        if let Some(address) = server {
            put(SERVER_ID, &address.octets());
        }
        // RFC 2131 §4.4.1: these tell nobody anything that wants to go, or to have no more to do with an address.
        if matches!(kind, RequestKind::Discover | RequestKind::Request) {
            put(MAX_MESSAGE_SIZE, &1_500_u16.to_be_bytes());
            put(PARAMETER_LIST, &[SUBNET_MASK, ROUTER, DNS_SERVER, LEASE_TIME, RENEWAL, REBINDING]);
        }
        options[at] = END;
    }
}

impl RequestKind {
    const fn code(self) -> u8 {
        match self {
            Self::Discover => 1,
            Self::Request => 3,
            Self::Decline => 4,
            Self::Release => 7,
        }
    }
}

impl DhcpReply {
    /// Reads a server's message, given as a UDP datagram's payload.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::Unsupported`] for requests, for other hardware than Ethernet and for
    /// what is BOOTP alone; [`Malformed::BadOption`] if the options end too early or a length is not right.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (header, options) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let is_reply = header.op == BOOT_REPLY && header.hardware == 1 && header.hardware_len == 6;
        if !is_reply || header.cookie != COOKIE {
            return Err(Malformed::Unsupported);
        }
        let [a, b, c, d, e, f, ..] = header.mac;
        let mut reply = Self {
            kind: ReplyKind::Nak,
            xid: header.xid.get(),
            mac: MacAddr([a, b, c, d, e, f]),
            address: Ipv4Addr::from_octets(header.your),
            server: None,
            prefix_len: None,
            lease: None,
            renewal: None,
            rebinding: None,
            routers: ArrayVec::new(),
            dns: ArrayVec::new(),
        };
        let mut found = Found::default();
        reply.read_options(options, &mut found)?;
        // RFC 2132 §9.3: options may go on in the fields for a boot file and a server's name.
        if found.overload & 1 != 0 {
            reply.read_options(&header.file, &mut found)?;
        }
        if found.overload & 2 != 0 {
            reply.read_options(&header.server_name, &mut found)?;
        }
        reply.kind = found.kind.ok_or(Malformed::Unsupported)?;
        Ok(reply)
    }

    fn read_options(&mut self, mut options: &[u8], found: &mut Found) -> Result<(), Malformed> {
        loop {
            options = match *options {
                [] | [END, ..] => return Ok(()),
                [PAD, ref rest @ ..] => rest,
                [code, len, ref rest @ ..] => {
                    let (value, rest) =
                        rest.split_at_checked(usize::from(len)).ok_or(Malformed::BadOption)?;
                    self.read_option(code, value, found)?;
                    rest
                }
                [_] => return Err(Malformed::BadOption),
            };
        }
    }

    fn read_option(&mut self, code: u8, value: &[u8], found: &mut Found) -> Result<(), Malformed> {
        match code {
            MESSAGE_TYPE => {
                found.kind = match value {
                    [2] => Some(ReplyKind::Offer),
                    [5] => Some(ReplyKind::Ack),
                    [6] => Some(ReplyKind::Nak),
                    [_] => return Err(Malformed::Unsupported),
                    _ => return Err(Malformed::BadOption),
                }
            }
            OVERLOAD => found.overload = exact::<1>(value)?[0],
            SERVER_ID => self.server = Some(Ipv4Addr::from_octets(exact(value)?)),
            SUBNET_MASK => {
                let mask = u32::from_be_bytes(exact(value)?);
                // A mask with holes is no prefix.
                let is_prefix = mask.leading_ones() == mask.count_ones();
                self.prefix_len = Some(mask.leading_ones() as u8).filter(|_| is_prefix);
            }
            LEASE_TIME => self.lease = Some(u32::from_be_bytes(exact(value)?)),
            RENEWAL => self.renewal = Some(u32::from_be_bytes(exact(value)?)),
            REBINDING => self.rebinding = Some(u32::from_be_bytes(exact(value)?)),
            ROUTER => add_hosts(&mut self.routers, value),
            DNS_SERVER => add_hosts(&mut self.dns, value),
            _ => {}
        }
        Ok(())
    }
}

/// What options say about the message itself.
#[derive(Default)]
struct Found {
    kind: Option<ReplyKind>,
    overload: u8,
}

fn exact<const N: usize>(value: &[u8]) -> Result<[u8; N], Malformed> {
    value.try_into().map_err(|_| Malformed::BadOption)
}

fn add_hosts(hosts: &mut ArrayVec<Ipv4Addr, MAX_SERVERS>, value: &[u8]) {
    for octets in value.as_chunks::<4>().0 {
        let address = Ipv4Addr::from_octets(*octets);
        if !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast() {
            // More than we keep are not missed.
            let _ = hosts.try_push(address);
        }
    }
}

/// The client's name for itself (RFC 4361 §6.1): type 255, the interface as a number, which is ours to choose, and
/// a DUID made of the Ethernet address (RFC 8415 §11.4).
fn client_id(mac: MacAddr) -> [u8; 15] {
    let [a, b, c, d, e, f] = mac.0;
    [255, c, d, e, f, 0, 3, 0, 1, a, b, c, d, e, f]
}

const BOOT_REQUEST: u8 = 1;
const BOOT_REPLY: u8 = 2;
const BROADCAST: u16 = 0x8000;
/// What tells DHCP from BOOTP (RFC 2131 §3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];

const PAD: u8 = 0;
const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS_SERVER: u8 = 6;
const REQUESTED_ADDRESS: u8 = 50;
const LEASE_TIME: u8 = 51;
const OVERLOAD: u8 = 52;
const MESSAGE_TYPE: u8 = 53;
const SERVER_ID: u8 = 54;
const PARAMETER_LIST: u8 = 55;
const MAX_MESSAGE_SIZE: u8 = 57;
const RENEWAL: u8 = 58;
const REBINDING: u8 = 59;
const CLIENT_ID: u8 = 61;
const END: u8 = 255;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    op: u8,
    hardware: u8,
    hardware_len: u8,
    hops: u8,
    xid: U32,
    seconds: U16,
    flags: U16,
    client: [u8; 4],
    your: [u8; 4],
    next_server: [u8; 4],
    relay: [u8; 4],
    mac: [u8; 16],
    server_name: [u8; 64],
    file: [u8; 128],
    cookie: [u8; 4],
}

#[cfg(test)]
pub(crate) mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);

    /// A server's message with these options.
    pub(crate) fn reply(xid: u32, mac: MacAddr, address: Ipv4Addr, options: &[&[u8]]) -> Vec<u8> {
        let mut bytes = alloc::vec![0; size_of::<Header>()];
        let (header, _) = Header::mut_from_prefix(&mut bytes).unwrap();
        (header.op, header.hardware, header.hardware_len) = (BOOT_REPLY, 1, 6);
        header.xid = xid.into();
        header.your = address.octets();
        header.mac[..6].copy_from_slice(&mac.0);
        header.cookie = COOKIE;
        options.iter().for_each(|option| bytes.extend_from_slice(option));
        bytes.push(END);
        bytes
    }

    #[test]
    fn a_discover_is_what_rfc_2131_wants() {
        let request = DhcpRequest {
            kind: RequestKind::Discover,
            xid: 0x0102_0304,
            seconds: 5,
            mac: MAC,
            client: Ipv4Addr::UNSPECIFIED,
            requested: None,
            server: None,
        };
        let mut out = [0xaa; REQUEST_LEN];
        request.emit(&mut out);
        // op, htype, hlen, hops, xid, secs, flags with BROADCAST (RFC 2131 figures 1 and 2).
        assert_eq!(out[..12], [1, 1, 6, 0, 1, 2, 3, 4, 0, 5, 0x80, 0]);
        assert_eq!(out[12..28], [0; 16]);
        assert_eq!(out[28..34], MAC.0);
        assert_eq!(out[236..240], [99, 130, 83, 99]);
        assert_eq!(out[240..243], [53, 1, 1]);
        // RFC 4361 §6.1: type 255, IAID, and a DUID-LL (type 3, hardware type 1).
        assert_eq!(out[243..260], [61, 15, 255, 0, 0, 0, 7, 0, 3, 0, 1, 2, 0, 0, 0, 0, 7]);
        assert_eq!(out[260..264], [57, 2, 0x05, 0xdc]);
        assert_eq!(out[264..272], [55, 6, 1, 3, 6, 51, 58, 59]);
        assert_eq!(out[272], 255);
        assert_eq!(out[273..], [0; REQUEST_LEN - 273]);
    }

    #[test]
    fn a_client_with_an_address_wants_no_broadcast() {
        let client = Ipv4Addr::new(10, 0, 0, 9);
        let request = DhcpRequest {
            kind: RequestKind::Release,
            xid: 1,
            seconds: 0,
            mac: MAC,
            client,
            requested: None,
            server: Some(Ipv4Addr::new(10, 0, 0, 1)),
        };
        let mut out = [0; REQUEST_LEN];
        request.emit(&mut out);
        assert_eq!(out[10..16], [0, 0, 10, 0, 0, 9]);
        assert_eq!(out[260..267], [54, 4, 10, 0, 0, 1, 255]);
    }

    #[test]
    fn an_offer_is_read() {
        let bytes = reply(
            7,
            MAC,
            Ipv4Addr::new(10, 0, 0, 9),
            &[
                &[53, 1, 2],
                &[54, 4, 10, 0, 0, 1],
                &[0, 0],
                &[1, 4, 255, 255, 255, 0],
                &[51, 4, 0, 0, 14, 16],
                &[58, 4, 0, 0, 7, 8],
                &[59, 4, 0, 0, 12, 78],
                &[3, 8, 10, 0, 0, 1, 10, 0, 0, 2],
                &[6, 12, 8, 8, 8, 8, 0, 0, 0, 0, 9, 9, 9, 9],
                &[200, 3, 1, 2, 3],
            ],
        );
        let read = DhcpReply::parse(&bytes).unwrap();
        assert_eq!((read.kind, read.xid, read.mac), (ReplyKind::Offer, 7, MAC));
        assert_eq!(read.address, Ipv4Addr::new(10, 0, 0, 9));
        assert_eq!(read.server, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(read.prefix_len, Some(24));
        assert_eq!((read.lease, read.renewal, read.rebinding), (Some(3_600), Some(1_800), Some(3_150)));
        assert_eq!(read.routers[..], [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)]);
        assert_eq!(read.dns[..], [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(9, 9, 9, 9)]);
    }

    #[test]
    fn options_go_on_in_the_other_fields() {
        let mut bytes = reply(7, MAC, Ipv4Addr::UNSPECIFIED, &[&[52, 1, 3]]);
        let (header, _) = Header::mut_from_prefix(&mut bytes).unwrap();
        header.file[..4].copy_from_slice(&[53, 1, 5, END]);
        header.server_name[..7].copy_from_slice(&[51, 4, 0, 0, 0, 60, END]);
        let read = DhcpReply::parse(&bytes).unwrap();
        assert_eq!((read.kind, read.lease), (ReplyKind::Ack, Some(60)));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let parse =
            |options: &[&[u8]]| DhcpReply::parse(&reply(7, MAC, Ipv4Addr::UNSPECIFIED, options)).map(drop);
        assert_eq!(parse(&[&[53, 1, 6]]), Ok(()));
        assert_eq!(parse(&[]), Err(Malformed::Unsupported), "BOOTP");
        assert_eq!(parse(&[&[53, 1, 1]]), Err(Malformed::Unsupported), "a client's");
        assert_eq!(parse(&[&[53, 2, 2, 2]]), Err(Malformed::BadOption));
        assert_eq!(parse(&[&[53, 1, 2], &[51, 3, 0, 0, 0]]), Err(Malformed::BadOption));
        assert_eq!(parse(&[&[53, 1, 2], &[200, 9, 1]]), Err(Malformed::BadOption));
        let mut bytes = reply(7, MAC, Ipv4Addr::UNSPECIFIED, &[&[53, 1, 2]]);
        assert_eq!(DhcpReply::parse(&bytes[..239]).map(drop), Err(Malformed::Truncated));
        bytes[0] = 1;
        assert_eq!(DhcpReply::parse(&bytes).map(drop), Err(Malformed::Unsupported));
        // A mask with holes tells nothing.
        let holes = reply(7, MAC, Ipv4Addr::UNSPECIFIED, &[&[53, 1, 2], &[1, 4, 255, 0, 255, 0]]);
        assert_eq!(DhcpReply::parse(&holes).unwrap().prefix_len, None);
    }

    proptest! {
        #[test]
        fn any_options_are_answered(options in prop::collection::vec(any::<u8>(), 0..200), op in 1..3_u8) {
            let mut bytes = reply(7, MAC, Ipv4Addr::UNSPECIFIED, &[&[53, 1, 2], &options]);
            bytes[0] = op;
            let _ = DhcpReply::parse(&bytes);
        }
    }
}
