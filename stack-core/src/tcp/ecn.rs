//! Explicit congestion notification (RFC 3168 §6.1): routers mark packets instead of dropping them, the receiver echoes
//! the marks, and the sender slows down and says so.

use super::seq::SeqNumber;

/// What a connection whose ends agreed on ECN knows of marks.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed)]
pub(crate) struct Ecn {
    /// Acknowledgements say ECE: a mark came, and the sender has not said that it slowed down. Where `precise`: the last
    /// segment was marked.
    echo: bool,
    /// Acknowledgements tell of each change between marked and unmarked segments (RFC 8257 §3.2).
    precise: bool,
    /// The next new data says CWR: the window has come down.
    cwr_due: bool,
    /// Marks that are echoed up to here are of the flight that the window has come down for.
    reduced_until: SeqNumber,
}

impl Ecn {
    /// The state of a connection that will send from `una` on.
    pub(crate) fn new(una: SeqNumber) -> Self {
        Self { echo: false, precise: false, cwr_due: false, reduced_until: una }
    }

    /// Whether acknowledgements tell of each mark, as DCTCP wants of both ends, or only that there were some.
    pub(crate) fn set_precise(&mut self, precise: bool) {
        self.precise = precise;
    }

    /// Whether one acknowledgement cannot tell both of what has arrived and of a segment whose mark is `ce`
    /// (RFC 8257 §3.2, figure 1).
    #[inline]
    pub(crate) fn tells_apart(&self, ce: bool) -> bool {
        self.precise && self.echo != ce
    }

    /// A segment with data arrived, marked or not; `cwr` says that its sender has slowed down.
    #[inline]
    pub(crate) fn arrived(&mut self, ce: bool, cwr: bool) {
        if self.precise {
            self.echo = ce;
        } else {
            // RFC 3168 §6.1.3: from the first mark on until CWR; that segment may be marked itself.
            self.echo = ce || (self.echo && !cwr);
        }
    }

    /// Whether acknowledgements say ECE.
    #[inline]
    pub(crate) fn echoes(&self) -> bool {
        self.echo
    }

    /// Whether an echo that comes with an acknowledgement up to `una` is of data that was sent after the window came down
    /// last: CWR follows that flight, so its acknowledgements say ECE to the last (RFC 3168 §6.1.2).
    #[inline]
    pub(crate) fn is_news(&self, una: SeqNumber) -> bool {
        una.after(self.reduced_until)
    }

    /// The window has come down for a flight that ends at `max`: for an echo, or for a loss.
    pub(crate) fn reduced(&mut self, max: SeqNumber) {
        if max.after(self.reduced_until) {
            self.reduced_until = max;
            self.cwr_due = true;
        }
    }

    /// Whether the next new data says CWR.
    #[inline]
    pub(crate) fn is_cwr_due(&self) -> bool {
        self.cwr_due
    }

    /// Data with CWR has left.
    #[inline]
    pub(crate) fn sent_cwr(&mut self) {
        self.cwr_due = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u32) -> SeqNumber = SeqNumber;

    #[test]
    fn receiver_echoes_a_mark_until_the_sender_has_slowed_down() {
        let mut ecn = Ecn::new(AT(1));
        ecn.arrived(false, false);
        assert!(!ecn.echoes());
        ecn.arrived(true, false);
        ecn.arrived(false, false);
        assert!(ecn.echoes());
        ecn.arrived(true, true);
        assert!(ecn.echoes(), "it says CWR, and was marked itself");
        ecn.arrived(false, true);
        assert!(!ecn.echoes());
    }

    #[test]
    fn sender_slows_down_once_for_a_flight_and_says_so_once() {
        let mut ecn = Ecn::new(AT(1));
        assert!(ecn.is_news(AT(1_001)));
        ecn.reduced(AT(10_001));
        assert!(ecn.is_cwr_due());
        ecn.sent_cwr();
        assert!(!ecn.is_news(AT(10_001)));
        ecn.reduced(AT(10_001));
        assert!(!ecn.is_cwr_due(), "the recovery of that flight says nothing new");
        assert!(ecn.is_news(AT(11_001)), "what was sent since met congestion as well");
    }

    #[test]
    fn precise_receiver_tells_of_each_change() {
        let mut ecn = Ecn::new(AT(1));
        ecn.set_precise(true);
        assert!(!ecn.tells_apart(false));
        assert!(ecn.tells_apart(true));
        ecn.arrived(true, false);
        assert!(!ecn.tells_apart(true));
        assert!(ecn.tells_apart(false));
        ecn.arrived(false, false);
        assert!(!ecn.echoes(), "without waiting for CWR");
    }
}
