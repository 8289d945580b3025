//! Pooled buffers against a vector of bytes.

use netlane_backends::pool::{HEADROOM, Pool, PooledBuf};
use netlane_packet_io::PacketBuf;
use proptest::prelude::*;

const CAPACITY: usize = 200;

#[derive(Clone, Debug)]
enum Step {
    Prepend(Vec<u8>),
    Append(Vec<u8>),
    TrimFront(usize),
    Truncate(usize),
    Flip(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..CAPACITY);
    let step = prop_oneof![
        bytes().prop_map(Step::Prepend),
        bytes().prop_map(Step::Append),
        (0..CAPACITY).prop_map(Step::TrimFront),
        (0..CAPACITY).prop_map(Step::Truncate),
        any::<prop::sample::Index>().prop_map(Step::Flip),
    ];
    prop::collection::vec(step, 0..40)
}

/// What a buffer should be: bytes, and how much room there is around them.
struct Model {
    headroom: usize,
    bytes: Vec<u8>,
    tailroom: usize,
}

impl Model {
    fn apply(&mut self, step: &Step, buf: &mut PooledBuf) {
        match step {
            Step::Prepend(new) => {
                let lent = buf.prepend(new.len()).map(|front| front.copy_from_slice(new));
                assert_eq!(lent.is_some(), new.len() <= self.headroom);
                if lent.is_some() {
                    self.headroom -= new.len();
                    self.bytes.splice(0..0, new.iter().copied());
                }
            }
            Step::Append(new) => {
                let lent = buf.append(new.len()).map(|tail| tail.copy_from_slice(new));
                assert_eq!(lent.is_some(), new.len() <= self.tailroom);
                if lent.is_some() {
                    self.tailroom -= new.len();
                    self.bytes.extend(new);
                }
            }
            Step::TrimFront(n) => {
                buf.trim_front(*n);
                self.headroom += self.bytes.drain(..(*n).min(self.bytes.len())).len();
            }
            Step::Truncate(len) => {
                buf.truncate(*len);
                self.tailroom += self.bytes.drain((*len).min(self.bytes.len())..).len();
            }
            Step::Flip(at) if !self.bytes.is_empty() => {
                let at = at.index(self.bytes.len());
                self.bytes[at] ^= 0xff;
                buf.bytes_mut()[at] ^= 0xff;
            }
            Step::Flip(_) => {}
        }
    }
}

proptest! {
    #[test]
    fn buffer_behaves_like_a_vector_with_room_around_it(steps in steps()) {
        let pool = Pool::new(1, CAPACITY);
        let mut buf = pool.alloc().expect("the first buffer");
        let mut model = Model { headroom: HEADROOM, bytes: Vec::new(), tailroom: CAPACITY };
        for step in &steps {
            model.apply(step, &mut buf);
            prop_assert_eq!(buf.bytes(), &model.bytes[..]);
            prop_assert_eq!((buf.headroom(), buf.tailroom()), (model.headroom, model.tailroom));
        }
        drop(buf);
        prop_assert_eq!((pool.in_use(), pool.free()), (0, 1));
    }
}

#[test]
fn frame_that_came_back_last_leaves_first() {
    let pool = Pool::new(3, CAPACITY);
    let place = |buf: &mut PooledBuf| buf.append(1).expect("tailroom").as_ptr();
    let mut bufs: Vec<_> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!((bufs.len(), pool.in_use(), pool.is_exhausted()), (3, 3, true));
    let last = place(&mut bufs[1]);
    bufs.swap_remove(0);
    drop(bufs.pop().filter(|buf| buf.bytes().as_ptr() == last));
    let mut again = pool.alloc().expect("two came back");
    assert_eq!(place(&mut again), last);
}

#[test]
fn frame_moves_from_one_pool_to_another() {
    let (ours, theirs) = (Pool::new(1, CAPACITY), Pool::new(1, CAPACITY));
    let mut buf = ours.alloc().expect("the first buffer");
    buf.append(5).expect("tailroom").copy_from_slice(b"hello");
    let buf = theirs.adopt(buf.into_frame());
    assert_eq!((buf.bytes(), ours.in_use(), theirs.in_use()), (&b"hello"[..], 0, 1));
    assert!(ours.is_exhausted(), "its only frame is gone");
    drop(buf);
    ours.put(theirs.take().expect("the frame lies there now"));
    assert_eq!(ours.alloc().expect("it is back").bytes(), b"");
}
