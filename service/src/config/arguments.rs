//! The command line and the environment as one list of `--flag=value`.
//!
//! clap supports neither of Go's habits, `-flag` for a long flag and values that begin with a dash,
//! and clap's own reading of the environment depends on the process. So both sources are first
//! brought into one form. After that every argument is complete in itself, and its source is known.

use clap::{ArgAction, CommandFactory};

use super::foreign::{self, Fate};
use super::former::{self, Former};
use super::raw::{Raw, parse_bool};
use super::telemetry::Variables;
use super::{ConfigError, Notice, NoticeLevel};

const PREFIX: &str = "ETCD_";

const FEATURE_GATES: &str = "feature-gates";

/// Flags that are read from the command line only. The variables of these names belong to other
/// programs: container images set `ETCD_VERSION` to the release that they were built from.
const COMMAND_LINE_ONLY: &[&str] = &["help", "version"];

/// Variables that look like flags but have a meaning only to etcd or its tests.
const KNOWN_VARIABLES: &[&str] = &["ETCD_VERIFY", "ETCD_UNSUPPORTED_ARCH"];

/// All arguments, in one form.
#[derive(Debug, Default)]
pub struct Arguments {
    /// Arguments for clap: `--flag=value`, `--flag`, and anything that clap is to refuse.
    pub flags: Vec<String>,
    /// Names of the flags that were set in the environment.
    pub from_environment: Vec<String>,
    /// Messages for the operator.
    pub notices: Vec<Notice>,
    /// OpenTelemetry's variables.
    pub otel: Variables,
    /// Feature gates that were given as flags of their own, in the form of `--feature-gates`.
    gates: Vec<String>,
}

/// Returns the environment variable of a flag.
pub(crate) fn environment_name(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// Brings the command line and the environment into one form, and removes etcd's flags that are
/// ignored here.
pub fn collect(
    arguments: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Arguments, ConfigError> {
    let mut collected = Arguments::default();
    let mut given: Vec<String> = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let Some((flag, value)) = split(&argument) else {
            // Not a flag: clap reports the error.
            collected.flags.push(argument);
            continue;
        };
        let value = match (value, takes_separate_value(flag)) {
            (Some(value), _) => Some(value.to_owned()),
            (None, true) => arguments.next(),
            (None, false) => None,
        };
        let former = former::find(flag);
        given.push(current_name(flag, former).to_owned());
        collected.add(flag, former, value, false)?;
    }
    let environment: Vec<_> = environment.into_iter().collect();
    collected.otel = Variables::of(&environment);
    // Sorted, so that the first error does not depend on the order of the variables.
    let mut environment: Vec<_> = environment
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    environment.sort();
    for (name, value) in environment {
        collected.add_variable(&name, value, &given)?;
    }
    collected.add_gates();
    Ok(collected)
}

impl Arguments {
    fn add_variable(
        &mut self,
        name: &str,
        value: String,
        given: &[String],
    ) -> Result<(), ConfigError> {
        let flag = name[PREFIX.len()..].to_lowercase().replace('_', "-");
        let former = former::find(&flag).filter(|former| !matches!(former, Former::Removed { .. }));
        let known = !COMMAND_LINE_ONLY.contains(&flag.as_str())
            && (is_own(&flag) || foreign::find(&flag).is_some() || former.is_some());
        if !known || environment_name(&flag) != name {
            if !KNOWN_VARIABLES.contains(&name) {
                let text = format!("the environment variable {name} is unknown and is ignored");
                self.notices.push(Notice::warning(text));
            }
            return Ok(());
        }
        if value.is_empty() {
            return Ok(());
        }
        let current = current_name(&flag, former).to_owned();
        if given.contains(&current) {
            return Err(ConfigError::GivenTwice { flag: current });
        }
        self.add(&flag, former, Some(value), true)?;
        self.from_environment.push(current);
        Ok(())
    }

    fn add(
        &mut self,
        flag: &str,
        former: Option<Former>,
        value: Option<String>,
        from_environment: bool,
    ) -> Result<(), ConfigError> {
        match former {
            None => self.add_current(flag, value, from_environment),
            Some(Former::Renamed(name)) => {
                self.inform(format!("--{flag} is called --{name} since etcd 3.6"));
                self.add_current(name, value, from_environment)
            }
            Some(Former::Gate(gate)) => {
                let value = value.unwrap_or_else(|| "true".to_owned());
                if let Err(reason) = parse_bool(&value) {
                    return Err(ConfigError::Conflict(format!(
                        "--{flag} is {value:?}: {reason}"
                    )));
                }
                let entry = format!("{gate}={value}");
                self.inform(format!(
                    "--{flag} is written --{FEATURE_GATES}={entry} since etcd 3.6"
                ));
                self.gates.push(entry);
                Ok(())
            }
            Some(Former::Removed {
                boolean,
                harmless,
                hint,
            }) => {
                let value = value.as_deref().unwrap_or("true");
                if value == harmless || (boolean && parse_bool(value) == Ok(false)) {
                    return Ok(());
                }
                Err(ConfigError::Unavailable {
                    flag: flag.to_owned(),
                    from_environment,
                    hint,
                })
            }
        }
    }

    /// Adds the gates in front of the value of `--feature-gates`: if a gate is given twice, the
    /// last value counts.
    fn add_gates(&mut self) {
        if self.gates.is_empty() {
            return;
        }
        let prefix = format!("--{FEATURE_GATES}=");
        let mut gates = self.gates.join(",");
        let given = self
            .flags
            .iter()
            .rev()
            .find_map(|flag| flag.strip_prefix(&prefix));
        if let Some(given) = given {
            gates = format!("{gates},{given}");
        }
        self.flags.push(prefix + &gates);
    }

    fn inform(&mut self, text: String) {
        self.notices.push(Notice {
            level: NoticeLevel::Info,
            text,
        });
    }

    fn add_current(
        &mut self,
        flag: &str,
        value: Option<String>,
        from_environment: bool,
    ) -> Result<(), ConfigError> {
        let Some(foreign) = foreign::find(flag) else {
            self.flags.push(match value {
                Some(value) => format!("--{flag}={value}"),
                None => format!("--{flag}"),
            });
            return Ok(());
        };
        match foreign.fate {
            Fate::Ignored(reason) => {
                self.inform(format!("--{flag} is ignored: {reason}"));
                Ok(())
            }
            Fate::Refused { harmless, hint } => {
                let value = value.unwrap_or_else(|| "true".to_owned());
                if foreign.is_harmless(harmless, &value) {
                    return Ok(());
                }
                Err(ConfigError::Unavailable {
                    flag: flag.to_owned(),
                    from_environment,
                    hint,
                })
            }
        }
    }
}

/// Splits a flag into name and value. Returns `None` for anything else.
fn split(argument: &str) -> Option<(&str, Option<&str>)> {
    let name = argument
        .strip_prefix("--")
        .or_else(|| argument.strip_prefix('-'))?;
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name == "h" {
        return None;
    }
    Some(match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    })
}

/// Returns the name of a flag in etcd 3.7. A flag that became a gate keeps its name, since each
/// gate may be given once.
fn current_name(flag: &str, former: Option<Former>) -> &str {
    match former {
        Some(Former::Renamed(name)) => name,
        Some(Former::Gate(_) | Former::Removed { .. }) | None => flag,
    }
}

/// Returns true if the next argument is the value of this flag.
fn takes_separate_value(flag: &str) -> bool {
    let flag = match former::find(flag) {
        None => flag,
        Some(Former::Renamed(name)) => name,
        Some(Former::Gate(_)) => return false,
        Some(Former::Removed { boolean, .. }) => return !boolean,
    };
    if let Some(foreign) = foreign::find(flag) {
        return !foreign.boolean;
    }
    Raw::command().get_arguments().any(|argument| {
        argument.get_long() == Some(flag)
            && matches!(argument.get_action(), ArgAction::Set)
            && !argument.is_require_equals_set()
    })
}

/// Returns true for a flag with a value. `--version` and `--help` have no value and no variable.
fn is_own(flag: &str) -> bool {
    Raw::command().get_arguments().any(|argument| {
        argument.get_long() == Some(flag) && matches!(argument.get_action(), ArgAction::Set)
    })
}
