//! Documents that list every flag are made from the flags: the environment file of the systemd
//! unit, and the manual page. `UPDATE_SCRIPTS=1` writes them.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, CommandFactory as _};
use clap_mangen::Man;

use crate::config::arguments::environment_name;
use crate::config::raw::Raw;

const ENVIRONMENT_FILE: &str = "deploy/systemd/conclave.env";
const MANUAL: &str = "deploy/conclave.8";

const ENVIRONMENT_HEAD: &str = "\
# Settings of conclave.service: a variable for each flag of conclave, with its default value.
#
# `systemctl restart conclave` makes changes effective; for certificates and ETCD_LOG_LEVEL
# `systemctl reload conclave` is enough. Values are taken as they are: no variable and no `~` in
# them is replaced.
#
# The unit has set ETCD_DATA_DIR and ETCD_LOG_LEVEL_FILE. A directory outside of
# /var/lib/conclave needs ReadWritePaths= in a drop-in (`systemctl edit conclave`). Keys in
# /etc/credstore are given to the process as /run/credentials/conclave.service/client.key and
# peer.key; the runbook, \"Run under systemd\", says how to use them.
";

/// Sections of the manual that do not come from the flags.
const MANUAL_TAIL: &str = "\
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
The member hands over leadership, answers the calls in progress and ends with status 0.
.TP
.B SIGHUP
The certificates and \\fB\\-\\-log\\-level\\-file\\fR are read again, and the file of
\\fB\\-\\-audit\\-log\\fR is opened anew, without ending a connection.
A member that was started in a terminal ends instead: there the signal means that the terminal is
closed.
.SH \"EXIT STATUS\"
.TP
.B 0
The member was asked to stop, or it was removed from its cluster.
.TP
.B 1
It could not start, or a fault stopped it; the last line on standard error has the reason.
.TP
.B 2
The command line cannot be parsed.
.SH FILES
.TP
.I /etc/conclave/conclave.env
Settings of conclave.service.
.TP
.I /etc/conclave/NAME.env
Settings of conclave@NAME.service.
.TP
.I /var/lib/conclave, /var/lib/conclave-NAME
Their data.
.SH \"SEE ALSO\"
.BR etcdctl (1),
.BR systemctl (1)
";

fn flags() -> Vec<Arg> {
    let command = Raw::command();
    let flags = command.get_arguments().cloned();
    flags
        .filter(|flag| flag.get_help_heading() != Some("Other"))
        .collect()
}

fn long(flag: &Arg) -> &str {
    flag.get_long().expect("every flag has a long name")
}

fn environment_file() -> String {
    let mut text = ENVIRONMENT_HEAD.to_owned();
    let mut section = None;
    for flag in flags() {
        let heading = flag.get_help_heading().map(str::to_owned);
        if heading != section {
            let title = heading.as_deref().unwrap_or_default();
            write!(text, "\n## {title}\n").expect("a string grows");
            section = heading;
        }
        let help = flag.get_help().expect("every flag is explained");
        text.push('\n');
        for line in wrapped(&help.to_string()) {
            writeln!(text, "# {line}").expect("a string grows");
        }
        let default = flag.get_default_values().first();
        let default = default.map_or(String::new(), |value| value.to_string_lossy().into_owned());
        let name = environment_name(long(&flag));
        writeln!(text, "#{name}={default}").expect("a string grows");
    }
    text
}

/// Breaks a text into lines.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is one");
        if !last.is_empty() && last.len() + word.len() > 96 {
            lines.push(word.to_owned());
        } else {
            let gap = if last.is_empty() { "" } else { " " };
            last.push_str(gap);
            last.push_str(word);
        }
    }
    lines
}

fn manual() -> String {
    let manual = Man::new(Raw::command()).section("8").manual("Conclave");
    let mut bytes = Vec::new();
    manual.render(&mut bytes).expect("a buffer grows");
    String::from_utf8(bytes).expect("the help is text") + MANUAL_TAIL
}

/// Compares a file with what it must be.
#[track_caller]
fn expect_file(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        fs::write(&file, text).expect("the tree can be written");
    }
    let present = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        present == text,
        "{path} is not what the flags say: run the tests of conclave-service once with \
         UPDATE_SCRIPTS=1"
    );
}

#[test]
fn the_environment_file_has_every_flag() {
    expect_file(ENVIRONMENT_FILE, &environment_file());
}

#[test]
fn the_manual_has_every_flag() {
    let manual = manual();
    for flag in flags() {
        let dashed = format!("\\-\\-{}", long(&flag).replace('-', "\\-"));
        assert!(manual.contains(&dashed), "no {dashed}");
    }
    expect_file(MANUAL, &manual);
}

/// A default that an operator takes out of its comment changes nothing.
#[test]
fn every_default_in_the_environment_file_is_the_default() {
    let environment: Vec<_> = environment_file()
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| name.starts_with("ETCD_"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let with_value = |flag: &Arg| matches!(flag.get_action(), ArgAction::Set);
    assert_eq!(
        environment.len(),
        flags().iter().filter(|flag| with_value(flag)).count()
    );
    match super::parse([], environment) {
        Ok(super::Invocation::Run(config, notices)) => {
            assert_eq!(*config, super::Config::default());
            assert_eq!(notices, []);
        }
        other => panic!("{other:?}"),
    }
}
