//! What connections tell of themselves.

use netlane_packet_io::PacketIo;

use super::socket_table::Kind;
use super::{Stack, Stale};
use crate::buffers::Buffers;
use crate::socket::SocketId;
use crate::tcp::congestion::initial_window;
use crate::tcp::connection::State;
use crate::tcp::info::TcpInfo;

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// How a connection fares; `None` before its handshake is complete and after its end, when there is its
    /// [state](Self::tcp_state) alone to tell.
    ///
    /// # Errors
    /// [`Stale`].
    pub fn tcp_info(&self, socket: SocketId) -> Result<Option<TcpInfo>, Stale> {
        let Kind::Connection(connection) = &self.sockets.table.get(socket).ok_or(Stale)?.kind else {
            return Err(Stale);
        };
        let State::Synchronized(state) = &connection.state else { return Ok(None) };
        let window = initial_window(self.tcp.initial_window, u32::from(state.snd.mss));
        let algorithm = connection.options.congestion_control;
        Ok(Some(state.info(connection.state.name(), algorithm, &self.sockets.buffers, &self.tcp, window)))
    }
}
