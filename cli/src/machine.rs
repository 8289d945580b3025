//! What this machine offers, as plain facts. What they mean for a backend is the subcommands' business.

pub(crate) mod cpu;
pub(crate) mod device;
pub(crate) mod kernel;
pub(crate) mod library;
pub(crate) mod memory;
pub(crate) mod privilege;
