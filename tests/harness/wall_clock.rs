//! A wall clock for one process, which the test can set. Needs a C compiler, as the build does.
//!
//! There are no namespaces for this clock: the library functions that read it are replaced by a
//! preloaded library (`wall_clock.c`, which explains why it is not libfaketime).

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

const SOURCE: &str = include_str!("wall_clock.c");

/// A wall clock that starts at the machine's time.
#[derive(Debug)]
pub struct WallClock {
    directory: TempDir,
}

impl WallClock {
    /// Builds the library and creates a clock. If that cannot be done, prints why the test is
    /// skipped and returns `None`.
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

    /// The command prefix that runs a process under this clock.
    pub fn words(&self) -> Vec<String> {
        let (library, file) = (self.library(), self.file());
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("WALL_CLOCK_SECONDS_AHEAD={}", file.display()),
        ]
    }

    /// Sets the clock to this long after the beginning of 1970.
    pub fn set(&self, since_1970: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("the machine's clock is of this century");
        self.write(since_1970.as_secs() as i64 - now.as_secs() as i64);
    }

    fn write(&self, seconds_ahead: i64) {
        // In place: a process that has mapped the file must not find it empty.
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

    /// Checks that a process under this clock sees the time it is set to.
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

/// Returns a command's standard output, or the reason it failed.
fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
