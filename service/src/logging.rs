//! Log lines: JSON for machines, a short format for terminals.
//!
//! The JSON format has the keys of etcd's logs, because test harnesses, collectors and alerts read
//! them: `level` (lower case), `ts` (UTC, microseconds), `caller` (file and line), `msg`, then the
//! event's own fields. Each event is one object on one line, whatever its message contains.
//!
//! Events of our own crates are logged from the configured level on. Events of libraries are never
//! logged below `info`, since at `debug` a connection alone logs dozens of lines.
//!
//! A thread for each output writes the lines ([`output`]), so nothing that logs waits for it.
//! Before the process ends, [`finish`] waits for the last lines.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

use conclave_core::limits::LOG_FILE_OPEN_MAX;

use crate::config::{Config, LogFormat, LogLevel, LogOutput, Notice, NoticeLevel};
use crate::files::{self, Unreadable};

mod output;

use output::Output;

/// Names of our crates, which the targets of their events begin with.
const OWN_TARGETS: &[&str] = &[
    "conclave_core",
    "conclave_service",
    "conclave_rocks",
    "conclave_storage",
    "conclave_proto",
    "conclave",
];

/// Longest file of `--log-level-file`: a word.
const LEVEL_BYTES_MAX: u64 = 1 << 10;

/// How long the end of the process waits for the last lines of an output.
const FINISH_MAX: Duration = Duration::from_secs(5);

/// The outputs of the process. As global as the subscriber that writes to them.
static OUTPUTS: Mutex<Outputs> = Mutex::new(Outputs {
    all: Vec::new(),
    stderr: None,
});

struct Outputs {
    all: Vec<Output>,
    /// The one of `all` that is standard error, if there is one.
    stderr: Option<Output>,
}

/// The level of log lines, which can be changed while the process runs.
#[derive(Debug)]
pub struct Verbosity {
    filter: reload::Handle<Targets, Registry>,
    current: LogLevel,
    /// The level of `--log-level`.
    configured: LogLevel,
    /// The file of `--log-level-file`.
    file: Option<PathBuf>,
}

/// Sets up logging for the process, as configured. Call it once; a second call has no effect.
pub fn start(config: &Config) -> Result<Verbosity, LogFileError> {
    let outputs = config.log_outputs.iter();
    let layers = outputs
        .map(|output| layer(output, config.log_format))
        .collect::<Result<Vec<_>, _>>()?;
    let (filter, handle) = reload::Layer::new(filter(config.log_level));
    let subscriber = tracing_subscriber::registry().with(filter).with(layers);
    // Fails only if there is a subscriber already, as in a process that runs several members.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let mut verbosity = Verbosity {
        filter: handle,
        current: config.log_level,
        configured: config.log_level,
        file: config.log_level_file.clone(),
    };
    verbosity.read_again();
    Ok(verbosity)
}

impl Verbosity {
    /// Reads the file of `--log-level-file` and changes the level accordingly. If the file cannot
    /// be used, the level stays as it is, with a warning.
    pub fn read_again(&mut self) {
        let Some(file) = &self.file else {
            return;
        };
        match level_in(file, self.configured) {
            Ok(level) => self.change(level),
            Err(reason) => tracing::warn!(
                reason,
                "--log-level-file is {}, which cannot be used: the log level stays",
                file.display()
            ),
        }
    }

    fn change(&mut self, level: LogLevel) {
        if level == self.current {
            return;
        }
        let announce = || tracing::info!(log_level = level.name(), "the log level is changed");
        // At the quieter of the two levels the line would be lost.
        if level > self.current {
            announce();
        }
        // Fails only if another subscriber was set up, which this level does not concern.
        let _ = self.filter.reload(filter(level));
        if level < self.current {
            announce();
        }
        self.current = level;
    }
}

/// Returns the level in a file, or the configured one if the file is empty or missing.
fn level_in(file: &Path, configured: LogLevel) -> Result<LogLevel, String> {
    let text = match files::read(file, LEVEL_BYTES_MAX) {
        Err(Unreadable::System(error)) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(unreadable) => return Err(unreadable.to_string()),
        Ok(text) => text,
    };
    let text = String::from_utf8_lossy(&text);
    match text.trim() {
        "" => Ok(configured),
        word => LogLevel::parse(word).map_err(|reason| format!("{word:?} is no level: {reason}")),
    }
}

/// A file of `--log-outputs` cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the log to {}: {error}", path.display())]
pub struct LogFileError {
    path: PathBuf,
    error: io::Error,
}

/// Writes a text to standard error, after the lines that are logged there, whatever the log level.
pub fn print(text: &str) {
    let mut outputs = OUTPUTS.lock();
    let stderr = match &outputs.stderr {
        Some(stderr) => Ok(stderr.clone()),
        None => {
            let opened = descriptor(&io::stderr());
            opened.and_then(|file| Output::start(file, Box::new(|_| String::new())))
        }
    };
    match stderr {
        Ok(stderr) => {
            stderr.add(text);
            if outputs.stderr.is_none() {
                outputs.all.push(stderr.clone());
                outputs.stderr = Some(stderr);
            }
        }
        Err(_) => {
            let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
        }
    }
}

/// Waits until what was logged is written, but not for ever. Call it before the process ends.
pub fn finish() {
    let outputs = OUTPUTS.lock().all.clone();
    for output in outputs {
        output.flush(FINISH_MAX);
    }
}

/// Returns a descriptor of its own for a standard stream, so that what writes to it shares no lock.
fn descriptor(stream: &impl AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

/// Returns the layer that writes to one output.
fn layer<S>(
    output: &LogOutput,
    format: Option<LogFormat>,
) -> Result<Box<dyn Layer<S> + Send + Sync>, LogFileError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let failed = |path: &str| {
        let path = PathBuf::from(path);
        move |error| LogFileError { path, error }
    };
    let (file, is_terminal) = match output {
        LogOutput::Stderr => {
            let file = descriptor(&io::stderr()).map_err(failed("standard error"))?;
            (file, io::stderr().is_terminal())
        }
        LogOutput::Stdout => {
            let file = descriptor(&io::stdout()).map_err(failed("standard output"))?;
            (file, io::stdout().is_terminal())
        }
        LogOutput::File(path) => (open(path)?, false),
    };
    let form = match format {
        Some(LogFormat::Json) => Form::Json,
        Some(LogFormat::Console) => Form::Console {
            color: is_terminal && color_is_welcome(),
        },
        None if is_terminal => Form::Console {
            color: color_is_welcome(),
        },
        None => Form::Json,
    };
    let started = Output::start(file, Box::new(move |lost| lost_line(form, lost)));
    let started = started.map_err(failed("a thread"))?;
    let mut outputs = OUTPUTS.lock();
    outputs.all.push(started.clone());
    if *output == LogOutput::Stderr {
        outputs.stderr = Some(started.clone());
    }
    let writer = BoxMakeWriter::new(move || started.clone());
    let lines = tracing_subscriber::fmt::layer()
        .event_format(form)
        .with_writer(writer);
    Ok(lines.boxed())
}

/// Makes the line of an output that has lost lines.
fn lost_line(form: Form, lost: u64) -> String {
    let line = Line {
        message: "lines of the log are lost, because they could not be written in time".to_owned(),
        fields: vec![("lost_lines", Value::from(lost))],
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = form.write(
        &line,
        &mut Writer::new(&mut text),
        Level::ERROR,
        Some((file!(), line!())),
    );
    text
}

/// Opens a file for appending. Each line is one write at the end of the file, even if another
/// process has truncated the file, as log rotation does.
fn open(path: &Path) -> Result<File, LogFileError> {
    let (result, opened) = mpsc::sync_channel(1);
    let owned = path.to_owned();
    // On a thread of its own, because to open a pipe that nothing reads, or a file on a server that
    // does not answer, takes for ever: then the member ends with an error, and does not join it.
    let open = move || {
        let file = OpenOptions::new().create(true).append(true).open(owned);
        drop(result.send(file));
    };
    let thread = thread::Builder::new().name("log-file".to_owned());
    let opened = thread.spawn(open).and_then(|_| {
        opened.recv_timeout(LOG_FILE_OPEN_MAX).unwrap_or_else(|_| {
            let text = format!(
                "it did not open within {} s: if it is a pipe, does anything read it?",
                LOG_FILE_OPEN_MAX.as_secs()
            );
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    });
    opened.map_err(|error| LogFileError {
        path: path.to_owned(),
        error,
    })
}

/// Logs the notices of the configuration.
pub fn report(notices: &[Notice]) {
    for notice in notices {
        match notice.level {
            NoticeLevel::Info => tracing::info!("{}", notice.text),
            NoticeLevel::Warn => tracing::warn!("{}", notice.text),
        }
    }
}

fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    };
    let libraries = own.min(LevelFilter::INFO);
    let own_targets = OWN_TARGETS.iter().map(|target| (*target, own));
    Targets::new()
        .with_default(libraries)
        .with_targets(own_targets)
}

/// By custom, the variable disables color whatever its value.
fn color_is_welcome() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Longest text in a line.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// The format of a line.
#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Console { color: bool },
}

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        let caller = metadata.file().zip(metadata.line());
        self.write(&line, &mut writer, *metadata.level(), caller)
    }
}

impl Form {
    fn write(
        self,
        line: &Line,
        writer: &mut Writer<'_>,
        level: Level,
        caller: Option<(&str, u32)>,
    ) -> fmt::Result {
        let mut now = String::new();
        SystemTime.format_time(&mut Writer::new(&mut now))?;
        match self {
            Form::Json => line.write_json(writer, &now, level, caller),
            Form::Console { color } => line.write_console(writer, &now, level, color),
        }
    }
}

/// The message and the fields of an event, in the order they were written.
#[derive(Default)]
struct Line {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    fn write_json(
        &self,
        writer: &mut Writer<'_>,
        now: &str,
        level: Level,
        caller: Option<(&str, u32)>,
    ) -> fmt::Result {
        let level = level_name(level);
        write!(writer, "{{\"level\":\"{level}\",\"ts\":\"{now}\"")?;
        if let Some((file, line)) = caller {
            write!(
                writer,
                ",\"caller\":{}",
                Value::from(format!("{}:{line}", short_path(file)))
            )?;
        }
        write!(writer, ",\"msg\":{}", Value::from(self.message.as_str()))?;
        for (name, value) in &self.fields {
            write!(writer, ",{}:{value}", Value::from(*name))?;
        }
        writer.write_str("}\n")
    }

    /// Writes `12:30:01.204 warn  the message  name=value`, without date and caller, which a person
    /// at a terminal does not need.
    fn write_console(
        &self,
        writer: &mut Writer<'_>,
        now: &str,
        level: Level,
        color: bool,
    ) -> fmt::Result {
        let (dim, bold, end) = if color {
            ("\x1b[2m", level_color(level), "\x1b[0m")
        } else {
            ("", "", "")
        };
        let time = now.get(11..23).unwrap_or(now);
        let message = one_line(&self.message);
        write!(
            writer,
            "{dim}{time}{end} {bold}{:<5}{end} {message}",
            level_name(level)
        )?;
        for (name, value) in &self.fields {
            match value {
                Value::String(text) if is_plain(text) => {
                    write!(writer, "  {dim}{name}={end}{text}")?
                }
                value => write!(writer, "  {dim}{name}={end}{value}")?,
            }
        }
        writer.write_char('\n')
    }

    fn add(&mut self, field: &Field, value: Value) {
        let value = match value {
            Value::String(text) => Value::String(bounded(text)),
            other => other,
        };
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", value) => self.message = value.to_string(),
            // Origin of the record, added by the bridge from the `log` crate.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => self.fields.push((name, value)),
        }
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, Value::from(format!("{value:?}")));
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "debug",
        Level::INFO => "info",
        Level::WARN => "warn",
        Level::ERROR => "error",
    }
}

fn level_color(level: Level) -> &'static str {
    match level {
        Level::TRACE | Level::DEBUG => "\x1b[34m",
        Level::INFO => "\x1b[32m",
        Level::WARN => "\x1b[33m",
        Level::ERROR => "\x1b[31m",
    }
}

/// Shortens a source path. Paths of our own crates are relative to the workspace. Paths of
/// libraries begin with a directory of the build machine, which is cut off.
fn short_path(path: &str) -> &str {
    if !path.starts_with('/') {
        return path;
    }
    let start = path.rmatch_indices('/').nth(2).map_or(0, |(at, _)| at + 1);
    &path[start..]
}

/// Cuts a long text. Some texts are what a client sent, such as a user's name, and strangers must
/// not fill the disk with them.
fn bounded(mut text: String) -> String {
    let bytes = text.len();
    if bytes > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push_str(&format!("… ({bytes} bytes)"));
    }
    text
}

fn one_line(text: &str) -> String {
    text.replace('\n', "\\n")
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_long_text_is_cut() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        let cut = bounded(long);
        assert!(
            cut.len() < TEXT_BYTES_MAX + 20 && cut.ends_with("… (8192 bytes)"),
            "{cut}"
        );
        assert_eq!(bounded("short".to_owned()), "short");
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("no test panics in here")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(form: Form, level: LogLevel, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(form)
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry()
            .with(filter(level))
            .with(lines);
        tracing::subscriber::with_default(subscriber, log);
        let bytes = sink.0.lock().expect("no test panics in here").clone();
        String::from_utf8(bytes).expect("lines are text")
    }

    #[test]
    fn a_json_line_has_etcds_keys_in_their_order() {
        let text = logged(Form::Json, LogLevel::Info, || {
            tracing::info!(
                address = "127.0.0.1:1",
                term = 2,
                ok = true,
                "ready \"now\"\nhere"
            );
        });
        let value: Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(value["level"], "info");
        assert_eq!(value["msg"], "ready \"now\"\nhere");
        assert_eq!(value["address"], "127.0.0.1:1");
        assert_eq!(value["term"], 2);
        assert_eq!(value["ok"], true);
        let caller = value["caller"].as_str().expect("a caller");
        assert!(caller.contains("src/logging.rs:"), "{caller}");
        // 2006-01-02T15:04:05.999999Z
        let ts = value["ts"].as_str().expect("a time");
        assert_eq!(
            (ts.len(), &ts[10..11], &ts[19..20], &ts[26..]),
            (27, "T", ".", "Z"),
            "{ts}"
        );
        assert!(text.starts_with("{\"level\":\"info\",\"ts\":\""), "{text}");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
    }

    #[test]
    fn a_console_line_is_short() {
        let text = logged(Form::Console { color: false }, LogLevel::Info, || {
            tracing::warn!(address = "127.0.0.1:1", note = "two words", "ready\nhere");
        });
        assert_eq!(
            &text[12..],
            " warn  ready\\nhere  address=127.0.0.1:1  note=\"two words\"\n"
        );
    }

    #[test]
    fn lost_lines_are_reported_in_the_format_of_the_others() {
        let line: Value = serde_json::from_str(&lost_line(Form::Json, 7)).expect("JSON");
        assert_eq!(
            (&line["level"], &line["lost_lines"]),
            (&"error".into(), &7.into())
        );
        let caller = line["caller"].as_str().expect("a caller");
        assert!(caller.contains("src/logging.rs:"), "{caller}");
        let text = lost_line(Form::Console { color: false }, 7);
        assert!(text.ends_with("in time  lost_lines=7\n"), "{text}");
    }

    #[test]
    fn levels_hold_and_libraries_stay_quiet() {
        let all = || {
            tracing::debug!("own debug");
            tracing::info!("own info");
            tracing::debug!(target: "h2::codec", "library debug");
            tracing::info!(target: "h2::codec", "library info");
            tracing::error!("own error");
        };
        let messages = |level| -> Vec<String> {
            logged(Form::Json, level, all)
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
                .map(|value| value["msg"].as_str().expect("a message").to_owned())
                .collect()
        };
        assert_eq!(
            messages(LogLevel::Debug),
            ["own debug", "own info", "library info", "own error"]
        );
        assert_eq!(
            messages(LogLevel::Info),
            ["own info", "library info", "own error"]
        );
        assert_eq!(messages(LogLevel::Error), ["own error"]);
        assert_eq!(messages(LogLevel::Off), Vec::<String>::new());
    }

    #[test]
    fn a_file_has_the_level_or_leaves_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("level");
        let level = || level_in(&file, LogLevel::Warn);
        assert_eq!(level(), Ok(LogLevel::Warn), "there is no file");
        for (text, expected) in [
            ("debug\n", Ok(LogLevel::Debug)),
            (" panic ", Ok(LogLevel::Off)),
            ("\n", Ok(LogLevel::Warn)),
            (
                "loud",
                Err("\"loud\" is no level: write debug, info, warn, error, panic or fatal"),
            ),
        ] {
            std::fs::write(&file, text).expect("written");
            assert_eq!(level(), expected.map_err(str::to_owned), "{text:?}");
        }
        assert!(level_in(dir.path(), LogLevel::Info).is_err(), "no file");
        let device = level_in(Path::new("/dev/zero"), LogLevel::Info);
        assert_eq!(
            device,
            Err("it is a device: give a regular file".to_owned())
        );
    }

    #[test]
    fn names_of_levels_are_parsed_back() {
        use LogLevel::{Debug, Error, Info, Off, Warn};
        for level in [Debug, Info, Warn, Error, Off] {
            assert_eq!(LogLevel::parse(level.name()), Ok(level));
        }
    }

    #[test]
    fn paths_of_libraries_lose_the_machine() {
        assert_eq!(short_path("service/src/edge.rs"), "service/src/edge.rs");
        assert_eq!(
            short_path("/home/x/registry/h2-0.4/src/lib.rs"),
            "h2-0.4/src/lib.rs"
        );
        assert_eq!(short_path("/lib.rs"), "/lib.rs");
    }
}
