//! Two ends in one process.

use crate::contract::{self, PATIENCE, Pooled, fill, is_readable, number_of, park};
use netlane_backends::inspect::InspectBuf;
use netlane_backends::memory::{Memory, MemoryConfig, MemoryPort, Offload, pair};
use netlane_backends::wait::Waitable;
use netlane_packet_io::{
    Batch, IpVersion, LinkDown, PacketBuf, PacketIo, RxChecksum, RxOffload, Segmentation, Transport,
    TxChecksum, TxOffload,
};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const SMALL: MemoryConfig = MemoryConfig {
    mtu: 1500,
    macs: [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]],
    queue: 256,
    pool: 512,
    offload: Offload::None,
};

fn open(config: &MemoryConfig) -> (Memory, Memory) {
    let (a, b) = pair(config).expect("two eventfds");
    (a.open(), b.open())
}

#[test]
fn keeps_the_contract_on_one_thread() {
    for offload in [Offload::None, Offload::Checksum, Offload::Segmentation] {
        let config = MemoryConfig { offload, ..SMALL };
        let (mut a, mut b) = open(&config);
        contract::buffers_grow_both_ways_and_come_back_clean(&mut a);
        contract::frames_arrive_whole_and_in_order(&mut a, &mut b);
        contract::frames_arrive_whole_and_in_order(&mut b, &mut a);
        contract::refused_frames_stay_with_the_caller(&mut a, &mut b);
        contract::one_way_stream_never_drains_the_pool(&mut a, &mut b, 5000);
        contract::received_buffers_can_be_sent_back(&mut b, &mut a);
        let (mut a, _b) = open(&config);
        contract::exhausted_pool_lends_again_what_comes_back(&mut a, SMALL.pool);
    }
}

#[test]
fn two_frames_are_enough_for_a_stream() {
    let (mut a, mut b) = open(&MemoryConfig { queue: 1, pool: 2, ..SMALL });
    contract::one_way_stream_never_drains_the_pool(&mut a, &mut b, 100);
}

#[test]
fn each_end_has_its_own_address() {
    let (a, b) = open(&SMALL);
    assert_eq!([a.caps().mac, b.caps().mac], SMALL.macs);
    assert_eq!((a.caps().mtu, a.caps().tx_checksum, a.caps().tso_v4), (1500, false, false));
    let (a, _) = open(&MemoryConfig { offload: Offload::Segmentation, ..SMALL });
    assert_eq!(
        (a.caps().mtu, a.caps().tx_checksum, a.caps().tso_v4, a.caps().tso_v6),
        (1500, true, true, true)
    );
    assert!(a.caps().max_frame > 65535);
}

#[test]
fn offloaded_frame_crosses_in_one_piece_and_counts_as_joined() {
    let (mut a, mut b) = open(&MemoryConfig { offload: Offload::Segmentation, ..SMALL });
    let checksum = TxChecksum { start: 34, offset: 16 };
    let segmentation =
        Segmentation { transport: Transport::Tcp, ip: IpVersion::V4, header_len: 54, segment_size: 1460 };
    let mut buf = a.alloc().expect("a buffer");
    buf.append(60_000).expect("room for a super-frame").fill(7);
    buf.set_tx_offload(TxOffload { checksum: Some(checksum), segmentation: Some(segmentation) });
    let mut batch = Batch::from_iter([buf]);
    a.tx_burst(&mut batch).expect("the link is up");
    b.rx_burst(&mut batch).expect("the link is up");
    assert_eq!(batch[0].bytes(), [7; 60_000]);
    assert_eq!(batch[0].rx_offload(), RxOffload { checksum: RxChecksum::Good, segment_size: 1460 });
    assert_eq!((batch[0].rx_unfilled(), batch[0].tx_offload()), (Some(checksum), TxOffload::default()));
}

#[test]
fn frame_with_its_checksum_filled_in_is_left_to_the_receiver_to_verify() {
    let (mut a, mut b) = open(&MemoryConfig { offload: Offload::Segmentation, ..SMALL });
    let mut batch = Batch::from_iter([contract::frame(&mut a, 1)]);
    a.tx_burst(&mut batch).expect("the link is up");
    b.rx_burst(&mut batch).expect("the link is up");
    assert_eq!(batch[0].rx_offload(), RxOffload::default());
}

#[test]
fn link_goes_down_when_the_other_end_is_gone_and_all_it_sent_was_received() {
    let (mut a, mut b) = open(&SMALL);
    let mut batch = Batch::from_iter([contract::frame(&mut a, 1)]);
    a.tx_burst(&mut batch).expect("the link is up");
    drop(a);
    assert!(!b.arm(), "a lane must not wait for an end that is gone");
    let mut received = Vec::new();
    assert_eq!(contract::receive(&mut b, &mut received), 1);
    assert_eq!(b.rx_burst(&mut Batch::new()), Err(LinkDown));
    let mut batch = Batch::from_iter([contract::frame(&mut b, 2)]);
    assert_eq!(b.tx_burst(&mut batch), Err(LinkDown));
    assert_eq!(batch.len(), 1, "the frame stays");
    drop(batch);
    assert_eq!(b.in_use(), 0);
}

#[test]
fn port_that_is_never_opened_takes_the_link_down_too() {
    let (a, b) = pair(&SMALL).expect("two eventfds");
    drop(a);
    assert_eq!(b.open().rx_burst(&mut Batch::new()), Err(LinkDown));
}

#[test]
fn buffers_outlive_the_end_that_lent_them() {
    let (mut a, b) = open(&SMALL);
    let buf = contract::frame(&mut a, 3);
    drop((a, b));
    assert_eq!(number_of(buf.bytes()), 3);
}

#[test]
fn end_that_parks_gives_back_what_it_owes() {
    let (mut a, mut b) = open(&MemoryConfig { pool: 2, ..SMALL });
    let mut batch = (0..2).map(|number| contract::frame(&mut a, number)).collect();
    a.tx_burst(&mut batch).expect("the link is up");
    assert_eq!(contract::receive(&mut b, &mut Vec::new()), 2);
    assert!(a.alloc().is_none(), "both buffers lie at the other end");
    assert!(b.arm());
    assert!(!a.arm(), "a lane that waited for buffers has some now");
    assert!(a.alloc().is_some());
}

#[test]
fn woken_end_may_sleep_again() {
    let (a, b) = pair(&SMALL).expect("two eventfds");
    let (done, until_done) = mpsc::channel::<()>();
    let mut io = a.open();
    assert!(io.arm());
    let sender = thread::spawn(move || {
        let mut io = b.open();
        let mut batch = Batch::from_iter([contract::frame(&mut io, 1)]);
        io.tx_burst(&mut batch).expect("the link is up");
        until_done.recv()
    });
    assert!(is_readable(&io, PATIENCE), "the frame wakes this end up");
    io.disarm();
    assert_eq!(contract::receive(&mut io, &mut Vec::new()), 1);
    assert!(io.arm() && !is_readable(&io, Duration::ZERO));
    drop(done);
    assert!(
        sender.join().expect("the sender ends well").is_err(),
        "nothing was ever sent through the channel"
    );
    assert!(is_readable(&io, PATIENCE), "the end of the link wakes this end up");
}

/// Both ends park whenever there is nothing to do, so that a single lost wake-up ends the test.
#[test]
fn round_trips_between_two_threads_lose_no_wake_up() {
    const ROUNDS: u32 = 20_000;
    let (a, b) = pair(&SMALL).expect("two eventfds");
    let echo = thread::spawn(move || {
        let mut io = b.open();
        let mut batch = Batch::new();
        for _ in 0..ROUNDS {
            receive_one(&mut io, &mut batch);
            io.tx_burst(&mut batch).expect("the link is up");
        }
        io.in_use()
    });
    let mut io = a.open();
    for round in 0..ROUNDS {
        let mut batch = Batch::from_iter([contract::frame(&mut io, round)]);
        io.tx_burst(&mut batch).expect("the link is up");
        receive_one(&mut io, &mut batch);
        assert_eq!(number_of(batch[0].bytes()), round);
    }
    assert_eq!((echo.join().expect("the echo ends well"), io.in_use()), (0, 0));
}

fn receive_one(io: &mut Memory, batch: &mut Batch<<Memory as PacketIo>::Buf>) {
    io.rx_burst(batch).expect("the link is up");
    while batch.is_empty() {
        park(io);
        io.rx_burst(batch).expect("the link is up");
    }
}

/// The sender waits for room in the ring or for its buffers, whichever lacks first.
#[test]
fn stream_between_two_threads_arrives_in_order_and_wakes_a_sender_without_buffers() {
    for (queue, pool) in [(256, 512), (4, 64), (64, 4), (1, 1)] {
        stream(pair(&MemoryConfig { queue, pool, ..SMALL }).expect("two eventfds"), 30_000);
    }
}

fn stream((a, b): (MemoryPort, MemoryPort), count: u32) {
    let receiver = thread::spawn(move || {
        let (mut io, mut received) = (b.open(), Vec::new());
        while received.len() < count as usize {
            if contract::receive(&mut io, &mut received) == 0 {
                park(&mut io);
            }
        }
        assert_eq!(io.in_use(), 0);
        received
    });
    let (mut io, mut next, mut batch) = (a.open(), 0, Batch::new());
    while next < count || !batch.is_empty() {
        while !batch.is_full() && next < count {
            let Some(mut buf) = io.alloc() else { break };
            fill(&mut buf, next);
            batch.push(buf);
            next += 1;
        }
        let before = batch.len();
        io.tx_burst(&mut batch).expect("the receiver takes all");
        if batch.len() == before {
            park(&mut io);
        }
    }
    assert_eq!(receiver.join().expect("the receiver ends well"), (0..count).collect::<Vec<_>>());
    assert_eq!(io.in_use(), 0);
}
