//! The words of a line.

/// Splits a line at blanks. A word may contain `"text with blanks"`, whose quotes are left out, and
/// a JSON list or object after its `=`, with all that is in it. `#` at the beginning of a word
/// begins a comment.
pub(super) fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, length) = take(rest)?;
        words.push(word);
        rest = rest[length..].trim_start();
    }
    Ok(words)
}

/// The first word, and its length in the line.
fn take(line: &str) -> Result<(String, usize), String> {
    let mut word = String::new();
    let mut at = 0;
    while let Some(letter) = line[at..].chars().next() {
        match letter {
            _ if letter.is_whitespace() => break,
            '"' => {
                let quoted = &line[at + 1..];
                let end = quoted.find('"').ok_or("a quote is not closed")?;
                word.push_str(&quoted[..end]);
                at += end + 2;
            }
            '[' | '{' if word.ends_with('=') => {
                let length = json_length(&line[at..])?;
                word.push_str(&line[at..at + length]);
                at += length;
            }
            _ => {
                word.push(letter);
                at += letter.len_utf8();
            }
        }
    }
    Ok((word, at))
}

/// The length of the list or object that the text begins with.
fn json_length(text: &str) -> Result<usize, String> {
    let (mut depth, mut is_quoted) = (0_usize, false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '[' | '{' if !is_quoted => depth += 1,
            ']' | '}' if !is_quoted => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at + 1);
                }
            }
            _ => {}
        }
    }
    Err("a bracket is not closed".to_owned())
}
