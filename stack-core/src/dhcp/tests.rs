use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1_000)
}

fn reply(kind: ReplyKind, xid: u32) -> DhcpReply {
    DhcpReply {
        kind,
        xid,
        mac: MAC,
        address: ADDRESS,
        server: Some(SERVER),
        prefix_len: Some(24),
        lease: Some(3_600),
        renewal: None,
        rebinding: None,
        routers: [SERVER].into_iter().collect(),
        dns: ArrayVec::new(),
    }
}

/// The message that the client sends at its next deadline, and when that is.
fn next(client: &mut DhcpClient) -> (Instant, DhcpRequest, Option<Ipv4Addr>) {
    let when = client.next_deadline().expect("a deadline");
    assert_eq!(client.poll(Instant::from_nanos(when.as_nanos() - 1)), None);
    match client.poll(when) {
        Some(DhcpAction::Send { request, to }) => (when, request, to),
        other => panic!("no message: {other:?}"),
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_since(from).as_secs_f64()
}

/// A client with the address, since the time that is returned.
fn bound(change: impl Fn(&mut DhcpReply)) -> (DhcpClient, Instant) {
    let mut client = DhcpClient::new(MAC, at(0), 1);
    let (_, discover, _) = next(&mut client);
    client.receive(at(2), &reply(ReplyKind::Offer, discover.xid));
    let (_, request, _) = next(&mut client);
    let mut ack = reply(ReplyKind::Ack, request.xid);
    change(&mut ack);
    client.receive(at(2), &ack);
    assert_eq!(client.poll(at(2)), Some(DhcpAction::Probe(ADDRESS)));
    assert!(client.confirm().is_some());
    (client, at(2))
}

#[test]
fn an_address_is_discovered_requested_probed_and_bound() {
    let mut client = DhcpClient::new(MAC, at(0), 1);
    let (when, discover, to) = next(&mut client);
    assert!(when <= at(1));
    assert_eq!((discover.kind, discover.client, to), (RequestKind::Discover, Ipv4Addr::UNSPECIFIED, None));
    // Offers for others, and of another question, are not ours.
    client.receive(at(2), &DhcpReply { mac: MacAddr([2; 6]), ..reply(ReplyKind::Offer, discover.xid) });
    client.receive(at(2), &reply(ReplyKind::Offer, !discover.xid));
    assert_eq!(client.poll(at(2)), None);
    client.receive(at(2), &reply(ReplyKind::Offer, discover.xid));
    let (when, request, to) = next(&mut client);
    assert_eq!((when, to), (at(2), None));
    assert_eq!(request.kind, RequestKind::Request);
    // RFC 2131 table 5: the offered address and its server, and no address of our own.
    assert_eq!((request.requested, request.server), (Some(ADDRESS), Some(SERVER)));
    assert_eq!((request.client, request.xid), (Ipv4Addr::UNSPECIFIED, discover.xid));
    // Another server's acknowledgement is not ours.
    let other = DhcpReply { server: Some(Ipv4Addr::new(10, 0, 0, 2)), ..reply(ReplyKind::Ack, request.xid) };
    assert_eq!(client.receive(at(3), &other), Heard::Nothing);
    client.receive(at(3), &reply(ReplyKind::Ack, request.xid));
    assert_eq!(client.poll(at(3)), Some(DhcpAction::Probe(ADDRESS)));
    assert_eq!((client.lease(), client.next_deadline()), (None, None));
    let lease = client.confirm().unwrap();
    assert_eq!((lease.address, lease.prefix_len, lease.server), (ADDRESS, 24, SERVER));
    assert_eq!(client.lease(), Some(&lease));
}

/// RFC 2131 §4.1: 4, 8, 16, 32, 64 s, each a second more or less; and 64 s for ever.
#[test]
fn questions_are_repeated_with_doubling_pauses() {
    let mut client = DhcpClient::new(MAC, at(0), 1);
    let (mut last, first, _) = next(&mut client);
    for pause in [4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0] {
        let (when, again, _) = next(&mut client);
        assert!((pause - 1.0..=pause + 1.0).contains(&seconds(last, when)));
        assert_eq!(again.xid, first.xid);
        last = when;
    }
}

#[test]
fn an_offer_that_nobody_acknowledges_is_given_up() {
    let mut client = DhcpClient::new(MAC, at(0), 1);
    let (_, discover, _) = next(&mut client);
    client.receive(at(2), &reply(ReplyKind::Offer, discover.xid));
    for _ in 0..4 {
        assert_eq!(next(&mut client).1.kind, RequestKind::Request);
    }
    assert_eq!(client.poll(client.next_deadline().unwrap()), None);
    assert_eq!(next(&mut client).1.kind, RequestKind::Discover);
}

#[test]
fn a_refusal_begins_anew() {
    let mut client = DhcpClient::new(MAC, at(0), 1);
    let (_, discover, _) = next(&mut client);
    client.receive(at(2), &reply(ReplyKind::Offer, discover.xid));
    let (_, request, _) = next(&mut client);
    client.receive(at(3), &reply(ReplyKind::Nak, request.xid));
    assert_eq!(next(&mut client).1.kind, RequestKind::Discover);
}

/// RFC 2131 §4.4.5 and table 5: at half of the lease, from the address itself to the server.
#[test]
fn a_lease_is_renewed_at_half_of_its_time() {
    let (mut client, since) = bound(|_| {});
    let (when, request, to) = next(&mut client);
    assert_eq!((seconds(since, when), to), (1_800.0, Some(SERVER)));
    assert_eq!((request.kind, request.client), (RequestKind::Request, ADDRESS));
    assert_eq!((request.requested, request.server), (None, None));
    let heard = client.receive(when, &reply(ReplyKind::Ack, request.xid));
    assert!(matches!(heard, Heard::Extended(_)));
    assert_eq!(seconds(when, client.next_deadline().unwrap()), 1_800.0);
}

#[test]
fn a_silent_server_leads_to_rebinding_and_the_end() {
    let (mut client, since) = bound(|_| {});
    let mut asked = Vec::new();
    let lost = loop {
        let when = client.next_deadline().unwrap();
        match client.poll(when) {
            Some(DhcpAction::Send { to, .. }) => asked.push((seconds(since, when), to)),
            Some(DhcpAction::Lost(lease)) => break (seconds(since, when), lease.address),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lost, (3_600.0, ADDRESS));
    assert_eq!(asked[0], (1_800.0, Some(SERVER)));
    // T2 at 7/8: from then on everybody is asked.
    assert!(asked.iter().all(|(when, to)| to.is_none() == (*when >= 3_150.0)), "{asked:?}");
    assert!(asked.iter().any(|(when, _)| *when == 3_150.0));
    // Never more often than once a minute, but for the change of stages.
    assert!(asked.len() <= 15, "{asked:?}");
    assert_eq!(client.lease(), None);
    assert_eq!(next(&mut client).1.kind, RequestKind::Discover);
}

#[test]
fn a_server_may_take_its_address_back() {
    let (mut client, _) = bound(|_| {});
    let (when, request, _) = next(&mut client);
    let heard = client.receive(when, &reply(ReplyKind::Nak, request.xid));
    assert!(matches!(heard, Heard::Lost(lease) if lease.address == ADDRESS));
    assert_eq!(client.lease(), None);
}

/// RFC 2131 §3.1, point 5.
#[test]
fn an_address_that_somebody_has_is_declined() {
    let mut client = DhcpClient::new(MAC, at(0), 1);
    let (_, discover, _) = next(&mut client);
    client.receive(at(2), &reply(ReplyKind::Offer, discover.xid));
    let (_, request, _) = next(&mut client);
    client.receive(at(3), &reply(ReplyKind::Ack, request.xid));
    client.poll(at(3));
    assert_eq!(client.decline(at(5)), None);
    let (when, decline, to) = next(&mut client);
    assert_eq!((when, decline.kind, to), (at(5), RequestKind::Decline, None));
    assert_eq!((decline.requested, decline.server), (Some(ADDRESS), Some(SERVER)));
    let (when, again, _) = next(&mut client);
    assert_eq!(again.kind, RequestKind::Discover);
    assert!(when >= at(15), "at least ten seconds later");
}

#[test]
fn a_lease_is_given_back() {
    let (mut client, _) = bound(|_| {});
    let (lease, message) = client.release().unwrap();
    let DhcpAction::Send { request, to } = message else { panic!("no message") };
    assert_eq!((request.kind, request.client, to), (RequestKind::Release, ADDRESS, Some(SERVER)));
    assert_eq!(lease.address, ADDRESS);
    assert_eq!((client.next_deadline(), client.release()), (None, None));
}

#[test]
fn times_that_make_no_sense_are_replaced() {
    let renewal = |change: fn(&mut DhcpReply)| {
        let (client, since) = bound(change);
        client.next_deadline().map(|when| seconds(since, when))
    };
    assert_eq!(renewal(|ack| (ack.renewal, ack.rebinding) = (Some(100), Some(200))), Some(100.0));
    assert_eq!(renewal(|ack| (ack.renewal, ack.rebinding) = (Some(5_000), Some(9_000))), Some(1_800.0));
    assert_eq!(renewal(|ack| ack.renewal = Some(0)), Some(1.0));
    assert_eq!(renewal(|ack| ack.lease = Some(u32::MAX)), None, "for ever");
}

#[test]
fn nonsense_is_not_taken_for_an_offer_or_a_lease() {
    let mut client = DhcpClient::new(MAC, at(0), 1);
    let (_, discover, _) = next(&mut client);
    for address in
        [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::LOCALHOST]
    {
        client.receive(at(2), &DhcpReply { address, ..reply(ReplyKind::Offer, discover.xid) });
    }
    client.receive(at(2), &DhcpReply { server: None, ..reply(ReplyKind::Offer, discover.xid) });
    assert!(matches!(client.state, State::Selecting { .. }));
    client.receive(at(2), &reply(ReplyKind::Offer, discover.xid));
    let (_, request, _) = next(&mut client);
    for lease in [None, Some(0), Some(9)] {
        client.receive(at(2), &DhcpReply { lease, ..reply(ReplyKind::Ack, request.xid) });
    }
    assert!(matches!(client.state, State::Requesting { .. }));
}

proptest! {
    /// Whatever servers say and whenever: the client neither stops nor floods.
    #[test]
    fn any_talk_is_survived_and_answered_slowly(
        events in prop::collection::vec((0..4_u8, any::<bool>(), any::<Option<u32>>(), 0..5_000_u64), 0..60),
    ) {
        let mut client = DhcpClient::new(MAC, at(0), 3);
        let mut now = at(0);
        let (mut sent, mut replies) = (0, 0);
        for (kind, right, lease, pause) in events {
            let end = now + Duration::from_secs(pause);
            while let Some(when) = client.next_deadline().filter(|when| *when <= end) {
                now = now.max(when);
                match client.poll(now) {
                    Some(DhcpAction::Send { .. }) => sent += 1,
                    Some(DhcpAction::Probe(_)) if right => drop(client.confirm()),
                    Some(DhcpAction::Probe(_)) => drop(client.decline(now)),
                    Some(DhcpAction::Lost(_)) | None => {}
                }
            }
            now = end;
            let kind = match kind {
                0 => ReplyKind::Offer,
                1 => ReplyKind::Nak,
                _ => ReplyKind::Ack,
            };
            let xid = if right { client.xid } else { client.xid ^ 1 };
            client.receive(now, &DhcpReply { lease, ..reply(kind, xid) });
            replies += 1;
        }
        // One question in three seconds at most, and what replies lead to.
        prop_assert!(sent <= now.as_millis() / 3_000 + 4 * replies + 4, "{sent} in {now:?}");
    }
}
