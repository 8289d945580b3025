//! What lanes tell each other: the neighbours that they have learnt, and packets that are not theirs.
//!
//! Lanes share one Ethernet address, and the answer to what one sent may arrive on the queue of another.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use netlane_core::{MacAddr, Notice, Stray};

use crate::shared::Region;

/// A lane's part in the talk of all lanes of a host.
pub(crate) struct Gossip {
    region: Arc<Region>,
    /// The lane's own number.
    own: usize,
    inbox: Receiver<News>,
    /// The other lanes, by their numbers.
    others: Vec<(usize, SyncSender<News>)>,
}

/// What a lane hears from another.
#[derive(Clone)]
pub(crate) enum News {
    /// Somebody on the link has this Ethernet address.
    Neighbor(IpAddr, MacAddr),
    /// A message about the link, for everybody.
    Notice(Notice),
    /// A packet that the other does not know what to do with.
    Stray(Stray),
}

/// News that may wait for a lane. What comes beyond is lost, and asked for again by who needs it.
const WAITING: usize = 256;

impl Gossip {
    /// One for each lane of the region.
    pub(crate) fn among_lanes(region: &Arc<Region>) -> Vec<Self> {
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..region.shape().lanes).map(|_| sync_channel(WAITING)).unzip();
        let others = |own: usize| senders.iter().cloned().enumerate().filter(move |(lane, _)| *lane != own);
        let gossip =
            |(own, inbox)| Self { region: Arc::clone(region), own, inbox, others: others(own).collect() };
        inboxes.into_iter().enumerate().map(gossip).collect()
    }

    /// Tells all others.
    pub(super) fn tell_all(&self, news: &News) {
        for lane in 0..self.others.len() {
            self.tell(lane, news.clone());
        }
    }

    /// Tells the lane after this one; from the last it goes on to the first.
    pub(super) fn tell_next(&self, news: News) {
        let after = self.others.iter().position(|(lane, _)| *lane > self.own).unwrap_or(0);
        self.tell(after, news);
    }

    fn tell(&self, other: usize, news: News) {
        let Some((lane, sender)) = self.others.get(other) else { return };
        if sender.try_send(news).is_ok() && self.region.lane(*lane).doorbell.must_wake() {
            self.region.wake_lane(*lane);
        }
    }

    /// What another one has told, if one has.
    pub(super) fn hear(&self) -> Option<News> {
        // A lane that is alone has nobody to listen to.
        if self.others.is_empty() { None } else { self.inbox.try_recv().ok() }
    }
}
