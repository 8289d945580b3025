//! netlane's lanes, and the clients that talk to them
