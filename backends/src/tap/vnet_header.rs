//! The header before each frame of a device with `IFF_VNET_HDR`.

use netlane_packet_io::{IpVersion, RxChecksum, RxOffload, Transport, TxChecksum, TxOffload};

/// `struct virtio_net_hdr_mrg_rxbuf` in the byte order of this machine (virtio 1.2 §5.1.6; kernel:
/// `include/uapi/linux/virtio_net.h`). The buffer count at its end is unused with TAP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    header_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;

impl VnetHeader {
    pub(super) const LEN: usize = 12;

    /// What shall be done to a frame that is sent.
    pub(super) fn from_tx(TxOffload { checksum, segmentation }: TxOffload) -> Self {
        let mut header = Self::default();
        if let Some(TxChecksum { start, offset }) = checksum {
            (header.flags, header.csum_start, header.csum_offset) = (NEEDS_CSUM, start, offset);
        }
        if let Some(segmentation) = segmentation {
            header.gso_type = match (segmentation.transport, segmentation.ip) {
                (Transport::Tcp, IpVersion::V4) => GSO_TCPV4,
                (Transport::Tcp, IpVersion::V6) => GSO_TCPV6,
                (Transport::Udp, _) => GSO_UDP_L4,
            };
            header.header_len = segmentation.header_len;
            header.gso_size = segmentation.segment_size;
        }
        header
    }

    /// What is known of a frame that was received, and where its checksum is not filled in.
    pub(super) fn to_rx(self) -> (RxOffload, Option<TxChecksum>) {
        let checksum =
            if self.flags & (NEEDS_CSUM | DATA_VALID) == 0 { RxChecksum::Unknown } else { RxChecksum::Good };
        let segment_size = if self.gso_type == GSO_NONE { 0 } else { self.gso_size };
        let unfilled = (self.flags & NEEDS_CSUM != 0)
            .then_some(TxChecksum { start: self.csum_start, offset: self.csum_offset });
        (RxOffload { checksum, segment_size }, unfilled)
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        (bytes[0], bytes[1]) = (self.flags, self.gso_type);
        let words = [self.header_len, self.gso_size, self.csum_start, self.csum_offset];
        for (place, word) in bytes[2..10].as_chunks_mut::<2>().0.iter_mut().zip(words) {
            *place = word.to_ne_bytes();
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0],
            gso_type: bytes[1],
            header_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlane_packet_io::Segmentation;

    #[test]
    fn plain_frame_has_an_empty_header() {
        assert_eq!(VnetHeader::from_tx(TxOffload::default()).to_bytes(), [0; VnetHeader::LEN]);
        assert_eq!(VnetHeader::from_bytes([0; VnetHeader::LEN]).to_rx(), (RxOffload::default(), None));
    }

    #[test]
    fn segmentation_is_laid_out_as_in_virtio_net_h() {
        let segmentation =
            Segmentation { transport: Transport::Tcp, ip: IpVersion::V6, header_len: 86, segment_size: 1428 };
        let checksum = TxChecksum { start: 54, offset: 16 };
        let offload = TxOffload { checksum: Some(checksum), segmentation: Some(segmentation) };
        let mut expected = vec![1, 4];
        for word in [86_u16, 1428, 54, 16, 0] {
            expected.extend(word.to_ne_bytes());
        }
        let header = VnetHeader::from_tx(offload);
        assert_eq!(header.to_bytes()[..], expected);
        assert_eq!(VnetHeader::from_bytes(header.to_bytes()), header);
        let good = RxOffload { checksum: RxChecksum::Good, segment_size: 1428 };
        assert_eq!(header.to_rx(), (good, Some(checksum)));
    }

    /// `VIRTIO_NET_HDR_GSO_UDP_L4`.
    #[test]
    fn datagrams_are_cut_whatever_carries_them() {
        for ip in [IpVersion::V4, IpVersion::V6] {
            let segmentation =
                Segmentation { transport: Transport::Udp, ip, header_len: 42, segment_size: 1000 };
            let header = VnetHeader::from_tx(TxOffload { checksum: None, segmentation: Some(segmentation) });
            assert_eq!((header.gso_type, header.gso_size), (5, 1000));
        }
    }

    #[test]
    fn frame_that_the_kernel_verified_has_its_checksum_filled_in() {
        let verified = VnetHeader { flags: 2, ..VnetHeader::default() };
        assert_eq!(verified.to_rx(), (RxOffload { checksum: RxChecksum::Good, segment_size: 0 }, None));
    }
}
