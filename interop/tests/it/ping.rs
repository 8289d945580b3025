//! ICMP echo, against ping(8) and the kernel.

use std::net::IpAddr;
use std::time::Duration;

use netlane_interop::namespace::{alone, with_programs};
use netlane_interop::program::run;
use netlane_interop::wire::{KERNEL, NETLANE, Wire};
use netlane_posix::PingSocket;

#[test]
fn netlane_answers_ping_of_every_size() {
    with_programs(&["ping"], || {
        let _wire = Wire::new();
        for size in [0, 56, 1400, 1472, 1473, 20_000, 65_507] {
            let said = run(&format!("ping -c 3 -i 0.02 -W 5 -s {size} {NETLANE}"));
            assert!(said.contains("3 received, 0% packet loss"), "{said}");
        }
    });
}

#[test]
fn netlane_answers_a_flood_of_pings() {
    with_programs(&["ping"], || {
        let wire = Wire::new();
        let said = run(&format!("ping -f -c 5000 -q -W 5 {NETLANE}"));
        assert!(said.contains("5000 received, 0% packet loss"), "{said}");
        assert!(wire.counted("rx_frames") >= 5000);
    });
}

#[test]
fn the_kernel_answers_netlanes_pings_of_every_size() {
    alone(|| {
        let wire = Wire::new();
        let socket = PingSocket::open(wire.net()).expect("an identifier");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        for (seq, size) in [0, 56, 1400, 1472, 1473, 20_000].into_iter().enumerate() {
            let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
            socket.send_to(seq as u16, &payload, KERNEL.into()).expect("room for a request");
            let mut data = vec![0; 30_000];
            let reply = socket.recv_from(&mut data).expect("a reply");
            assert_eq!((reply.from, reply.seq), (IpAddr::V4(KERNEL), seq as u16));
            assert_eq!(data[..reply.len], payload, "{size} bytes come back as they went");
        }
    });
}
