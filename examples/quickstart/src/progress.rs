//! A progress bar on a terminal, a line elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Width of a bar in characters.
const WIDTH: usize = 40;

/// Shortest time between two pictures of a bar: drawing must not cost more than what it shows.
const PAUSE: Duration = Duration::from_millis(50);

/// Progress through a number of files.
pub(crate) struct Progress {
    name: &'static str,
    files: usize,
    done: usize,
    begun: Instant,
    /// `None` where nobody looks.
    drawn: Option<Duration>,
}

impl Progress {
    pub(crate) fn new(name: &'static str, files: usize) -> Progress {
        let is_seen = io::stderr().is_terminal();
        if !is_seen {
            eprintln!("{name}: {files} files");
        }
        let progress = Progress { name, files, done: 0, begun: super::now(), drawn: is_seen.then_some(Duration::ZERO) };
        progress.draw(Duration::ZERO);
        progress
    }

    /// Returns the time since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Counts one file.
    pub(crate) fn advance(&mut self) {
        self.done += 1;
        let Some(drawn) = self.drawn else { return };
        let elapsed = self.elapsed();
        if elapsed - drawn >= PAUSE {
            self.draw(elapsed);
            self.drawn = Some(elapsed);
        }
    }

    /// Removes the bar, so that a line can be printed in its place.
    pub(crate) fn hide(&self) {
        if self.drawn.is_some() {
            show("\r\x1b[2K");
        }
    }

    fn draw(&self, elapsed: Duration) {
        if self.drawn.is_some() {
            show(&format!("\r{}\x1b[K", bar(self.name, self.done, self.files, elapsed)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.hide();
    }
}

/// Draws on standard error. A terminal that has gone away is no reason to stop.
fn show(text: &str) {
    let mut terminal = io::stderr().lock();
    drop(terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()));
}

fn bar(name: &str, done: usize, files: usize, elapsed: Duration) -> String {
    let full = (WIDTH * done).checked_div(files).unwrap_or(WIDTH);
    let left = match done {
        0 => "?".to_owned(),
        done => format!("{} s", (elapsed.mul_f64((files - done) as f64 / done as f64)).as_secs()),
    };
    let (full, empty) = ("#".repeat(full), "-".repeat(WIDTH - full));
    format!("{name:11} [{full}{empty}] {done} of {files} files, {left} left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_its_share_and_the_time_that_is_left() {
        let half = bar("first pass", 5, 10, Duration::from_secs(3));
        let (full, empty) = ("#".repeat(20), "-".repeat(20));
        assert_eq!(half, format!("first pass  [{full}{empty}] 5 of 10 files, 3 s left"));
        assert!(bar("first pass", 0, 10, Duration::ZERO).ends_with("0 of 10 files, ? left"));
        assert!(bar("first pass", 0, 0, Duration::ZERO).contains(&"#".repeat(WIDTH)));
    }
}
