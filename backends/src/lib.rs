//! netlane's packet I/O backends
