use std::fs;

use super::*;

const CHEAP: u32 = 4;

/// Made by `GenerateFromPassword` of golang.org/x/crypto 0.59.
const FROM_GO: &[(&str, &str)] = &[
    (
        "",
        "$2a$04$taf599zitd.BrO9YeSTEfeIVJqQoZPTnv0q8tD2nzGNNWKlFaEgiu",
    ),
    (
        "rootpw",
        "$2a$10$QR61vNPZjGJIkiI6o2c8kuAan.bWoK73J22vC8b3z4nZpi949Kw3K",
    ),
    (
        "pässwörd-日本語",
        "$2a$05$0OUW55mjUzNBrUkxqJLdfeWRLU.4ask.C/XUNBPb9GhK9liPhMfP.",
    ),
    (
        "a\0b",
        "$2a$04$Nv96wjpN4COqt5WgA5Ep8OcP7qOShHoVsWcrx1bl4Aj/laSqXsLQ2",
    ),
];
/// Of `"a".repeat(71)` and `"a".repeat(72)`.
const OF_71: &str = "$2a$04$aeHdl9wDPfmA904Aa.Bs1etjCOJhChnUBaTSumaHO14qsRjsFNyFe";
const OF_72: &str = "$2a$04$5hcnnxxJm8nQwskkr0OsUe9BeuNJAvdtN40XDkEn.sBhAeJqif5yW";

fn fits(password: &str, hash: &str) -> bool {
    check(password.as_bytes(), Some(hash), CHEAP)
}

fn check_of(password: &str) -> Work {
    Work::Check {
        password: password.as_bytes().to_vec(),
        hash: Some(OF_71.to_owned()),
    }
}

fn verdict(mut answer: oneshot::Receiver<Done>) -> Option<bool> {
    match answer.try_recv() {
        Ok(Done::Check(fits)) => Some(fits),
        Ok(Done::Hash(_)) | Err(_) => None,
    }
}

#[test]
fn hashes_of_go_are_checked() {
    for (password, hash) in FROM_GO {
        assert!(fits(password, hash), "{password}");
        assert!(!fits(&format!("{password}x"), hash), "{password}");
    }
    // Go reports a mismatch here, and none for the longer password.
    assert!(!fits(&"a".repeat(71), OF_72));
    assert!(fits(&"a".repeat(80), OF_72));
}

/// With Go's salt the hash is Go's, byte by byte. So Go accepts ours.
#[test]
fn hashes_are_written_as_go_writes_them() {
    for (password, from_go) in FROM_GO {
        let parts: bcrypt::HashParts = from_go.parse().unwrap();
        let ours =
            bcrypt::hash_with_salt(password, parts.get_cost(), parts.get_salt_raw()).unwrap();
        assert_eq!(ours.format_for_version(Version::TwoA), *from_go);
    }
    let ours = hash("rootpw", 5);
    assert!(ours.starts_with("$2a$05$"), "{ours}");
    assert_eq!(ours.len(), 60);
}

#[tokio::test]
async fn passwords_are_hashed_and_checked() {
    let hasher = Hasher::start(CHEAP).unwrap();
    let hash = hasher.hash("secret".to_owned()).await.unwrap();
    let again = hasher.hash("secret".to_owned()).await.unwrap();
    assert_ne!(hash, again, "each has its own salt");
    for (password, expected) in [("secret", true), ("Secret", false), ("", false)] {
        let fits = hasher.verify(password.to_owned(), Some(hash.as_bytes()));
        assert_eq!(fits.await, Ok(expected), "{password}");
    }
    // As Go, which ignores what bcrypt ignores.
    let fits = hasher.verify("a".repeat(1 << 20), Some(OF_72.as_bytes()));
    assert_eq!(fits.await, Ok(true));
}

#[tokio::test]
async fn what_is_not_a_hash_fits_no_password() {
    let hasher = Hasher::start(CHEAP).unwrap();
    let hash: &[u8] = FROM_GO[0].1.as_bytes();
    let md5: &[u8] = b"$1$abcdefgh$hZ2kvfBPpSLbPCGnBSyPW/";
    let huge_cost = [b"$2a$99", &hash[6..]].concat();
    for hash in [
        None,
        Some(&b""[..]),
        Some(md5),
        Some(&hash[..59]),
        Some(&huge_cost),
        Some(b"\xff"),
    ] {
        assert_eq!(
            hasher.verify(String::new(), hash).await,
            Ok(false),
            "{hash:?}"
        );
    }
}

#[tokio::test]
async fn a_password_that_bcrypt_would_cut_is_refused() {
    let hasher = Hasher::start(CHEAP).unwrap();
    assert!(hasher.hash("ä".repeat(36)).await.is_ok());
    let error = hasher.hash("a".repeat(73)).await.unwrap_err();
    assert_eq!(error, PasswordError::TooLong);
    assert_eq!(
        error.to_string(),
        "bcrypt: password length exceeds 72 bytes"
    );
}

#[test]
fn a_full_queue_refuses() {
    let hasher = Hasher::new(CHEAP);
    let submit = |work| hasher.shared.submit(work);
    let mut waiting: Vec<_> = (0..JOBS_MAX)
        .map(|n| submit(check_of(&n.to_string())).unwrap())
        .collect();
    assert_eq!(submit(check_of("more")).err(), Some(PasswordError::Busy));
    assert_eq!(
        submit(Work::Hash("more".to_owned())).err(),
        Some(PasswordError::Busy)
    );
    // A check that is in the queue already costs nothing, up to a bound.
    for _ in JOBS_MAX..WAITING_MAX {
        waiting.push(submit(check_of("7")).unwrap());
    }
    assert_eq!(submit(check_of("7")).err(), Some(PasswordError::Busy));
    hasher.shared.turn();
    assert_eq!(verdict(waiting.remove(0)), Some(false));
    assert!(submit(check_of("more")).is_ok());
}

#[test]
fn the_same_checks_share_a_computation() {
    let hasher = Hasher::new(CHEAP);
    let right = "a".repeat(71);
    let submit = |work| hasher.shared.submit(work).unwrap();
    let (first, wrong, second) = (
        submit(check_of(&right)),
        submit(check_of("wrong")),
        submit(check_of(&right)),
    );
    assert_eq!(hasher.shared.queue.lock().jobs.len(), 2);
    hasher.shared.turn();
    assert_eq!((verdict(first), verdict(second)), (Some(true), Some(true)));
    hasher.shared.turn();
    assert_eq!(verdict(wrong), Some(false));
    assert_eq!(hasher.shared.queue.lock().waiting, 0);
}

/// Two users with the same password have different hashes.
#[test]
fn hashes_are_not_shared() {
    let hasher = Hasher::new(CHEAP);
    let submit = || {
        hasher
            .shared
            .submit(Work::Hash("secret".to_owned()))
            .unwrap()
    };
    let _waiting = [submit(), submit()];
    assert_eq!(hasher.shared.queue.lock().jobs.len(), 2);
}

#[test]
fn a_request_that_was_given_up_is_not_computed() {
    let hasher = Hasher::new(CHEAP);
    let submit = |work| hasher.shared.submit(work).unwrap();
    for n in 0..10 {
        drop(submit(check_of(&n.to_string())));
    }
    let last = submit(check_of("last"));
    // One turn does one computation.
    hasher.shared.turn();
    assert_eq!(verdict(last), Some(false));
    hasher.shared.turn();
}

#[tokio::test]
async fn the_end_is_an_answer() {
    let hasher = Hasher::new(CHEAP);
    let waiting = hasher.shared.submit(check_of("a")).unwrap();
    let shared = Arc::clone(&hasher.shared);
    drop(hasher);
    assert!(waiting.await.is_err());
    assert_eq!(
        shared.submit(check_of("a")).err(),
        Some(PasswordError::Stopped)
    );
    assert!(!shared.wait());
}

#[test]
fn a_cost_that_bcrypt_does_not_know_is_replaced() {
    for (given, used) in [(0, 10), (3, 10), (4, 4), (31, 31), (32, 10)] {
        assert_eq!(Hasher::start(given).unwrap().shared.cost, used);
    }
}

/// The fields of `/proc/PID/stat` after the name, which is in parentheses.
fn niceness(stat: &str) -> i32 {
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(16).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_thread_gives_way_to_others() {
    let hasher = Hasher::start(CHEAP).unwrap();
    hasher.hash(String::new()).await.unwrap();
    let own = niceness(&fs::read_to_string("/proc/thread-self/stat").unwrap());
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let stats: Vec<_> = threads
        .filter_map(|thread| fs::read_to_string(thread.unwrap().path().join("stat")).ok())
        .filter(|stat| stat.contains("(passwords)"))
        .collect();
    // The threads of tests that run at the same time may have just begun.
    let found = stats.iter().map(|stat| niceness(stat)).max();
    assert_eq!(found, Some((own + NICE).min(19)));
}
