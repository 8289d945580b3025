//! netlane's TCP/IP stack as a sans-IO machine: bytes and a clock reading in, bytes and events out
