//! Which bytes beyond the next expected one have arrived already.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::seq::SeqNumber;

/// Ranges of the sequence space that wait for bytes before them. Nothing is allocated while there are none.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    /// In order, neither overlapping nor touching.
    #[expect(clippy::box_collection, reason = "one word in each of a million connections without gaps")]
    ranges: Option<Box<Vec<Range>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: SeqNumber,
    end: SeqNumber,
}

/// The connection already keeps as many ranges as it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyRanges;

impl Reassembly {
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_none()
    }

    /// Notes that the bytes from `start` up to `end` have arrived, joining them with what they touch.
    pub(crate) fn insert(
        &mut self,
        start: SeqNumber,
        end: SeqNumber,
        limit: usize,
    ) -> Result<(), TooManyRanges> {
        let ranges = self.ranges.get_or_insert_default();
        let first = ranges.iter().position(|range| !range.end.before(start)).unwrap_or(ranges.len());
        let touching = ranges[first..].iter().take_while(|range| !range.start.after(end)).count();
        if touching == 0 {
            if ranges.len() >= limit {
                self.forget_if_empty();
                return Err(TooManyRanges);
            }
            ranges.insert(first, Range { start, end });
            return Ok(());
        }
        let last = ranges[first + touching - 1];
        let joined = &mut ranges[first];
        if start.before(joined.start) {
            joined.start = start;
        }
        joined.end = last.end.max(end);
        ranges.drain(first + 1..first + touching);
        Ok(())
    }

    /// The bytes up to `next` are no longer missing. Returns up to where they and the ranges that they reach
    /// are whole, and forgets those ranges.
    pub(crate) fn advance(&mut self, next: SeqNumber) -> SeqNumber {
        let Some(ranges) = &mut self.ranges else { return next };
        let reached = ranges.iter().take_while(|range| !range.start.after(next)).count();
        let whole = ranges.drain(..reached).next_back().map_or(next, |range| range.end.max(next));
        self.forget_if_empty();
        whole
    }

    fn forget_if_empty(&mut self) {
        if self.ranges.as_ref().is_some_and(|ranges| ranges.is_empty()) {
            self.ranges = None;
        }
    }
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
