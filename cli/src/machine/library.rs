//! Shared libraries that backends load.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// The version of `package`, if pkg-config knows it.
pub(crate) fn pkg_config(package: &str) -> Option<String> {
    let version = output_of("pkg-config", &["--modversion", package])?;
    Some(version.trim().to_owned())
}

/// Where the loader finds a library whose file name is `name` or begins with `name` and a dot.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    in_library_path(name).or_else(|| in_loader_cache(name))
}

fn in_library_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let files = env::split_paths(&folders).filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    files.map(|file| file.path()).find(|path| {
        path.file_name().and_then(|file| file.to_str()).is_some_and(|file| is_version_of(file, name))
    })
}

fn in_loader_cache(name: &str) -> Option<PathBuf> {
    let cache = output_of("ldconfig", &["-p"])?;
    cache.lines().find_map(|line| find_in_cache_line(line, name))
}

/// A line reads `libc.so.6 (libc6,x86-64) => /lib/x86_64-linux-gnu/libc.so.6`.
fn find_in_cache_line(line: &str, name: &str) -> Option<PathBuf> {
    let (library, path) = line.split_once(" => ")?;
    is_version_of(library.split_whitespace().next()?, name).then(|| PathBuf::from(path))
}

fn is_version_of(file: &str, name: &str) -> bool {
    file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// What `program` prints; `None` if it is not there or fails.
fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let mut path = env::var_os("PATH").unwrap_or_default();
    // Users seldom have ldconfig's folder in theirs.
    path.push(OsString::from(":/usr/sbin:/sbin"));
    let output = Command::new(program).args(arguments).env("PATH", path).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_found_in_the_loaders_cache_by_its_name_and_any_version() {
        let line = "\tlibbpf.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libbpf.so.1";
        let path = PathBuf::from("/usr/lib/x86_64-linux-gnu/libbpf.so.1");

        assert_eq!(find_in_cache_line(line, "libbpf.so"), Some(path));
        assert_eq!(find_in_cache_line(line, "libbp"), None);
        assert_eq!(find_in_cache_line("312 libs found in cache `/etc/ld.so.cache'", "libbpf.so"), None);
    }
}
