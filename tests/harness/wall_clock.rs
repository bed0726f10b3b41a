//! A wall clock of a process's own, which jumps when the test says so. Needs a C compiler, as the
//! build does.
//!
//! There are no namespaces for this clock: what the process asks it by is replaced, with a library
//! that is loaded before all others (`wall_clock.c`, which says why it is not libfaketime).

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

const SOURCE: &str = include_str!("wall_clock.c");

/// See the module. Begins with the machine's time.
#[derive(Debug)]
pub struct WallClock {
    directory: TempDir,
}

impl WallClock {
    /// Makes one. `None`, and a line that says why the test proves nothing here, if that cannot be
    /// done.
    pub fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let clock = Self { directory };
        clock.write(0);
        let made = clock.compile().and_then(|()| clock.check());
        if let Err(reason) = &made {
            eprintln!("skipped, no wall clock can be moved here: {reason}");
        }
        made.is_ok().then_some(clock)
    }

    /// The words that run a command under this clock.
    pub fn words(&self) -> Vec<String> {
        let (library, file) = (self.library(), self.file());
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("WALL_CLOCK_SECONDS_AHEAD={}", file.display()),
        ]
    }

    /// Sets it to so long after the beginning of 1970.
    pub fn set(&self, since_1970: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("the machine's clock is of this century");
        self.write(since_1970.as_secs() as i64 - now.as_secs() as i64);
    }

    fn write(&self, seconds_ahead: i64) {
        // In place: whoever has mapped it must not find it empty.
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.file());
        let written = file.and_then(|file| file.write_all_at(&seconds_ahead.to_ne_bytes(), 0));
        written.expect("a file of the test's own");
    }

    fn compile(&self) -> Result<(), String> {
        let source = self.directory.path().join("wall_clock.c");
        fs::write(&source, SOURCE).map_err(|error| error.to_string())?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
        run(compiler.arg(self.library()).arg(&source)).map(drop)
    }

    /// Whether a process under it sees what it is set to.
    fn check(&self) -> Result<(), String> {
        self.set(Duration::from_secs(1));
        let words = self.words();
        let said = run(Command::new(&words[0])
            .args(&words[1..])
            .args(["date", "+%Y"]));
        self.write(0);
        match said?.trim() {
            "1970" => Ok(()),
            year => Err(format!("it is {year} under a clock set to 1970")),
        }
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("wall_clock.so")
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("seconds-ahead")
    }
}

/// What a command writes to its standard output, or why it did not.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
