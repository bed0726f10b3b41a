//! put, get, del, txn, compaction.

use super::Pair;

#[test]
fn put_and_get() {
    harness::run(async {
        let both = Pair::start().await;
        assert_eq!(both.same("put greeting hello").out, "OK");
        assert_eq!(both.same("get greeting").out, "greeting\nhello");
        both.same("get nothing");
        both.same("put greeting again --prev-kv");
        both.same("put --ignore-value greeting");
        both.same("put greeting third -w json");
        both.same("put greeting fourth -w fields");
        both.same("put --lease=7b greeting x");
        both.same("put --ignore-value nothing");
        assert_eq!(both.same("get greeting --print-value-only").out, "fourth");
    });
}

#[test]
fn get_with_every_option() {
    harness::run(async {
        let both = Pair::start().await;
        for (key, value) in [("a", "3"), ("b", "1"), ("c", "2"), ("b", "4"), ("d/1", "x")] {
            both.same(&format!("put {key} {value}"));
        }
        for options in [
            "a",
            "a d",
            "'' --prefix",
            "d/ --prefix",
            "b --from-key",
            "'' --from-key",
            "a d --limit=2",
            "a d --rev=3",
            "a d --rev=99",
            "a d --order=DESCEND",
            "a d --order=ASCEND --sort-by=VALUE",
            "a d --order=DESCEND --sort-by=CREATE",
            "a d --order=DESCEND --sort-by=MODIFY",
            "a d --sort-by=VERSION",
            "a d --sort-by=KEY --order=DESCEND --limit=1",
            "a d --keys-only",
            "a d --consistency=s",
            "a d --hex",
            "a d -w simple",
            "a d -w json",
            "a d -w json --limit=1",
            "a d -w fields",
            "a d -w protobuf --rev=99",
            "nothing -w json",
            "nothing -w fields",
        ] {
            both.same(&format!("get {options}"));
        }
    });
}

#[test]
fn del_with_every_option() {
    harness::run(async {
        let both = Pair::start().await;
        for key in ["a", "b", "c", "d", "d/1", "d/2", "e", "f"] {
            both.same(&format!("put {key} x"));
        }
        assert_eq!(both.same("del a").out, "1");
        both.same("del a");
        both.same("del b d --prev-kv");
        both.same("del d/ --prefix");
        both.same("del d -w json");
        both.same("del nothing -w fields");
        both.same("del e --from-key");
        both.same("get '' --prefix");
    });
}

#[test]
fn txn_from_standard_input() {
    harness::run(async {
        let both = Pair::start().await;
        both.same("put a 1");
        let swap = "value(\"a\") = \"1\"\n\nput a 2\nget a\n\nget a\n\n";
        assert!(both.same_with_input("txn", swap).out.starts_with("SUCCESS"));
        assert!(both.same_with_input("txn", swap).out.starts_with("FAILURE"));
        let more = "mod(\"a\") > \"1\"\ncreate(\"b\") = \"0\"\nversion(\"a\") = \"2\"\n\n\
                    put b new\ndel a\nget b\n\nget a\n\n";
        both.same_with_input("txn -w json", more);
        both.same_with_input("txn", "\nput x 1\nput x 2\n\n\n");
        both.same_with_input("txn -w fields", "\nput x 1\nget x\n\n\n");
        both.same("get '' --prefix -w json");
    });
}

#[test]
fn compaction() {
    harness::run(async {
        let both = Pair::start().await;
        for value in 1..=6 {
            both.same(&format!("put a {value}"));
        }
        assert_eq!(both.same("compaction 3").out, "compacted revision 3");
        both.same("compaction 3");
        both.same("compaction 2");
        both.same("compaction 99");
        both.same("compaction 5 --physical");
        both.same("get a --rev=4");
        both.same("get a --rev=5");
    });
}

#[test]
fn wrong_usage_is_told_by_the_server_the_same_way() {
    harness::run(async {
        let both = Pair::start().await;
        both.same("put '' x");
        both.same("get ''");
        both.same("del ''");
        both.same("lease revoke 7b");
        both.same("lease timetolive 7b");
    });
}
