//! What sound configurations mean.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use netlane_config::{
    Backend, Capture, Config, ConfigError, Impair, Impairment, Interface, LaneCount, Lanes, MacAddress,
    MemoryBackend, Probability, Problem, TapBackend,
};

fn parse(text: &str) -> Config {
    Config::parse("netlane.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

/// A sound configuration with these lines behind its address.
fn parse_behind_address(text: &str) -> Config {
    parse(&format!("interface.addresses = [\"10.0.0.2/24\"]\n{text}"))
}

#[test]
fn an_address_is_all_that_a_file_must_name() {
    let config = parse_behind_address("");

    let addresses = vec!["10.0.0.2/24".parse().unwrap()];
    let interface = Interface { addresses, ..Interface::default() };
    assert_eq!(config, Config { interface, ..Config::default() });
    assert_eq!(config.backend, Backend::Tap(TapBackend { name: "netlane0".to_owned(), offload: true }));
    assert_eq!(config.lanes.count, LaneCount::Fixed(1));
    assert_eq!(config.interface.mtu, 1_500);
    assert_eq!(config.tcp.keepalive, None);
    assert_eq!(config.capture, None);
    assert_eq!(config.impair, None);
}

#[test]
fn values_arrive_in_their_types() {
    let config = parse_behind_address(
        r#"
        interface.mac = "02:00:00:00:AB:01"
        interface.host-address = "10.0.0.1/24"
        lanes = { count = "auto", cpus = [3, 1], spin = "1ms 500us" }
        backend = { kind = "tap", offload = false }
        routes = [{ to = "0.0.0.0/0", via = "10.0.0.1" }]
        tcp.keepalive = { idle = "10s" }
        capture = { file = "wire.pcapng" }
        "#,
    );

    assert_eq!(config.interface.mac, Some(MacAddress([2, 0, 0, 0, 0xab, 1])));
    let spin = Duration::from_micros(1_500);
    assert_eq!(config.lanes, Lanes { count: LaneCount::Auto, cpus: vec![3, 1], spin, busy_poll: false });
    assert_eq!(config.backend, Backend::Tap(TapBackend { offload: false, ..TapBackend::default() }));
    assert_eq!(config.routes[0].via, IpAddr::from([10, 0, 0, 1]));
    let keepalive = config.tcp.keepalive.unwrap();
    assert_eq!((keepalive.idle, keepalive.probes), (Duration::from_secs(10), 9));
    assert_eq!(config.capture, Some(Capture::to("wire.pcapng")));
}

#[test]
fn a_directions_impairments_override_those_of_both() {
    let config = parse_behind_address(
        r#"
        [impair]
        loss = 0.02
        delay = "5ms"
        seed = 7
        [impair.inbound]
        delay = "10ms"
        [impair.outbound]
        loss = 0
        rate = 1_000_000
        "#,
    );

    let inbound = Impairment {
        loss: Probability::new(0.02).unwrap(),
        delay: Duration::from_millis(10),
        ..Impairment::default()
    };
    let outbound = Impairment {
        delay: Duration::from_millis(5),
        rate: 1_000_000.try_into().ok(),
        ..Impairment::default()
    };
    assert_eq!(config.impair, Some(Impair { seed: Some(7), inbound, outbound }));
}

#[test]
fn lanes_follow_the_list_of_cpus_the_machine_or_the_backend() {
    let cores = |count| NonZeroUsize::new(count).unwrap();
    let lanes = |count, cpus: &[usize], backend: &Backend| {
        let lanes = Lanes { count, cpus: cpus.to_vec(), ..Lanes::default() };
        Config { lanes, backend: backend.clone(), ..Config::default() }.lane_count(cores(8)).get()
    };
    let tap = Backend::default();
    let memory = Backend::Memory(MemoryBackend::default());

    assert_eq!(lanes(LaneCount::Fixed(3), &[], &tap), 3);
    assert_eq!(lanes(LaneCount::Auto, &[], &tap), 8);
    assert_eq!(lanes(LaneCount::Auto, &[2, 4, 6], &tap), 3);
    assert_eq!(lanes(LaneCount::Auto, &[], &memory), 1);
}

#[test]
fn an_embedders_configuration_is_checked_without_a_file() {
    let mut config = parse_behind_address("");
    config.tcp.rto_min = Duration::from_secs(61);

    let answer = config.check().unwrap_err().to_string();

    assert_eq!(
        answer,
        "`tcp.rto-min`: the least timeout, 1m 1s, is above the greatest, 1m\n = help: lower `tcp.rto-min`, or raise \
         `tcp.rto-max`"
    );
}

#[test]
fn a_file_is_named_in_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.toml");

    let missing = Config::load(&path).unwrap_err();
    assert!(matches!(&missing, ConfigError::Read { file, .. } if *file == path), "{missing}");

    std::fs::write(&path, "[lanes]\ncount = \"few\"\n").unwrap();
    let ConfigError::Invalid { problems } = Config::load(&path).unwrap_err() else { panic!("it was read") };
    let place = problems[0].place.as_ref().unwrap();
    assert_eq!((place.file.as_str(), place.line, place.column), (path.to_str().unwrap(), 2, 9));

    std::fs::write(&path, "interface.addresses = [\"10.0.0.2/24\"]\n").unwrap();
    assert_eq!(Config::load(&path).unwrap(), parse_behind_address(""));
}

#[test]
fn the_mark_stands_below_the_culprit_behind_tabs_and_wide_characters() {
    let error = Config::parse("netlane.toml", "\t# ä\n\tseed = { \"ä\" = 1 }\n").unwrap_err().to_string();

    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[2..4], ["2 | \tseed = { \"ä\" = 1 }", "  | \t       ^^^^^^^^^^^"]);
}

#[test]
fn a_problem_that_the_machine_has_stands_at_the_key_or_what_is_closest_to_it() {
    let text = "[lanes]\ncpus = [0, 9]\n[backend]\nkind = \"tap\"\n";
    let line_column_and_width = |key: &str| {
        let place = Problem::new(key, "it is not there", "choose another")
            .located("netlane.toml", text)
            .place
            .unwrap();
        (place.line, place.column, place.width)
    };

    assert_eq!(line_column_and_width("lanes.cpus.1"), (2, 12, 1));
    assert_eq!(line_column_and_width("backend.name"), (3, 1, "[backend]".len()));
    assert_eq!(line_column_and_width("interface.mtu"), (1, 1, 1));
}
