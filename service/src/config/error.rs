//! What can be wrong with a configuration, and how it is said: the flag, the value, what to do.

use std::fmt;

use super::arguments::environment_name;

/// A configuration no member can be started with.
#[derive(Debug)]
pub enum ConfigError {
    /// The command line itself: an unknown flag, a missing value. Names the nearest flag.
    Usage(Box<clap::Error>),
    /// A flag given on the command line and in the environment.
    GivenTwice {
        /// The flag, without dashes.
        flag: String,
    },
    /// A flag of etcd that has no meaning here yet.
    Unavailable {
        /// The flag, without dashes.
        flag: String,
        /// Whether it came as an environment variable.
        from_environment: bool,
        /// What works instead.
        hint: &'static str,
    },
    /// A value that cannot be used.
    Invalid {
        /// The flag, without dashes.
        flag: &'static str,
        /// Whether it came as an environment variable.
        from_environment: bool,
        /// As given.
        value: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// Flags that are fine by themselves and do not go together.
    Conflict(String),
}

impl ConfigError {
    /// The status to exit with: 2 where the command line could not be read, as is the custom, else
    /// 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            ConfigError::Usage(_) => 2,
            ConfigError::GivenTwice { .. }
            | ConfigError::Unavailable { .. }
            | ConfigError::Invalid { .. }
            | ConfigError::Conflict(_) => 1,
        }
    }

    /// The same error, naming the variable where the flag is one of those `from_environment`: what
    /// is named is then what the operator wrote.
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

    /// A value that cannot be used.
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
        match self {
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
