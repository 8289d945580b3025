//! The book's page on the configuration, against the types.

use netlane_config::{Backend, Config, MemoryBackend, TapBackend};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/src/configuration.md");

/// The page's one example in TOML.
fn example() -> &'static str {
    let (_, rest) = PAGE.split_once("```toml\n").expect("the page has an example");
    rest.split_once("```").expect("the example ends").0
}

fn parsed_example() -> Config {
    Config::parse("the example", example()).unwrap_or_else(|error| panic!("{error}"))
}

/// All keys of `value` with their section, such as `tcp` and `rto-min`; those of a list are its elements'.
fn keys(section: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(table) => {
            for (key, value) in table {
                let name = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
                match value {
                    Value::Object(_) => keys(&name, value, found),
                    Value::Array(list) if list.iter().any(Value::is_object) => keys(&name, value, found),
                    Value::Null => panic!("the example leaves out `{name}`"),
                    _ => found.push((section.to_owned(), key.clone())),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|element| keys(section, element, found)),
        _ => {}
    }
}

/// The part of the page that describes `section`: from its heading to the next.
fn described(section: &str) -> &'static str {
    let heading = match section {
        "" => "\n## Top level\n".to_owned(),
        "routes" | "neighbors" => format!("\n## `[[{section}]]`\n"),
        _ => format!("\n## `[{section}]`\n"),
    };
    let (_, rest) = PAGE.split_once(&heading).unwrap_or_else(|| panic!("no heading{heading}"));
    rest.split("\n## ").next().unwrap_or(rest)
}

#[test]
fn the_example_sets_every_key_and_the_page_describes_it() {
    let mut found = Vec::new();
    keys("", &serde_json::to_value(parsed_example()).unwrap(), &mut found);

    assert!(found.len() > 50, "only these keys were found: {found:?}");
    for (section, key) in found {
        let section = match section.as_str() {
            "impair.inbound" | "impair.outbound" => "impair",
            other => other,
        };
        assert!(described(section).contains(&format!("\n| `{key}` |")), "`{key}` is missing in [{section}]");
    }
}

#[test]
fn the_page_describes_every_backend() {
    let backends = [Backend::Memory(MemoryBackend::default()), Backend::Tap(TapBackend::default())];
    assert_eq!(backends.each_ref().map(Backend::kind), Backend::KINDS);
    for backend in backends {
        let mut found = Vec::new();
        keys("", &serde_json::to_value(&backend).unwrap(), &mut found);
        let heading = format!("\n### `kind = \"{}\"`\n", backend.kind());
        let (_, part) =
            described("backend").split_once(&heading).unwrap_or_else(|| panic!("no heading{heading}"));
        let part = part.split("\n### ").next().unwrap_or(part);
        for (_, key) in found.into_iter().filter(|(_, key)| key != "kind") {
            assert!(part.contains(&format!("\n| `{key}` |")), "`{key}` is missing behind{heading}");
        }
    }
}

#[test]
fn the_page_names_the_defaults() {
    let defaults = toml::Table::try_from(Config::default()).unwrap();
    for section in ["lanes", "interface", "limits", "tcp"] {
        for (key, value) in defaults[section].as_table().unwrap() {
            let row = described(section).lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            let row = row.unwrap_or_else(|| panic!("`{key}` is missing in [{section}]"));
            let default = row.split('|').nth(3).unwrap().trim().replace('_', "");
            assert_eq!(default, format!("`{value}`"), "{section}.{key}");
        }
    }
}

#[test]
fn a_written_configuration_reads_as_it_was() {
    let config = parsed_example();

    let written = toml::to_string(&config).unwrap();

    assert_eq!(Config::parse("what was written", &written).unwrap(), config, "{written}");
}
