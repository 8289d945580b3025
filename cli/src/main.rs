//! The `netlane` command.

fn main() {}
