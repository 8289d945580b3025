//! Options of sockets: socket(7), tcp(7).

use std::collections::BTreeMap;
use std::ffi::c_int;

use netlane_core::{CongestionAlgorithm, Duration, KeepAlive, SocketId, Stack, StackConfig};

use super::Kind;
use super::fast_open::{CLIENT, SERVER};
use crate::device::RawIp;
use crate::errno::Errno;
use crate::sysctl;
use crate::world::World;

/// What was set on a socket. Accepted connections take it over from their listener.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    no_delay: bool,
    keepalive: bool,
    probing: KeepAlive,
    /// Seconds that `close` waits for what is queued.
    pub(crate) linger: Option<c_int>,
    pub(crate) receive_timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
    congestion_control: CongestionAlgorithm,
    /// How long data may stay unacknowledged.
    user_timeout: Option<Duration>,
    /// Bytes that may wait to be sent, where the user has chosen.
    send_limit: Option<usize>,
    /// Connections that a listener may have whose data came with the SYN.
    fast_open_queue: Option<usize>,
    /// `connect` waits for the first data, which goes with the SYN.
    pub(crate) fast_connect: bool,
    /// Whether `recvmsg` tells how many bytes are left.
    pub(crate) tells_unread: bool,
    /// Options without any effect here, by level and name.
    noted: BTreeMap<(c_int, c_int), c_int>,
}

/// Bytes of a name of a congestion control: `<linux/tcp.h>`.
const TCP_CA_NAME_MAX: usize = 16;
/// Linux's least `SO_SNDBUF`.
const LEAST_SEND_LIMIT: usize = 4_608;
/// `<linux/tcp.h>`: `recvmsg` tells how many bytes are left.
pub(crate) const TCP_INQ: c_int = 36;

/// Linux's accounts of a socket's memory, nine numbers: `<asm-generic/socket.h>`, `<linux/sock_diag.h>`.
const SO_MEMINFO: c_int = 55;
const MEMINFO: usize = 9 * 4;

/// Options that change nothing for a stack of its own: they are noted and told again.
const WITHOUT_EFFECT: [(c_int, c_int); 4] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
];

impl Options {
    pub(crate) fn new(config: &StackConfig) -> Self {
        Self {
            no_delay: !config.tcp.nagle,
            keepalive: config.tcp.keepalive.is_some(),
            probing: config.tcp.keepalive.unwrap_or_default(),
            linger: None,
            receive_timeout: None,
            send_timeout: None,
            congestion_control: config.tcp.congestion_control,
            user_timeout: config.tcp.user_timeout,
            send_limit: None,
            fast_open_queue: None,
            fast_connect: false,
            tells_unread: false,
            noted: BTreeMap::new(),
        }
    }

    /// Sets what the core has of them on a connection.
    pub(crate) fn apply(&self, stack: &mut Stack<RawIp>, id: SocketId) {
        // A connection that has ended meanwhile needs none.
        let _ = stack.tcp_set_no_delay(id, self.no_delay);
        let _ = stack.tcp_set_keepalive(id, self.keepalive.then_some(self.probing));
        let _ = stack.tcp_set_congestion_control(id, self.congestion_control);
        let _ = stack.tcp_set_user_timeout(id, self.user_timeout);
        if let Some(limit) = self.send_limit {
            let _ = stack.tcp_set_send_limit(id, limit);
        }
    }

    /// Sets what a listener gives to its connections before they are accepted.
    pub(crate) fn apply_to_listener(&self, stack: &mut Stack<RawIp>, id: SocketId, fast_open: bool) {
        // A listener that is gone needs none.
        let _ = stack.tcp_set_congestion_control(id, self.congestion_control);
        if fast_open && let Some(pending) = self.fast_open_queue {
            let _ = stack.tcp_set_fast_open(id, (pending > 0).then_some(pending));
        }
    }
}

impl World {
    /// setsockopt(2)
    pub(crate) fn set_option(
        &mut self,
        fd: c_int,
        level: c_int,
        name: c_int,
        value: &[u8],
    ) -> Result<(), Errno> {
        let client = self.sysctls().fast_open & CLIENT != 0;
        let socket = self.socket(fd)?;
        let id = socket.id();
        let options = &mut socket.options;
        let probing = &mut options.probing;
        match (level, name) {
            (libc::SOL_TCP, libc::TCP_NODELAY) => options.no_delay = int(value)? != 0,
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => options.keepalive = int(value)? != 0,
            (libc::SOL_TCP, libc::TCP_KEEPIDLE) => probing.idle = seconds(value, 32_767)?,
            (libc::SOL_TCP, libc::TCP_KEEPINTVL) => probing.interval = seconds(value, 32_767)?,
            (libc::SOL_TCP, libc::TCP_KEEPCNT) => probing.probes = seconds(value, 127)?.as_secs() as u8,
            // socket(7): the kernel doubles the value for its own needs, and tells the doubled one.
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
                options.send_limit = Some((int(value)?.max(0) as usize * 2).max(LEAST_SEND_LIMIT));
            }
            (libc::SOL_TCP, TCP_INQ) => options.tells_unread = int(value)? != 0,
            (libc::SOL_TCP, libc::TCP_FASTOPEN) => {
                let pending = usize::try_from(int(value)?).map_err(|_| Errno(libc::EINVAL))?;
                options.fast_open_queue = Some(pending);
            }
            (libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT) if client => options.fast_connect = int(value)? != 0,
            (libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT) => return Err(Errno(libc::EOPNOTSUPP)),
            (libc::SOL_TCP, libc::TCP_FASTOPEN_KEY) => {
                // One key serves all listeners of the stack.
                let key = value.try_into().map_err(|_| Errno(libc::EINVAL))?;
                self.stack().tcp_set_fast_open_key(key);
                return Ok(());
            }
            (libc::SOL_TCP, libc::TCP_CONGESTION) => {
                let name = value.split(|&byte| byte == 0).next().unwrap_or(&[]);
                let known = std::str::from_utf8(name).ok().and_then(sysctl::algorithm);
                options.congestion_control = known.ok_or(Errno(libc::ENOENT))?;
            }
            (libc::SOL_TCP, libc::TCP_USER_TIMEOUT) => {
                let millis = u64::try_from(int(value)?).map_err(|_| Errno(libc::EINVAL))?;
                options.user_timeout = (millis > 0).then(|| Duration::from_millis(millis));
            }
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                options.linger = (int(value)? != 0).then_some(int(value.get(4..).unwrap_or(&[]))?);
            }
            (libc::SOL_SOCKET, libc::SO_RCVTIMEO) => options.receive_timeout = timeval(value)?,
            (libc::SOL_SOCKET, libc::SO_SNDTIMEO) => options.send_timeout = timeval(value)?,
            known if WITHOUT_EFFECT.contains(&known) => {
                options.noted.insert(known, int(value)?);
            }
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        }
        let options = options.clone();
        let (connected, listening) = match socket.kind {
            Kind::Connecting(_) | Kind::Connected(_) => (true, false),
            Kind::Listener(_) => (false, true),
            _ => (false, false),
        };
        if let Some(id) = id.filter(|_| connected) {
            options.apply(self.stack(), id);
        }
        if let Some(id) = id.filter(|_| listening) {
            let server = self.sysctls().fast_open & SERVER != 0;
            options.apply_to_listener(self.stack(), id, server);
        }
        Ok(())
    }

    /// getsockopt(2)
    pub(crate) fn option(&mut self, fd: c_int, level: c_int, name: c_int) -> Result<Vec<u8>, Errno> {
        let send_buffer = self.sysctls().stack.tcp.send_buffer;
        let socket = self.socket(fd)?;
        let stream = !matches!(socket.kind, Kind::Datagrams { .. });
        let (domain, listening) = (socket.domain, matches!(socket.kind, Kind::Listener(_)));
        let options = &socket.options;
        let value = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => socket.error.take().map_or(0, |errno| errno.0),
            (libc::SOL_SOCKET, libc::SO_TYPE) if stream => libc::SOCK_STREAM,
            (libc::SOL_SOCKET, libc::SO_TYPE) => libc::SOCK_DGRAM,
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => domain,
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => c_int::from(listening),
            (libc::SOL_TCP, libc::TCP_NODELAY) => c_int::from(options.no_delay),
            (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => c_int::from(options.keepalive),
            (libc::SOL_TCP, libc::TCP_KEEPIDLE) => options.probing.idle.as_secs() as c_int,
            (libc::SOL_TCP, libc::TCP_KEEPINTVL) => options.probing.interval.as_secs() as c_int,
            (libc::SOL_TCP, libc::TCP_KEEPCNT) => c_int::from(options.probing.probes),
            (libc::SOL_SOCKET, libc::SO_SNDBUF) => options.send_limit.unwrap_or(send_buffer) as c_int,
            (libc::SOL_TCP, libc::TCP_USER_TIMEOUT) => {
                options.user_timeout.map_or(0, |timeout| timeout.as_millis() as c_int)
            }
            (libc::SOL_TCP, TCP_INQ) => c_int::from(options.tells_unread),
            (libc::SOL_TCP, libc::TCP_CONGESTION) => {
                let mut name = sysctl::name_of(options.congestion_control).as_bytes().to_vec();
                name.resize(TCP_CA_NAME_MAX, 0);
                return Ok(name);
            }
            (libc::SOL_TCP, libc::TCP_INFO) => return self.info(fd),
            (libc::SOL_TCP, libc::TCP_MAXSEG) => return self.segment_size(fd),
            (libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT) => c_int::from(options.fast_connect),
            // packetdrill asks for these two before each of its assertions, whatever they are about. An algorithm
            // may have nothing to tell, and Linux's accounts of memory are its own.
            (libc::SOL_TCP, libc::TCP_CC_INFO) => return Ok(Vec::new()),
            (libc::SOL_SOCKET, SO_MEMINFO) => return Ok(vec![0; MEMINFO]),
            (libc::SOL_SOCKET, libc::SO_LINGER) => {
                let value = [c_int::from(options.linger.is_some()), options.linger.unwrap_or(0)];
                return Ok(value.iter().flat_map(|part| part.to_ne_bytes()).collect());
            }
            known if WITHOUT_EFFECT.contains(&known) => options.noted.get(&known).copied().unwrap_or(0),
            _ => return Err(Errno(libc::ENOPROTOOPT)),
        };
        Ok(value.to_ne_bytes().to_vec())
    }
}

fn int(value: &[u8]) -> Result<c_int, Errno> {
    let bytes = value.get(..4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(c_int::from_ne_bytes).ok_or(Errno(libc::EINVAL))
}

/// A number from 1 to `most`, of seconds or probes.
fn seconds(value: &[u8], most: c_int) -> Result<Duration, Errno> {
    match int(value)? {
        n if (1..=most).contains(&n) => Ok(Duration::from_secs(n as u64)),
        _ => Err(Errno(libc::EINVAL)),
    }
}

/// `struct timeval`; zero stands for no end.
fn timeval(value: &[u8]) -> Result<Option<Duration>, Errno> {
    let part = |at: usize| {
        let bytes = value.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(i64::from_ne_bytes).ok_or(Errno(libc::EINVAL))
    };
    let (seconds, micros) = (part(0)?.max(0) as u64, part(8)?.max(0) as u64);
    let time = Duration::from_secs(seconds) + Duration::from_micros(micros);
    Ok((!time.is_zero()).then_some(time))
}
