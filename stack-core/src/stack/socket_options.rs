//! What users choose for one connection, or for those that will come through a listener.

use netlane_packet_io::PacketIo;

use super::{Stack, Stale};
use crate::buffers::Buffers;
use crate::config::{CongestionAlgorithm, KeepAlive};
use crate::socket::SocketId;
use crate::tcp::connection::{Holds, State};
use crate::tcp::handshake::MIN_MSS;
use crate::time::Duration;

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Lets small segments leave at once, or holds them back while others are unacknowledged (Nagle).
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_no_delay(&mut self, socket: SocketId, no_delay: bool) -> Result<(), Stale> {
        self.user_connection(socket)?.options.holds.set(Holds::NAGLE, !no_delay);
        self.sockets.owe(socket);
        Ok(())
    }

    /// Holds segments back that are not full, since the user will send more at once, or lets them leave. They wait for a
    /// retransmission timeout at the most, as data for a closed window does.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_cork(&mut self, socket: SocketId, cork: bool) -> Result<(), Stale> {
        self.user_connection(socket)?.options.holds.set(Holds::CORK, cork);
        self.sockets.owe(socket);
        Ok(())
    }

    /// Bounds the segments of a connection, or of those that will come through a listener: what is announced in a SYN that
    /// has not left, and what is sent. In bytes of payload and options (`TCP_MAXSEG`), 48 at least.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_max_segment(&mut self, socket: SocketId, mss: u16) -> Result<(), Stale> {
        let mss = mss.max(MIN_MSS);
        if let Some(listener) = self.sockets.table.listener_mut(socket) {
            listener.max_segment = Some(mss);
            return Ok(());
        }
        match &mut self.user_connection(socket)?.state {
            State::SynSent(state) => state.ours.mss = state.ours.mss.min(mss),
            State::SynReceived(state) => state.exchange.ours.mss = state.exchange.ours.mss.min(mss),
            State::Synchronized(state) => state.limit_segments(mss),
            State::TimeWait(_) | State::Closed(_) => {}
        }
        Ok(())
    }

    /// How often a connection's SYN is repeated before the attempt fails; as [`TcpConfig::syn_retries`
    /// ](crate::TcpConfig::syn_retries) unless it is set.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_syn_retries(&mut self, socket: SocketId, retries: u8) -> Result<(), Stale> {
        match &mut self.user_connection(socket)?.state {
            State::SynSent(state) => state.attempts.retries = retries,
            State::SynReceived(state) => state.attempts.retries = retries,
            State::Synchronized(_) | State::TimeWait(_) | State::Closed(_) => {}
        }
        Ok(())
    }

    /// Asks a silent peer whether it still lives, or stops asking.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_keepalive(&mut self, socket: SocketId, keepalive: Option<KeepAlive>) -> Result<(), Stale> {
        let now = self.now;
        let connection = self.user_connection(socket)?;
        connection.patience.set_keepalive(keepalive);
        if let State::Synchronized(state) = &mut connection.state {
            state.watch(keepalive.as_ref(), now);
        }
        self.sockets.arm(socket);
        Ok(())
    }

    /// Gives a connection up once its data was not acknowledged for so long, however often it was repeated; where
    /// `None`, after [`TcpConfig::retries`](crate::TcpConfig::retries). With
    /// [`TcpConfig::user_timeout_option`](crate::TcpConfig::user_timeout_option) the peer is told (RFC 5482).
    /// No connection fails before its first retransmission timeout.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_user_timeout(
        &mut self,
        socket: SocketId,
        user_timeout: Option<Duration>,
    ) -> Result<(), Stale> {
        let announce = self.tcp.user_timeout_option;
        let connection = self.user_connection(socket)?;
        connection.patience.user_timeout_mut().choose(user_timeout, announce);
        Ok(())
    }

    /// Chooses how much of a connection's data may be in flight, or of the connections that will come through a
    /// listener. An established connection goes on from the window that it has.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_set_congestion_control(
        &mut self,
        socket: SocketId,
        algorithm: CongestionAlgorithm,
    ) -> Result<(), Stale> {
        if let Some(listener) = self.sockets.table.listener_mut(socket) {
            listener.congestion_control = Some(algorithm);
            return Ok(());
        }
        let connection = self.user_connection(socket)?;
        connection.options.congestion_control = algorithm;
        if let State::Synchronized(state) = &mut connection.state {
            state.use_congestion_control(algorithm);
        }
        Ok(())
    }
}
