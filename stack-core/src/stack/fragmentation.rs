//! Packets that are larger than their path carries, cut by us (RFC 791 §2.3, RFC 8200 §4.5).

use netlane_packet_io::{PacketIo, TxOffload};

use super::link::{Hop, Link, NotSent, Outgoing, Slot};
use crate::counters::Counters;
use crate::wire::ipv6::extensions;
use crate::wire::{Fragment, Ipv4Repr, Ipv6Repr, Sum, ipv4, ipv6};

/// The headers of a packet that say where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum IpHeader {
    V4(Ipv4Repr),
    V6(Ipv6Repr),
    /// The header of a part, and the extension that says which part it is.
    V6Part(Ipv6Repr, [u8; extensions::FRAGMENT_HEADER_LEN]),
}

impl IpHeader {
    #[inline]
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::V4(_) => ipv4::HEADER_LEN,
            Self::V6(_) => ipv6::HEADER_LEN,
            Self::V6Part(..) => ipv6::HEADER_LEN + extensions::FRAGMENT_HEADER_LEN,
        }
    }

    #[inline]
    pub(super) fn emit(&self, out: &mut [u8]) {
        match self {
            Self::V4(repr) => repr.emit(out),
            Self::V6(repr) => repr.emit(out),
            Self::V6Part(repr, part) => {
                repr.emit(out);
                out[ipv6::HEADER_LEN..].copy_from_slice(part);
            }
        }
    }

    /// The header of the part of this packet that begins at `offset` and has `len` bytes. Over IPv6, `ident` tells
    /// the packet from others.
    fn of_part(&self, fragment: Fragment, len: usize, ident: u32) -> Self {
        match *self {
            Self::V4(whole) => Self::V4(Ipv4Repr {
                fragment: Some(fragment),
                payload_len: len as u16,
                dont_fragment: false,
                ..whole
            }),
            Self::V6(whole) | Self::V6Part(whole, _) => {
                let part =
                    extensions::fragment_header(whole.next_header, fragment.offset, fragment.more, ident);
                let repr = Ipv6Repr {
                    next_header: extensions::FRAGMENT,
                    payload_len: (len + extensions::FRAGMENT_HEADER_LEN) as u16,
                    ..whole
                };
                Self::V6Part(repr, part)
            }
        }
    }
}

impl<I: PacketIo> Link<I> {
    /// Sends a packet in parts that fit its path. The first one may have to wait for the device; if the others do,
    /// they are lost, and the packet with them.
    #[cold]
    pub(super) fn send_cut(
        &mut self,
        counters: &mut Counters,
        hop: &Hop,
        packet: &Outgoing,
        header: IpHeader,
        fill: impl FnOnce(Slot<'_>) -> TxOffload,
    ) -> Result<(), NotSent> {
        let mut uncut = core::mem::take(&mut self.uncut);
        uncut.clear();
        uncut.resize(packet.len, 0);
        let pseudo = Sum::pseudo(hop.source, packet.destination, packet.protocol, packet.len);
        // A device would sum a part up, not the whole.
        fill(Slot { bytes: &mut uncut, pseudo, offset: 0, may_offload: false });
        let ident = self.rng.u32(..);
        let header_len = header.of_part(Fragment { offset: 0, more: true }, 0, ident).len();
        // RFC 791 §3.2, RFC 8200 §4.5: parts begin at multiples of 8.
        let room = (self.last_hop.mtu.saturating_sub(header_len) & !7).max(8);
        let mut outcome = Ok(());
        for (n, part) in uncut.chunks(room).enumerate() {
            let offset = n * room;
            let fragment = Fragment { offset: offset as u16, more: offset + part.len() < uncut.len() };
            let header = header.of_part(fragment, part.len(), ident);
            let sent = self.send_packet(counters, hop, &header, part.len(), |bytes, _| {
                bytes.copy_from_slice(part);
                TxOffload::default()
            });
            if sent.is_err() {
                outcome = if n == 0 { sent } else { Ok(()) };
                break;
            }
            counters.tx_fragments += 1;
        }
        self.uncut = uncut;
        outcome
    }
}
