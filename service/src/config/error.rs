//! Configuration errors. Each message has the flag, the value, and what to do.

use std::fmt;

use super::arguments::environment_name;
use super::url::without_userinfo;

/// A configuration that a member cannot start with.
#[derive(Debug)]
pub enum ConfigError {
    /// A command line that cannot be parsed: an unknown flag, a missing value. The message suggests
    /// the most similar flag.
    Usage(Box<clap::Error>),
    /// A flag given on the command line and in the environment.
    GivenTwice {
        /// The flag, without dashes.
        flag: String,
    },
    /// A flag of etcd that is not supported yet.
    Unavailable {
        /// The flag, without dashes.
        flag: String,
        /// Whether the environment variable was used.
        from_environment: bool,
        /// What to do instead.
        hint: &'static str,
    },
    /// A value that cannot be used.
    Invalid {
        /// The flag, without dashes.
        flag: &'static str,
        /// Whether the environment variable was used.
        from_environment: bool,
        /// The value, as given.
        value: String,
        /// What is wrong, and which values are valid.
        reason: String,
    },
    /// Flags that exclude each other.
    Conflict(String),
}

impl ConfigError {
    /// Returns the exit status: 2 if the command line cannot be parsed, as is the custom, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            ConfigError::Usage(_) => 2,
            ConfigError::GivenTwice { .. }
            | ConfigError::Unavailable { .. }
            | ConfigError::Invalid { .. }
            | ConfigError::Conflict(_) => 1,
        }
    }

    /// Returns the same error with the name of the variable if the flag is one of
    /// `from_environment`, so that the message has the name that the operator wrote.
    pub(super) fn located(mut self, from_environment: &[String]) -> ConfigError {
        if let ConfigError::Invalid {
            flag,
            from_environment: located,
            ..
        } = &mut self
        {
            *located = from_environment.iter().any(|name| name == flag);
        }
        self
    }

    /// Returns an error for a value that cannot be used.
    pub(super) fn invalid(
        flag: &'static str,
        value: impl Into<String>,
        reason: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Invalid {
            flag,
            from_environment: false,
            value: value.into(),
            reason: reason.into(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No URL here has a user or a password, so one that has is an error, and errors are logged.
        f.write_str(&without_userinfo(&Whole(self).to_string()))
    }
}

/// The error as it is, with every secret that was given.
struct Whole<'a>(&'a ConfigError);

impl fmt::Display for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ConfigError::Usage(error) => {
                let text = error.render().to_string();
                f.write_str(text.trim_end().trim_start_matches("error: "))
            }
            ConfigError::GivenTwice { flag } => write!(
                f,
                "--{flag} is given and {} is set in the environment: remove one of them",
                environment_name(flag),
            ),
            ConfigError::Unavailable {
                flag,
                from_environment,
                hint,
            } => {
                let given = as_given(flag, *from_environment);
                write!(f, "{given} is not available in this version: {hint}")
            }
            ConfigError::Invalid {
                flag,
                from_environment,
                value,
                reason,
            } => {
                let given = as_given(flag, *from_environment);
                write!(f, "{given} is {value:?}: {reason}")
            }
            ConfigError::Conflict(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for ConfigError {}

fn as_given(flag: &str, from_environment: bool) -> String {
    if from_environment {
        environment_name(flag)
    } else {
        format!("--{flag}")
    }
}
