//! A monotonic clock of a process's own, in a time namespace. Needs root and `unshare`.
//!
//! On different machines these clocks have nothing to do with each other: each counts from the
//! start of its machine. On one machine all processes read the same, and a moment that one member
//! gave to another would be right by accident.
//!
//! The wall clock is another matter: see [`crate::wall_clock`].

use std::process::Command;
use std::time::Duration;

/// The words that run a command where the machine seems to have been up for so much longer. `None`,
/// and a line that says why the test proves nothing here, if that cannot be done.
pub fn up_longer_by(time: Duration) -> Option<Vec<String>> {
    let seconds = time.as_secs();
    let mut words = vec!["unshare".to_owned(), "--time".to_owned()];
    words.extend(["monotonic", "boottime"].map(|clock| format!("--{clock}={seconds}")));
    words.push("--".to_owned());
    let said = match uptime(&words) {
        Ok(uptime) if uptime >= time => return Some(words),
        Ok(uptime) => format!("{words:?} has an uptime of {uptime:?}"),
        Err(reason) => reason,
    };
    eprintln!("skipped, no time namespaces here: {said}");
    None
}

/// How long the machine seems to have been up.
fn uptime(inside: &[String]) -> Result<Duration, String> {
    let mut command = Command::new(&inside[0]);
    command.args(&inside[1..]).args(["cat", "/proc/uptime"]);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let seconds = said.split(' ').next().and_then(|word| word.parse().ok());
    let refused = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    seconds.map(Duration::from_secs_f64).ok_or_else(refused)
}
