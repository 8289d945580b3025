//! An address from dnsmasq(8).

use std::fs;
use std::net;
use std::thread;

use netlane_config::Capture;
use netlane_interop::bytes::{receive, send};
use netlane_interop::namespace::with_programs;
use netlane_interop::program::{run, start};
use netlane_interop::wire::{DEVICE, Wire, at_kernel};
use netlane_posix::TcpStream;

const LEN: u64 = 1 << 20;
/// The options of a DHCPRELEASE begin like this: its kind, and the client's name.
const RELEASE: [u8; 6] = [53, 1, 7, 61, 15, 255];

#[test]
fn dnsmasq_lends_an_address_and_gets_it_back() {
    with_programs(&["dnsmasq", "ping"], || {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("dhcp.pcapng");
        let wire = Wire::configured(|config| {
            config.capture = Some(Capture::to(&file));
            config.interface.addresses.clear();
            config.interface.dhcp = true;
        });
        let mut server = start(&format!(
            "dnsmasq --no-daemon --conf-file=/dev/null --user=root --group=root --port=0 --log-facility=- \
             --interface={DEVICE} --bind-interfaces --leasefile-ro --dhcp-authoritative \
             --dhcp-range=10.9.0.100,10.9.0.110,255.255.255.0,10m"
        ));
        let said = server.wait_for("DHCPACK");
        let address = said
            .split_whitespace()
            .filter_map(|word| word.parse::<net::Ipv4Addr>().ok())
            .find(|address| (100..=110).contains(&address.octets()[3]))
            .unwrap_or_else(|| panic!("no address in {said}"));
        // It is used once nobody was found to have it.
        let said = run(&format!("ping -c 1 -w 20 {address}"));
        assert!(said.contains("bytes from"), "{said}");
        let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
        let end = listener.local_addr().expect("bound");
        let kernel = thread::spawn(move || {
            let (mut stream, from) = listener.accept().expect("a connection");
            (receive(&mut stream).expect("all arrives"), from)
        });
        let mut stream = TcpStream::connect(wire.net(), end).expect("a connection");
        let sent = send(&mut stream, LEN).expect("all is sent");
        drop(stream);
        let (received, from) = kernel.join().expect("the kernel's side");
        assert_eq!((received, from.ip()), (sent, net::IpAddr::V4(address)));
        // The device goes with the wire, before dnsmasq could hear the last word on it.
        drop(wire);
        let captured = fs::read(file).expect("a capture");
        assert!(captured.windows(RELEASE.len()).any(|bytes| bytes == RELEASE), "the address is given back");
    });
}
