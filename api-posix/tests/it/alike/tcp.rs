//! Opening connections, and what flows through them.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use super::host::{Host, Lingers, Listener, Pair, Stream, Watched};
use super::{Log, alike};

alike! {
    connecting_to_a_port_where_nobody_listens
    connecting_to_port_zero
    connecting_tries_all_addresses_in_turn
    connecting_without_blocking
    connecting_without_blocking_where_nobody_listens
    connecting_with_a_timeout
    listening_twice_on_one_port
    listening_on_a_foreign_address
    listening_again_while_an_old_connection_is_remembered
    port_zero_is_replaced_by_a_free_one
    both_ends_know_each_others_addresses
    accepting_without_blocking
    accepting_what_has_come_and_gone
    accepted_streams_block_even_if_their_listener_does_not
    peeking_leaves_bytes_where_they_are
    reading_without_blocking
    reading_with_a_timeout
    writing_without_blocking_ends_when_nobody_reads
    writing_with_a_timeout_tells_what_was_written
    blocking_writes_take_all
    moving_no_bytes
    moving_many_buffers_at_once
    clones_are_one_socket
    options_are_remembered
}

fn connecting_to_a_port_where_nobody_listens<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let deserted = pair.deserted()?;
    log.answer("connect", &pair.client.connect(&[deserted]).map(drop));
    log.answer("connect_timeout", &pair.client.connect_timeout(deserted, SOON).map(drop));
    Ok(())
}

fn connecting_to_port_zero<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    log.answer("connect", &pair.client.connect(&[pair.server.any()]).map(drop));
    Ok(())
}

fn connecting_tries_all_addresses_in_turn<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (deserted, listener) = (pair.deserted()?, pair.listener()?);
    let open = listener.local_addr()?;
    let stream = pair.client.connect(&[deserted, open])?;
    log.note("the second one", stream.peer_addr()? == open);
    log.answer("no address", &pair.client.connect(&[]).map(drop).map_err(|error| error.kind().into()));
    log.answer("the last error", &pair.client.connect(&[deserted, deserted]).map(drop));
    Ok(())
}

fn connecting_without_blocking<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    let mut stream = pair.client.connect_nonblocking(listener.local_addr()?)?;
    stream.wait_writable();
    log.answer("error", &stream.take_error());
    log.note("has a peer", stream.peer_addr()? == listener.local_addr()?);
    log.answer("read", &stream.read(&mut [0; 4]));
    log.answer("write", &stream.write(b"hi"));
    let mut accepted = listener.accept()?.0;
    log.answer("arrived", &accepted.read(&mut [0; 4]));
    Ok(())
}

fn connecting_without_blocking_where_nobody_listens<H: Host>(
    pair: &Pair<H>,
    log: &mut Log,
) -> io::Result<()> {
    let mut stream = pair.client.connect_nonblocking(pair.deserted()?)?;
    stream.wait_writable();
    log.answer("error", &stream.take_error());
    log.answer("error again", &stream.take_error());
    log.answer("peer", &stream.peer_addr());
    log.answer("read", &stream.read(&mut [0; 4]));
    log.answer("write", &stream.write(b"hi"));
    let mut untold = pair.client.connect_nonblocking(pair.deserted()?)?;
    untold.wait_writable();
    log.answer("read first", &untold.read(&mut [0; 4]));
    log.answer("read then", &untold.read(&mut [0; 4]));
    let mut untold = pair.client.connect_nonblocking(pair.deserted()?)?;
    untold.wait_writable();
    log.answer("write first", &untold.write(b"hi"));
    log.answer("write then", &untold.write(b"hi"));
    Ok(())
}

fn connecting_with_a_timeout<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    let no_time = pair.client.connect_timeout(listener.local_addr()?, Duration::ZERO);
    log.answer("no time", &no_time.map(drop));
    // The kernel may have connected all the same.
    let listener = pair.listener()?;
    let mut stream = pair.client.connect_timeout(listener.local_addr()?, Duration::from_secs(10))?;
    // It blocks from then on.
    listener.accept()?.0.write_all(b"hello")?;
    log.answer("read", &stream.read(&mut [0; 8]));
    Ok(())
}

fn listening_twice_on_one_port<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    let local = listener.local_addr()?;
    log.answer("same address", &pair.server.listen(local).map(drop));
    drop(listener);
    let all = SocketAddr::new(ANY, local.port());
    let listener = pair.server.listen(all)?;
    log.answer("all addresses", &pair.server.listen(all).map(drop));
    log.answer("error", &listener.take_error());
    Ok(())
}

fn listening_on_a_foreign_address<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    log.answer("listen", &pair.server.listen("192.0.2.1:0".parse().unwrap()).map(drop));
    Ok(())
}

fn listening_again_while_an_old_connection_is_remembered<H: Host>(
    pair: &Pair<H>,
    log: &mut Log,
) -> io::Result<()> {
    let listener = pair.listener()?;
    let local = listener.local_addr()?;
    let mut client = pair.client.connect(&[local])?;
    drop(listener.accept()?);
    drop(listener);
    log.answer("read", &client.read(&mut [0; 4]));
    drop(client);
    log.answer("listen", &pair.server.listen(local).map(drop));
    Ok(())
}

fn port_zero_is_replaced_by_a_free_one<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (one, two) = (pair.listener()?.local_addr()?, pair.listener()?);
    log.note("a port", one.port() != 0);
    log.note("same address", one.ip() == pair.server.address());
    let other = pair.listener()?;
    log.note("different ports", two.local_addr()? != other.local_addr()?);
    let all = pair.server.listen(SocketAddr::new(ANY, 0))?;
    log.note("all addresses", all.local_addr()?.ip());
    let reached = SocketAddr::new(pair.server.address(), all.local_addr()?.port());
    let _client = pair.client.connect(&[reached])?;
    let accepted = all.accept()?.0;
    log.note("accepted at", accepted.local_addr()? == reached);
    Ok(())
}

fn both_ends_know_each_others_addresses<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    let client = pair.client.connect(&[listener.local_addr()?])?;
    let (accepted, from) = listener.accept()?;
    log.note("from", from == client.local_addr()?);
    log.note("peer of accepted", accepted.peer_addr()? == client.local_addr()?);
    log.note("peer of client", client.peer_addr()? == accepted.local_addr()?);
    log.note("at listener", accepted.local_addr()? == listener.local_addr()?);
    log.note("client's address", client.local_addr()?.ip() == pair.client.address());
    Ok(())
}

fn accepting_without_blocking<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    listener.set_nonblocking(true)?;
    log.answer("nobody", &listener.accept().map(drop));
    let _client = pair.client.connect(&[listener.local_addr()?])?;
    listener.wait_readable();
    log.answer("somebody", &listener.accept().map(drop));
    log.answer("nobody else", &listener.accept().map(drop));
    let clone = listener.try_clone()?;
    log.answer("clone", &clone.accept().map(drop));
    Ok(())
}

fn accepting_what_has_come_and_gone<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    let mut client = pair.client.connect(&[listener.local_addr()?])?;
    client.write_all(b"was here")?;
    drop(client);
    let mut accepted = listener.accept()?.0;
    let mut said = String::new();
    log.answer("read", &accepted.read_to_string(&mut said));
    log.note("said", said);
    Ok(())
}

fn accepted_streams_block_even_if_their_listener_does_not<H: Host>(
    pair: &Pair<H>,
    log: &mut Log,
) -> io::Result<()> {
    let listener = pair.listener()?;
    listener.set_nonblocking(true)?;
    let mut client = pair.client.connect(&[listener.local_addr()?])?;
    listener.wait_readable();
    let mut accepted = listener.accept()?.0;
    thread::scope(|scope| {
        let reader = scope.spawn(|| accepted.read(&mut [0; 8]));
        client.write_all(b"late")?;
        log.answer("read", &reader.join().unwrap());
        Ok(())
    })
}

fn peeking_leaves_bytes_where_they_are<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    server.write_all(b"abcdef")?;
    let mut bytes = [0; 4];
    log.answer("peek", &client.peek(&mut bytes));
    log.answer("peek again", &client.peek(&mut bytes[..2]));
    log.answer("read", &client.read(&mut bytes));
    log.note("bytes", bytes);
    log.answer("peek the rest", &client.peek(&mut bytes));
    drop(server);
    log.answer("read the rest", &client.read(&mut bytes));
    log.note("bytes", &bytes[..2]);
    log.answer("peek at the end", &client.peek(&mut bytes));
    Ok(())
}

fn reading_without_blocking<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    client.set_nonblocking(true)?;
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("peek", &client.peek(&mut [0; 4]));
    server.write_all(b"ab")?;
    client.wait_readable();
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("read again", &client.read(&mut [0; 4]));
    drop(server);
    client.wait_readable();
    log.answer("read the end", &client.read(&mut [0; 4]));
    Ok(())
}

fn reading_with_a_timeout<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    log.answer("default", &client.read_timeout());
    log.answer("zero", &client.set_read_timeout(Some(Duration::ZERO)));
    client.set_read_timeout(Some(SOON))?;
    log.answer("set", &client.read_timeout());
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("peek", &client.peek(&mut [0; 4]));
    server.write_all(b"ab")?;
    client.set_read_timeout(None)?;
    log.answer("read", &client.read(&mut [0; 4]));
    Ok(())
}

fn writing_without_blocking_ends_when_nobody_reads<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    client.set_nonblocking(true)?;
    let (mut written, much) = (0, vec![7; 100_000]);
    let full = loop {
        match client.write(&much) {
            Ok(n) => written += n,
            Err(error) => break error,
        }
    };
    log.answer("full", &Err::<(), _>(full));
    // Nothing of that is lost.
    client.set_nonblocking(false)?;
    drop(client);
    let read = io::copy(&mut server, &mut io::sink())?;
    log.note("all arrives", read == written as u64);
    Ok(())
}

fn writing_with_a_timeout_tells_what_was_written<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, mut client) = pair.connection()?;
    log.answer("default", &client.write_timeout());
    log.answer("zero", &client.set_write_timeout(Some(Duration::ZERO)));
    client.set_write_timeout(Some(SOON))?;
    log.answer("set", &client.write_timeout());
    let much = vec![7; 64 << 20];
    let written = client.write(&much)?;
    log.note("some", written > 0 && written < much.len());
    log.answer("full", &io::copy(&mut io::repeat(7), &mut client));
    Ok(())
}

fn blocking_writes_take_all<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    let much: Vec<u8> = (0..20_000_000_u32).map(|n| n as u8).collect();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut all = Vec::new();
            server.read_to_end(&mut all).map(|_| all)
        });
        log.answer("write", &client.write(&much));
        drop(client);
        log.note("arrived", reader.join().unwrap()? == much);
        Ok(())
    })
}

fn moving_no_bytes<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    log.answer("write", &client.write(&[]));
    log.answer("write_vectored", &client.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"")]));
    log.answer("read_vectored", &client.read_vectored(&mut []));
    client.write_all(b"x")?;
    server.wait_readable();
    log.answer("read", &server.read(&mut []));
    log.answer("peek", &server.peek(&mut []));
    log.answer("only that has arrived", &server.read(&mut [0; 4]));
    drop(client);
    log.answer("read at the end", &server.read(&mut []));
    Ok(())
}

fn moving_many_buffers_at_once<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    let slices = [&b"ab"[..], b"", b"cdef", b"g"].map(IoSlice::new);
    log.answer("write", &client.write_vectored(&slices));
    drop(client);
    // All of it has arrived before the end has.
    let mut whole = [0; 7];
    while server.peek(&mut whole)? < whole.len() {}
    let (mut one, mut two, mut three) = ([0; 3], [0; 0], [0; 9]);
    let mut parts = [&mut one[..], &mut two, &mut three].map(IoSliceMut::new);
    log.answer("read", &server.read_vectored(&mut parts));
    log.note("bytes", (one, &three[..4]));
    log.answer("read the end", &server.read_vectored(&mut [IoSliceMut::new(&mut three)]));
    Ok(())
}

fn clones_are_one_socket<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, client) = pair.connection()?;
    let mut clone = client.try_clone()?;
    client.set_read_timeout(Some(SOON))?;
    log.answer("timeout", &clone.read_timeout());
    client.set_nonblocking(true)?;
    log.answer("read", &clone.read(&mut [0; 4]));
    client.set_nodelay(true)?;
    log.answer("nodelay", &clone.nodelay());
    drop(client);
    clone.write_all(b"still open")?;
    log.answer("arrives", &server.read(&mut [0; 16]));
    drop(clone);
    log.answer("the end", &server.read(&mut [0; 16]));
    Ok(())
}

fn options_are_remembered<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.connection()?;
    log.answer("nodelay", &client.nodelay());
    client.set_nodelay(true)?;
    log.answer("nodelay", &client.nodelay());
    client.set_nodelay(false)?;
    log.answer("nodelay", &client.nodelay());
    log.answer("linger", &server.linger());
    server.set_linger(Some(Duration::from_secs(3)))?;
    log.answer("linger", &server.linger());
    server.set_linger(None)?;
    log.answer("linger", &server.linger());
    log.answer("error", &server.take_error());
    Ok(())
}

const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// A time that is waited for in vain. Long enough for the kernel's clock ticks.
const SOON: Duration = Duration::from_millis(20);
