//! A stack with a listener, connections and datagram sockets, to which anything may happen.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netlane_fuzz::peer;
use netlane_fuzz::script::Script;

fuzz_target!(|script: Script| peer::play(&script));
