//! Segments that fit the path (RFC 9293 §3.7.2, RFC 1191 §6.4, RFC 8201 §5.4).

use super::Context;
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

    /// A timeout has come. Where large segments go unanswered time and again, their path may swallow them without
    /// a word (RFC 2923 §2.1): smaller ones may pass (RFC 4821 §7.7, RFC 8899 §4.3).
    pub(crate) fn suspect_black_hole(&mut self, cx: &mut Context<'_, B>) {
        let mss = if self.unanswered < 2 * TIMEOUTS { BASE_MSS } else { LEAST_MSS };
        let has_large = self.snd.max.since(self.snd.una) > u32::from(mss);
        if cx.config.black_hole_detection && self.unanswered >= TIMEOUTS && self.snd.mss > mss && has_large {
            self.snd.mss = mss;
            cx.counters.tcp_black_holes += 1;
        }
    }
}

/// Timeouts in a row before the size of segments is suspected.
const TIMEOUTS: u8 = 3;
/// What nearly every path carries: RFC 4821 §7.2 begins its search with it.
const BASE_MSS: u16 = 1_024;
/// What even the smallest paths carry (RFC 4821 §7.7: it should be lowered further where that did not help).
const LEAST_MSS: u16 = 512;
