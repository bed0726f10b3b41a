//! Reads a scenario. An error names the line and says what was expected there.

use std::iter::Peekable;
use std::time::Duration;

use super::names::Names;
use super::{
    Action, Call, DRIVER, Event, Expected, Fault, Field, Link, Loop, Outcome, Relation, Script,
    Step, Target, Test, Times, Verb, words,
};
use crate::operations::{self, Kind, Need, Operation};

/// Kinds of errors, as in the contract.
pub(crate) const KINDS: &[&str] = &[
    "api",
    "unavailable",
    "maybe",
    "deadline",
    "cancelled",
    "closed",
    "session_lost",
    "compacted",
    "invalid",
    "login",
];

/// Reads a scenario; `file` is for error messages.
pub(crate) fn parse(file: &str, text: &str) -> Result<Script, String> {
    let mut parser = Parser::default();
    parser.script.rules = rules_in(text);
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        let words = words::split(line).map_err(|error| format!("{file}:{at}: {error}"))?;
        let indent = line.len() - line.trim_start().len();
        if !words.is_empty() {
            lines.push(Line { at, indent, words });
        }
    }
    let mut lines = lines.into_iter().peekable();
    let steps = parser.steps(&mut lines, 0);
    parser.script.steps = steps.map_err(|(at, error)| format!("{file}:{at}: {error}"))?;
    if let Some((at, error)) = parser.names.leftover() {
        return Err(format!("{file}:{at}: {error}"));
    }
    if parser.script.members == 0 {
        return Err(format!("{file}:1: no line `members 3`"));
    }
    Ok(parser.script)
}

/// A line that is not empty.
#[derive(Debug)]
struct Line {
    at: usize,
    indent: usize,
    words: Vec<String>,
}

type Lines = Peekable<std::vec::IntoIter<Line>>;

#[derive(Debug, Default)]
struct Parser {
    script: Script,
    names: Names,
    line: usize,
}

/// Numbers of rules, such as `(C2, R3)`, in the first comment.
fn rules_in(text: &str) -> Vec<String> {
    let head = text.lines().take_while(|line| line.starts_with('#'));
    let head: Vec<_> = head.collect();
    let head = head.join(" ");
    let words = head.split(|c: char| !c.is_ascii_alphanumeric());
    let is_rule = |word: &&str| {
        let (letter, number) = word.split_at_checked(1).unwrap_or_default();
        matches!(letter, "C" | "R" | "W" | "S" | "K") && number.parse::<u8>().is_ok()
    };
    words.filter(is_rule).map(str::to_owned).collect()
}

impl Parser {
    /// Steps that are indented by at least so much, and equally.
    fn steps(&mut self, lines: &mut Lines, least: usize) -> Result<Vec<Step>, (usize, String)> {
        let mut steps = Vec::new();
        let mut depth = None;
        while let Some(line) = lines.next_if(|line| line.indent >= least) {
            let at = line.at;
            let depth = *depth.get_or_insert(line.indent);
            if line.indent != depth {
                return Err((
                    at,
                    "the line is indented otherwise than the one above".into(),
                ));
            }
            self.line = at;
            let text = line.words.join(" ");
            let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
            if self.header(&words).map_err(|error| (at, error))? {
                continue;
            }
            let action = match words[..] {
                [count, "times:"] => {
                    let count = number(count).map_err(|error| (at, error))?;
                    Action::Repeat(count, self.steps(lines, depth + 1)?)
                }
                _ => self.action(&words).map_err(|error| (at, error))?,
            };
            let line = at;
            steps.push(Step { line, text, action });
        }
        Ok(steps)
    }

    /// Reads a line about what the scenario needs; returns false if it is a step.
    fn header(&mut self, words: &[&str]) -> Result<bool, String> {
        match words {
            ["members", count] => self.script.members = number(count)? as usize,
            ["subjects", names @ ..] => {
                let is_name = |name: &str| name.starts_with(|c: char| c.is_ascii_uppercase());
                if let Some(name) = names.iter().find(|name| !is_name(name)) {
                    return Err(format!(
                        "a subject's name is a capital letter, not `{name}`"
                    ));
                }
                self.script.subjects = names.iter().map(|&name| name.to_owned()).collect();
            }
            ["mixed"] => self.script.is_mixed = true,
            ["conclave"] => self.script.only_conclave = true,
            ["tls"] => self.script.tls = true,
            ["certificates"] => self.script.certificates = true,
            ["unix"] => self.script.unix = true,
            ["users"] => self.script.users = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn action(&mut self, words: &[&str]) -> Result<Action, String> {
        for word in words {
            self.names.use_all(word, self.script.tls)?;
        }
        Ok(match words {
            ["start", label, call @ ..] if label.ends_with(':') => {
                let label = label.trim_end_matches(':');
                let started = self.repeated(call)?;
                self.names.begin(label, self.line)?;
                Action::Start(label.to_owned(), started)
            }
            [count, "times", call @ ..] if number(count).is_ok() => {
                let (times, call) = (Times::Exactly(number(count)?), self.call(call)?);
                Action::Loop(Loop { times, call })
            }
            [label, "is", "pending"] => {
                self.names.expect_running(label)?;
                Action::Pending((*label).to_owned())
            }
            [label, "reaches", count] => {
                self.names.expect_running(label)?;
                Action::Reaches((*label).to_owned(), (*count).to_owned())
            }
            [label, "->", expected @ ..] => {
                self.names.end(label)?;
                Action::Finish((*label).to_owned(), self.expected(expected)?)
            }
            ["stop", label, rest @ ..] => {
                self.names.end(label)?;
                let expected = match rest {
                    ["->", rest @ ..] => rest,
                    rest => rest,
                };
                Action::Stop((*label).to_owned(), self.expected(expected)?)
            }
            ["cancel", label] => {
                self.names.expect_running(label)?;
                Action::Cancel((*label).to_owned())
            }
            ["until", call @ ..] => Action::Until(self.call(call)?),
            ["check", sums @ ..] => check(sums)?,
            ["let", name, "=", sum @ ..] => {
                self.names.define(name, self.line)?;
                Action::Let((*name).to_owned(), owned(sum))
            }
            ["lead", member] => Action::Lead(self.member(member)?),
            ["renew", "certificates"] if self.script.tls => Action::Renew,
            [subject, ..] if self.is_subject(subject) => self.at_subject(words)?,
            _ => self.fault(words)?,
        })
    }

    fn fault(&mut self, words: &[&str]) -> Result<Action, String> {
        if let ["heal"] = words {
            let (from, to) = (Target::Members, Target::Members);
            let both_ways = true;
            return Ok(Action::Link(
                Fault::Heal,
                Link {
                    from,
                    to,
                    both_ways,
                },
            ));
        }
        let [verb, target, rest @ ..] = words else {
            return Err(format!("`{}` is no step", words.join(" ")));
        };
        let process = match *verb {
            "kill" => Some(Verb::Kill),
            "restart" => Some(Verb::Restart),
            "pause" => Some(Verb::Pause),
            "resume" => Some(Verb::Resume),
            _ => None,
        };
        if let (Some(verb), []) = (process, rest) {
            return Ok(Action::Process(verb, self.target(target)?));
        }
        let fault = match *verb {
            "cut" => Fault::Cut,
            "hold" => Fault::Hold,
            "heal" => Fault::Heal,
            _ => return Err(format!("`{}` is no step", words.join(" "))),
        };
        let (both_ways, other) = match rest {
            ["and", other] => (true, other),
            ["to", other] if fault == Fault::Hold => (false, other),
            _ => return Err(format!("expected `{verb} {target} and MEMBER`")),
        };
        let (from, to) = (self.target(target)?, self.target(other)?);
        Ok(Action::Link(
            fault,
            Link {
                from,
                to,
                both_ways,
            },
        ))
    }

    fn target(&self, word: &str) -> Result<Target, String> {
        Ok(match word {
            "members" => Target::Members,
            "subjects" => Target::Subjects,
            _ if self.is_subject(word) => Target::Subject(word.to_owned()),
            _ => Target::Member(self.member(word)?),
        })
    }

    fn member(&self, word: &str) -> Result<String, String> {
        let is_known = match word.parse::<usize>() {
            Ok(number) => number < self.script.members,
            Err(_) => matches!(word, "leader" | "follower") || word.starts_with('$'),
        };
        match is_known {
            true => Ok(word.to_owned()),
            false => Err(format!("`{word}` is neither a member nor a subject")),
        }
    }

    fn is_subject(&self, word: &str) -> bool {
        word == DRIVER || self.script.subjects.iter().any(|name| name == word)
    }

    /// A line that begins with a subject's name.
    fn at_subject(&mut self, words: &[&str]) -> Result<Action, String> {
        let (subject, rest) = (words[0].to_owned(), &words[1..]);
        let (kind, handle, fields) = match rest {
            [kind @ ("next" | "later"), handle, fields @ ..] => (*kind, *handle, fields),
            ["quiet", handle, "for", time] => {
                let (handle, time) = ((*handle).to_owned(), duration(time)?);
                return Ok(Action::Quiet(subject, handle, time));
            }
            _ => return Ok(Action::Call(self.call(words)?)),
        };
        let (fields, within, not_before) = times(fields)?;
        if not_before.is_some() {
            return Err("an event has no `after`".to_owned());
        }
        Ok(Action::Event(Event {
            subject,
            handle: handle.to_owned(),
            fields: self.fields(fields)?,
            within,
            is_later: kind == "later",
        }))
    }

    fn repeated(&mut self, words: &[&str]) -> Result<Loop, String> {
        let (times, call) = match words {
            ["endlessly", call @ ..] => (Times::UntilStopped, call),
            [count, "times", call @ ..] => (Times::Exactly(number(count)?), call),
            call => (Times::Once, call),
        };
        let call = self.call(call)?;
        if times == Times::Once && !call.expected.outcomes.is_empty() {
            return Err("what comes of a background call is said where it is finished".to_owned());
        }
        Ok(Loop { times, call })
    }

    fn call(&mut self, words: &[&str]) -> Result<Call, String> {
        let [subject, operation, rest @ ..] = words else {
            return Err("expected a subject and an operation".to_owned());
        };
        if !self.is_subject(subject) {
            return Err(format!("`{subject}` is no subject"));
        }
        let found = match *subject {
            DRIVER => operations::of_driver(operation),
            _ => operations::of_subject(operation),
        };
        let operation = found.ok_or_else(|| format!("`{operation}` is no operation"))?;
        let arrow = rest
            .iter()
            .position(|&word| word == "->" || word == "within");
        let (arguments, expected) = rest.split_at(arrow.unwrap_or(rest.len()));
        let expected = match expected {
            ["->", expected @ ..] => expected,
            expected => expected,
        };
        Ok(Call {
            subject: (*subject).to_owned(),
            operation,
            arguments: self.arguments(operation, arguments)?,
            expected: self.expected(expected)?,
        })
    }

    fn arguments(
        &self,
        operation: &'static Operation,
        words: &[&str],
    ) -> Result<Vec<(String, String)>, String> {
        let mut arguments = Vec::new();
        for word in words {
            let pair = word.split_once('=');
            let (name, value) = pair.ok_or_else(|| format!("`{word}` is not `name=value`"))?;
            let kind = operation.kind_of(name);
            let kind = kind.ok_or_else(|| format!("{} has no `{name}`", operation.name))?;
            let is_number = value.starts_with('$') || value.parse::<f64>().is_ok();
            if kind == Kind::Number && !is_number {
                return Err(format!("`{name}` is a number, not `{value}`"));
            }
            if name == "what" && !self.names.has_ended(value) {
                return Err(format!("`{value}` has not ended"));
            }
            arguments.push((name.to_owned(), value.to_owned()));
        }
        for argument in &operation.arguments {
            let is_given = arguments.iter().any(|(name, _)| name == argument.name);
            match argument.need {
                Need::Required if !is_given => {
                    return Err(format!("{} needs `{}`", operation.name, argument.name));
                }
                Need::Named(thing) if !is_given => {
                    arguments.push((argument.name.to_owned(), thing.to_owned()));
                }
                _ => {}
            }
        }
        Ok(arguments)
    }

    fn expected(&mut self, words: &[&str]) -> Result<Expected, String> {
        let (words, within, not_before) = times(words)?;
        let mut outcomes = Vec::new();
        for outcome in words.split(|&word| word == "or") {
            outcomes.push(match outcome {
                [] if words.is_empty() => continue,
                ["error", kind, rest @ ..] => self.error(kind, rest)?,
                ["ok", fields @ ..] | fields => Outcome::Ok(self.fields(fields)?),
            });
        }
        Ok(Expected {
            outcomes,
            within,
            not_before,
        })
    }

    fn error(&mut self, kind: &str, rest: &[&str]) -> Result<Outcome, String> {
        if !KINDS.contains(&kind) {
            return Err(format!("`{kind}` is no kind of error"));
        }
        let (name, fields) = match rest {
            [name, fields @ ..] if name.starts_with(|c: char| c.is_ascii_uppercase()) => {
                (Some((*name).to_owned()), fields)
            }
            fields => (None, fields),
        };
        Ok(Outcome::Error(kind.to_owned(), name, self.fields(fields)?))
    }

    fn fields(&mut self, mut words: &[&str]) -> Result<Vec<Field>, String> {
        let mut fields = Vec::new();
        while let [first, rest @ ..] = words {
            if let [path, "into", variable, rest @ ..] = words {
                self.names.define(variable, self.line)?;
                let (path, variable) = ((*path).to_owned(), (*variable).to_owned());
                fields.push(Field {
                    path,
                    test: Test::Into(variable),
                });
                words = rest;
                continue;
            }
            let at = first.find(['=', '!', '<', '>', '~']);
            let at = at.ok_or_else(|| format!("`{first}` is not `part=value`"))?;
            let (path, test) = first.split_at(at);
            let sign = test.len() - test.trim_start_matches(['=', '!', '<', '>', '~']).len();
            let (sign, value) = test.split_at(sign);
            let test = Test::Is(relation(sign)?, value.to_owned());
            fields.push(Field {
                path: path.to_owned(),
                test,
            });
            words = rest;
        }
        Ok(fields)
    }
}

fn check(words: &[&str]) -> Result<Action, String> {
    let at = words.iter().position(|word| relation(word).is_ok());
    let at = at.ok_or("expected `check A = B`")?;
    let (left, right) = (owned(&words[..at]), owned(&words[at + 1..]));
    if left.is_empty() || right.is_empty() {
        return Err("expected `check A = B`".to_owned());
    }
    Ok(Action::Check(left, relation(words[at])?, right))
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn relation(sign: &str) -> Result<Relation, String> {
    Ok(match sign {
        "=" => Relation::Equal,
        "!=" => Relation::NotEqual,
        "<" => Relation::Less,
        "<=" => Relation::AtMost,
        ">" => Relation::Greater,
        ">=" => Relation::AtLeast,
        "~" => Relation::Contains,
        _ => return Err(format!("`{sign}` is no comparison")),
    })
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("`{word}` is no number"))
}

/// `2s` or `500ms`.
fn duration(word: &str) -> Result<Duration, String> {
    let error = || format!("`{word}` is no time such as `2s` or `500ms`");
    let (number, unit) = match word.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (word.strip_suffix('s').ok_or_else(error)?, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| error())
}

/// Takes `within 2s` and `after 1s` from the end.
type Timed<'a, 'b> = (&'a [&'b str], Option<Duration>, Option<Duration>);

fn times<'a, 'b>(mut words: &'a [&'b str]) -> Result<Timed<'a, 'b>, String> {
    let (mut within, mut after) = (None, None);
    loop {
        match words {
            [rest @ .., "within", time] => (words, within) = (rest, Some(duration(time)?)),
            [rest @ .., "after", time] => (words, after) = (rest, Some(duration(time)?)),
            _ => return Ok((words, within, after)),
        }
    }
}
