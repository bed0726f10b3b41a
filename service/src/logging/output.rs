//! The thread that writes the lines of one output.
//!
//! A thread that logs a line puts the line into a bounded queue and goes on: a disk or a reader
//! that hangs stops neither a call nor consensus. A line that has no place in the queue is lost,
//! and so is one that cannot be written. The output says how many were lost as soon as it can be
//! written again.
//!
//! The crate `tracing-appender` has such a thread too, but its queue is bounded by lines instead of
//! bytes, it does not tell lines that could not be written, and at the end it waits for a fixed
//! second.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Bytes of the lines that wait: more than 10,000 lines of the usual length.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// Makes the line that says how many lines were lost.
type ReportLost = Box<dyn Fn(u64) -> String + Send>;

/// An output. What is written to it waits for its thread.
#[derive(Clone)]
pub(super) struct Output(Arc<Queue>);

struct Queue {
    state: Mutex<State>,
    /// There are lines, or all of them have been written.
    changed: Condvar,
    waiting_bytes_max: usize,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    is_writing: bool,
    /// Lines lost since the output has last said so.
    lost: u64,
}

impl Output {
    /// Starts the thread that writes to `file`.
    pub(super) fn start(file: File, report_lost: ReportLost) -> io::Result<Output> {
        let output = Output::new(WAITING_BYTES_MAX);
        let queue = Arc::clone(&output.0);
        let write = move || {
            loop {
                queue.write_next(&file, &report_lost);
            }
        };
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(output)
    }

    fn new(waiting_bytes_max: usize) -> Output {
        Output(Arc::new(Queue {
            state: Mutex::default(),
            changed: Condvar::new(),
            waiting_bytes_max,
        }))
    }

    /// Adds a last word, for which there is always a place.
    pub(super) fn add(&self, line: &str) {
        self.0.state.lock().add(line.as_bytes());
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, but not longer than this.
    pub(super) fn flush(&self, patience: Duration) {
        let mut state = self.0.state.lock();
        let is_busy = |state: &mut State| state.is_writing || !state.lines.is_empty();
        self.0.changed.wait_while_for(&mut state, is_busy, patience);
    }
}

/// Takes whole lines, one at a time, as `tracing_subscriber` writes them. Never waits.
impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        if state.waiting_bytes + line.len() > self.0.waiting_bytes_max {
            state.lost += 1;
        } else {
            state.add(line);
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    fn add(&mut self, line: &[u8]) {
        self.waiting_bytes += line.len();
        self.lines.push_back(line.to_vec());
    }
}

impl Queue {
    /// Waits for a line and writes it: in one piece, since another process may append to the file.
    fn write_next(&self, mut file: impl Write, report_lost: &ReportLost) {
        let mut state = self.state.lock();
        let line = loop {
            match state.lines.pop_front() {
                Some(line) => break line,
                None => self.changed.wait(&mut state),
            }
        };
        state.waiting_bytes -= line.len();
        state.is_writing = true;
        drop(state);
        let written = file.write_all(&line);
        let mut state = self.state.lock();
        if written.is_err() {
            state.lost += 1;
        } else if state.lost > 0 {
            let lost = std::mem::take(&mut state.lost);
            drop(state);
            let reported = file.write_all(report_lost(lost).as_bytes());
            state = self.state.lock();
            if reported.is_err() {
                state.lost += lost;
            }
        }
        state.is_writing = false;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read as _, pipe};

    use super::*;

    fn report_lost() -> ReportLost {
        Box::new(|lost| format!("{lost} lost\n"))
    }

    fn log(output: &mut Output, line: &str) {
        output.write_all(line.as_bytes()).expect("it never fails");
    }

    #[test]
    fn lines_beyond_the_queue_are_lost_and_counted() {
        let mut output = Output::new(10);
        for line in ["1234\n", "5678\n", "90\n", "\n"] {
            log(&mut output, line);
        }
        output.add("the last\n");
        let (report_lost, mut written) = (report_lost(), Vec::new());
        for _ in 0..3 {
            output.0.write_next(&mut written, &report_lost);
        }
        let expected = "1234\n2 lost\n5678\nthe last\n";
        assert_eq!(String::from_utf8_lossy(&written), expected);
        log(&mut output, "more\n");
        output.0.write_next(&mut written, &report_lost);
        assert!(written.ends_with(b"the last\nmore\n"));
    }

    /// Fails as often as it says.
    struct Full(usize, Vec<u8>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Err(io::ErrorKind::StorageFull.into())
                }
                None => self.1.write(bytes),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_once_they_can() {
        let mut output = Output::new(100);
        let (report_lost, mut disk) = (report_lost(), Full(2, Vec::new()));
        for line in ["1\n", "2\n", "3\n", "4\n"] {
            log(&mut output, line);
            output.0.write_next(&mut disk, &report_lost);
        }
        assert_eq!(String::from_utf8_lossy(&disk.1), "3\n2 lost\n4\n");
    }

    fn started() -> (Output, PipeReader) {
        let (reader, writer) = pipe().expect("a pipe");
        let file = File::from(std::os::fd::OwnedFd::from(writer));
        (
            Output::start(file, report_lost()).expect("a thread"),
            reader,
        )
    }

    #[test]
    fn a_flush_waits_for_what_was_logged_and_not_for_ever() {
        let (mut output, mut reader) = started();
        log(&mut output, "one\n");
        output.flush(Duration::from_secs(60));
        let mut read = [0; 4];
        reader.read_exact(&mut read).expect("it is written");
        assert_eq!(&read, b"one\n");
        // More than a pipe holds, and nothing reads it.
        log(&mut output, &"x".repeat(1 << 20));
        output.flush(Duration::from_millis(1));
    }
}
