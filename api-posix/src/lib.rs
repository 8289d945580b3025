//! Sockets with POSIX semantics over netlane
