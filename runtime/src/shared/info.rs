//! What a lane tells of a connection, as numbers in its report.

use std::time::Duration;

use netlane_core::{LossRecovery, TcpInfo, TcpState};

use super::job::{algorithm_code, algorithm_of};

/// Values of a [`TcpInfo`] in a report.
const VALUES: usize = 22;

/// How a connection fares. The first value, its state, is never 0.
pub(crate) fn info_words(info: &TcpInfo) -> [u64; VALUES] {
    let TcpInfo {
        state,
        send_mss,
        receive_mss,
        window_scales: (ours, peers),
        timestamps,
        sack,
        fast_open,
        rtt,
        min_rtt,
        rto,
        backoff,
        unanswered,
        congestion_control,
        congestion_window,
        slow_start_threshold,
        peer_window,
        unacknowledged,
        sacked,
        lost,
        resent,
        unsent,
        delivered,
        recovery,
    } = *info;
    let flags = u64::from(timestamps) | u64::from(sack) << 1 | u64::from(fast_open) << 2;
    let (srtt, variation) = rtt.unzip();
    [
        state_code(state),
        u64::from(send_mss),
        u64::from(receive_mss),
        u64::from(ours) | u64::from(peers) << 8,
        flags,
        maybe(srtt.map(nanos)),
        maybe(variation.map(nanos)),
        maybe(min_rtt.map(nanos)),
        nanos(rto),
        u64::from(backoff),
        u64::from(unanswered),
        u64::from(algorithm_code(congestion_control)),
        u64::from(congestion_window),
        maybe(slow_start_threshold.map(u64::from)),
        u64::from(peer_window),
        u64::from(unacknowledged),
        u64::from(sacked),
        u64::from(lost),
        u64::from(resent),
        u64::from(unsent),
        delivered,
        RECOVERIES.iter().position(|&known| known == recovery).unwrap_or(0) as u64,
    ]
}

/// What a lane has answered; `None` where there is no such connection.
pub(crate) fn info_of(values: &[u64]) -> Option<TcpInfo> {
    let values: &[u64; VALUES] = values.first_chunk()?;
    let number = |index: usize| values[index] as u32;
    let has = |bit: u32| values[4] & 1 << bit != 0;
    let time = |index: usize| some(values[index]).map(Duration::from_nanos);
    Some(TcpInfo {
        state: state_of(values[0])?,
        send_mss: values[1] as u16,
        receive_mss: values[2] as u16,
        window_scales: (values[3] as u8, (values[3] >> 8) as u8),
        timestamps: has(0),
        sack: has(1),
        fast_open: has(2),
        rtt: time(5).zip(time(6)),
        min_rtt: time(7),
        rto: Duration::from_nanos(values[8]),
        backoff: values[9] as u8,
        unanswered: values[10] as u8,
        congestion_control: algorithm_of(number(11))?,
        congestion_window: number(12),
        slow_start_threshold: some(values[13]).map(|threshold| threshold as u32),
        peer_window: number(14),
        unacknowledged: number(15),
        sacked: number(16),
        lost: number(17),
        resent: number(18),
        unsent: number(19),
        delivered: values[20],
        recovery: *RECOVERIES.get(values[21] as usize)?,
    })
}

const RECOVERIES: [LossRecovery; 4] =
    [LossRecovery::Open, LossRecovery::Disorder, LossRecovery::Fast, LossRecovery::Timeout];

/// A value that there may be: one more than it, or 0.
fn maybe(value: Option<u64>) -> u64 {
    value.map_or(0, |value| value.saturating_add(1))
}

fn some(value: u64) -> Option<u64> {
    value.checked_sub(1)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// A state as a number; 0 stands for a socket that has none.
pub(crate) fn state_code(state: TcpState) -> u64 {
    STATES.iter().position(|&known| known == state).map_or(0, |index| index as u64 + 1)
}

/// The state that a lane has answered with.
pub(crate) fn state_of(code: u64) -> Option<TcpState> {
    STATES.get(usize::try_from(code).ok()?.checked_sub(1)?).copied()
}

const STATES: [TcpState; 11] = [
    TcpState::Closed,
    TcpState::Listen,
    TcpState::SynSent,
    TcpState::SynReceived,
    TcpState::Established,
    TcpState::FinWait1,
    TcpState::FinWait2,
    TcpState::CloseWait,
    TcpState::Closing,
    TcpState::LastAck,
    TcpState::TimeWait,
];

#[cfg(test)]
mod tests {
    use super::*;
    use netlane_core::CongestionAlgorithm;

    #[test]
    fn what_is_told_of_a_connection_arrives_unchanged() {
        let full = TcpInfo {
            state: TcpState::CloseWait,
            send_mss: 1_448,
            receive_mss: 536,
            window_scales: (9, 14),
            timestamps: true,
            sack: false,
            fast_open: true,
            rtt: Some((Duration::from_micros(1_234), Duration::ZERO)),
            min_rtt: Some(Duration::from_nanos(7)),
            rto: Duration::from_millis(201),
            backoff: 3,
            unanswered: 2,
            congestion_control: CongestionAlgorithm::Dctcp,
            congestion_window: 14_480,
            slow_start_threshold: Some(7),
            peer_window: 65_535,
            unacknowledged: 1,
            sacked: 2,
            lost: 3,
            resent: 4,
            unsent: 5,
            delivered: 1 << 40,
            recovery: LossRecovery::Fast,
        };
        let none = TcpInfo { rtt: None, min_rtt: None, slow_start_threshold: None, ..full };
        for info in [full, none] {
            assert_eq!(info_of(&info_words(&info)), Some(info));
        }
        assert_eq!(info_of(&[0; VALUES]), None);
    }
}
