//! TCP.

pub(crate) mod listener;
mod options;
pub(crate) mod stream;
mod transfer;
