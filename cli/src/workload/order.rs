//! What a client asks the server for, in the first bytes of a connection.

use std::io::{self, Read};
use std::time::Duration;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Read to the end of the stream, and tell how many bytes there were, as a `u64` in network order.
    Sink,
    /// Write as fast as it goes, for that long.
    Source(Duration),
    /// Send messages back until the stream ends.
    Echo,
    /// Send one message back, and close.
    EchoOnce,
}

impl Order {
    pub(super) fn bytes(self) -> [u8; LEN] {
        let (kind, millis): (u8, u32) = match self {
            Self::Sink => (0, 0),
            Self::Source(duration) => (1, u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)),
            Self::Echo => (2, 0),
            Self::EchoOnce => (3, 0),
        };
        let mut bytes = [0; LEN];
        bytes[0] = kind;
        bytes[1..].copy_from_slice(&millis.to_be_bytes());
        bytes
    }

    pub(super) fn read(stream: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; LEN];
        stream.read_exact(&mut bytes)?;
        let [kind, millis @ ..] = bytes;
        match kind {
            0 => Ok(Self::Sink),
            1 => Ok(Self::Source(Duration::from_millis(u32::from_be_bytes(millis).into()))),
            2 => Ok(Self::Echo),
            3 => Ok(Self::EchoOnce),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

const LEN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood() {
        for order in [Order::Sink, Order::Source(Duration::from_millis(1_500)), Order::Echo, Order::EchoOnce]
        {
            assert_eq!(Order::read(&mut order.bytes().as_slice()).unwrap(), order);
        }
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let outcome = Order::read(&mut [9, 0, 0, 0, 0].as_slice());
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
