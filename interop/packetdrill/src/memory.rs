//! The caller's memory, read and written as the kernel does it: an address that is not the caller's is `EFAULT`,
//! and no crash.

use std::ffi::{c_int, c_void};
use std::mem::size_of;

use libc::{iovec, size_t};

use crate::errno::Errno;

/// The most bytes that one call moves. Calls may always move less than they are asked to.
const LARGEST: usize = 1 << 30;

/// Fills `out` with the bytes at `from`.
pub(crate) fn read(from: *const c_void, out: &mut [u8]) -> Result<(), Errno> {
    let local = iovec { iov_base: out.as_mut_ptr().cast(), iov_len: out.len() };
    let remote = iovec { iov_base: from.cast_mut(), iov_len: out.len() };
    // SAFETY: `local` is `out`, and the kernel checks `remote`.
    let n = unsafe { libc::process_vm_readv(this_process(), &local, 1, &remote, 1, 0) };
    whole(n, out.len())
}

/// Writes `bytes` at `to`.
pub(crate) fn write(to: *mut c_void, bytes: &[u8]) -> Result<(), Errno> {
    let local = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let remote = iovec { iov_base: to, iov_len: bytes.len() };
    // SAFETY: `local` is `bytes` and only read, and the kernel checks `remote`.
    let n = unsafe { libc::process_vm_writev(this_process(), &local, 1, &remote, 1, 0) };
    whole(n, bytes.len())
}

/// Whether a piece of memory is there, from its first byte to its last.
pub(crate) fn probe(piece: &iovec) -> Result<(), Errno> {
    let Some(last) = piece.iov_len.checked_sub(1) else { return Ok(()) };
    read(piece.iov_base, &mut [0])?;
    read(piece.iov_base.cast::<u8>().wrapping_add(last).cast(), &mut [0])
}

/// The bytes at `from`.
pub(crate) fn read_vec(from: *const c_void, len: usize) -> Result<Vec<u8>, Errno> {
    let mut out = vec![0; len.min(LARGEST)];
    read(from, &mut out)?;
    Ok(out)
}

/// A value of a plain C type, without padding that matters.
pub(crate) fn read_value<T: Copy>(from: *const T) -> Result<T, Errno> {
    let bytes = read_vec(from.cast(), size_of::<T>())?;
    // SAFETY: callers use this for C structures of integers and pointers, for which all bytes are values.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The bytes of a plain C structure.
pub(crate) fn bytes_of<T: Copy>(value: &T) -> Vec<u8> {
    let start = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: the bytes are the value's own; callers zero their structures, padding included.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
}

/// The pieces of memory that a vector of a call names.
pub(crate) fn pieces(vector: *const iovec, count: usize) -> Result<Vec<iovec>, Errno> {
    if count > libc::UIO_MAXIOV as usize {
        return Err(Errno(libc::EMSGSIZE));
    }
    (0..count).map(|i| read_value(vector.wrapping_add(i))).collect()
}

/// All the bytes that a vector names, one after the other.
pub(crate) fn gather(pieces: &[iovec]) -> Result<Vec<u8>, Errno> {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(read_vec(piece.iov_base, piece.iov_len)?);
    }
    Ok(out)
}

/// Spreads `bytes` over the memory that a vector names.
pub(crate) fn scatter(mut bytes: &[u8], pieces: &[iovec]) -> Result<(), Errno> {
    for piece in pieces {
        let (now, later) = bytes.split_at(bytes.len().min(piece.iov_len));
        write(piece.iov_base, now)?;
        bytes = later;
    }
    Ok(())
}

/// Bytes that a vector has room for.
pub(crate) fn room(pieces: &[iovec]) -> usize {
    pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.iov_len)).min(LARGEST)
}

/// Up to `count` bytes of a file of the kernel's, from a place or from where it stands.
pub(crate) fn read_file(file: c_int, from: Option<i64>, count: usize) -> Result<Vec<u8>, Errno> {
    let mut out = vec![0; count.min(LARGEST)];
    let n = match from {
        // SAFETY: `out` has room for as much.
        Some(from) => unsafe { libc::pread(file, out.as_mut_ptr().cast(), out.len(), from) },
        // SAFETY: `out` has room for as much.
        None => unsafe { libc::read(file, out.as_mut_ptr().cast(), out.len()) },
    };
    out.truncate(usize::try_from(n).map_err(|_| Errno::last())?);
    Ok(out)
}

/// Writes to a file of the kernel's, and returns how much it took.
pub(crate) fn write_file(file: c_int, bytes: &[u8]) -> Result<i64, Errno> {
    // SAFETY: the bytes are there.
    let n = unsafe { libc::write(file, bytes.as_ptr().cast(), bytes.len()) };
    if n < 0 { Err(Errno::last()) } else { Ok(n as i64) }
}

fn this_process() -> libc::pid_t {
    // SAFETY: the call has no conditions.
    unsafe { libc::getpid() }
}

fn whole(n: isize, wanted: size_t) -> Result<(), Errno> {
    match usize::try_from(n) {
        Ok(n) if n == wanted => Ok(()),
        Ok(_) => Err(Errno(libc::EFAULT)),
        Err(_) => Err(Errno::last()),
    }
}
