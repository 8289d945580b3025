//! Compiles what drives lwIP, where it is asked for: against Debian's `liblwip-dev`.

#[cfg(feature = "lwip")]
fn main() {
    cc::Build::new()
        .file("src/lwip/pair.c")
        .include("/usr/include/lwip")
        .warnings(true)
        .compile("netlane_bench_lwip");
    println!("cargo::rerun-if-changed=src/lwip/pair.c");
    println!("cargo::rustc-link-lib=lwip");
}

#[cfg(not(feature = "lwip"))]
fn main() {}
