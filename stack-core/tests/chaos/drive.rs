//! Makes a run as it was planned.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use ipnet::IpNet;
use netlane_core::{Buffers, Instant, SocketId};
use netlane_sim::impairment::Impairment;
use netlane_sim::{Host, HostId, World};

use crate::connection::Connection;
use crate::plan::{Event, Plan};
use crate::program::stream;
use crate::witness::Witness;

/// A run: the world, and all that acts in it.
pub(crate) struct Run<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) world: World,
    pub(crate) cast: Cast,
    /// What is still to happen, the next last.
    agenda: Vec<(Instant, Event)>,
    witness: Rc<RefCell<Witness>>,
    /// How bad the way from each host is, and until when nothing passes.
    weather: [Impairment; 2],
    cut_until: [Instant; 2],
}

/// Who acts in the world.
pub(crate) struct Cast {
    pub(crate) hosts: [HostId; 2],
    pub(crate) listeners: [SocketId; 2],
    pub(crate) datagrams: [SocketId; 2],
    pub(crate) connections: Vec<Connection>,
    /// Bytes that the buffers of each host may take.
    memory: [usize; 2],
}

/// No run takes longer than this, in virtual time. A peer that falls silent is noticed after 15 retransmissions or
/// probes.
pub(crate) const LONGEST: Duration = Duration::from_secs(3 * 3_600);
/// More turns and frames than any run needs.
const MOST_TURNS: u64 = 200_000;
const MOST_FRAMES: u64 = 50_000;
pub(crate) const PORT: u16 = 80;

impl<'a> Run<'a> {
    pub(crate) fn new(plan: &'a Plan, record: bool) -> Self {
        let mut world = World::new(plan.seed);
        if record {
            world.record();
        }
        let hosts = [0, 1].map(|n| {
            let planned = &plan.hosts[n];
            let host =
                Host::new(["a", "b"][n], "10.0.0.1/24").device(|device| *device = planned.device.clone());
            world.add(host.stack(|config| {
                let ipv6 = config.interface.ipv6.clone();
                *config = planned.stack.clone();
                config.interface.ipv6 = ipv6;
                config.interface.addresses = [false, true].map(|v6| network(n, v6)).to_vec();
            }))
        });
        let mtus = hosts.map(|host| plan.hosts[host.number()].device.mtu);
        let witness = Rc::new(RefCell::new(Witness::new(mtus)));
        let sees = Rc::clone(&witness);
        world.watch(move |_, host, frame| sees.borrow_mut().see(host, frame));
        for host in hosts {
            world.impair(host, plan.weather[host.number()].clone());
            if let Some(budget) = plan.hosts[host.number()].budget {
                world[host].buffers_mut().set_budget(budget);
            }
        }
        let cast = Cast::new(plan, &mut world, hosts);
        let mut agenda: Vec<_> =
            plan.events.iter().map(|(at, event)| (Instant::ZERO + *at, event.clone())).collect();
        agenda.reverse();
        let weather = plan.weather.clone();
        Self { plan, world, cast, agenda, witness, weather, cut_until: [Instant::ZERO; 2] }
    }

    /// Lets everything happen, until nobody has anything left to do.
    pub(crate) fn play(&mut self) {
        let deadline = Instant::ZERO + LONGEST;
        while !self.cast.is_done() && self.world.now() < deadline {
            let now = self.world.now();
            let next = self.cast.wakes_at(now).into_iter().chain(self.agenda.last().map(|(at, _)| *at));
            let next = next.min().unwrap_or(deadline).min(deadline);
            // Whoever decides on the way to do something sooner is not to be kept waiting.
            let step = |world: &mut World| {
                self.cast.step(world)
                    || self.cast.wakes_at(world.now()).is_some_and(|at| at < next)
                    || world.turns() > MOST_TURNS
            };
            self.world.run_until(step, next - now);
            while let Some((_, event)) = self.agenda.pop_if(|(at, _)| *at <= self.world.now()) {
                self.happen(event);
            }
            let (turns, frames) = (self.world.turns(), self.witness.borrow().frames);
            assert!(turns < MOST_TURNS, "{turns} turns");
            assert!(frames < MOST_FRAMES, "{frames} frames");
        }
    }

    fn happen(&mut self, event: Event) {
        let now = self.world.now();
        let (world, cast) = (&mut self.world, &mut self.cast);
        let mut later = None;
        match event {
            Event::Weather(host, weather) => {
                self.weather[host] = weather;
                self.blow(host);
            }
            Event::Cut { from, span } => {
                for host in [0, 1].into_iter().filter(|host| from.is_none_or(|from| *host == from)) {
                    self.cut_until[host] = self.cut_until[host].max(now + span);
                    self.blow(host);
                    self.agenda.push((now + span, Event::Mend(host)));
                }
            }
            Event::Mend(host) => self.blow(host),
            Event::Path(host, narrow) => world.narrow(cast.hosts[host], narrow),
            Event::Stall(host, span) => world.stall(cast.hosts[host], span),
            Event::Jump(host, span) => world.jump(cast.hosts[host], span),
            Event::Renumber { host, v6, back } => {
                world[cast.hosts[host]].remove_address(address(host, v6));
                later = Some((back, Event::Restore { host, v6 }));
            }
            Event::Restore { host, v6 } => {
                // It may have been lost twice.
                let _ = world[cast.hosts[host]].add_address(network(host, v6));
            }
            Event::PullOut(host) => world[cast.hosts[host]].io_mut().pull_out(),
            Event::Abort(connection, end) => cast.connections[connection].ends[end].give_up(world, true),
            Event::Close(connection, end) => cast.connections[connection].ends[end].give_up(world, false),
            Event::Algorithm(connection, end, algorithm) => {
                cast.connections[connection].ends[end]
                    .change(world, |stack, socket| stack.tcp_set_congestion_control(socket, algorithm));
            }
            Event::NoDelay(connection, end, no_delay) => cast.connections[connection].ends[end]
                .change(world, |stack, socket| stack.tcp_set_no_delay(socket, no_delay)),
            Event::Datagram { from, v6, bytes } => cast.send_datagram(world, from, v6, bytes),
        }
        if let Some((span, event)) = later {
            self.agenda.push((now + span, event));
        }
        self.agenda.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    }

    /// Makes the way from a host as bad as it has to be now.
    fn blow(&mut self, host: usize) {
        let mut weather = self.weather[host].clone();
        if self.world.now() < self.cut_until[host] {
            weather.loss = 1.0;
        }
        self.world.impair(self.cast.hosts[host], weather);
    }
}

impl Cast {
    fn new(plan: &Plan, world: &mut World, hosts: [HostId; 2]) -> Self {
        let listeners = hosts.map(|host| world[host].tcp_listen(anywhere(), 8).expect("the port is free"));
        let datagrams = hosts.map(|host| world[host].udp_bind(anywhere()).expect("the port is free"));
        let connections = plan.connections.iter().enumerate();
        let connections = connections.map(|(n, plan)| Connection::new(n, plan, hosts)).collect::<Vec<_>>();
        // Rings have a power of two as their size. Attempts that failed may leave an end for a while.
        let sockets = 2 * (connections.len() + 1) + 2;
        let memory = [0, 1].map(|host: usize| {
            let tcp = &plan.hosts[host].stack.tcp;
            let one = tcp.send_buffer.max(512).next_power_of_two()
                + tcp.receive_buffer.max(512).next_power_of_two();
            sockets * one
        });
        Self { hosts, listeners, datagrams, connections, memory }
    }

    fn is_done(&self) -> bool {
        self.connections.iter().all(Connection::is_done)
    }

    fn wakes_at(&self, now: Instant) -> Option<Instant> {
        self.connections.iter().filter_map(|connection| connection.wakes_at(now)).min()
    }

    /// Everybody does what there is to do. Returns whether all are done.
    fn step(&mut self, world: &mut World) -> bool {
        for connection in &mut self.connections {
            connection.open(world);
        }
        self.accept(world);
        for connection in &mut self.connections {
            connection.step(world);
        }
        self.receive_datagrams(world);
        for host in self.hosts {
            let used = world[host].buffers().used();
            assert!(used <= self.memory[host.number()], "{used} bytes of buffers");
        }
        self.is_done()
    }

    fn accept(&mut self, world: &mut World) {
        for host in self.hosts {
            while let Ok(Some(socket)) = world[host].tcp_accept(self.listeners[host.number()]) {
                let peer = world[host].peer_addr(socket).ok().flatten();
                let its = self.connections.iter_mut().find(|connection| connection.takes(host, peer));
                match its {
                    Some(connection) => connection.ends[1].begin(socket),
                    // Left over from an attempt that its opener has given up, or opened by a SYN that came twice.
                    None => world[host].tcp_abort(socket).expect("it was accepted just now"),
                }
            }
        }
    }

    fn send_datagram(&mut self, world: &mut World, from: usize, v6: bool, bytes: usize) {
        let remote = SocketAddr::new(address(1 - from, v6), PORT);
        // One that is refused was not to be had in time, as those that are lost.
        let _ =
            world[self.hosts[from]].udp_send_to(self.datagrams[from], remote, stream(bytes as u64, bytes));
    }

    fn receive_datagrams(&mut self, world: &mut World) {
        let mut out = [0; 8_192];
        for host in self.hosts {
            while let Ok((n, header)) = world[host].udp_recv_from(self.datagrams[host.number()], &mut out) {
                assert_eq!(n, usize::from(header.payload_len));
                assert!(out[..n] == *stream(n as u64, n), "a datagram of {n} bytes is not as it was sent");
            }
        }
    }
}

/// The address of a host.
pub(crate) fn address(host: usize, v6: bool) -> IpAddr {
    network(host, v6).addr()
}

fn network(host: usize, v6: bool) -> IpNet {
    let text = if v6 { format!("fd00::{}/64", host + 1) } else { format!("10.0.0.{}/24", host + 1) };
    text.parse().expect("an address and its prefix")
}

fn anywhere() -> SocketAddr {
    SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED), PORT)
}
