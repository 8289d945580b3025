//! What the demonstration's servers offer: the project's README, and a body of any length that no disk holds.

use std::fs;
use std::io::{self, Cursor, Read};
use std::sync::Arc;

use fastrand::Rng;
use netlane_examples::http::{Resource, Site};
use sha2::{Digest, Sha256};

/// The SHA-256 of what was, or should be, received.
pub(super) type Checksum = [u8; 32];

/// The path of the README.
pub(super) const README: &str = "/README.md";
/// The path of the body.
pub(super) const BODY: &str = "/body";

/// The README as it was when the program was built.
const BUILT_IN: &[u8] = include_bytes!("../../../../README.md");

/// A site with the project's README, and a body.
#[derive(Clone)]
pub(super) struct DemoSite {
    readme: Arc<[u8]>,
    body_len: u64,
}

impl DemoSite {
    /// A site whose body has that many bytes. The README is that of the checkout in which the program runs, or else the
    /// one that it was built with.
    pub(super) fn new(body_len: u64) -> Self {
        let is_ours = |text: &Vec<u8>| text.starts_with(b"# netlane");
        let readme = fs::read("README.md").ok().filter(is_ours);
        Self { readme: readme.unwrap_or_else(|| BUILT_IN.to_vec()).into(), body_len }
    }

    /// The length of what stands at `path`.
    pub(super) fn len(&self, path: &str) -> u64 {
        self.find(path).map_or(0, |resource| resource.len)
    }

    /// The SHA-256 of what stands at `path`, calculated from the source itself. `progress` hears of each piece.
    pub(super) fn checksum(&self, path: &str, progress: impl FnMut(u64)) -> io::Result<Checksum> {
        let resource = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        checksum(resource.body, progress)
    }
}

/// Reads to the end, and returns the SHA-256 of it all. `progress` hears of each piece.
pub(super) fn checksum(mut source: impl Read, mut progress: impl FnMut(u64)) -> io::Result<Checksum> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let len = source.read(&mut piece)?;
        if len == 0 {
            return Ok(hash.finalize().into());
        }
        hash.update(&piece[..len]);
        progress(len as u64);
    }
}

impl Site for DemoSite {
    fn find(&self, path: &str) -> Option<Resource> {
        match path {
            README => Some(Resource {
                content_type: "text/markdown; charset=utf-8",
                len: self.readme.len() as u64,
                body: Box::new(Cursor::new(Arc::clone(&self.readme))),
            }),
            BODY => Some(Resource {
                content_type: "application/octet-stream",
                len: self.body_len,
                body: Box::new(PseudoRandom::new().take(self.body_len)),
            }),
            _ => None,
        }
    }
}

/// Bytes without end that look random, and are always the same.
struct PseudoRandom {
    rng: Rng,
    block: Vec<u8>,
    /// How much of the block has been read.
    read: usize,
}

impl PseudoRandom {
    fn new() -> Self {
        Self { rng: Rng::with_seed(0x006e_6574_6c61_6e65), block: vec![0; PIECE], read: PIECE }
    }
}

impl Read for PseudoRandom {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.block.len() {
            self.rng.fill(&mut self.block);
            self.read = 0;
        }
        let len = out.len().min(self.block.len() - self.read);
        out[..len].copy_from_slice(&self.block[self.read..][..len]);
        self.read += len;
        Ok(len)
    }
}

/// Bytes that are made, or looked at, at a time.
const PIECE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_same_however_it_is_read() {
        let site = DemoSite::new(200_000);
        let whole = site.checksum(BODY, |_| {}).unwrap();
        let mut pieces = Vec::new();
        let mut body = site.find(BODY).unwrap().body;
        let mut odd = [0; 777];
        while let len @ 1.. = body.read(&mut odd).unwrap() {
            pieces.extend_from_slice(&odd[..len]);
        }
        assert_eq!(pieces.len(), 200_000);
        assert_eq!(checksum(Cursor::new(pieces), |_| {}).unwrap(), whole);
    }

    #[test]
    fn another_body_has_another_checksum() {
        let [one, other] = [1_000, 1_001].map(|len| DemoSite::new(len).checksum(BODY, |_| {}).unwrap());
        assert_ne!(one, other);
    }
}
