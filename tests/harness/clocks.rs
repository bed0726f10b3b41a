//! A monotonic clock for one process, in a time namespace. Needs root and `unshare`.
//!
//! On different machines these clocks are unrelated: each counts from the boot of its machine. On
//! one machine all processes read the same clock, so an instant sent from one member to another
//! would be correct by accident.
//!
//! For the wall clock see [`crate::wall_clock`].

use std::process::Command;
use std::time::Duration;

/// The command prefix that runs a process whose machine seems to have been up longer by `time`. If
/// this machine cannot do that, prints why the test is skipped and returns `None`.
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

/// The uptime a command with this prefix sees.
fn uptime(inside: &[String]) -> Result<Duration, String> {
    let mut command = Command::new(&inside[0]);
    command.args(&inside[1..]).args(["cat", "/proc/uptime"]);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let seconds = said.split(' ').next().and_then(|word| word.parse().ok());
    let refused = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    seconds.map(Duration::from_secs_f64).ok_or_else(refused)
}
