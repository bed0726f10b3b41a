//! Meaning of the language, and error texts of refused scenarios.

use super::*;

const HEAD: &str = "# A head (K2, S3).\nmembers 3\nsubjects A B\n";

fn read(steps: &str) -> Script {
    parse("a.txt", &format!("{HEAD}{steps}")).unwrap()
}

fn refused(steps: &str, error: &str) {
    let text = parse("a.txt", &format!("{HEAD}{steps}")).unwrap_err();
    assert_eq!(text, error);
}

fn only(steps: &str) -> Action {
    read(steps).steps.remove(0).action
}

#[test]
fn the_first_comment_names_rules() {
    let script = read("kill leader");
    assert_eq!(script.rules, ["K2", "S3"]);
    assert_eq!((script.members, script.subjects.len()), (3, 2));
}

#[test]
fn a_call_has_arguments_and_an_outcome() {
    let Action::Call(call) = only("A put key=a value=\"b c\" -> revision>3 within 500ms") else {
        panic!("a call");
    };
    let pairs = call.arguments.iter().map(|(n, v)| format!("{n}={v}"));
    let pairs: Vec<_> = pairs.collect();
    assert_eq!(pairs, ["key=a", "value=b c", "client=client"]);
    let path = "revision".to_owned();
    let test = Test::Is(Relation::Greater, "3".to_owned());
    assert_eq!(
        call.expected.outcomes,
        [Outcome::Ok(vec![Field { path, test }])]
    );
    assert_eq!(call.expected.within, Some(Duration::from_millis(500)));
}

#[test]
fn an_outcome_can_be_one_of_several() {
    let Action::Call(call) = only("A get key=a -> ok or error api EmptyKey retry=false") else {
        panic!("a call");
    };
    let path = "retry".to_owned();
    let test = Test::Is(Relation::Equal, "false".to_owned());
    let name = Some("EmptyKey".to_owned());
    let error = Outcome::Error("api".to_owned(), name, vec![Field { path, test }]);
    assert_eq!(call.expected.outcomes, [Outcome::Ok(Vec::new()), error]);
}

#[test]
fn json_is_one_word() {
    let Action::Call(call) = only(r#"A txn if=[{"key": "a b", "than": 1}] then=[]"#) else {
        panic!("a call");
    };
    assert_eq!(call.arguments[0].1, r#"[{"key": "a b", "than": 1}]"#);
}

#[test]
fn a_block_is_repeated() {
    let script = read("2 times:\n    kill 1\n    restart 1\nkill 2");
    assert_eq!(script.steps.len(), 2);
    let Action::Repeat(2, steps) = &script.steps[0].action else {
        panic!("a block");
    };
    assert_eq!(steps.len(), 2);
}

#[test]
fn a_link_has_two_ends_and_directions() {
    let link = |from, to, both_ways| Link {
        from,
        to,
        both_ways,
    };
    let (a, one) = (Target::Subject("A".into()), Target::Member("1".into()));
    let Action::Link(Fault::Hold, held) = only("hold 1 to A") else {
        panic!("a fault");
    };
    assert_eq!(held, link(one.clone(), a.clone(), false));
    let Action::Link(Fault::Cut, cut) = only("cut A and 1") else {
        panic!("a fault");
    };
    assert_eq!(cut, link(a, one, true));
}

#[test]
fn an_error_names_the_line() {
    refused("A put key=a", "a.txt:4: put needs `value`");
    refused(
        "\nA put key=a value=1 color=red",
        "a.txt:5: put has no `color`",
    );
    refused("A leap", "a.txt:4: `leap` is no operation");
    refused(
        "C put key=a value=1",
        "a.txt:4: `C put key=a value=1` is no step",
    );
    refused("kill 3", "a.txt:4: `3` is neither a member nor a subject");
    refused(
        "A session.open ttl=long",
        "a.txt:4: `ttl` is a number, not `long`",
    );
    refused("A get key=\"a", "a.txt:4: a quote is not closed");
    refused("A txn then=[{", "a.txt:4: a bracket is not closed");
    refused(
        "A get key=a within soon",
        "a.txt:4: `soon` is no time such as `2s` or `500ms`",
    );
    refused(
        "A get key=a -> error fatal",
        "a.txt:4: `fatal` is no kind of error",
    );
    refused("A get key=a -> value==1", "a.txt:4: `==` is no comparison");
    refused(
        "kill 1\n  kill 2",
        "a.txt:5: the line is indented otherwise than the one above",
    );
}

#[test]
fn a_misspelt_name_is_an_error() {
    refused("A put key=a value=$b", "a.txt:4: `$b` has no value here");
    refused(
        "A get key=a -> revision into r",
        "a.txt:4: `r` is not used later",
    );
    refused("w -> ok", "a.txt:4: nothing called `w` is running");
    refused("start w: A get key=a", "a.txt:4: `w` is never finished");
    let twice = "start w: A get key=a\nstart w: A get key=a";
    refused(twice, "a.txt:5: `w` is running already");
}
