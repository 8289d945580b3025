//! The configuration: any text is either a configuration that can be written and read again, or an error that
//! names places which are in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netlane_config::{Config, ConfigError};

fuzz_target!(|text: &str| {
    match Config::parse("fuzz.toml", text) {
        Ok(config) => {
            let written = toml::to_string(&config).expect("a configuration can be written");
            let again = Config::parse("written.toml", &written).expect("what was written can be read");
            assert_eq!(again, config);
        }
        Err(error) => {
            let lines = text.split('\n').count();
            if let ConfigError::Invalid { problems } = &error {
                assert!(!problems.is_empty(), "an error says what is wrong");
                for place in problems.iter().filter_map(|problem| problem.place.as_ref()) {
                    assert!(place.line <= lines, "line {} of {lines}", place.line);
                }
            }
            assert!(!error.to_string().is_empty());
        }
    }
});
