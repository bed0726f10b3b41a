//! Which languages' clients are tested.
//!
//! `CONCLAVE_TEST_CLIENTS` lists languages, or is `required`, which is all of them; a subject that
//! is not there is then a failure. `go=/some/program` is a subject elsewhere. If the variable is
//! not set, the tests of a language whose subject is not there print `skipped` and pass.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::failure::Failure;
use crate::subject::Subject;

/// All languages.
pub(crate) const ALL: &[&str] = &["go", "java", "python", "rust", "typescript"];

const VARIABLE: &str = "CONCLAVE_TEST_CLIENTS";

/// Whether a language is tested: its program, or why not.
type Found = Result<PathBuf, String>;

/// Finds a language's subject, and checks once that it runs.
///
/// # Panics
/// If it does not run although it was asked for.
pub(crate) async fn find(language: &str) -> Found {
    static CHECKED: Mutex<BTreeMap<String, Arc<OnceCell<Found>>>> = Mutex::new(BTreeMap::new());
    let cell = {
        let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(checked.entry(language.to_owned()).or_default())
    };
    let asked = std::env::var(VARIABLE).ok();
    let is_asked = match &asked {
        None => false,
        Some(asked) => match program_in(asked, language) {
            Some(_) => true,
            None => return Err(format!("{VARIABLE} is {asked}")),
        },
    };
    let found = cell.get_or_init(|| check(language, asked.as_deref())).await;
    match found {
        Err(reason) if is_asked => panic!("{reason}"),
        found => found.clone(),
    }
}

/// All languages that are tested, with their programs.
pub(crate) async fn find_all() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for language in ALL {
        if let Ok(program) = find(language).await {
            found.push(((*language).to_owned(), program));
        }
    }
    found
}

async fn check(language: &str, asked: Option<&str>) -> Found {
    let own = folder().join(language).join("subject.sh");
    let program = match asked.and_then(|asked| program_in(asked, language)) {
        Some(Some(program)) => program,
        _ => own,
    };
    if !program.exists() {
        return Err(format!("{} does not exist", program.display()));
    }
    let subject = Subject::start(&program).map_err(|failure| failure.to_string())?;
    let ready = subject.expect_ready().await;
    let refused = |failure: Failure| {
        let (program, lines) = (program.display(), subject.transcript());
        format!("{program} does not answer, run `make client-{language}`: {failure}\n{lines}")
    };
    ready.map_err(refused)?;
    Ok(program)
}

/// Returns whether the variable asks for a language, and the program if it names one.
fn program_in(asked: &str, language: &str) -> Option<Option<PathBuf>> {
    if asked == "required" {
        return Some(None);
    }
    let mut entries = asked.split(',').map(|entry| {
        let (name, program) = entry.split_once('=').unwrap_or((entry, ""));
        assert!(
            ALL.contains(&name),
            "{VARIABLE} has {name:?}; it is `required` or a list of {ALL:?}"
        );
        (name, (!program.is_empty()).then(|| PathBuf::from(program)))
    });
    let found = entries.find(|(name, _)| *name == language);
    found.map(|(_, program)| program)
}

/// The folder of the clients.
pub(crate) fn folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("the folder is in the repository");
    root.join("clients")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_lists_languages() {
        assert_eq!(program_in("required", "go"), Some(None));
        assert_eq!(program_in("java,go", "go"), Some(None));
        assert_eq!(program_in("java", "go"), None);
        let elsewhere = Some(Some(PathBuf::from("/bin/it")));
        assert_eq!(program_in("java,go=/bin/it", "go"), elsewhere);
    }

    #[test]
    #[should_panic(expected = "it is `required` or a list of")]
    fn an_unknown_language_is_an_error() {
        program_in("cobol", "go");
    }
}
