//! Which slots of a table were used lately, and which were not for the longest time.

use alloc::vec::Vec;

/// Slots of a table in the order of their last use.
#[derive(Debug)]
pub(crate) struct Recency {
    /// By slot; means nothing for slots that are not in the order.
    links: Vec<Link>,
    newest: u32,
    oldest: u32,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl Recency {
    pub(crate) const fn new() -> Self {
        Self { links: Vec::new(), newest: NONE, oldest: NONE, len: 0 }
    }

    /// How many slots are in the order.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The slot that was not used for the longest time.
    pub(crate) fn oldest(&self) -> Option<u32> {
        Some(self.oldest).filter(|slot| *slot != NONE)
    }

    /// Adds a slot that is being used.
    pub(crate) fn push_newest(&mut self, slot: u32) {
        self.insert(slot, Link { newer: NONE, older: self.newest });
    }

    /// Adds a slot that nobody has used yet.
    pub(crate) fn push_oldest(&mut self, slot: u32) {
        self.insert(slot, Link { newer: self.oldest, older: NONE });
    }

    /// Makes a slot of the order the newest one.
    #[inline]
    pub(crate) fn touch(&mut self, slot: u32) {
        if slot != self.newest {
            self.remove(slot);
            self.push_newest(slot);
        }
    }

    /// Takes a slot out of the order.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Link { newer, older } = self.links[slot as usize];
        *self.older_link(newer) = older;
        *self.newer_link(older) = newer;
        self.len -= 1;
    }

    fn insert(&mut self, slot: u32, link: Link) {
        let index = slot as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, Link { newer: NONE, older: NONE });
        }
        self.links[index] = link;
        *self.older_link(link.newer) = slot;
        *self.newer_link(link.older) = slot;
        self.len += 1;
    }

    /// What names the next older slot after `slot`; after none, that is the newest one.
    fn older_link(&mut self, slot: u32) -> &mut u32 {
        if slot == NONE { &mut self.newest } else { &mut self.links[slot as usize].older }
    }

    /// What names the next newer slot before `slot`; before none, that is the oldest one.
    fn newer_link(&mut self, slot: u32) -> &mut u32 {
        if slot == NONE { &mut self.oldest } else { &mut self.links[slot as usize].newer }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn from_oldest(mut order: Recency) -> Vec<u32> {
        let slots = Vec::from_iter(core::iter::from_fn(|| {
            let oldest = order.oldest()?;
            order.remove(oldest);
            Some(oldest)
        }));
        assert_eq!(order.len(), 0);
        slots
    }

    #[test]
    fn use_makes_new_and_disuse_old() {
        let mut order = Recency::new();
        for slot in [4, 1, 3] {
            order.push_newest(slot);
        }
        order.push_oldest(7);
        order.touch(1);
        order.touch(1);
        order.remove(3);
        assert_eq!(order.len(), 3);
        assert_eq!(from_oldest(order), [7, 4, 1]);
    }

    proptest! {
        #[test]
        fn it_does_what_a_plain_list_does(steps in prop::collection::vec((0..8_u32, 0..4), 0..100)) {
            let (mut order, mut model) = (Recency::new(), Vec::new());
            for (slot, what) in steps {
                let at = model.iter().position(|other| *other == slot);
                match (what, at) {
                    (0, None) => {
                        order.push_oldest(slot);
                        model.insert(0, slot);
                    }
                    (_, None) => {
                        order.push_newest(slot);
                        model.push(slot);
                    }
                    (0, Some(at)) => {
                        order.remove(slot);
                        model.remove(at);
                    }
                    (_, Some(at)) => {
                        order.touch(slot);
                        model.remove(at);
                        model.push(slot);
                    }
                }
                prop_assert_eq!((order.len(), order.oldest()), (model.len(), model.first().copied()));
            }
            prop_assert_eq!(from_oldest(order), model);
        }
    }
}
