//! A message ring and a byte ring over shared memory
