//! Data that comes with the SYN: RFC 7413.

use std::time::Duration;

use netlane_core::wire::FastOpen;
use netlane_core::{Readiness, SocketError, SocketId, TcpState};
use netlane_sim::{Script, ScriptBuilder, World, ack, data, fin, pattern, rst, seed, syn, syn_ack};

use crate::app::{self, options_of};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A stack whose listeners take data that comes with a SYN.
fn server() -> ScriptBuilder {
    Script::builder().stack(|config| {
        config.tcp.fast_open = true;
        config.tcp.fast_open_key = Some([7; 16]);
    })
}

/// What a client gets that asks for a cookie in an ordinary handshake.
fn ask_for_cookie(script: &mut Script, experimental: bool) -> FastOpen {
    script.inject(syn().mss(1_460).fast_open(FastOpen::request(experimental)).port(1_000));
    let given = options_of(&script.next_frame().expect("a SYN-ACK")).fast_open.expect("a cookie");
    script.inject(rst(1).port(1_000));
    given
}

/// A SYN with a cookie and the first 100 bytes of the stream.
fn fast_syn(cookie: FastOpen) -> netlane_sim::Seg {
    syn().mss(1_460).fast_open(cookie).bytes(&pattern(0, 100))
}

#[test]
fn client_that_asks_is_given_a_cookie_with_which_its_next_data_comes_on_the_syn() {
    let mut script = server().start();
    let listener = script.listen();
    for experimental in [false, true] {
        let cookie = ask_for_cookie(&mut script, experimental);
        assert_eq!((cookie.cookie().len(), cookie.is_experimental()), (8, experimental));
        script.inject(fast_syn(cookie));
        // RFC 7413 §4.2.2: the data is acknowledged with the SYN.
        script.expect(syn_ack().ack(101).mss(1_460).exact_options());
        let socket = script.stack().tcp_accept(listener).unwrap().expect("before the handshake is complete");
        assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynReceived));
        let mut request = [0; 200];
        assert_eq!(script.stack().tcp_recv(socket, &mut request), Ok(100));
        // The answer need not wait for the handshake either.
        assert_eq!(script.stack().tcp_send(socket, &pattern(0, 50)), Ok(50));
        script.expect(data(1, 50).ack(101));
        script.inject(ack(51).seq(101));
        assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
        script.expect_silence(MS(10_000));
        script.stack().tcp_abort(socket).unwrap();
        script.skip();
    }
    assert_eq!(script.stack().counters().tcp_fast_opens, 2);
}

#[test]
fn user_is_told_of_data_on_the_syn() {
    let mut script = server().start();
    let listener = script.listen();
    let socket = open_fast(&mut script, listener);
    let events: Vec<_> = std::iter::from_fn(|| script.stack().next_event()).collect();
    assert_eq!(events[0].socket, listener);
    assert_eq!((events[1].socket, events[1].ready), (socket, Readiness::READABLE | Readiness::WRITABLE));
}

#[test]
fn wrong_cookie_makes_an_ordinary_handshake_that_brings_a_right_one() {
    let mut script = server().start();
    let listener = script.listen();
    let right = ask_for_cookie(&mut script, false);
    let wrong = FastOpen::new(&[9; 8], false).unwrap();
    script.inject(fast_syn(wrong));
    // The data is not acknowledged: the client sends it once more.
    script.expect(syn_ack().mss(1_460).fast_open(right));
    assert_eq!(script.stack().tcp_accept(listener), Ok(None));
    script.inject(ack(1));
    script.inject(data(1, 100));
    let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
    assert_eq!(script.read(socket), 100);
    assert_eq!(script.stack().counters().tcp_fast_open_bad_cookies, 1);
}

#[test]
fn cookie_of_the_key_before_is_good_and_renewed() {
    let mut script = server().start();
    let listener = script.listen();
    let old = ask_for_cookie(&mut script, false);
    script.stack().tcp_set_fast_open_key([8; 16]);
    let new = ask_for_cookie(&mut script, false);
    assert_ne!(old, new);
    script.inject(fast_syn(old));
    script.expect(syn_ack().ack(101).mss(1_460).fast_open(new));
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
}

#[test]
fn cookies_are_good_for_one_address_alone() {
    let mut script = server().start();
    script.listen();
    let cookie = ask_for_cookie(&mut script, false);
    // RFC 7413 §4.1.2: whatever the port.
    script.inject(fast_syn(cookie).port(1_001));
    script.expect(syn_ack().ack(101).port(1_001));
}

#[test]
fn listener_that_takes_no_data_on_syns_says_nothing_of_cookies() {
    let mut script = Script::new();
    script.listen();
    script.inject(syn().mss(1_460).fast_open(FastOpen::request(false)));
    script.expect(syn_ack().mss(1_460).exact_options());
}

#[test]
fn listener_can_be_told_to_take_data_on_syns() {
    let mut script = Script::new();
    let listener = script.listen();
    script.stack().tcp_set_fast_open(listener, Some(5)).unwrap();
    let cookie = ask_for_cookie(&mut script, false);
    script.stack().tcp_set_fast_open(listener, None).unwrap();
    script.inject(fast_syn(cookie));
    script.expect(syn_ack().mss(1_460).exact_options());
}

#[test]
fn data_is_taken_without_a_cookie_where_the_configuration_says_so() {
    let mut script = server().stack(|config| config.tcp.fast_open_without_cookie = true).start();
    let listener = script.listen();
    script.inject(syn().mss(1_460).bytes(&pattern(0, 100)));
    script.expect(syn_ack().ack(101).mss(1_460).exact_options());
    let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
    assert_eq!(script.read(socket), 100);
}

#[test]
fn connections_that_were_opened_by_syns_are_limited() {
    // RFC 7413 §5.1.
    let mut script = server().stack(|config| config.limits.fast_open_queue = 2).start();
    script.listen();
    let cookie = ask_for_cookie(&mut script, false);
    for port in [1_001, 1_002] {
        script.inject(fast_syn(cookie).port(port));
        script.expect(syn_ack().ack(101).port(port));
    }
    script.inject(fast_syn(cookie).port(1_003));
    script.expect(syn_ack().ack(1).port(1_003));
    assert_eq!(script.stack().counters().tcp_fast_open_queue_full, 1);
    // One that completes its handshake makes room for another.
    script.inject(ack(1).seq(101).port(1_001));
    script.inject(fast_syn(cookie).port(1_004));
    script.expect(syn_ack().ack(101).port(1_004));
}

#[test]
fn lost_syn_ack_is_repeated_and_so_is_the_answer_to_a_repeated_syn() {
    let mut script = server().start();
    let listener = script.listen();
    let socket = open_fast(&mut script, listener);
    script.expect_after(MS(1_000), syn_ack().ack(101).mss(1_460).exact_options());
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().ack(101).mss(1_460).exact_options());
    script.inject(ack(1).seq(101));
    script.expect_silence(MS(10_000));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
}

#[test]
fn client_that_never_completes_its_handshake_is_given_up() {
    let mut script = server().stack(|config| config.tcp.syn_ack_retries = 2).start();
    let listener = script.listen();
    let socket = open_fast(&mut script, listener);
    script.run_for(MS(6_900));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynReceived));
    script.run_for(MS(200));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
    script.skip();
    script.expect_silence(MS(10_000));
}

#[test]
fn reset_ends_a_connection_that_a_syn_has_opened() {
    let mut script = server().start();
    let listener = script.listen();
    let socket = open_fast(&mut script, listener);
    script.inject(rst(101));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Reset)));
    script.expect_silence(MS(10_000));
}

#[test]
fn server_may_close_before_the_handshake_is_complete() {
    let mut script = server().start();
    let listener = script.listen();
    let socket = open_fast(&mut script, listener);
    assert_eq!(script.read(socket), 100);
    script.stack().tcp_close(socket).unwrap();
    script.expect(fin(1).ack(101));
    script.inject(ack(2).seq(101));
    script.inject(fin(101).ack(2));
    script.expect(ack(2).seq(2).ack(102));
    script.expect_silence(MS(10_000));
}

/// A connection that a SYN has opened, accepted and not confirmed.
fn open_fast(script: &mut Script, listener: SocketId) -> SocketId {
    let cookie = ask_for_cookie(script, false);
    script.inject(fast_syn(cookie));
    script.expect(syn_ack().ack(101).mss(1_460).exact_options());
    script.stack().tcp_accept(listener).unwrap().expect("a connection")
}

const COOKIE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn cookie() -> FastOpen {
    FastOpen::new(&COOKIE, false).unwrap()
}

/// Begins to connect with Fast Open, and 100 bytes to send.
fn connect_fast(script: &mut Script) -> SocketId {
    script.run_for(MS(1));
    let socket = script.stack().tcp_connect_fast(Some(Script::STACK), Script::PEER).unwrap();
    script.stack().tcp_send(socket, &pattern(0, 100)).unwrap();
    socket
}

/// A client that was given a cookie by a server that announces `mss`.
fn client_with_a_cookie(script: &mut Script, mss: u16) {
    let socket = connect_fast(script);
    script.expect(syn().mss(1_460).fast_open(FastOpen::request(false)));
    script.inject(syn_ack().mss(mss).fast_open(cookie()));
    script.expect(data(1, 100));
    script.stack().tcp_abort(socket).unwrap();
    script.skip();
}

#[test]
fn first_connection_asks_for_a_cookie_and_the_next_sends_its_data_with_it() {
    let mut script = Script::new();
    client_with_a_cookie(&mut script, 1_460);
    let socket = connect_fast(&mut script);
    script.expect(syn().mss(1_460).fast_open(cookie()).bytes(&pattern(0, 100)));
    script.inject(syn_ack().ack(101).mss(1_460));
    script.expect(ack(1).seq(101));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.expect_silence(MS(10_000));
    // The stream goes on behind what the SYN has carried.
    script.stack().tcp_send(socket, &pattern(100, 50)).unwrap();
    script.expect(data(101, 50));
}

#[test]
fn syn_carries_what_the_server_takes_in_a_segment_and_the_rest_follows() {
    let mut script = Script::new();
    client_with_a_cookie(&mut script, 940);
    let socket = script.stack().tcp_connect_fast(Some(Script::STACK), Script::PEER).unwrap();
    assert_eq!(script.stack().tcp_fast_open_room(socket), Ok(900));
    script.stack().tcp_send(socket, &pattern(0, 1_000)).unwrap();
    script.expect(syn().mss(1_460).fast_open(cookie()).bytes(&pattern(0, 900)));
    script.inject(syn_ack().ack(901).mss(940));
    script.expect(data(901, 100));
}

#[test]
fn data_that_the_server_does_not_take_with_the_syn_is_sent_once_more_at_once() {
    let mut script = Script::new();
    client_with_a_cookie(&mut script, 1_460);
    connect_fast(&mut script);
    assert_eq!(script.skip(), 1);
    script.inject(syn_ack().ack(1).mss(1_460));
    script.expect(data(1, 100));
}

#[test]
fn data_that_is_taken_in_part_goes_on_where_that_ends() {
    let mut script = Script::new();
    client_with_a_cookie(&mut script, 1_460);
    connect_fast(&mut script);
    assert_eq!(script.skip(), 1);
    script.inject(syn_ack().ack(41).mss(1_460));
    script.expect(data(41, 60));
}

#[test]
fn acknowledgement_of_more_than_the_syn_has_carried_is_reset() {
    let mut script = Script::new();
    client_with_a_cookie(&mut script, 1_460);
    connect_fast(&mut script);
    assert_eq!(script.skip(), 1);
    script.inject(syn_ack().ack(102).mss(1_460));
    script.expect(rst(102));
}

#[test]
fn lost_syn_is_repeated_without_data_and_the_server_is_spared_for_an_hour() {
    let mut script = Script::new();
    client_with_a_cookie(&mut script, 1_460);
    let socket = connect_fast(&mut script);
    assert_eq!(script.skip(), 1);
    // RFC 7413 §4.1.3: neither data nor the option, for those may be what was not let through.
    script.expect_after(MS(1_000), syn().mss(1_460).exact_options());
    script.inject(syn_ack().mss(1_460));
    script.expect(data(1, 100));
    script.stack().tcp_abort(socket).unwrap();
    script.skip();
    assert_eq!(script.stack().counters().tcp_fast_syns_lost, 1);
    let socket = connect_fast(&mut script);
    script.expect(syn().mss(1_460).exact_options());
    script.stack().tcp_abort(socket).unwrap();
    script.run_for(Duration::from_secs(3_600));
    connect_fast(&mut script);
    script.expect(syn().mss(1_460).fast_open(cookie()).bytes(&pattern(0, 100)));
}

#[test]
fn server_that_does_not_know_the_option_is_asked_once_in_its_experimental_form() {
    let mut script = Script::new();
    for experimental in [false, true] {
        let socket = connect_fast(&mut script);
        script.expect(syn().mss(1_460).fast_open(FastOpen::request(experimental)));
        script.inject(syn_ack().mss(1_460));
        script.expect(data(1, 100));
        script.stack().tcp_abort(socket).unwrap();
        script.skip();
    }
    connect_fast(&mut script);
    script.expect(syn().mss(1_460).exact_options());
}

#[test]
fn cookies_can_be_forgotten() {
    let mut script = Script::new();
    client_with_a_cookie(&mut script, 1_460);
    script.stack().tcp_forget_fast_open_cookies();
    connect_fast(&mut script);
    script.expect(syn().mss(1_460).fast_open(FastOpen::request(false)));
}

#[test]
fn two_stacks_save_a_round_trip_from_the_second_connection_on() {
    let (mut world, a, b) = World::pair(seed(1), |host| host.stack(|config| config.tcp.fast_open = true));
    let delay = MS(100);
    world.impair_all(&netlane_sim::impairment::Impairment { delay, ..Default::default() });
    let address = app::address(b, 80);
    let listener = world[b].tcp_listen(address, 16).unwrap();
    let mut took = Vec::new();
    for _ in 0..3 {
        let start = world.now();
        let near = world[a].tcp_connect_fast(None, address).unwrap();
        world[a].tcp_send(near, b"question").unwrap();
        let mut far = None;
        let answered = world.run_until(
            |world| {
                far = far.or_else(|| world[b].tcp_accept(listener).unwrap());
                if let Some(far) = far
                    && world[b].tcp_recv(far, &mut [0; 8]) == Ok(8)
                {
                    world[b].tcp_send(far, b"answer").unwrap();
                }
                world[a].tcp_recv(near, &mut [0; 6]) == Ok(6)
            },
            Duration::from_secs(10),
        );
        assert!(answered);
        took.push(world.now() - start);
    }
    // The first one also asks for the neighbour's address: a round trip more.
    assert_eq!(took[0], 6 * delay);
    assert_eq!(took[1..], [2 * delay, 2 * delay]);
    assert_eq!(world[b].counters().tcp_fast_opens, 2);
}
