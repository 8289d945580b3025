//! Which bytes beyond the next expected one have arrived already.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arrayvec::ArrayVec;

use super::seq::SeqNumber;
use crate::wire::tcp_options::{SackBlock, SackBlocks};

/// Ranges of the sequence space that wait for bytes before them, and what of that the peer has to be told
/// (RFC 2018). Nothing is allocated while there are none.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    kept: Option<Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// In order, neither overlapping nor touching.
    ranges: Vec<Range>,
    /// Counts the segments that arrived, and wraps around.
    clock: u32,
    /// What arrived up to this reading of `clock` was told to the peer.
    told: u32,
    /// What has arrived once more, and was not told (RFC 2883).
    duplicate: Option<(SeqNumber, SeqNumber)>,
    /// Where the peer's FIN stands, which has arrived before other bytes.
    end: Option<SeqNumber>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: SeqNumber,
    end: SeqNumber,
    /// The clock when a segment arrived in it last.
    touched: u32,
}

/// The connection already keeps as many ranges as it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyRanges;

impl Reassembly {
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.ranges.is_empty())
    }

    /// The end of the stream, once it is known and not reached.
    #[inline]
    pub(crate) fn end(&self) -> Option<SeqNumber> {
        self.kept.as_ref()?.end
    }

    /// Notes the end of the stream, or that it was reached.
    pub(crate) fn set_end(&mut self, end: Option<SeqNumber>) {
        if end.is_some() || self.kept.is_some() {
            self.kept.get_or_insert_default().end = end;
            self.forget_if_empty();
        }
    }

    /// Whether nothing waits, and nothing is to be told.
    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.kept.is_none()
    }

    /// Notes that the bytes from `start` up to `end` have arrived, joining them with what they touch. Returns
    /// up to where they had arrived before, which is `start` where they had not.
    pub(crate) fn insert(
        &mut self,
        start: SeqNumber,
        end: SeqNumber,
        limit: usize,
    ) -> Result<SeqNumber, TooManyRanges> {
        let Kept { ranges, clock, .. } = &mut **self.kept.get_or_insert_default();
        let touched = clock.wrapping_add(1);
        let first = ranges.partition_point(|range| range.end.before(start));
        let touching = ranges[first..].iter().take_while(|range| !range.start.after(end)).count();
        if touching == 0 {
            if ranges.len() >= limit {
                self.forget_if_empty();
                return Err(TooManyRanges);
            }
            ranges.insert(first, Range { start, end, touched });
            *clock = touched;
            return Ok(start);
        }
        *clock = touched;
        let last = ranges[first + touching - 1];
        let joined = &mut ranges[first];
        let known = if joined.start.after(start) { start } else { joined.end.min(end) };
        joined.start = joined.start.min(start);
        joined.end = last.end.max(end);
        joined.touched = touched;
        ranges.drain(first + 1..first + touching);
        Ok(known)
    }

    /// The bytes up to `next` are no longer missing. Returns up to where they and the ranges that they reach
    /// are whole, and forgets those ranges.
    pub(crate) fn advance(&mut self, next: SeqNumber) -> SeqNumber {
        let Some(kept) = &mut self.kept else { return next };
        let reached = kept.ranges.iter().take_while(|range| !range.start.after(next)).count();
        let whole = kept.ranges.drain(..reached).next_back().map_or(next, |range| range.end.max(next));
        self.forget_if_empty();
        whole
    }

    /// Notes that the bytes from `start` up to `end` have arrived once more. One range is kept until it is
    /// told, the youngest.
    pub(crate) fn note_duplicate(&mut self, start: SeqNumber, end: SeqNumber) {
        let kept = self.kept.get_or_insert_default();
        kept.duplicate = Some(match kept.duplicate {
            Some((from, to)) if to == start => (from, end),
            _ => (start, end),
        });
    }

    /// What to tell the peer in an acknowledgement with room for so many blocks.
    ///
    /// RFC 2883 §4: a duplicate comes first. RFC 2018 §4: then the range that the youngest segment lies in, and
    /// then those that were told most recently. A burst may have changed more ranges than there is room for;
    /// the oldest of them are told first then, and the others in further acknowledgements.
    #[inline]
    pub(crate) fn blocks(&self, room: usize) -> SackBlocks {
        let Some(kept) = &self.kept else { return SackBlocks::default() };
        let duplicate = kept.duplicate.map(|(start, end)| block(start, end));
        let chosen = kept.choose(room - usize::from(duplicate.is_some()));
        duplicate.into_iter().chain(chosen.iter().map(|range| block(range.start, range.end))).collect()
    }

    /// The [`blocks`](Self::blocks) for so much room were told.
    pub(crate) fn told(&mut self, room: usize) {
        let Some(kept) = &mut self.kept else { return };
        let duplicate = kept.duplicate.take();
        let chosen = kept.choose(room - usize::from(duplicate.is_some()));
        if let Some(youngest) = chosen.first()
            && kept.is_untold(youngest)
        {
            kept.told = youngest.touched;
        }
        self.forget_if_empty();
    }

    /// Whether the peer does not know yet of something that has arrived.
    pub(crate) fn has_untold(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| {
            kept.duplicate.is_some() || kept.ranges.iter().any(|range| kept.is_untold(range))
        })
    }

    fn forget_if_empty(&mut self) {
        if self
            .kept
            .as_ref()
            .is_some_and(|kept| kept.ranges.is_empty() && kept.duplicate.is_none() && kept.end.is_none())
        {
            self.kept = None;
        }
    }
}

impl Kept {
    fn age(&self, touched: u32) -> u32 {
        self.clock.wrapping_sub(touched)
    }

    fn is_untold(&self, range: &Range) -> bool {
        self.age(range.touched) < self.age(self.told)
    }

    /// At most `room` ranges to tell, the youngest first.
    fn choose(&self, room: usize) -> ArrayVec<Range, { SackBlocks::MOST }> {
        let mut chosen = ArrayVec::<Range, { SackBlocks::MOST }>::new();
        let room = room.min(chosen.capacity());
        // Those that were not told come before those that were; of each kind, the nearer to the boundary between
        // them the sooner.
        let turn =
            |range: &Range| (!self.is_untold(range), self.age(range.touched).abs_diff(self.age(self.told)));
        for range in &self.ranges {
            let place = chosen.iter().position(|other| turn(range) < turn(other)).unwrap_or(chosen.len());
            if place < room {
                chosen.truncate(room - 1);
                chosen.insert(place, *range);
            }
        }
        chosen.sort_unstable_by_key(|range| self.age(range.touched));
        chosen
    }
}

fn block(start: SeqNumber, end: SeqNumber) -> SackBlock {
    SackBlock { left: start.0, right: end.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seq(n: u32) -> SeqNumber {
        SeqNumber(n)
    }

    #[test]
    fn filling_the_gap_releases_everything_behind_it() {
        let mut reassembly = Reassembly::default();
        reassembly.insert(seq(10), seq(20), 8).unwrap();
        reassembly.insert(seq(20), seq(30), 8).unwrap();
        reassembly.insert(seq(40), seq(50), 8).unwrap();
        assert_eq!(reassembly.advance(seq(9)), seq(9));
        assert_eq!(reassembly.advance(seq(10)), seq(30));
        assert_eq!(reassembly.advance(seq(45)), seq(50));
        assert!(reassembly.is_empty());
    }

    #[test]
    fn a_range_too_many_is_refused_but_one_that_joins_is_not() {
        let mut reassembly = Reassembly::default();
        reassembly.insert(seq(10), seq(20), 2).unwrap();
        reassembly.insert(seq(30), seq(40), 2).unwrap();
        assert_eq!(reassembly.insert(seq(50), seq(60), 2), Err(TooManyRanges));
        reassembly.insert(seq(20), seq(30), 2).unwrap();
        assert_eq!(reassembly.advance(seq(10)), seq(40));
    }

    /// The blocks for so much room, which count as told from now on.
    fn tell(reassembly: &mut Reassembly, room: usize) -> Vec<(u32, u32)> {
        let blocks = reassembly.blocks(room);
        reassembly.told(room);
        blocks.as_slice().iter().map(|block| (block.left, block.right)).collect()
    }

    #[test]
    fn youngest_range_is_told_first_and_older_ones_are_repeated() {
        // RFC 2018 §4, with 500 bytes in each segment: the first of eight is lost.
        let mut reassembly = Reassembly::default();
        reassembly.insert(seq(5_500), seq(6_000), 8).unwrap();
        assert_eq!(tell(&mut reassembly, 3), [(5_500, 6_000)]);
        reassembly.insert(seq(6_500), seq(7_000), 8).unwrap();
        assert_eq!(tell(&mut reassembly, 3), [(6_500, 7_000), (5_500, 6_000)]);
        reassembly.insert(seq(7_500), seq(8_000), 8).unwrap();
        reassembly.insert(seq(8_500), seq(9_000), 8).unwrap();
        assert_eq!(tell(&mut reassembly, 3), [(8_500, 9_000), (7_500, 8_000), (6_500, 7_000)]);
        reassembly.insert(seq(6_000), seq(6_500), 8).unwrap();
        assert_eq!(tell(&mut reassembly, 3), [(5_500, 7_000), (8_500, 9_000), (7_500, 8_000)]);
        assert!(!reassembly.has_untold());
    }

    #[test]
    fn ranges_of_a_burst_that_find_no_room_are_told_next() {
        let mut reassembly = Reassembly::default();
        for n in 0..5 {
            reassembly.insert(seq(20 * n + 10), seq(20 * n + 20), 8).unwrap();
        }
        assert_eq!(tell(&mut reassembly, 3), [(50, 60), (30, 40), (10, 20)]);
        assert!(reassembly.has_untold());
        assert_eq!(tell(&mut reassembly, 3), [(90, 100), (70, 80), (50, 60)]);
        assert!(!reassembly.has_untold());
    }

    #[test]
    fn duplicate_is_told_once_and_before_the_range_around_it() {
        // RFC 2883 §4.2.
        let mut reassembly = Reassembly::default();
        reassembly.insert(seq(1_000), seq(2_000), 8).unwrap();
        reassembly.insert(seq(3_000), seq(4_000), 8).unwrap();
        tell(&mut reassembly, 3);
        assert_eq!(reassembly.insert(seq(1_500), seq(2_500), 8), Ok(seq(2_000)));
        reassembly.note_duplicate(seq(1_500), seq(2_000));
        assert_eq!(tell(&mut reassembly, 3), [(1_500, 2_000), (1_000, 2_500), (3_000, 4_000)]);
        assert_eq!(tell(&mut reassembly, 3), [(1_000, 2_500), (3_000, 4_000)]);
        assert_eq!(reassembly.advance(seq(1_000)), seq(2_500));
        assert_eq!(reassembly.advance(seq(3_000)), seq(4_000));
        reassembly.note_duplicate(seq(100), seq(200));
        assert_eq!(tell(&mut reassembly, 3), [(100, 200)]);
        assert!(reassembly.kept.is_none(), "nothing is held while there is nothing to tell");
    }

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(
            origin: u32,
            pieces in prop::collection::vec((0usize..200, 1usize..40), 1..40),
        ) {
            let mut reassembly = Reassembly::default();
            let mut arrived = [false; 256];
            for (start, len) in pieces {
                let (from, to) = (seq(origin) + start as u32, seq(origin) + (start + len) as u32);
                reassembly.insert(from, to, usize::MAX).unwrap();
                arrived[start..start + len].fill(true);
            }
            let whole = arrived.iter().take_while(|&&there| there).count();
            prop_assert_eq!(reassembly.advance(seq(origin)), seq(origin) + whole as u32);
            let last = arrived.iter().rposition(|&there| there).map_or(0, |at| at + 1);
            prop_assert_eq!(reassembly.is_empty(), last <= whole);
        }
    }
}
