//! Short programs that use netlane.
