//! The operations that a scenario can request, with their arguments.
//!
//! [`OF_SUBJECTS`] is what `clients/conformance/README.md` lists; a test compares the two.
//! [`OF_DRIVER`] is what the driver executes by its own connections to the members.

use std::sync::LazyLock;

/// A line for each operation: its name, `call` or `waits`, and its arguments. A call has a deadline
/// by itself, what waits has none. `key:text` is an argument, `key?text` an optional one, `client`
/// one that is named `client` if the scenario has no other name for it, and `as=client` the same
/// for what the operation creates.
const OF_SUBJECTS: &str = "\
client.open call as=client endpoints?endpoints user?text password?text cacert?text cert?text \
    key?text timeout?number
client.close call client
leftovers call
put call client key:text value:text lease?text
get call client key:text serializable?flag revision?number
list call client prefix:text
delete call client key:text
delete_prefix call client prefix:text
txn call client if?json then?json else?json
compact call client revision:number
watch.open waits client as=watch key?text prefix?text from?number
watch.close call watch
session.open call client as=session ttl:number
session.state call session
session.close call session
mutex.lock waits session as=mutex name:text try?flag
mutex.state call mutex
mutex.unlock call mutex
mutex.contenders call client name:text
mutex.revoke call client name:text
rwlock.read waits session as=rwlock name:text try?flag
rwlock.write waits session as=rwlock name:text try?flag
rwlock.unlock call rwlock
semaphore.acquire waits session as=semaphore name:text permits:number try?flag
semaphore.release call semaphore
election.campaign waits session as=election name:text value:text
election.proclaim call election value:text
election.resign call election
election.leader call client name:text
election.observe waits client as=observe name:text
election.contenders call client name:text
observe.close call observe
owner.put call client owner:text token:number key:text value:text
barrier.hold call client name:text
barrier.release call client name:text
barrier.wait waits client name:text
double_barrier.enter waits session name:text count:number
double_barrier.leave waits session name:text count:number
latch.create call client name:text count:number
latch.count_down call client name:text
latch.wait waits client name:text
queue.put call client name:text value:text priority?number delay?number
queue.take waits session as=item name:text
queue.ack call item
queue.release call item
counter.add call client name:text delta:number
counter.get call client name:text
value.get call client name:text
value.compare_and_set call client name:text revision:number value:text
group.join call session as=group name:text member:text value:text
group.leave call group
group.members call client name:text
service.register call session as=registration service:text address:text
service.list call client service:text
cache.open waits client as=cache prefix:text
cache.get waits cache key:text at_least?number
cache.list call cache
cache.close call cache
stm.transfer waits client from:text to:text amount:number
once.run waits session name:text value:text
";

const OF_DRIVER: &str = "\
put call key:text value:text lease?text
get call key:text
list call prefix:text
delete call key:text
compact call revision:number
grant call ttl:number
revoke call lease:text
lock call name:text lease:text
unlock call key:text
campaign call name:text lease:text value:text
leader call name:text
user.add call user:text prefix:text
user.deny call user:text
finds call what:text
connections call of:text
";

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// As in the protocol: `mutex.lock`.
    pub(crate) name: &'static str,
    /// False for a single call of the API, which has a deadline by itself.
    pub(crate) waits: bool,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument of an operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) need: Need,
}

/// The conversion of a scenario's text to JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Number,
    Flag,
    Json,
    /// Members by number, or URLs, separated by commas.
    Endpoints,
}

/// The treatment of an argument that a scenario omits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
    /// It has this value: a scenario's only client has the name `client`.
    Named(&'static str),
}

static SUBJECTS: LazyLock<Vec<Operation>> = LazyLock::new(|| read(OF_SUBJECTS));
static DRIVER: LazyLock<Vec<Operation>> = LazyLock::new(|| read(OF_DRIVER));

/// Finds an operation of a subject.
pub(crate) fn of_subject(name: &str) -> Option<&'static Operation> {
    SUBJECTS.iter().find(|operation| operation.name == name)
}

/// Finds an operation of the driver.
pub(crate) fn of_driver(name: &str) -> Option<&'static Operation> {
    DRIVER.iter().find(|operation| operation.name == name)
}

impl Operation {
    /// The argument with this name. Every operation has `deadline`.
    pub(crate) fn kind_of(&self, name: &str) -> Option<Kind> {
        if name == "deadline" {
            return Some(Kind::Number);
        }
        let mut arguments = self.arguments.iter();
        let found = arguments.find(|argument| argument.name == name);
        found.map(|argument| argument.kind)
    }
}

fn read(table: &'static str) -> Vec<Operation> {
    table.lines().map(read_line).collect()
}

fn read_line(line: &'static str) -> Operation {
    let mut words = line.split_whitespace();
    let name = words.next().expect("a line is not empty");
    let waits = match words.next() {
        Some("call") => false,
        Some("waits") => true,
        other => panic!("{name} is neither call nor waits but {other:?}"),
    };
    let arguments = words.map(read_argument).collect();
    Operation {
        name,
        waits,
        arguments,
    }
}

fn read_argument(word: &'static str) -> Argument {
    let (name, kind, need) = if let Some((name, kind)) = word.split_once(':') {
        (name, kind, Need::Required)
    } else if let Some((name, kind)) = word.split_once('?') {
        (name, kind, Need::Optional)
    } else if let Some((name, thing)) = word.split_once('=') {
        (name, "text", Need::Named(thing))
    } else {
        (word, "text", Need::Named(word))
    };
    let kind = match kind {
        "text" => Kind::Text,
        "number" => Kind::Number,
        "flag" => Kind::Flag,
        "json" => Kind::Json,
        "endpoints" => Kind::Endpoints,
        other => panic!("{name} has no kind {other:?}"),
    };
    Argument { name, kind, need }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const README: &str = include_str!("../../clients/conformance/README.md");

    /// Names in the first column of the list, and with each the names in the second.
    fn listed() -> Vec<(String, BTreeSet<String>)> {
        let protocol = README.split("## The language of scenarios").next().unwrap();
        let rows = protocol.lines().filter(|line| line.starts_with("| `"));
        let quoted = |cell: &str| -> Vec<String> {
            let odd = cell.split('`').skip(1).step_by(2);
            odd.map(str::to_owned).collect()
        };
        let row = |line: &str| -> Vec<(String, BTreeSet<String>)> {
            let cells: Vec<_> = line.split('|').collect();
            let arguments: BTreeSet<_> = quoted(cells[2]).into_iter().collect();
            let names = quoted(cells[1]).into_iter();
            names.map(|name| (name, arguments.clone())).collect()
        };
        rows.flat_map(row).collect()
    }

    #[test]
    fn the_readme_lists_the_same_operations() {
        let listed: BTreeSet<_> = listed().into_iter().map(|(name, _)| name).collect();
        let ours = SUBJECTS.iter().map(|operation| operation.name.to_owned());
        let mut ours: BTreeSet<_> = ours.collect();
        ours.insert("cancel".to_owned());
        assert_eq!(ours, listed);
    }

    #[test]
    fn the_readme_lists_the_same_arguments() {
        for (name, arguments) in listed() {
            let Some(operation) = of_subject(&name) else {
                continue;
            };
            for argument in &operation.arguments {
                let found = arguments.contains(argument.name);
                assert!(found, "{name} has {} here only", argument.name);
            }
        }
    }
}
