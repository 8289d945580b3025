//! netlane's configuration: TOML to typed values
