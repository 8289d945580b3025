//! What a lane and its clients share: one region of memory, and how each wakes the other.

pub(crate) use bell::{Bell, Interest};
pub(crate) use control::{Control, Failure, Status};
pub(crate) use info::{info_of, info_words, state_code, state_of};
pub(crate) use job::{Ends, Job, NetworkChange, Question, Request};
pub(crate) use layout::Shape;
pub(crate) use region::{Capacity, KEPT, Region};

mod bell;
mod control;
mod info;
mod job;
mod layout;
mod region;

#[cfg(test)]
pub(crate) use region::REPORT_VALUES;
