//! What the stack counts: traffic, and every packet that it dropped, by reason.

/// Declares the counters, each with its name and its meaning.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts since the stack was made. They wrap around after 2^64.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// Every counter's name and value, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

counters! {
    /// Frames that arrived.
    rx_frames,
    /// Bytes of frames that arrived.
    rx_bytes,
    /// Frames that were sent.
    tx_frames,
    /// Bytes of frames that were sent.
    tx_bytes,
    /// Frames dropped: for another Ethernet address.
    rx_other_mac,
    /// Frames dropped: of another VLAN.
    rx_other_vlan,
    /// Frames dropped: of a protocol that the stack does not speak.
    rx_unknown_protocol,
    /// Packets dropped: for an address that is not ours.
    rx_other_address,
    /// Packets dropped: from an address that nobody can have.
    rx_bad_source,
    /// Packets dropped: a header ends before its length says.
    rx_truncated,
    /// Packets dropped: a length or version that cannot be.
    rx_malformed,
    /// Packets dropped: a wrong checksum.
    rx_bad_checksum,
    /// Packets dropped: malformed or forbidden options.
    rx_bad_options,
    /// Fragments of packets that arrived.
    rx_fragments,
    /// Packets that were put together from fragments.
    rx_reassembled,
    /// Fragments dropped: the same ones are there already.
    rx_fragments_duplicate,
    /// Fragments dropped: they, or others of the same packet, overlap (RFC 5722).
    rx_fragments_overlapping,
    /// Fragments and incomplete packets dropped: there were too many.
    rx_fragments_full,
    /// Incomplete packets dropped: a fragment did not come in time.
    rx_fragments_timed_out,
    /// Segments of no connection here, passed on to the stack of another queue.
    rx_strays,
    /// ICMP errors not believed: they quote a segment that is not on its way (RFC 5927).
    rx_icmp_doubted,
    /// Paths that were found to carry less than was thought.
    path_mtus_learnt,
    /// Router advertisements ignored: the stack's addresses and routes come from its configuration alone.
    rx_unwanted_advertisements,
    /// Redirects ignored: they are not wanted, or come from another than the first hop.
    rx_redirects_ignored,
    /// Messages of neighbour discovery dropped: they came in fragments (RFC 6980).
    rx_fragmented_ndp,
    /// Addresses given up: somebody else had them already (RFC 4862 §5.4).
    duplicate_addresses,
    /// Claims of others to have an address of ours, by ARP or by neighbour discovery.
    address_conflicts,
    /// Packets dropped: no socket wanted them.
    rx_no_socket,
    /// Datagrams dropped: the socket's receive buffer was full.
    rx_socket_full,
    /// Packets sent to one of our own addresses.
    looped_packets,
    /// Fragments of packets that were sent.
    tx_fragments,
    /// Packets not sent: no route leads to their destination.
    tx_no_route,
    /// Packets not sent: too large for the path, and not to be cut.
    tx_too_large,
    /// Packets not sent: the neighbour does not answer.
    tx_unreachable,
    /// Packets not sent: too many waited for the same neighbour.
    tx_neighbor_queue_full,
    /// Packets put off: no buffer was free, or the device took no more.
    tx_deferred,
    /// Answers not sent: the device was busy, or the limit of errors per second was reached.
    tx_suppressed,
    /// Connections refused: the table of sockets was full.
    sockets_full,
    /// Connections refused: no buffers were left.
    buffers_full,
    /// Turns that began with little memory left: peers were allowed to send little.
    memory_pressure,
    /// Connections that we opened.
    tcp_active_opens,
    /// Connections that peers opened.
    tcp_passive_opens,
    /// Segments that arrived, as the device delivered them.
    tcp_segments_received,
    /// Those of them that were super-segments: several in one piece.
    tcp_super_segments_received,
    /// Segments that were sent, as the device took them.
    tcp_segments_sent,
    /// Those of them that were super-segments, for the device to cut.
    tcp_super_segments_sent,
    /// Resets that were sent.
    tcp_resets_sent,
    /// SYNs dropped: too many handshakes, of one listener or of all.
    tcp_syn_queue_full,
    /// SYNs answered with a cookie: nothing was remembered.
    tcp_syn_cookies_sent,
    /// Cookies that came back and opened a connection.
    tcp_syn_cookies_accepted,
    /// Segments of no connection that could have brought a cookie back and did not.
    tcp_syn_cookies_refused,
    /// SYNs, and segments that would complete a handshake, dropped: too many connections waited to be accepted.
    tcp_accept_queue_full,
    /// Connections that were opened by data on a SYN, before their handshake was complete.
    tcp_fast_opens,
    /// Our SYNs with a Fast Open cookie, or the wish for one, that were lost: the server is asked no more for a while.
    tcp_fast_syns_lost,
    /// SYNs with a Fast Open cookie that is not good, or not any more.
    tcp_fast_open_bad_cookies,
    /// SYNs with a good cookie that had to wait for their handshake: too many others did.
    tcp_fast_open_queue_full,
    /// Segments dropped: outside of the window.
    tcp_out_of_window,
    /// Segments dropped: without ACK where all must have it.
    tcp_without_ack,
    /// Segments dropped: without timestamps where both ends have agreed to send them.
    tcp_without_timestamp,
    /// Segments dropped: older than what has arrived (PAWS).
    tcp_outdated_timestamp,
    /// Bytes cut off: beyond the window or the buffer.
    tcp_bytes_beyond_window,
    /// Segments kept while bytes before them are missing.
    tcp_out_of_order,
    /// Segments that had arrived before, in whole or in part.
    tcp_duplicate_segments,
    /// Segments dropped: too many gaps before them.
    tcp_out_of_order_full,
    /// Connections ended: data came after the user had closed.
    tcp_data_after_close,
    /// Suspicious segments answered with an acknowledgement (RFC 5961).
    tcp_challenge_acks,
    /// Acknowledgements that repeat an earlier one.
    tcp_duplicate_acks,
    /// Segments sent once more, as the device took them.
    tcp_retransmissions,
    /// Those of them that acknowledgements had shown to be lost.
    tcp_fast_retransmissions,
    /// Segments sent to learn whether the last ones were lost (RFC 8985).
    tcp_tail_loss_probes,
    /// Reductions of the window that turned out to be needless, and were undone.
    tcp_spurious_recoveries,
    /// Segments with data that had met congestion on their way (RFC 3168).
    tcp_congestion_marks,
    /// Reductions of the window because peers had told of such segments.
    tcp_congestion_reductions,
    /// Segments that peers told to have received twice (RFC 2883).
    tcp_duplicates_told,
    /// Retransmission timers that went off.
    tcp_retransmission_timeouts,
    /// Connections that went over to smaller segments, because large ones went unanswered.
    tcp_black_holes,
    /// Probes of closed windows.
    tcp_window_probes,
    /// Keep-alive probes.
    tcp_keepalive_probes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_listed_by_its_name() {
        let counters = Counters { rx_frames: 7, tcp_keepalive_probes: 9, ..Counters::default() };
        assert_eq!(counters.iter().next(), Some(("rx_frames", 7)));
        assert_eq!(counters.iter().last(), Some(("tcp_keepalive_probes", 9)));
    }
}
