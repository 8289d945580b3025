//! What every backend owes the stack.

use netlane_backends::inspect::InspectBuf;
use netlane_backends::pool::HEADROOM;
use netlane_backends::wait::Waitable;
use netlane_packet_io::{BURST, Batch, PacketBuf, PacketIo, RxOffload, TxOffload};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::time::Duration;

/// A backend that knows how many of its buffers somebody holds.
pub(crate) trait Pooled: PacketIo<Buf: InspectBuf> + Waitable {
    fn in_use(&self) -> usize;
}

impl Pooled for netlane_backends::memory::Memory {
    fn in_use(&self) -> usize {
        self.pool().in_use()
    }
}

impl Pooled for netlane_backends::tap::Tap {
    fn in_use(&self) -> usize {
        self.pool().in_use()
    }
}

impl<I: Pooled> Pooled for netlane_backends::wrap::pcap::Pcap<I> {
    fn in_use(&self) -> usize {
        self.get_ref().in_use()
    }
}

impl<I: Pooled, C: Fn() -> u64> Pooled for netlane_backends::wrap::impair::Impair<I, C> {
    fn in_use(&self) -> usize {
        self.get_ref().in_use()
    }
}

/// A buffer starts empty and with all of its headroom, grows both ways, and comes back clean.
pub(crate) fn buffers_grow_both_ways_and_come_back_clean(io: &mut impl Pooled) {
    let capacity = io.caps().max_frame;
    for _ in 0..2 {
        let mut buf = io.alloc().expect("a fresh pool has buffers");
        assert_eq!(buf.bytes(), b"");
        assert_eq!((buf.rx_offload(), buf.tx_offload()), (RxOffload::default(), TxOffload::default()));
        buf.append(4).expect("tailroom").copy_from_slice(b"data");
        buf.prepend(4).expect("headroom").copy_from_slice(b"head");
        assert_eq!(buf.bytes(), b"headdata");
        buf.bytes_mut()[0] = b'H';
        buf.trim_front(2);
        assert_eq!(buf.bytes(), b"addata");
        assert_eq!(buf.prepend(HEADROOM - 2).map(|front| front.len()), Some(HEADROOM - 2));
        assert!(buf.prepend(1).is_none() && buf.append(usize::MAX).is_none());
        buf.trim_front(usize::MAX);
        assert_eq!(buf.bytes(), b"");
        assert_eq!(buf.append(capacity - 4).map(|tail| tail.len()), Some(capacity - 4));
        buf.set_tx_offload(TxOffload { checksum: Some(CHECKSUM), segmentation: None });
    }
    assert_eq!(io.in_use(), 0);
}

const CHECKSUM: netlane_packet_io::TxChecksum = netlane_packet_io::TxChecksum { start: 14, offset: 6 };

/// A pool lends as many buffers as it has, then says no, and lends again what came back.
pub(crate) fn exhausted_pool_lends_again_what_comes_back(io: &mut impl Pooled, limit: usize) {
    let mut held: Vec<_> = std::iter::from_fn(|| io.alloc()).take(limit + 1).collect();
    assert_eq!((held.len(), io.in_use()), (limit, limit));
    held.pop();
    assert!(io.alloc().is_some(), "one came back, and is lent and dropped again");
    held.truncate(1);
    assert_eq!(io.in_use(), 1);
    drop(held);
    assert_eq!(io.in_use(), 0);
}

/// More than a burst of frames arrives whole and in order.
pub(crate) fn frames_arrive_whole_and_in_order(a: &mut impl Pooled, b: &mut impl Pooled) {
    let mut received = Vec::new();
    for numbers in (0..7).map(|burst| burst * 20..burst * 20 + 20) {
        let mut batch = numbers.map(|number| frame(a, number)).collect();
        a.tx_burst(&mut batch).expect("the link is up");
        assert!(batch.is_empty());
    }
    while receive(b, &mut received) > 0 {}
    assert_eq!(received, (0..140).collect::<Vec<_>>());
    assert_eq!((a.in_use(), b.in_use()), (0, 0));
}

/// Frames that the device has no room for stay with the caller, and go through when there is room again.
pub(crate) fn refused_frames_stay_with_the_caller(a: &mut impl Pooled, b: &mut impl Pooled) {
    let mut next = 0;
    let mut batch = Batch::new();
    while batch.is_empty() {
        batch.extend((next..next + 20).map(|number| frame(a, number)));
        next += 20;
        a.tx_burst(&mut batch).expect("the link is up");
    }
    let kept: Vec<_> = batch.iter().map(|buf| number_of(buf.bytes())).collect();
    assert_eq!(kept, (next - kept.len() as u32..next).collect::<Vec<_>>(), "the last ones, in order");
    let mut received = Vec::new();
    while !batch.is_empty() {
        assert!(receive(b, &mut received) > 0, "a refusing link has frames under way");
        a.tx_burst(&mut batch).expect("the link is up");
    }
    // What a wrapper held back for want of room leaves when it gets a turn.
    for _ in 0..next {
        receive(a, &mut Vec::new());
        receive(b, &mut received);
    }
    assert_eq!(received, (0..next).collect::<Vec<_>>());
    assert_eq!((a.in_use(), b.in_use()), (0, 0));
}

/// A stream in one direction never drains the sender's pool, however long it is.
pub(crate) fn one_way_stream_never_drains_the_pool(a: &mut impl Pooled, b: &mut impl Pooled, count: u32) {
    let mut received = Vec::new();
    for number in 0..count {
        let mut batch = Batch::from_iter([frame(a, number)]);
        a.tx_burst(&mut batch).expect("the link is up");
        assert!(batch.is_empty());
        assert_eq!(receive(b, &mut received), 1);
    }
    assert_eq!(received, (0..count).collect::<Vec<_>>());
    assert_eq!((a.in_use(), b.in_use()), (0, 0));
}

/// A buffer that was received can be sent back as it is.
pub(crate) fn received_buffers_can_be_sent_back<I: Pooled>(a: &mut I, b: &mut I) {
    for round in 0..100 {
        let mut batch = Batch::from_iter([frame(a, round)]);
        a.tx_burst(&mut batch).expect("the link is up");
        b.rx_burst(&mut batch).expect("the link is up");
        batch[0].prepend(2).expect("headroom").copy_from_slice(b"re");
        b.tx_burst(&mut batch).expect("the link is up");
        a.rx_burst(&mut batch).expect("the link is up");
        assert_eq!((&batch[0].bytes()[..2], number_of(&batch[0].bytes()[2..])), (&b"re"[..], round));
    }
    assert_eq!((a.in_use(), b.in_use()), (0, 0));
}

/// A frame that carries a number, of a length that depends on it.
pub(crate) fn frame<I: PacketIo>(io: &mut I, number: u32) -> I::Buf {
    let mut buf = io.alloc().expect("a buffer for each frame");
    fill(&mut buf, number);
    buf
}

/// Writes the frame that carries `number` into an empty buffer.
pub(crate) fn fill(buf: &mut impl PacketBuf, number: u32) {
    let len = 60 + number as usize % 1000;
    buf.append(len).expect("tailroom").fill(number as u8);
    buf.bytes_mut()[..4].copy_from_slice(&number.to_be_bytes());
}

/// The number that a frame carries, after a look at the rest of it.
pub(crate) fn number_of(bytes: &[u8]) -> u32 {
    let number = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
    assert_eq!(bytes.len(), 60 + number as usize % 1000);
    assert!(bytes[4..].iter().all(|&byte| byte == number as u8));
    number
}

/// Receives a burst, and says how many frames it had.
pub(crate) fn receive(io: &mut impl PacketIo, numbers: &mut Vec<u32>) -> usize {
    let mut batch = Batch::new();
    io.rx_burst(&mut batch).expect("the link is up");
    assert!(batch.len() <= BURST);
    numbers.extend(batch.iter().map(|buf| number_of(buf.bytes())));
    batch.len()
}

/// Parks as a lane does. Panics when nothing happens for longer than anything could take.
pub(crate) fn park(io: &mut impl Waitable) {
    if io.arm() {
        let due = io.due_in();
        let woken = is_readable(io, due.unwrap_or(PATIENCE));
        io.disarm();
        assert!(woken || due.is_some(), "nobody woke this end up");
    }
}

/// Whether something happens within a time.
pub(crate) fn is_readable(io: &impl Waitable, within: Duration) -> bool {
    let fd = io.poll_fd().expect("a lane with buffers can wait");
    let interest = if io.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let timeout = Timespec::try_from(within).expect("a short time");
    poll(&mut [PollFd::from_borrowed_fd(fd, interest)], Some(&timeout)).expect("poll") > 0
}

/// Longer than anything could take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
