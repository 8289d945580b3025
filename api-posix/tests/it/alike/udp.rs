//! Datagrams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::host::{Datagrams, Host, Listener, Pair, Watched};
use super::{Log, alike};

alike! {
    datagrams_keep_their_bounds
    short_buffers_cut_datagrams_off
    empty_datagrams_arrive
    peeking_leaves_a_datagram_where_it_is
    peers_can_be_chosen
    peers_can_be_changed
    choosing_a_peer_keeps_what_has_come
    others_can_be_sent_to_in_spite_of_a_peer
    sending_without_a_peer
    sending_to_a_deserted_port
    sending_to_a_deserted_port_without_a_peer
    sending_after_a_port_was_unreachable
    the_error_is_told_once
    receiving_without_blocking
    receiving_with_a_timeout
    binding_twice
    binding_to_all_addresses_as_well
    binding_for_ipv6_as_well
    binding_to_a_foreign_address
    port_zero_is_replaced_by_a_free_one
    tcp_and_udp_have_ports_of_their_own
    sending_too_much
    sending_to_port_zero
    broadcasting_needs_leave
    clones_are_one_socket
    what_was_sent_before_closing_arrives
}

fn datagrams_keep_their_bounds<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    for payload in [&b"one"[..], b"three"] {
        log.answer("send_to", &client.send_to(payload, server.local_addr()?));
    }
    for _ in 0..2 {
        let mut bytes = [0; 8];
        let (len, from) = server.recv_from(&mut bytes)?;
        log.note("received", (len, bytes, from == client.local_addr()?));
    }
    Ok(())
}

fn short_buffers_cut_datagrams_off<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    client.send_to(b"abcdefgh", server.local_addr()?)?;
    client.send_to(b"next", server.local_addr()?)?;
    let mut bytes = [0; 3];
    log.answer("peek", &server.peek(&mut bytes));
    log.answer("recv", &server.recv(&mut bytes));
    log.note("bytes", bytes);
    log.answer("recv nothing", &server.recv(&mut []));
    server.set_nonblocking(true)?;
    log.answer("both are gone", &server.recv(&mut bytes));
    Ok(())
}

fn empty_datagrams_arrive<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    log.answer("send_to", &client.send_to(b"", server.local_addr()?));
    log.answer("recv", &server.recv(&mut [0; 4]));
    server.set_nonblocking(true)?;
    log.answer("recv again", &server.recv(&mut [0; 4]));
    Ok(())
}

fn peeking_leaves_a_datagram_where_it_is<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    client.send_to(b"abc", server.local_addr()?)?;
    let mut bytes = [0; 8];
    let (len, from) = server.peek_from(&mut bytes)?;
    log.note("peeked", (len, from == client.local_addr()?));
    log.answer("peek", &server.peek(&mut bytes));
    log.answer("recv", &server.recv(&mut bytes));
    server.set_nonblocking(true)?;
    log.answer("peek", &server.peek(&mut bytes));
    Ok(())
}

fn peers_can_be_chosen<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    let stranger = pair.client.datagrams(pair.client.any())?;
    log.answer("no peer", &server.peer_addr());
    server.connect(client.local_addr()?)?;
    log.note("peer", server.peer_addr()? == client.local_addr()?);
    stranger.send_to(b"from a stranger", server.local_addr()?)?;
    client.send_to(b"hi", server.local_addr()?)?;
    log.answer("recv", &server.recv(&mut [0; 32]));
    server.set_nonblocking(true)?;
    log.answer("nothing else", &server.recv(&mut [0; 32]));
    log.answer("send", &server.send(b"back"));
    log.answer("arrives", &client.recv(&mut [0; 32]));
    Ok(())
}

fn peers_can_be_changed<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    let other = pair.client.datagrams(pair.client.any())?;
    server.connect(client.local_addr()?)?;
    server.connect(other.local_addr()?)?;
    client.send_to(b"from the first", server.local_addr()?)?;
    other.send_to(b"hi", server.local_addr()?)?;
    log.answer("recv", &server.recv(&mut [0; 32]));
    log.note("peer", server.peer_addr()? == other.local_addr()?);
    Ok(())
}

fn choosing_a_peer_keeps_what_has_come<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    let stranger = pair.client.datagrams(pair.client.any())?;
    stranger.send_to(b"early", server.local_addr()?)?;
    server.wait_readable();
    server.connect(client.local_addr()?)?;
    let (len, from) = server.recv_from(&mut [0; 8])?;
    log.note("received", (len, from == stranger.local_addr()?));
    Ok(())
}

fn others_can_be_sent_to_in_spite_of_a_peer<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    let other = pair.server.datagrams(pair.server.any())?;
    client.connect(server.local_addr()?)?;
    log.answer("send_to", &client.send_to(b"hi", other.local_addr()?));
    log.answer("arrives", &other.recv(&mut [0; 4]));
    log.note("peer", client.peer_addr()? == server.local_addr()?);
    Ok(())
}

fn sending_without_a_peer<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, client) = pair.datagrams()?;
    log.answer("send", &client.send(b"x"));
    log.answer("error", &client.take_error());
    Ok(())
}

fn sending_to_a_deserted_port<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, client) = pair.datagrams()?;
    client.connect(pair.deserted_datagrams()?)?;
    log.answer("send", &client.send(b"x"));
    log.answer("recv", &client.recv(&mut [0; 4]));
    client.set_nonblocking(true)?;
    log.answer("recv again", &client.recv(&mut [0; 4]));
    Ok(())
}

fn sending_to_a_deserted_port_without_a_peer<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    log.answer("send_to", &client.send_to(b"x", pair.deserted_datagrams()?));
    // What comes behind it shows that the answer to it has come.
    client.send_to(b"x", server.local_addr()?)?;
    let (_, from) = server.recv_from(&mut [0; 4])?;
    server.send_to(b"y", from)?;
    log.answer("recv", &client.recv(&mut [0; 4]));
    log.answer("error", &client.take_error());
    Ok(())
}

fn sending_after_a_port_was_unreachable<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, client) = pair.datagrams()?;
    client.connect(pair.deserted_datagrams()?)?;
    client.send(b"x")?;
    client.wait_ended();
    log.answer("send", &client.send(b"x"));
    log.answer("send again", &client.send(b"x"));
    Ok(())
}

fn the_error_is_told_once<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, client) = pair.datagrams()?;
    client.connect(pair.deserted_datagrams()?)?;
    client.send(b"x")?;
    client.wait_ended();
    log.answer("error", &client.take_error());
    log.answer("error again", &client.take_error());
    client.set_nonblocking(true)?;
    log.answer("recv", &client.recv(&mut [0; 4]));
    Ok(())
}

fn receiving_without_blocking<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    server.set_nonblocking(true)?;
    log.answer("recv", &server.recv(&mut [0; 4]));
    log.answer("recv_from", &server.recv_from(&mut [0; 4]));
    client.send_to(b"abc", server.local_addr()?)?;
    server.wait_readable();
    log.answer("recv", &server.recv(&mut [0; 4]));
    client.wait_writable();
    Ok(())
}

fn receiving_with_a_timeout<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, _client) = pair.datagrams()?;
    log.answer("default", &server.read_timeout());
    log.answer("zero", &server.set_read_timeout(Some(Duration::ZERO)));
    server.set_read_timeout(Some(SOON))?;
    log.answer("set", &server.read_timeout());
    log.answer("recv", &server.recv(&mut [0; 4]));
    log.answer("peek", &server.peek(&mut [0; 4]));
    Ok(())
}

fn binding_twice<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, _client) = pair.datagrams()?;
    let local = server.local_addr()?;
    log.answer("same address", &pair.server.datagrams(local).map(drop));
    drop(server);
    log.answer("free again", &pair.server.datagrams(local).map(drop));
    Ok(())
}

fn binding_to_a_foreign_address<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    log.answer("bind", &pair.server.datagrams("192.0.2.1:0".parse().unwrap()).map(drop));
    Ok(())
}

fn port_zero_is_replaced_by_a_free_one<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    let other = pair.server.datagrams(pair.server.any())?;
    log.note("a port", server.local_addr()?.port() != 0);
    log.note("another port", server.local_addr()? != other.local_addr()?);
    let all = pair.server.datagrams(SocketAddr::new(ANY, 0))?;
    log.note("all addresses", all.local_addr()?.ip());
    client.send_to(b"x", SocketAddr::new(pair.server.address(), all.local_addr()?.port()))?;
    let (_, from) = all.recv_from(&mut [0; 4])?;
    all.send_to(b"y", from)?;
    let (_, from) = client.recv_from(&mut [0; 4])?;
    log.note("answers from the address asked", from.ip() == pair.server.address());
    Ok(())
}

fn binding_to_all_addresses_as_well<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let close = pair.server.datagrams(pair.server.any())?;
    let port = close.local_addr()?.port();
    log.answer("all", &pair.server.datagrams(SocketAddr::new(ANY, port)).map(drop));
    drop(close);
    let wide = pair.server.datagrams(SocketAddr::new(ANY, 0))?;
    let port = wide.local_addr()?.port();
    log.answer("one", &pair.server.datagrams(SocketAddr::new(pair.server.address(), port)).map(drop));
    let listener = pair.server.listen(SocketAddr::new(ANY, 0))?;
    let port = listener.local_addr()?.port();
    log.answer("listen", &pair.server.listen(SocketAddr::new(pair.server.address(), port)).map(drop));
    Ok(())
}

fn binding_for_ipv6_as_well<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let close = pair.server.datagrams(pair.server.any())?;
    let port = close.local_addr()?.port();
    log.answer("both families", &pair.server.datagrams(SocketAddr::new(v6, port)).map(drop));
    let both = pair.server.datagrams(SocketAddr::new(v6, 0))?;
    let port = both.local_addr()?.port();
    log.answer("the other", &pair.server.datagrams(SocketAddr::new(ANY, port)).map(drop));
    Ok(())
}

fn tcp_and_udp_have_ports_of_their_own<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    log.answer("bind", &pair.server.datagrams(listener.local_addr()?).map(drop));
    Ok(())
}

fn sending_too_much<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    log.answer("send_to", &client.send_to(&[7; 65_508], server.local_addr()?));
    client.connect(server.local_addr()?)?;
    log.answer("send", &client.send(&[7; 100_000]));
    Ok(())
}

fn sending_to_port_zero<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, client) = pair.datagrams()?;
    log.answer("send_to", &client.send_to(b"x", pair.server.any()));
    Ok(())
}

fn broadcasting_needs_leave<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, client) = pair.datagrams()?;
    log.answer("default", &client.broadcast());
    let everybody = SocketAddr::new(IpAddr::V4(Ipv4Addr::BROADCAST), 9);
    log.answer("send_to", &client.send_to(b"x", everybody));
    log.answer("connect", &client.connect(everybody));
    client.set_broadcast(true)?;
    log.answer("set", &client.broadcast());
    Ok(())
}

fn clones_are_one_socket<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    let clone = server.try_clone()?;
    client.send_to(b"abc", server.local_addr()?)?;
    log.answer("recv", &clone.recv(&mut [0; 4]));
    server.set_nonblocking(true)?;
    log.answer("recv", &clone.recv(&mut [0; 4]));
    clone.connect(client.local_addr()?)?;
    log.note("peer", server.peer_addr()? == client.local_addr()?);
    Ok(())
}

fn what_was_sent_before_closing_arrives<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.datagrams()?;
    for payload in [&b"one"[..], b"two", b"three"] {
        client.send_to(payload, server.local_addr()?)?;
    }
    drop(client);
    for _ in 0..3 {
        log.answer("recv", &server.recv(&mut [0; 8]));
    }
    Ok(())
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// A time that is waited for in vain. Long enough for the kernel's clock ticks.
const SOON: Duration = Duration::from_millis(20);
