//! What the fuzz targets drive: netlane's core behind a device of memory, with a peer that follows the scripts
//! that a fuzzer writes, and checks everything that comes out.

#![deny(missing_docs)]

pub mod device;
pub mod frames;
pub mod memory;
pub mod peer;
pub mod script;
