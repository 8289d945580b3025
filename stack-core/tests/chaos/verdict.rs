//! Whether what has come of a run is right.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlane_core::{BindError, Counters, SocketError};

use crate::connection::Connection;
use crate::drive::Run;
use crate::plan::{Event, Plan};
use crate::program::{Fate, Program};

/// In this time everything ends that has no user any more.
const AFTERMATH: Duration = Duration::from_secs(4 * 3_600);
/// Turns in which a host without sockets does what it has to do in that time.
const IDLE_TURNS: u64 = 3_000;

impl Run<'_> {
    /// Both ends of each connection have seen everything, or an error that has a reason.
    pub(crate) fn judge(&mut self) {
        for (number, connection) in self.cast.connections.iter().enumerate() {
            let [near, far] = &connection.ends;
            let what = || {
                let told = connection.ends.iter().map(|end| {
                    let info =
                        end.socket.and_then(|socket| self.world[end.host].tcp_info(socket).ok().flatten());
                    format!("{end}\n{info:?}")
                });
                let told = told.collect::<Vec<_>>().join("\n");
                let counters = self.cast.hosts.map(|host| counted(self.world[host].counters()));
                format!("connection {number}:\n{told}\n{:?}\n{}", self.plan.events, counters.join("\n"))
            };
            for (end, other) in [(near, far), (far, near)] {
                assert!(end.received <= other.sent, "more has arrived than was sent: {}", what());
                // The end of a stream is nothing that gets lost.
                if end.ended {
                    assert!(
                        other.shut_down || other.fate == Fate::GivenUp,
                        "an end where there is none: {}",
                        what()
                    );
                    assert_eq!(end.received, other.sent, "an end before the last byte: {}", what());
                }
                if let Fate::Failed(error) = end.fate {
                    assert!(self.plan.explains(number, end, error), "{error:?} without a reason: {}", what());
                }
            }
            if self.plan.calm {
                assert!(near.fate == Fate::Finished && far.fate == Fate::Finished, "unfinished: {}", what());
            }
            self.judge_what_is_left(connection, &what);
        }
    }

    /// An end that is open when time is over waits for a peer that is gone, and has nothing to ask of it.
    fn judge_what_is_left(&self, connection: &Connection, what: &dyn Fn() -> String) {
        let [near, far] = &connection.ends;
        for (end, other) in [(near, far), (far, near)] {
            let Some(socket) = end.socket.filter(|_| end.fate == Fate::Open) else { continue };
            if self.plan.pulls_out(end.host.number()) {
                continue;
            }
            let gone = other.fate != Fate::Open || self.plan.pulls_out(other.host.number());
            // Timeouts grow with the round trips that lost acknowledgements feign.
            assert!(gone || self.plan.is_hopeless(), "both ends wait for ever: {}", what());
            let info = self.world[end.host].tcp_info(socket).expect("it is open");
            let waits = info.is_some_and(|info| info.unacknowledged == 0 && info.unsent == 0);
            assert!(
                waits || self.plan.is_hopeless(),
                "it does not notice that its peer is gone: {info:?} {}",
                what()
            );
        }
    }

    /// Closes what is open, and sees that everything comes back: sockets, memory and frames.
    pub(crate) fn clear(mut self) {
        let (world, cast) = (&mut self.world, &mut self.cast);
        for connection in &mut cast.connections {
            for end in &mut connection.ends {
                end.give_up(world, true);
            }
        }
        for host in cast.hosts {
            world[host].tcp_close(cast.listeners[host.number()]).expect("it listens");
            world[host].datagram_close(cast.datagrams[host.number()]).expect("it is open");
        }
        world.run_for(AFTERMATH);
        let turns = world.turns();
        world.run_for(AFTERMATH);
        let turns = world.turns() - turns;
        assert!(turns < IDLE_TURNS, "{turns} turns of hosts that have nothing to do");
        for host in cast.hosts {
            if self.plan.pulls_out(host.number()) {
                continue;
            }
            assert_eq!(world[host].buffers().used(), 0, "bytes of buffers that nobody has");
            let frames = self.plan.hosts[host.number()].device.frames;
            assert_eq!(world[host].io().frames_left(), frames, "frames that came back");
            let limit = self.plan.hosts[host.number()].stack.limits.sockets;
            let free = (1..).find(|port| {
                let local = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), *port);
                world[host].udp_bind(local) == Err(BindError::TableFull)
            });
            assert_eq!(free.map(|port| usize::from(port) - 1), Some(limit), "sockets that came back");
        }
    }
}

/// What a host has counted, but for what it has not.
fn counted(counters: &Counters) -> String {
    let counted = counters.iter().filter(|(_, count)| *count > 0);
    counted.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}

impl Plan {
    /// Whether a host loses its network for good.
    fn pulls_out(&self, host: usize) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::PullOut(out) if *out == host))
    }

    /// Whether so much is lost that nothing can be relied on.
    fn is_hopeless(&self) -> bool {
        let later = self.events.iter().filter_map(|(_, event)| match event {
            Event::Weather(_, weather) => Some(weather),
            _ => None,
        });
        self.weather.iter().chain(later).any(|weather| weather.loss > 0.1)
    }

    /// Whether an error of an end has a reason.
    fn explains(&self, connection: usize, end: &Program, error: SocketError) -> bool {
        if self.calm {
            return false;
        }
        let any = |is: &dyn Fn(&Event) -> bool| self.events.iter().any(|(_, event)| is(event));
        let renumbered = |which: Option<usize>| {
            any(
                &|event| matches!(event, Event::Renumber { host, .. } if which.is_none_or(|which| which == *host)),
            )
        };
        let given_up = any(
            &|event| matches!(event, Event::Abort(which, _) | Event::Close(which, _) if *which == connection),
        );
        let silent = any(&|event| match event {
            Event::PullOut(_) | Event::Jump(..) | Event::Path(..) => true,
            Event::Cut { span, .. } => *span > Duration::from_secs(8),
            _ => false,
        });
        let impatient = self.hosts.iter().any(|host| {
            let tcp = &host.stack.tcp;
            tcp.retries < 15
                || tcp.keepalive.is_some()
                || tcp.user_timeout.is_some()
                || tcp.syn_ack_retries < 6
        });
        let trouble = renumbered(None) || silent || self.is_hopeless() || impatient;
        match error {
            SocketError::AddressRemoved => renumbered(Some(end.host.number())),
            SocketError::Reset => given_up || trouble,
            SocketError::TimedOut | SocketError::Unreachable => trouble,
            // Nobody closes a listener.
            SocketError::Refused => false,
            SocketError::TooLarge => false,
        }
    }
}
