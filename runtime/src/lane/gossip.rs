//! What lanes tell each other: the neighbours that they have learnt.
//!
//! Lanes share one Ethernet address, and the answer to a question of one may arrive on the queue of another.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use netlane_core::MacAddr;

use crate::shared::Region;

/// A lane's part in the talk of all lanes of a host.
pub(crate) struct Gossip {
    region: Arc<Region>,
    inbox: Receiver<News>,
    /// The other lanes, by their numbers.
    others: Vec<(usize, SyncSender<News>)>,
}

/// A neighbour's addresses.
type News = (IpAddr, MacAddr);

/// News that may wait for a lane. What comes beyond is lost, and asked for again by who needs it.
const WAITING: usize = 256;

impl Gossip {
    /// One for each lane of the region.
    pub(crate) fn among_lanes(region: &Arc<Region>) -> Vec<Self> {
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..region.shape().lanes).map(|_| sync_channel(WAITING)).unzip();
        let others = |own: usize| senders.iter().cloned().enumerate().filter(move |(lane, _)| *lane != own);
        let gossip = |(own, inbox)| Self { region: Arc::clone(region), inbox, others: others(own).collect() };
        inboxes.into_iter().enumerate().map(gossip).collect()
    }

    /// Tells the others.
    pub(super) fn tell(&self, news: News) {
        for (lane, sender) in &self.others {
            if sender.try_send(news).is_ok() && self.region.lane(*lane).doorbell.must_wake() {
                self.region.wake_lane(*lane);
            }
        }
    }

    /// What another one has told, if one has.
    pub(super) fn hear(&self) -> Option<News> {
        // A lane that is alone has nobody to listen to.
        if self.others.is_empty() { None } else { self.inbox.try_recv().ok() }
    }
}
