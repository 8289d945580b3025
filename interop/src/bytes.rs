//! Bytes to send that a receiver can check.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// How much is read and written at a time.
const CHUNK: usize = 128 * 1024;

/// What a stream was, from its beginning to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its length in bytes.
    pub len: u64,
    /// Its SHA-256.
    pub checksum: String,
}

/// Writes `len` bytes that repeat in no short period, and says what they were.
///
/// # Errors
/// Those of the stream.
pub fn send(stream: &mut impl Write, len: u64) -> io::Result<Summary> {
    let mut checksum = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut state = len | 1;
    let mut sent = 0;
    while sent < len {
        for word in chunk.as_chunks_mut::<8>().0 {
            // xorshift64: a full period of 2^64 - 1 words.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        let now = &chunk[..chunk.len().min((len - sent) as usize)];
        checksum.update(now);
        stream.write_all(now)?;
        sent += now.len() as u64;
    }
    Ok(Summary { len, checksum: format!("{:x}", checksum.finalize()) })
}

/// Reads to the end of a stream, and says what it was.
///
/// # Errors
/// Those of the stream.
pub fn receive(stream: &mut impl Read) -> io::Result<Summary> {
    let mut checksum = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut len = 0;
    loop {
        match stream.read(&mut chunk)? {
            0 => return Ok(Summary { len, checksum: format!("{:x}", checksum.finalize()) }),
            read => {
                checksum.update(&chunk[..read]);
                len += read as u64;
            }
        }
    }
}
