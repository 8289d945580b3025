//! How TCP behaves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// How TCP behaves where a socket does not say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tcp {
    /// The largest segment to receive and send, in bytes of payload without options; where `None`, what the
    /// interface's MTU leaves (RFC 9293 §3.7.1).
    pub mss: Option<u16>,
    /// Offer and accept window scaling (RFC 7323 §2). Without it windows end at 65,535 bytes.
    pub window_scaling: bool,
    /// Offer and accept timestamps (RFC 7323 §3).
    pub timestamps: bool,
    /// Offer and accept selective acknowledgements (RFC 2018, RFC 2883).
    pub sack: bool,
    /// Hold small segments back while others are unacknowledged (Nagle, RFC 9293 §3.7.4).
    pub nagle: bool,
    /// The longest that an acknowledgement waits for company (RFC 9293 §3.8.6.3); zero sends each at once.
    #[serde(with = "duration")]
    pub delayed_ack: Duration,
    /// How many of a connection's first acknowledgements leave at once, as long as it only receives.
    pub quick_acks: u8,
    /// The retransmission timeout before a round trip was measured (RFC 6298 §2.1).
    #[serde(with = "duration")]
    pub rto_initial: Duration,
    /// The least retransmission timeout (RFC 6298 §2.4 recommends a second; the Internet runs on 200 ms).
    #[serde(with = "duration")]
    pub rto_min: Duration,
    /// The greatest retransmission timeout (RFC 6298 §2.5).
    #[serde(with = "duration")]
    pub rto_max: Duration,
    /// How often a SYN is repeated before the attempt fails (RFC 9293 §3.8.3: for at least 3 minutes).
    pub syn_retries: u8,
    /// How often a SYN-ACK is repeated before a handshake is forgotten.
    pub syn_ack_retries: u8,
    /// When SYNs are answered without remembering them (RFC 4987 §3.6).
    pub syn_cookies: SynCookies,
    /// Listeners take data that comes with a SYN (RFC 7413).
    pub fast_open: bool,
    /// Take it without a cookie as well: only where nobody can forge addresses.
    pub fast_open_without_cookie: bool,
    /// Try smaller segments where large ones go unanswered time and again (RFC 4821).
    pub black_hole_detection: bool,
    /// How often a segment is repeated, or a zero window probed, before the connection fails.
    pub retries: u8,
    /// How long data may stay unacknowledged before the connection fails; with zero, `retries` decide.
    #[serde(with = "duration")]
    pub user_timeout: Duration,
    /// Tell peers of the user timeout, and let theirs lengthen ours (RFC 5482).
    pub user_timeout_option: bool,
    /// Probe silent peers on every socket that does not decide for itself; off where `None`.
    pub keepalive: Option<KeepAlive>,
    /// How long a connection that we closed first is remembered (twice the MSL, RFC 9293 §3.6.1).
    #[serde(with = "duration")]
    pub time_wait: Duration,
    /// How long a closed socket waits for a peer that does not close its side.
    #[serde(with = "duration")]
    pub fin_wait_2: Duration,
    /// Bytes that a socket holds until they are acknowledged.
    pub send_buffer: usize,
    /// Bytes that a socket holds until they are read: the largest window that is offered.
    pub receive_buffer: usize,
    /// Segments that may be sent before the first acknowledgement (RFC 6928).
    pub initial_window: u8,
    /// How much may be in flight, on every socket that does not decide for itself.
    pub congestion_control: CongestionControl,
    /// Congestion marks instead of losses (RFC 3168).
    pub ecn: Ecn,
}

impl Default for Tcp {
    fn default() -> Self {
        Self {
            mss: None,
            window_scaling: true,
            timestamps: true,
            sack: true,
            nagle: true,
            delayed_ack: Duration::from_millis(40),
            quick_acks: 0,
            rto_initial: Duration::from_secs(1),
            rto_min: Duration::from_millis(200),
            rto_max: Duration::from_secs(60),
            syn_retries: 7,
            syn_ack_retries: 5,
            syn_cookies: SynCookies::default(),
            fast_open: false,
            fast_open_without_cookie: false,
            black_hole_detection: true,
            retries: 15,
            user_timeout: Duration::ZERO,
            user_timeout_option: false,
            keepalive: None,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            send_buffer: 1 << 20,
            receive_buffer: 1 << 20,
            initial_window: 10,
            congestion_control: CongestionControl::Cubic,
            ecn: Ecn::Accept,
        }
    }
}

/// When SYNs are answered without remembering them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SynCookies {
    /// Where no more handshakes can be remembered.
    #[default]
    WhenFull,
    /// Always.
    Always,
    /// Never: SYNs that cannot be remembered are dropped.
    Off,
}

/// An algorithm that decides how much may be in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CongestionControl {
    /// A segment more in each round trip, half the window for a loss (RFC 5681, RFC 6582).
    NewReno,
    /// Growth with the cube of the time since the last loss (RFC 9438), and slow start that heeds the round trip
    /// (RFC 9406).
    Cubic,
    /// A reduction by the share of marks, for data centres (RFC 8257).
    Dctcp,
    /// A rate that follows from a model of the path (BBRv3, draft-ietf-ccwg-bbr).
    Bbr,
}

/// Whether connections understand congestion marks (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ecn {
    /// Never.
    Off,
    /// Where the peer asks for it.
    Accept,
    /// Where the peer agrees when it is asked.
    On,
}

/// When to ask a silent peer whether it still lives (RFC 9293 §3.8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeepAlive {
    /// Silence before the first probe.
    #[serde(with = "duration")]
    pub idle: Duration,
    /// Time between probes.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Unanswered probes after which the connection fails.
    pub probes: u8,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 }
    }
}
