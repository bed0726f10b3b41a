//! The lengths of functions, read from source that rustfmt has formatted: the end of a function is
//! the first line with its indentation and a brace alone.

/// Lists the functions of a file that have more lines than `max`, from the signature to the brace.
pub(crate) fn longer_than(text: &str, max: usize) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (begin, line) in lines.iter().enumerate() {
        let Some((indentation, name)) = begins(line) else {
            continue;
        };
        let ends = |line: &&str| {
            let rest = line.strip_prefix(indentation);
            // A brace alone, or the end of a signature without a body.
            rest.is_some_and(|rest| rest == "}" || rest.starts_with(')') && rest.ends_with(';'))
        };
        let is_one_line = line.ends_with(['}', ';']);
        let after = lines[begin..].iter().position(ends).unwrap_or(0);
        let length = if is_one_line { 1 } else { after + 1 };
        if length > max {
            let at = begin + 1;
            found.push(format!("{name} (line {at}) has {length} lines"));
        }
    }
    found
}

/// The indentation and name of the function that begins on a line.
fn begins(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start();
    let indentation = &line[..line.len() - rest.len()];
    let (before, after) = rest.split_once("fn ")?;
    let is_modifier =
        |word: &str| word.starts_with("pub") || ["const", "async", "in", "super)"].contains(&word);
    if !before.split_whitespace().all(is_modifier) {
        return None;
    }
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    Some((indentation, &after[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_function_is_found_and_what_surrounds_it_is_not() {
        let text = "\
trait T {
    fn declared(
        &self,
    ) -> u8;
    fn short(&self);
    fn one_line(&self) {}
}
impl T for S {
    pub(super) async fn long() {
        if true {
        }
    }
    fn fits() {
    }
}
";
        assert_eq!(longer_than(text, 3), ["long (line 9) has 4 lines"]);
        assert_eq!(longer_than(text, 2).len(), 2);
        assert!(longer_than(text, 4).is_empty());
    }
}
