//! Progress of what takes a while, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for that many bytes. It hides itself when it is dropped, and all along where nobody looks.
pub(crate) fn bytes(len: u64, what: String) -> ProgressBar {
    let template = "{msg:<24} {wide_bar} {bytes:>11} of {total_bytes}, {eta} left";
    bar(len, what, template)
}

fn bar(len: u64, what: String, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len)
        .with_style(style)
        .with_message(what)
        .with_finish(indicatif::ProgressFinish::AndClear)
}

/// A bar for that many steps.
pub(crate) fn steps(len: u64) -> ProgressBar {
    let bar = bar(len, String::new(), "{wide_bar} {pos} of {len}  {msg:<48}");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
