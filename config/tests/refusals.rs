//! What a wrong configuration is answered with: the place, the culprit, the remedy.

use netlane_config::{Config, ConfigError};

/// A sound configuration's start, so that each test shows but what is wrong.
const SOUND: [&str; 2] = ["[interface]", "addresses = ['10.0.0.2/24']"];

/// The answer to a file of these lines.
fn refusal(lines: &[&str]) -> String {
    match Config::parse("netlane.toml", &lines.join("\n")) {
        Err(error @ ConfigError::Invalid { .. }) => error.to_string(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The answer to a sound configuration with these lines behind it.
fn refusal_behind_sound(lines: &[&str]) -> String {
    refusal(&[&SOUND, lines].concat())
}

#[test]
fn a_file_that_is_not_toml() {
    insta::assert_snapshot!(refusal(&["[interface", "addresses = 1"]), @r#"
    netlane.toml:1:11: unclosed table
      |
    1 | [interface
      |           ^
      = help: expected `]`
    "#);
}

#[test]
fn an_empty_file_lacks_an_address() {
    insta::assert_snapshot!(refusal(&[]), @r#"
    netlane.toml:1:1: the stack has no address
      |
    1 | 
      | ^
      = help: give it one in the section [interface], such as `addresses = ["10.0.0.2/24"]`
    "#);
}

#[test]
fn an_unknown_section() {
    insta::assert_snapshot!(refusal(&["[lane]", "count = 2"]), @r#"
    netlane.toml:1:2: unknown key `lane`
      |
    1 | [lane]
      |  ^^^^
      = help: expected one of `seed`, `lanes`, `backend`, `interface`, `routes`, `neighbors`, `limits`, `tcp`, `capture`, `impair`
    "#);
}

#[test]
fn an_unknown_key() {
    insta::assert_snapshot!(refusal(&["[lanes]", "count = 2", "spinn = '20us'"]), @r#"
    netlane.toml:3:1: unknown key `spinn`
      |
    3 | spinn = '20us'
      | ^^^^^
      = help: expected one of `count`, `cpus`, `spin`, `busy-poll`
    "#);
}

#[test]
fn an_unknown_key_of_a_backend() {
    insta::assert_snapshot!(refusal(&["[backend]", "name = 'tap0'", "ofload = true", "kind = 'tap'"]), @r#"
    netlane.toml:3:1: unknown key `ofload`
      |
    3 | ofload = true
      | ^^^^^^
      = help: expected `name` or `offload`
    "#);
}

#[test]
fn an_unknown_backend() {
    insta::assert_snapshot!(refusal(&["[backend]", "kind = 'tun'"]), @r#"
    netlane.toml:2:8: there is no such backend
      |
    2 | kind = 'tun'
      |        ^^^^^
      = help: expected one of "memory", "tap"
    "#);
}

#[test]
fn a_backend_without_a_kind() {
    insta::assert_snapshot!(refusal(&["[backend]", "name = 'tap0'"]), @r#"
    netlane.toml:1:1: missing key `kind`
      |
    1 | [backend]
      | ^^^^^^^^^
      = help: expected one of "memory", "tap"
    "#);
}

#[test]
fn a_backend_that_is_no_table() {
    insta::assert_snapshot!(refusal(&["backend = 'tap'"]), @r#"
    netlane.toml:1:11: the backend is not a table `[backend]` with a `kind`
      |
    1 | backend = 'tap'
      |           ^^^^^
      = help: expected one of "memory", "tap"
    "#);
}

#[test]
fn a_key_given_twice() {
    insta::assert_snapshot!(refusal(&["[lanes]", "count = 1", "count = 2"]), @r#"
    netlane.toml:3:1: duplicate key
      |
    3 | count = 2
      | ^^^^^
      = help: remove one of the two
    "#);
}

#[test]
fn a_wrong_type() {
    insta::assert_snapshot!(refusal(&["[tcp]", "timestamps = 'yes'"]), @r#"
    netlane.toml:2:14: invalid type: string "yes"
      |
    2 | timestamps = 'yes'
      |              ^^^^^
      = help: expected a boolean
    "#);
}

#[test]
fn a_number_too_large_for_its_key() {
    insta::assert_snapshot!(refusal(&["[tcp]", "retries = 256"]), @r#"
    netlane.toml:2:11: invalid value: integer `256`
      |
    2 | retries = 256
      |           ^^^
      = help: expected an integer from 0 to 255
    "#);
}

#[test]
fn a_duration_without_a_unit() {
    insta::assert_snapshot!(refusal(&["[tcp]", "rto-min = 200"]), @r#"
    netlane.toml:2:11: invalid type: integer `200`
      |
    2 | rto-min = 200
      |           ^^^
      = help: expected a duration with its unit, such as "20us", "40ms" or "2h"
    "#);
}

#[test]
fn a_duration_in_a_strange_unit() {
    insta::assert_snapshot!(refusal(&["[tcp]", "rto-min = '200 ticks'"]), @r#"
    netlane.toml:2:11: invalid value: string "200 ticks"
      |
    2 | rto-min = '200 ticks'
      |           ^^^^^^^^^^^
      = help: expected a duration with its unit, such as "20us", "40ms" or "2h"
    "#);
}

#[test]
fn a_lane_count_in_words() {
    insta::assert_snapshot!(refusal(&["[lanes]", "count = 'many'"]), @r#"
    netlane.toml:2:9: invalid value: string "many"
      |
    2 | count = 'many'
      |         ^^^^^^
      = help: expected a number of lanes, or "auto" for one on each core
    "#);
}

#[test]
fn an_address_without_a_prefix() {
    insta::assert_snapshot!(refusal(&["[interface]", "addresses = ['10.0.0.2/24', '10.0.0.3']"]), @r#"
    netlane.toml:2:29: invalid value: string "10.0.0.3"
      |
    2 | addresses = ['10.0.0.2/24', '10.0.0.3']
      |                             ^^^^^^^^^^
      = help: expected an address and its prefix length, such as "10.0.0.2/24"
    "#);
}

#[test]
fn a_mac_with_too_few_bytes() {
    insta::assert_snapshot!(refusal(&["[interface]", "mac = '02:00:00:00:01'"]), @r#"
    netlane.toml:2:7: invalid value: string "02:00:00:00:01"
      |
    2 | mac = '02:00:00:00:01'
      |       ^^^^^^^^^^^^^^^^
      = help: expected an Ethernet address such as "02:00:00:00:00:01"
    "#);
}

#[test]
fn a_probability_above_one() {
    insta::assert_snapshot!(refusal(&["[impair]", "loss = 2"]), @r#"
    netlane.toml:2:8: invalid value: floating point `2`
      |
    2 | loss = 2
      |        ^
      = help: expected a probability from 0 to 1
    "#);
}

#[test]
fn a_probability_above_one_in_one_direction() {
    insta::assert_snapshot!(refusal(&["[impair]", "loss = 0.1", "[impair.inbound]", "loss = 1.5"]), @r#"
    netlane.toml:4:8: invalid value: floating point `1.5`
      |
    4 | loss = 1.5
      |        ^^^
      = help: expected a probability from 0 to 1
    "#);
}

#[test]
fn a_link_without_speed() {
    insta::assert_snapshot!(refusal(&["[impair]", "rate = 0"]), @r#"
    netlane.toml:2:8: invalid value: integer `0`
      |
    2 | rate = 0
      |        ^
      = help: expected an integer from 1 on
    "#);
}

#[test]
fn a_route_without_a_gateway() {
    insta::assert_snapshot!(refusal(&["[[routes]]", "to = '0.0.0.0/0'"]), @r#"
    netlane.toml:1:1: missing key `via`
      |
    1 | [[routes]]
      | ^^^^^^^^^^
      = help: add it to this table
    "#);
}

#[test]
fn addresses_of_ipv6_that_no_host_has() {
    let answer = refusal(&["[interface]", "addresses = ['ff02::2/64', '::1/128', '::ffff:10.0.0.2/96']"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:2:14: ff02::2 is a multicast address
      |
    2 | addresses = ['ff02::2/64', '::1/128', '::ffff:10.0.0.2/96']
      |              ^^^^^^^^^^^^
      = help: use the address of one host

    netlane.toml:2:28: ::1 is a loopback address, which never leaves its host
      |
    2 | addresses = ['ff02::2/64', '::1/128', '::ffff:10.0.0.2/96']
      |                            ^^^^^^^^^
      = help: use the address of one host

    netlane.toml:2:39: ::ffff:10.0.0.2 is an address of IPv4 in the guise of IPv6
      |
    2 | addresses = ['ff02::2/64', '::1/128', '::ffff:10.0.0.2/96']
      |                                       ^^^^^^^^^^^^^^^^^^^^
      = help: use the address of one host
    "#);
}

#[test]
fn route_and_gateway_of_different_families() {
    let answer = refusal(&[
        "[interface]",
        "addresses = ['fd00::2/64', '10.0.0.2/24']",
        "",
        "[[routes]]",
        "to = '::/0'",
        "via = '10.0.0.1'",
        "",
        "[[routes]]",
        "to = '2001:db8::/32'",
        "via = 'fd01::1'",
        "",
        "[[routes]]",
        "to = '2001:db8:1::/48'",
        "via = 'fe80::1'",
    ]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:6:7: ::/0 and its gateway 10.0.0.1 are of different families
      |
    6 | via = '10.0.0.1'
      |       ^^^^^^^^^^
      = help: use a gateway of the network's own family

    netlane.toml:10:7: the gateway fd01::1 is in none of the interface's subnets
       |
    10 | via = 'fd01::1'
       |       ^^^^^^^^^
       = help: use an address of fd00::/64 or 10.0.0.0/24, or add one to `interface.addresses`
    "#);
}

#[test]
fn no_lanes() {
    insta::assert_snapshot!(refusal_behind_sound(&["[lanes]", "count = 0"]), @r#"
    netlane.toml:4:9: a stack without lanes does nothing
      |
    4 | count = 0
      |         ^
      = help: choose 1 or more, or "auto"
    "#);
}

#[test]
fn more_lanes_than_the_memory_backend_feeds() {
    let answer = refusal_behind_sound(&["[lanes]", "count = 2", "[backend]", "kind = 'memory'"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:4:9: 2 lanes cannot share the memory backend, which feeds 1
      |
    4 | count = 2
      |         ^
      = help: set `lanes.count = 1`, or choose another backend
    "#);
}

#[test]
fn more_lanes_than_a_tap_has_queues() {
    insta::assert_snapshot!(refusal_behind_sound(&["[lanes]", "count = 257"]), @r#"
    netlane.toml:4:9: 257 lanes cannot share the tap backend, which feeds 256
      |
    4 | count = 257
      |         ^^^
      = help: choose from 1 to 256 lanes
    "#);
}

#[test]
fn more_cpus_than_lanes() {
    insta::assert_snapshot!(refusal_behind_sound(&["[lanes]", "cpus = [0, 1]"]), @r#"
    netlane.toml:4:8: 2 CPUs are listed for 1 lanes
      |
    4 | cpus = [0, 1]
      |        ^^^^^^
      = help: list one CPU for each lane, or set `lanes.count = "auto"` to follow the list
    "#);
}

#[test]
fn a_cpu_for_two_lanes() {
    insta::assert_snapshot!(refusal_behind_sound(&["[lanes]", "count = 'auto'", "cpus = [0, 1, 0]"]), @r#"
    netlane.toml:5:15: CPU 0 is listed twice
      |
    5 | cpus = [0, 1, 0]
      |               ^
      = help: give each lane a CPU of its own
    "#);
}

#[test]
fn a_device_name_that_linux_refuses() {
    let answer = refusal_behind_sound(&["[backend]", "kind = 'tap'", "name = 'a name that is too long'"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:5:8: "a name that is too long" cannot name a network device
      |
    5 | name = 'a name that is too long'
      |        ^^^^^^^^^^^^^^^^^^^^^^^^^
      = help: choose 1 to 15 ASCII characters without blanks, `/`, `:` and `%`
    "#);
}

#[test]
fn an_mtu_that_no_tap_carries() {
    insta::assert_snapshot!(refusal(&["[interface]", "mtu = 65_535", "addresses = ['10.0.0.2/24']"]), @r#"
    netlane.toml:2:7: 65535 is out of range
      |
    2 | mtu = 65_535
      |       ^^^^^^
      = help: choose from 576 to 65521
    "#);
}

#[test]
fn the_network_address_as_a_host() {
    insta::assert_snapshot!(refusal(&["[interface]", "addresses = ['10.0.0.0/24']"]), @r#"
    netlane.toml:2:14: 10.0.0.0 is its subnet's network address
      |
    2 | addresses = ['10.0.0.0/24']
      |              ^^^^^^^^^^^^^
      = help: use the address of one host
    "#);
}

#[test]
fn the_broadcast_address_as_a_host() {
    insta::assert_snapshot!(refusal(&["[interface]", "addresses = ['10.0.0.255/24']"]), @r#"
    netlane.toml:2:14: 10.0.0.255 is its subnet's broadcast address
      |
    2 | addresses = ['10.0.0.255/24']
      |              ^^^^^^^^^^^^^^^
      = help: use the address of one host
    "#);
}

#[test]
fn multicast_loopback_and_nobodys_addresses() {
    let answer = refusal(&[
        "[interface]",
        "addresses = [",
        "  '224.0.0.1/24',",
        "  '127.0.0.1/8',",
        "  '0.0.0.0/0',",
        "]",
    ]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:3:3: 224.0.0.1 is a multicast address
      |
    3 |   '224.0.0.1/24',
      |   ^^^^^^^^^^^^^^
      = help: use the address of one host

    netlane.toml:4:3: 127.0.0.1 is a loopback address, which never leaves its host
      |
    4 |   '127.0.0.1/8',
      |   ^^^^^^^^^^^^^
      = help: use the address of one host

    netlane.toml:5:3: 0.0.0.0 is an address of "this network", which no host has
      |
    5 |   '0.0.0.0/0',
      |   ^^^^^^^^^^^
      = help: use the address of one host
    "#);
}

#[test]
fn an_address_given_twice() {
    insta::assert_snapshot!(refusal(&["[interface]", "addresses = ['10.0.0.2/24', '10.0.0.2/16']"]), @r#"
    netlane.toml:2:29: 10.0.0.2 is listed twice
      |
    2 | addresses = ['10.0.0.2/24', '10.0.0.2/16']
      |                             ^^^^^^^^^^^^^
      = help: remove one of the two
    "#);
}

#[test]
fn a_mac_of_a_group() {
    let answer = refusal(&["[interface]", "mac = '01:00:5e:00:00:01'", "addresses = ['10.0.0.2/24']"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:2:7: 01:00:5e:00:00:01 does not name one station
      |
    2 | mac = '01:00:5e:00:00:01'
      |       ^^^^^^^^^^^^^^^^^^^
      = help: choose an address whose first byte is even, such as "02:00:00:00:00:01"
    "#);
}

#[test]
fn a_vlan_out_of_range() {
    insta::assert_snapshot!(refusal(&["[interface]", "vlan = 4095", "addresses = ['10.0.0.2/24']"]), @r#"
    netlane.toml:2:8: 4095 is out of range
      |
    2 | vlan = 4095
      |        ^^^^
      = help: choose from 1 to 4094
    "#);
}

#[test]
fn a_host_address_that_is_the_stacks() {
    insta::assert_snapshot!(refusal_behind_sound(&["host-address = '10.0.0.2/24'"]), @r#"
    netlane.toml:3:16: 10.0.0.2 is the stack's own address
      |
    3 | host-address = '10.0.0.2/24'
      |                ^^^^^^^^^^^^^
      = help: give the kernel's end another address of the same subnet
    "#);
}

#[test]
fn a_host_address_in_another_subnet() {
    insta::assert_snapshot!(refusal_behind_sound(&["host-address = '10.0.1.1/24'"]), @r#"
    netlane.toml:3:16: 10.0.1.1/24 and the stack are in different subnets and would not hear each other
      |
    3 | host-address = '10.0.1.1/24'
      |                ^^^^^^^^^^^^^
      = help: use another address of 10.0.0.0/24
    "#);
}

#[test]
fn a_host_address_without_a_tap() {
    let answer = refusal_behind_sound(&["host-address = '10.0.0.1/24'", "[backend]", "kind = 'memory'"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:3:16: the memory backend has no end in the kernel to give 10.0.0.1 to
      |
    3 | host-address = '10.0.0.1/24'
      |                ^^^^^^^^^^^^^
      = help: remove it, or set `kind = "tap"` in the section [backend]
    "#);
}

#[test]
fn a_gateway_in_no_subnet() {
    let answer = refusal_behind_sound(&[
        "",
        "[[routes]]",
        "to = '10.1.0.0/16'",
        "via = '10.0.0.1'",
        "",
        "[[routes]]",
        "to = '0.0.0.0/0'",
        "via = '10.1.0.1'",
    ]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:10:7: the gateway 10.1.0.1 is in none of the interface's subnets
       |
    10 | via = '10.1.0.1'
       |       ^^^^^^^^^^
       = help: use an address of 10.0.0.0/24, or add one to `interface.addresses`
    "#);
}

#[test]
fn a_gateway_that_is_the_stack() {
    let answer = refusal_behind_sound(&["[[routes]]", "to = '0.0.0.0/0'", "via = '10.0.0.2'"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:5:7: the gateway 10.0.0.2 is the stack itself
      |
    5 | via = '10.0.0.2'
      |       ^^^^^^^^^^
      = help: use the address of another host in 10.0.0.0/24
    "#);
}

#[test]
fn a_route_with_bits_beyond_its_prefix() {
    let answer = refusal_behind_sound(&["[[routes]]", "to = '10.1.2.3/16'", "via = '10.0.0.1'"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:4:6: 10.1.2.3/16 has bits beyond its prefix
      |
    4 | to = '10.1.2.3/16'
      |      ^^^^^^^^^^^^^
      = help: write "10.1.0.0/16"
    "#);
}

#[test]
fn two_routes_to_one_network() {
    let answer = refusal_behind_sound(&[
        "[[routes]]",
        "to = '0.0.0.0/0'",
        "via = '10.0.0.1'",
        "[[routes]]",
        "to = '0.0.0.0/0'",
        "via = '10.0.0.3'",
    ]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:7:6: there are two routes to 0.0.0.0/0
      |
    7 | to = '0.0.0.0/0'
      |      ^^^^^^^^^^^
      = help: remove one of the two, or give them different metrics
    "#);
}

#[test]
fn a_neighbour_in_no_subnet_with_a_group_mac() {
    let answer =
        refusal_behind_sound(&["[[neighbors]]", "address = '10.0.1.1'", "mac = 'ff:ff:ff:ff:ff:ff'"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:4:11: the neighbour 10.0.1.1 is in none of the interface's subnets
      |
    4 | address = '10.0.1.1'
      |           ^^^^^^^^^^
      = help: use an address of 10.0.0.0/24, or add one to `interface.addresses`

    netlane.toml:5:7: ff:ff:ff:ff:ff:ff does not name one station
      |
    5 | mac = 'ff:ff:ff:ff:ff:ff'
      |       ^^^^^^^^^^^^^^^^^^^
      = help: use the neighbour's own Ethernet address; its first byte is even
    "#);
}

#[test]
fn a_neighbour_given_twice() {
    let answer = refusal_behind_sound(&[
        "[[neighbors]]",
        "address = '10.0.0.1'",
        "mac = '02:00:00:00:00:01'",
        "[[neighbors]]",
        "address = '10.0.0.1'",
        "mac = '02:00:00:00:00:02'",
    ]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:7:11: 10.0.0.1 is listed twice
      |
    7 | address = '10.0.0.1'
      |           ^^^^^^^^^^
      = help: remove one of the two
    "#);
}

#[test]
fn limits_that_leave_nothing() {
    let answer = refusal_behind_sound(&[
        "[limits]",
        "sockets = 0",
        "neighbors = 0",
        "packet-buffers = 1",
        "memory = 65_536",
    ]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:4:11: 0 is out of range
      |
    4 | sockets = 0
      |           ^
      = help: choose from 1 to 2147483648

    netlane.toml:5:13: 0 is too small
      |
    5 | neighbors = 0
      |             ^
      = help: choose 1 or more

    netlane.toml:6:18: 1 is too small
      |
    6 | packet-buffers = 1
      |                  ^
      = help: choose 128 or more

    netlane.toml:7:10: 65536 bytes are too few for the buffers of a single connection
      |
    7 | memory = 65_536
      |          ^^^^^^
      = help: choose 2097152 or more, or lower `tcp.send-buffer` and `tcp.receive-buffer`
    "#);
}

#[test]
fn segments_larger_than_the_mtu() {
    insta::assert_snapshot!(refusal_behind_sound(&["[tcp]", "mss = 1_480"]), @r#"
    netlane.toml:4:7: segments of 1480 bytes do not fit an MTU of 1500
      |
    4 | mss = 1_480
      |       ^^^^^
      = help: choose 1460 or less, or raise `interface.mtu` to 1520
    "#);
}

#[test]
fn segments_too_small_to_be_worth_it() {
    insta::assert_snapshot!(refusal_behind_sound(&["[tcp]", "mss = 20"]), @r#"
    netlane.toml:4:7: 20 is too small
      |
    4 | mss = 20
      |       ^^
      = help: choose 88 or more
    "#);
}

#[test]
fn buffers_smaller_than_a_segment_or_larger_than_a_window() {
    let answer = refusal_behind_sound(&[
        "[tcp]",
        "send-buffer = 1_000",
        "receive-buffer = 2_000_000_000",
        "",
        "[limits]",
        "memory = 4_000_000_000",
    ]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:4:15: 1000 bytes do not hold one segment
      |
    4 | send-buffer = 1_000
      |               ^^^^^
      = help: choose from 1460 to 1073725440

    netlane.toml:5:18: 2000000000 bytes are more than a window can announce
      |
    5 | receive-buffer = 2_000_000_000
      |                  ^^^^^^^^^^^^^
      = help: choose from 1460 to 1073725440
    "#);
}

#[test]
fn a_least_timeout_above_the_greatest() {
    insta::assert_snapshot!(refusal_behind_sound(&["[tcp]", "rto-min = '2m'"]), @r#"
    netlane.toml:4:11: the least timeout, 2m, is above the greatest, 1m
      |
    4 | rto-min = '2m'
      |           ^^^^
      = help: lower `tcp.rto-min`, or raise `tcp.rto-max`
    "#);
}

#[test]
fn an_initial_timeout_below_the_least() {
    insta::assert_snapshot!(refusal_behind_sound(&["[tcp]", "rto-initial = '100ms'"]), @r#"
    netlane.toml:4:15: 100ms is not between `tcp.rto-min` and `tcp.rto-max`
      |
    4 | rto-initial = '100ms'
      |               ^^^^^^^
      = help: choose from "200ms" to "1m"
    "#);
}

#[test]
fn acknowledgements_that_come_too_late() {
    insta::assert_snapshot!(refusal_behind_sound(&["[tcp]", "delayed-ack = '500ms'"]), @r#"
    netlane.toml:4:15: 500ms is too long: peers would take segments for lost
      |
    4 | delayed-ack = '500ms'
      |               ^^^^^^^
      = help: choose less than "500ms"
    "#);
}

#[test]
fn keepalive_without_a_probe() {
    insta::assert_snapshot!(refusal_behind_sound(&["[tcp.keepalive]", "idle = '0s'", "probes = 0"]), @r#"
    netlane.toml:4:8: the time is zero
      |
    4 | idle = '0s'
      |        ^^^^
      = help: choose a time with its unit, such as "200ms" or "60s"

    netlane.toml:5:10: 0 is too small
      |
    5 | probes = 0
      |          ^
      = help: choose 1 or more
    "#);
}

#[test]
fn a_capture_without_a_file() {
    insta::assert_snapshot!(refusal_behind_sound(&["[capture]", "snap-length = 96"]), @r#"
    netlane.toml:3:1: missing key `file`
      |
    3 | [capture]
      | ^^^^^^^^^
      = help: add it to this table
    "#);
}

#[test]
fn a_capture_that_ends_before_it_starts() {
    let answer = refusal_behind_sound(&["[capture]", "file = ''", "snap-length = 10", "max-bytes = 100"]);
    insta::assert_snapshot!(answer, @r#"
    netlane.toml:4:8: the file has no name
      |
    4 | file = ''
      |        ^^
      = help: name a file, such as "netlane.pcapng"

    netlane.toml:5:15: 10 is out of range
      |
    5 | snap-length = 10
      |               ^^
      = help: choose from 54 to 262144

    netlane.toml:6:13: 100 is too small
      |
    6 | max-bytes = 100
      |             ^^^
      = help: choose 4096 or more
    "#);
}
