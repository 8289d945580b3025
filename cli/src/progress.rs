//! Progress of what takes a while, on a terminal only.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// How far bytes have got. It shows itself when that takes a while, and hides again when it is dropped.
pub(crate) struct BytesProgress {
    bar: ProgressBar,
    start: Instant,
    is_shown: bool,
}

impl BytesProgress {
    /// Nothing of `len` bytes yet.
    pub(crate) fn new(len: u64, what: String) -> Self {
        const TEMPLATE: &str =
            "{msg:<24} {wide_bar} {decimal_bytes:>10} of {decimal_total_bytes}, {eta} left";
        let bar = bar(len, what, TEMPLATE);
        bar.set_draw_target(ProgressDrawTarget::hidden());
        Self { bar, start: Instant::now(), is_shown: false }
    }

    /// So many more.
    pub(crate) fn add(&mut self, bytes: u64) {
        if !self.is_shown && self.start.elapsed() >= PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.is_shown = true;
        }
        self.bar.inc(bytes);
    }
}

/// A bar for that many steps of a second or more.
pub(crate) fn steps(len: u64) -> ProgressBar {
    let bar = bar(len, String::new(), "{wide_bar} {pos} of {len}  {msg:<48}");
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn bar(len: u64, what: String, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style).with_message(what).with_finish(ProgressFinish::AndClear)
}

/// How long nobody misses a bar.
const PATIENCE: Duration = Duration::from_millis(300);
