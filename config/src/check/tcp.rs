//! TCP's values against their ranges, and against each other.

use std::time::Duration;

use humantime::format_duration;

use super::Findings;
use crate::{Config, Tcp};

/// The largest window that RFC 7323 §2.3 can announce: 65,535 bytes, shifted 14 times.
const MAX_WINDOW: usize = 65_535 << 14;

/// The headers of IPv4 and TCP, without options.
const HEADERS: u16 = 40;

/// Below this, headers cost more than the payload is worth. Linux draws the line here too: TCP_MIN_MSS in
/// include/net/tcp.h.
const MIN_MSS: u16 = 88;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let tcp = &config.tcp;
    segments(config, findings);
    timeouts(tcp, findings);
    if let Some(keepalive) = &tcp.keepalive {
        positive("tcp.keepalive.idle", keepalive.idle, findings);
        positive("tcp.keepalive.interval", keepalive.interval, findings);
        findings.expect_at_least("tcp.keepalive.probes", keepalive.probes, 1);
    }
}

fn segments(config: &Config, findings: &mut Findings) {
    let tcp = &config.tcp;
    let mtu = config.interface.mtu;
    let most = mtu.saturating_sub(HEADERS);
    if let Some(mss) = tcp.mss {
        findings.expect_at_least("tcp.mss", mss, MIN_MSS);
        if mss > most {
            findings.add(
                "tcp.mss",
                format!("segments of {mss} bytes do not fit an MTU of {mtu}"),
                format!(
                    "choose {most} or less, or raise `interface.mtu` to {}",
                    u32::from(mss) + u32::from(HEADERS)
                ),
            );
        }
    }
    let segment = usize::from(tcp.mss.unwrap_or(most));
    for (key, bytes) in [("tcp.send-buffer", tcp.send_buffer), ("tcp.receive-buffer", tcp.receive_buffer)] {
        if bytes < segment {
            findings.add(
                key,
                format!("{bytes} bytes do not hold one segment"),
                format!("choose from {segment} to {MAX_WINDOW}"),
            );
        } else if bytes > MAX_WINDOW {
            findings.add(
                key,
                format!("{bytes} bytes are more than a window can announce"),
                format!("choose from {segment} to {MAX_WINDOW}"),
            );
        }
    }
    findings.expect_at_least("tcp.initial-window", tcp.initial_window, 1);
}

fn timeouts(tcp: &Tcp, findings: &mut Findings) {
    // RFC 9293 §3.8.6.3: an acknowledgement waits for less than half a second.
    if tcp.delayed_ack >= Duration::from_millis(500) {
        findings.add(
            "tcp.delayed-ack",
            format!("{} is too long: peers would take segments for lost", format_duration(tcp.delayed_ack)),
            "choose less than \"500ms\"",
        );
    }
    positive("tcp.rto-min", tcp.rto_min, findings);
    positive("tcp.time-wait", tcp.time_wait, findings);
    positive("tcp.fin-wait-2", tcp.fin_wait_2, findings);
    if tcp.rto_min > tcp.rto_max {
        let (min, max) = (format_duration(tcp.rto_min), format_duration(tcp.rto_max));
        findings.add(
            "tcp.rto-min",
            format!("the least timeout, {min}, is above the greatest, {max}"),
            "lower `tcp.rto-min`, or raise `tcp.rto-max`",
        );
    } else if !(tcp.rto_min..=tcp.rto_max).contains(&tcp.rto_initial) {
        let [initial, min, max] = [tcp.rto_initial, tcp.rto_min, tcp.rto_max].map(format_duration);
        findings.add(
            "tcp.rto-initial",
            format!("{initial} is not between `tcp.rto-min` and `tcp.rto-max`"),
            format!("choose from \"{min}\" to \"{max}\""),
        );
    }
}

fn positive(key: &str, duration: Duration, findings: &mut Findings) {
    if duration.is_zero() {
        findings.add(key, "the time is zero", "choose a time with its unit, such as \"200ms\" or \"60s\"");
    }
}
