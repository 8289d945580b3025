//! What is in flight, and what became of it: the scoreboard of sent segments (RFC 6675 §3, RFC 8985 §5).

use alloc::collections::VecDeque;

use super::rate_sample::Departure;
use super::seq::SeqNumber;
use crate::time::Instant;

/// A record for each stretch of the sequence space from SND.UNA to SND.NXT that was sent at one time and has fared
/// alike. What is contiguous, sent at the same time and in the same state shares one record, so that a burst is one,
/// whatever its size; selective acknowledgements split it.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    una: SeqNumber,
    /// In order, each beginning where the one before it ends.
    records: VecDeque<Sent>,
    sacked: u32,
    lost: u32,
}

/// A stretch that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// The place after its last one.
    pub(crate) end: SeqNumber,
    pub(crate) status: Status,
    /// It was sent more than once.
    pub(crate) resent: bool,
    /// When it was sent last.
    pub(crate) at: Instant,
    pub(crate) departure: Departure,
}

/// What became of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// On its way, for all that is known.
    InFlight,
    /// Found lost, and not sent again since.
    Lost,
    /// Arrived, ahead of others (RFC 2018).
    Sacked,
}

impl Scoreboard {
    pub(crate) const fn new(una: SeqNumber) -> Self {
        Self { una, records: VecDeque::new(), sacked: 0, lost: 0 }
    }

    #[inline]
    pub(crate) fn una(&self) -> SeqNumber {
        self.una
    }

    /// SND.NXT: the end of what was sent.
    #[inline]
    pub(crate) fn end(&self) -> SeqNumber {
        self.records.back().map_or(self.una, |last| last.end)
    }

    /// Whether nothing was sent that is not acknowledged.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// RFC 6675's pipe: bytes that are thought to be on their way.
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.end().since(self.una) - self.sacked - self.lost
    }

    #[inline]
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    #[inline]
    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// Bytes that were sent again and are on their way, for all that is known.
    pub(crate) fn resent_in_flight(&self) -> u32 {
        let (mut start, mut resent) = (self.una, 0);
        for sent in &self.records {
            if sent.resent && sent.status == Status::InFlight {
                resent += sent.end.since(start);
            }
            start = sent.end;
        }
        resent
    }

    /// Notes that `len` places behind all others were sent. At `limit` records the last one takes them in, with the
    /// time of its youngest part; only where that one has arrived there is one record more.
    #[inline]
    pub(crate) fn push(&mut self, len: u32, at: Instant, departure: Departure, limit: usize) {
        let end = self.end() + len;
        let full = self.records.len() >= limit;
        match self.records.back_mut() {
            Some(last)
                if last.status == Status::InFlight
                    && (full
                        || !last.resent
                            && last.at == at
                            && last.departure.delivered == departure.delivered) =>
            {
                (last.end, last.at, last.departure) = (end, at, departure);
            }
            _ => self.records.push_back(Sent { end, status: Status::InFlight, resent: false, at, departure }),
        }
    }

    /// The only record, if everything in flight was sent at one time, and once, and ends at `una`.
    #[inline]
    pub(crate) fn whole(&self, una: SeqNumber) -> Option<&Sent> {
        let whole = self.records.len() == 1 && self.sacked == 0 && self.lost == 0;
        self.records.front().filter(|sent| whole && sent.end == una && !sent.resent)
    }

    /// Everything has arrived, up to `end`, and nothing of it was found lost or arrived ahead of others.
    #[inline]
    pub(crate) fn clear(&mut self, end: SeqNumber) {
        self.records.clear();
        self.una = end;
    }

    /// Everything before `una` has arrived. Tells `arrived` of what is news: how many places, and the record they
    /// are from, cut to them.
    #[inline]
    pub(crate) fn acknowledge(&mut self, una: SeqNumber, mut arrived: impl FnMut(u32, &Sent)) {
        while let Some(front) = self.records.front() {
            let whole = !front.end.after(una);
            let end = if whole { front.end } else { una };
            let len = end.since(self.una);
            if len == 0 {
                break;
            }
            let piece = Sent { end, ..*front };
            match piece.status {
                Status::Sacked => self.sacked -= len,
                Status::Lost => {
                    self.lost -= len;
                    arrived(len, &piece);
                }
                Status::InFlight => arrived(len, &piece),
            }
            self.una = end;
            if !whole {
                break;
            }
            self.records.pop_front();
        }
        self.una = una;
    }

    /// What lies between `left` and `right` has arrived. Tells `arrived` of what is news, as
    /// [`acknowledge`](Self::acknowledge) does. Edges that would need more than `limit` records are not believed.
    pub(crate) fn sack(
        &mut self,
        left: SeqNumber,
        right: SeqNumber,
        limit: usize,
        mut arrived: impl FnMut(u32, &Sent),
    ) {
        let mut index = self.records.partition_point(|sent| !sent.end.after(left));
        while let Some(sent) = self.records.get(index) {
            let start = self.start_of(index);
            if !right.after(start) {
                return;
            }
            if sent.status == Status::Sacked {
                index += 1;
                continue;
            }
            let (from, to) = (start.max(left), sent.end.min(right));
            let Some(isolated) = self.isolate(index, from, to, limit) else { return };
            let sent = &mut self.records[isolated];
            let len = to.since(from);
            if sent.status == Status::Lost {
                self.lost -= len;
            }
            self.sacked += len;
            arrived(len, sent);
            sent.status = Status::Sacked;
            index = self.join_sacked(isolated) + 1;
        }
    }

    /// Decides for each record in flight whether it is lost, oldest place first. Tells `lost` how many places each
    /// of those has. Returns how many they are altogether.
    pub(crate) fn mark_lost(
        &mut self,
        mut is_lost: impl FnMut(&Sent) -> bool,
        mut lost: impl FnMut(u32, &Sent),
    ) -> u32 {
        let (mut start, before) = (self.una, self.lost);
        for sent in &mut self.records {
            if sent.status == Status::InFlight && is_lost(sent) {
                sent.status = Status::Lost;
                let len = sent.end.since(start);
                self.lost += len;
                lost(len, sent);
            }
            start = sent.end;
        }
        self.lost - before
    }

    /// The first `len` places are lost, where they are in flight. Returns how many those were.
    pub(crate) fn mark_front_lost(&mut self, len: u32, limit: usize) -> u32 {
        let Some(front) = self.records.front().filter(|front| front.status == Status::InFlight) else {
            return 0;
        };
        let to = front.end.min(self.una + len);
        // A record that cannot be split is lost as a whole.
        let isolated = self.isolate(0, self.una, to, limit).unwrap_or(0);
        let front = &mut self.records[isolated];
        front.status = Status::Lost;
        let len = front.end.since(self.una);
        self.lost += len;
        len
    }

    /// The first stretch that was lost, `most` places of it: where it begins, and how long it is.
    pub(crate) fn first_lost(&self, most: u32) -> Option<(SeqNumber, u32)> {
        if self.lost == 0 {
            return None;
        }
        let first = self.records.iter().position(|sent| sent.status == Status::Lost)?;
        let start = self.start_of(first);
        let mut len = 0;
        for sent in self.records.iter().skip(first).take_while(|sent| sent.status == Status::Lost) {
            len = sent.end.since(start);
            if len >= most {
                break;
            }
        }
        Some((start, len.min(most)))
    }

    /// Notes that `len` places from `start` on, which begin a record and were lost or in flight, were sent once
    /// more. Where a record that reaches beyond them cannot be split for `limit`, it counts as sent as a whole.
    pub(crate) fn resent(
        &mut self,
        start: SeqNumber,
        len: u32,
        at: Instant,
        departure: Departure,
        limit: usize,
    ) {
        let end = start + len;
        let first = self.records.partition_point(|sent| !sent.end.after(start));
        if first >= self.records.len() {
            return;
        }
        let first = if self.start_of(first) == start {
            first
        } else {
            let to = self.records[first].end;
            self.isolate(first, start, to, limit).unwrap_or(first)
        };
        let last = self.records.partition_point(|sent| sent.end.before(end)).min(self.records.len() - 1);
        let from = self.start_of(last).max(start);
        let last = self.isolate(last, from, end, limit).unwrap_or(last);
        let mut begin = self.start_of(first);
        for sent in self.records.range(first..=last) {
            match sent.status {
                Status::Lost => self.lost -= sent.end.since(begin),
                Status::Sacked => self.sacked -= sent.end.since(begin),
                Status::InFlight => {}
            }
            begin = sent.end;
        }
        self.records.drain(first..last);
        let end = self.records[first].end;
        self.records[first] = Sent { end, status: Status::InFlight, resent: true, at, departure };
        // One burst of repetitions is one record as well.
        if let Some(before) = first.checked_sub(1).and_then(|before| self.records.get_mut(before))
            && before.status == Status::InFlight
            && before.resent
            && before.at == at
        {
            before.end = end;
            self.records.remove(first);
        }
    }

    /// What was found lost is in flight after all.
    pub(crate) fn unmark_lost(&mut self) {
        for sent in self.records.iter_mut().filter(|sent| sent.status == Status::Lost) {
            sent.status = Status::InFlight;
        }
        self.lost = 0;
    }

    /// Whether the oldest place was acknowledged selectively: an acknowledgement of everything before it should
    /// have covered it, so its receiver has thrown it away (RFC 2018 §8).
    pub(crate) fn is_reneged(&self) -> bool {
        self.records.front().is_some_and(|front| front.status == Status::Sacked)
    }

    /// Forgets all selective acknowledgements: what they covered is in flight.
    pub(crate) fn forget_sacks(&mut self) {
        for sent in self.records.iter_mut().filter(|sent| sent.status == Status::Sacked) {
            sent.status = Status::InFlight;
        }
        self.sacked = 0;
    }

    /// The records, oldest place first.
    #[cfg(test)]
    pub(crate) fn records(&self) -> impl Iterator<Item = &Sent> {
        self.records.iter()
    }

    #[inline]
    fn start_of(&self, index: usize) -> SeqNumber {
        index.checked_sub(1).and_then(|before| self.records.get(before)).map_or(self.una, |before| before.end)
    }

    /// Splits the record at `index` so that `from` to `to`, which lie in it, have one of their own, and returns its
    /// index; `None` where that takes more than `limit` records.
    fn isolate(&mut self, index: usize, from: SeqNumber, to: SeqNumber, limit: usize) -> Option<usize> {
        let sent = *self.records.get(index)?;
        let (head, tail) = (from != self.start_of(index), to != sent.end);
        if (head || tail) && self.records.len() + usize::from(head) + usize::from(tail) > limit {
            return None;
        }
        if tail {
            self.records.insert(index, Sent { end: to, ..sent });
        }
        if head {
            self.records.insert(index, Sent { end: from, ..sent });
        }
        Some(index + usize::from(head))
    }

    /// Joins a record that has arrived with those beside it that have as well, and returns the index of the whole.
    fn join_sacked(&mut self, mut index: usize) -> usize {
        let is_sacked = |records: &VecDeque<Sent>, index: usize| {
            records.get(index).is_some_and(|sent| sent.status == Status::Sacked)
        };
        if is_sacked(&self.records, index + 1) {
            self.records.remove(index);
        }
        if index > 0 && is_sacked(&self.records, index - 1) {
            self.records.remove(index - 1);
            index -= 1;
        }
        index
    }
}

#[cfg(test)]
mod tests;
