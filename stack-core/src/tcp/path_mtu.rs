//! Segments that fit the path (RFC 9293 §3.7.2, RFC 1191 §6.4, RFC 8201 §5.4).

use super::handshake::{MIN_MSS, TIMESTAMPS_LEN};
use super::synchronized::Synchronized;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::wire::{ipv4, ipv6, tcp};

impl<B: Buffers> Synchronized<B> {
    /// Makes segments to `remote` small enough for packets of `mtu` bytes. Returns whether they have become smaller:
    /// they never grow by this.
    pub(crate) fn follow_path_mtu(&mut self, remote: Address, mtu: usize) -> bool {
        let ip_len = if remote.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let options = self.timestamps.map_or(0, |_| usize::from(TIMESTAMPS_LEN));
        let mss = mtu.saturating_sub(ip_len + tcp::HEADER_LEN + options);
        let mss = u16::try_from(mss).unwrap_or(u16::MAX).max(MIN_MSS - options as u16);
        let smaller = mss < self.snd.mss;
        self.snd.mss = self.snd.mss.min(mss);
        smaller
    }
}
