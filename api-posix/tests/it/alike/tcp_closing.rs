//! The ends of connections.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use super::host::{Host, Lingers, Listener, Pair, Stream, Watched};
use super::{Log, alike};

alike! {
    reading_to_the_end
    reading_after_the_peers_reset
    writing_after_the_peers_reset
    reading_what_came_before_a_reset
    filling_many_buffers_with_what_came_before_a_reset
    writing_until_a_reset_cuts_it_short
    closing_with_unread_bytes_resets_the_peer
    dropping_a_listener_resets_those_who_wait
    connecting_after_the_listener_is_gone
    half_closing
    half_closing_on_the_other_side
    writing_to_a_peer_that_has_closed
    shutting_down_reading
    shutting_down_both_directions
    shutting_down_twice
    shutting_down_what_has_ended
    shutting_down_wakes_a_reader
    the_peers_address_after_it_has_closed
    the_peers_address_after_both_have_closed
    the_addresses_after_a_reset
    the_error_is_told_once
    resetting_by_lingering_for_no_time
    lingering_until_all_has_arrived
    what_was_written_before_closing_arrives
}

fn reading_to_the_end<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    server.write_all(b"bye")?;
    drop(server);
    let mut said = Vec::new();
    log.answer("read", &client.read_to_end(&mut said));
    log.note("said", said);
    log.answer("read again", &client.read(&mut [0; 4]));
    log.answer("error", &client.take_error());
    Ok(())
}

fn reading_after_the_peers_reset<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, mut client) = pair.connection()?;
    reset(server)?;
    client.wait_ended();
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("read again", &client.read(&mut [0; 4]));
    log.answer("peek", &client.peek(&mut [0; 4]));
    log.answer("write", &client.write(b"x"));
    Ok(())
}

fn writing_after_the_peers_reset<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, mut client) = pair.connection()?;
    reset(server)?;
    client.wait_ended();
    log.answer("write", &client.write(b"x"));
    log.answer("write again", &client.write(b"x"));
    log.answer("write nothing", &client.write(b""));
    log.answer("read", &client.read(&mut [0; 4]));
    let (server, mut client) = pair.connection()?;
    client.shutdown(Shutdown::Write)?;
    reset(server)?;
    client.wait_ended();
    log.answer("write after the end", &client.write(b"x"));
    log.answer("write again", &client.write(b"x"));
    Ok(())
}

fn reading_what_came_before_a_reset<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    server.write_all(b"last words")?;
    client.wait_readable();
    reset(server)?;
    client.wait_ended();
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("read more", &client.read(&mut [0; 16]));
    log.answer("read on", &client.read(&mut [0; 16]));
    log.answer("read again", &client.read(&mut [0; 16]));
    Ok(())
}

fn filling_many_buffers_with_what_came_before_a_reset<H: Host>(
    pair: &Pair<H>,
    log: &mut Log,
) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    server.write_all(b"last words")?;
    client.wait_readable();
    reset(server)?;
    client.wait_ended();
    let (mut one, mut two) = ([0; 10], [0; 10]);
    let mut buffers = [&mut one, &mut two].map(|buffer| IoSliceMut::new(buffer));
    log.answer("read", &client.read_vectored(&mut buffers));
    log.answer("read on", &client.read_vectored(&mut buffers));
    log.answer("read again", &client.read_vectored(&mut buffers));
    Ok(())
}

fn writing_until_a_reset_cuts_it_short<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let much = vec![7; 64 << 20];
    for vectored in [false, true] {
        let (mut server, mut client) = pair.connection()?;
        let written = thread::scope(|scope| {
            let writer = scope.spawn(|| match vectored {
                false => client.write(&much),
                true => client.write_vectored(&[&much[..1000], &much].map(IoSlice::new)),
            });
            server.read_exact(&mut [0; 1000]).and_then(|()| reset(server)).unwrap();
            writer.join().unwrap()
        });
        log.note("some", written? < much.len());
        log.answer("write on", &client.write(b"x"));
        log.answer("write again", &client.write(b"x"));
        log.answer("read", &client.read(&mut [0; 4]));
    }
    Ok(())
}

fn closing_with_unread_bytes_resets_the_peer<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, mut client) = pair.connection()?;
    client.write_all(b"unread")?;
    server.wait_readable();
    drop(server);
    client.wait_ended();
    log.answer("read", &client.read(&mut [0; 4]));
    Ok(())
}

fn dropping_a_listener_resets_those_who_wait<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    let mut client = pair.client.connect(&[listener.local_addr()?])?;
    listener.wait_readable();
    drop(listener);
    log.answer("read", &client.read(&mut [0; 4]));
    Ok(())
}

fn connecting_after_the_listener_is_gone<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let listener = pair.listener()?;
    let local = listener.local_addr()?;
    let clone = listener.try_clone()?;
    drop(listener);
    log.answer("a clone listens", &pair.client.connect(&[local]).map(drop));
    drop(clone);
    log.answer("nobody listens", &pair.client.connect(&[local]).map(drop));
    Ok(())
}

fn half_closing<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    client.write_all(b"question")?;
    log.answer("shutdown", &client.shutdown(Shutdown::Write));
    let (mut question, mut reply) = (String::new(), String::new());
    log.answer("read", &server.read_to_string(&mut question));
    log.answer("write", &server.write(b"reply"));
    drop(server);
    log.answer("read the reply", &client.read_to_string(&mut reply));
    log.note("said", (question, reply));
    log.answer("write after the end", &client.write(b"x"));
    Ok(())
}

fn half_closing_on_the_other_side<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    server.shutdown(Shutdown::Write)?;
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("write", &client.write(b"late"));
    client.shutdown(Shutdown::Write)?;
    let mut said = String::new();
    log.answer("read", &server.read_to_string(&mut said));
    log.note("said", said);
    Ok(())
}

fn writing_to_a_peer_that_has_closed<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, mut client) = pair.connection()?;
    drop(server);
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("write", &client.write(b"hello?"));
    client.wait_ended();
    log.answer("write again", &client.write(b"hello?"));
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("error", &client.take_error());
    Ok(())
}

fn shutting_down_reading<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    server.write_all(b"early")?;
    client.wait_readable();
    log.answer("shutdown", &client.shutdown(Shutdown::Read));
    log.answer("read", &client.read(&mut [0; 8]));
    log.answer("read again", &client.read(&mut [0; 8]));
    log.answer("write", &client.write(b"fine"));
    log.answer("arrives", &server.read(&mut [0; 8]));
    log.answer("the peer writes", &server.write(b"x"));
    Ok(())
}

fn shutting_down_both_directions<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    log.answer("shutdown", &client.shutdown(Shutdown::Both));
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("write", &client.write(b"x"));
    log.answer("the peer reads", &server.read(&mut [0; 4]));
    Ok(())
}

fn shutting_down_twice<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.connection()?;
    log.answer("once", &client.shutdown(Shutdown::Write));
    log.answer("twice", &client.shutdown(Shutdown::Write));
    log.answer("reading", &client.shutdown(Shutdown::Read));
    log.answer("the peer", &server.shutdown(Shutdown::Read));
    Ok(())
}

fn shutting_down_what_has_ended<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.connection()?;
    reset(server)?;
    client.wait_ended();
    log.answer("shutdown", &client.shutdown(Shutdown::Both));
    Ok(())
}

fn shutting_down_wakes_a_reader<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (_server, client) = pair.connection()?;
    let mut clone = client.try_clone()?;
    let reader = thread::spawn(move || clone.read(&mut [0; 4]));
    client.shutdown(Shutdown::Read)?;
    log.answer("read", &reader.join().unwrap());
    Ok(())
}

fn the_peers_address_after_it_has_closed<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, mut client) = pair.connection()?;
    let address = server.local_addr()?;
    drop(server);
    log.answer("read", &client.read(&mut [0; 4]));
    log.note("known", client.peer_addr()? == address);
    Ok(())
}

fn the_peers_address_after_both_have_closed<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    let local = client.local_addr()?;
    client.shutdown(Shutdown::Write)?;
    log.answer("read", &server.read(&mut [0; 4]));
    server.shutdown(Shutdown::Write)?;
    log.answer("read", &client.read(&mut [0; 4]));
    client.wait_ended();
    log.answer("peer", &client.peer_addr());
    log.note("own", client.local_addr()? == local);
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("write", &client.write(b"x"));
    log.answer("shutdown", &client.shutdown(Shutdown::Both));
    log.answer("error", &client.take_error());
    Ok(())
}

fn the_addresses_after_a_reset<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, client) = pair.connection()?;
    let local = client.local_addr()?;
    reset(server)?;
    client.wait_ended();
    log.answer("peer", &client.peer_addr());
    log.note("own", client.local_addr()? == local);
    Ok(())
}

fn the_error_is_told_once<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, mut client) = pair.connection()?;
    log.answer("before", &client.take_error());
    reset(server)?;
    client.wait_ended();
    log.answer("error", &client.take_error());
    log.answer("error again", &client.take_error());
    log.answer("read", &client.read(&mut [0; 4]));
    log.answer("write", &client.write(b"x"));
    Ok(())
}

fn resetting_by_lingering_for_no_time<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (server, mut client) = pair.connection()?;
    let clone = server.try_clone()?;
    server.set_linger(Some(Duration::ZERO))?;
    drop(server);
    client.set_nonblocking(true)?;
    log.answer("a clone is left", &client.read(&mut [0; 4]));
    log.answer("clone lingers", &clone.linger());
    drop(clone);
    client.wait_ended();
    log.answer("none is left", &client.read(&mut [0; 4]));
    Ok(())
}

fn lingering_until_all_has_arrived<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    client.set_linger(Some(Duration::from_secs(10)))?;
    let much = vec![7; 100_000];
    client.write_all(&much)?;
    drop(client);
    // It is all there without waiting.
    server.set_nonblocking(true)?;
    server.wait_readable();
    let mut all = vec![0; much.len()];
    log.answer("read", &server.read_exact(&mut all));
    log.note("arrived", all == much);
    Ok(())
}

fn what_was_written_before_closing_arrives<H: Host>(pair: &Pair<H>, log: &mut Log) -> io::Result<()> {
    let (mut server, mut client) = pair.connection()?;
    let much = vec![7; 500_000];
    client.write_all(&much)?;
    drop(client);
    let mut all = Vec::new();
    log.answer("read", &server.read_to_end(&mut all));
    log.note("arrived", all == much);
    Ok(())
}

/// Closes a stream so that its peer is reset.
fn reset(stream: impl Lingers) -> io::Result<()> {
    stream.set_linger(Some(Duration::ZERO))
}
