//! The tokens in `tests/golden.txt` were made by `golang-jwt` 5.3.1, which etcd uses, and the keys
//! by OpenSSL. The keys are for nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::*;

/// 2026-11-29.
const NOW: i64 = 1_764_374_400_000;
/// The end of the golden tokens: 2100-01-01.
const END: i64 = 4_102_444_800_000;

fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/auth/jwt/tests");
    folder.join(name)
}

fn golden() -> BTreeMap<String, String> {
    let text = fs::read_to_string(file("golden.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once(' ').unwrap());
    pairs
        .map(|(name, token)| (name.to_owned(), token.to_owned()))
        .collect()
}

/// Opens the keys with these names; an empty name is none.
fn open(method: &str, public: &str, private: &str) -> Result<Jwt, String> {
    let option = |name, key: &str| match key {
        "" => String::new(),
        key => format!(",{name}={}", file(key).display()),
    };
    let (public, private) = (option("pub-key", public), option("priv-key", private));
    open_value(&format!(
        "jwt,sign-method={method},ttl=10m{public}{private}"
    ))
}

fn open_value(value: &str) -> Result<Jwt, String> {
    let opened = AuthToken::parse(value).and_then(|parsed| match parsed {
        AuthToken::Jwt(options) => Jwt::open(options),
        AuthToken::Simple => unreachable!("the value begins with jwt"),
    });
    opened.map_err(|error| error.to_string())
}

fn source(value: &str) -> Source {
    match AuthToken::parse(value).unwrap() {
        AuthToken::Jwt(options) => Source::new(options),
        AuthToken::Simple => unreachable!("the value begins with jwt"),
    }
}

fn alice() -> Claims {
    Claims {
        username: "alice".into(),
        revision: 7,
    }
}

/// Every method, with a private key and its public key.
const PAIRS: &[(&str, &str, &str)] = &[
    ("HS256", "", "secret"),
    ("HS384", "", "secret"),
    ("HS512", "", "secret"),
    ("RS256", "rsa.pub.pem", "rsa.key.pem"),
    ("RS384", "rsa.cert.pem", "rsa.pkcs1.key.pem"),
    ("RS512", "rsa.pkcs1.pub.pem", "rsa.key.pem"),
    ("PS256", "rsa.pub.pem", "rsa.pkcs1.key.pem"),
    ("PS384", "rsa.pkcs1.pub.pem", "rsa.key.pem"),
    ("PS512", "rsa.cert.pem", "rsa.key.pem"),
    ("ES256", "p256.pub.pem", "p256.key.pem"),
    ("ES256", "p256.pub.pem", "p256.sec1.key.pem"),
    ("ES384", "p384.pub.pem", "p384.key.pem"),
    ("ES384", "p384.pub.pem", "p384.sec1.key.pem"),
    ("ES512", "p521.pub.pem", "p521.key.pem"),
    ("ES512", "p521.cert.pem", "p521.sec1.key.pem"),
    ("EdDSA", "ed25519.pub.pem", "ed25519.key.pem"),
];

#[test]
fn tokens_of_etcd_are_accepted() {
    let golden = golden();
    for &(method, public, private) in PAIRS {
        let mut keys = vec![("", private)];
        if !public.is_empty() {
            keys.extend([(public, private), (public, "")]);
        }
        for (public, private) in keys {
            let jwt = open(method, public, private).unwrap();
            let claims = jwt.verify(&golden[method], NOW);
            assert_eq!(claims, Ok(alice()), "{method} {public} {private}");
            assert_eq!(jwt.verify(&golden[method], END - 1), Ok(alice()));
            assert_eq!(jwt.verify(&golden[method], END), Err(InvalidToken::Expired));
        }
    }
}

/// Where a signature has no random part, the whole token is the one that etcd makes.
#[test]
fn tokens_are_those_of_etcd() {
    let golden = golden();
    for &(method, _, private) in PAIRS {
        let jwt = open(method, "", private).unwrap();
        let token = jwt.sign("alice", 7, END - 600_000).unwrap();
        if method.starts_with(['P', 'E']) && method != "EdDSA" {
            let unsigned = |token: &str| token.rsplit_once('.').unwrap().0.to_owned();
            assert_eq!(unsigned(&token), unsigned(&golden[method]), "{method}");
            assert_eq!(token.len(), golden[method].len(), "{method}");
        } else {
            assert_eq!(token, golden[method], "{method}");
        }
    }
}

#[test]
fn a_token_lives_from_its_login_to_its_end() {
    for &(method, public, private) in PAIRS {
        let jwt = open(method, public, private).unwrap();
        // Signatures of elliptic curves have a random length before they get a fixed one.
        for revision in [0, 7, u64::from(u32::MAX), u64::MAX] {
            let token = jwt.sign("Ünï\"c\\ode", revision, NOW).unwrap();
            let claims = Claims {
                username: "Ünï\"c\\ode".into(),
                revision,
            };
            assert_eq!(jwt.verify(&token, NOW), Ok(claims.clone()), "{method}");
            assert_eq!(jwt.verify(&token, NOW + 599_999), Ok(claims), "{method}");
            assert_eq!(
                jwt.verify(&token, NOW + 600_000),
                Err(InvalidToken::Expired)
            );
        }
    }
}

#[test]
fn the_verified_tokens_that_are_remembered_are_bounded() {
    let jwt = open("HS256", "", "secret").unwrap();
    let len = || jwt.known.lock().tokens.len();
    let sign_and_verify = |n: usize, now| {
        let token = jwt.sign("alice", n as u64, now).unwrap();
        assert!(jwt.verify(&token, now).is_ok());
    };
    for n in 0..VERIFIED_MAX {
        // Half of them end earlier.
        sign_and_verify(n, if n % 2 == 0 { NOW } else { NOW + 60_000 });
    }
    assert_eq!(len(), VERIFIED_MAX);
    let later = NOW + 600_000;
    sign_and_verify(VERIFIED_MAX, later);
    assert_eq!(len(), VERIFIED_MAX / 2 + 1);
    for n in 0..VERIFIED_MAX {
        sign_and_verify(VERIFIED_MAX + n, later);
        assert!(len() <= VERIFIED_MAX);
    }
    // Refused tokens are not remembered.
    let before = len();
    assert!(jwt.verify(&golden()["none"], later).is_err());
    assert!(jwt.verify(&golden()["HS256"], END).is_err());
    assert_eq!(len(), before);
}

/// `s` or `r` is shorter than 32 bytes in one of 128 signatures.
#[test]
fn signatures_of_curves_have_a_fixed_length() {
    for (method, private, signatures) in [
        ("ES256", "p256.key.pem", 500),
        ("ES384", "p384.key.pem", 500),
        ("ES512", "p521.key.pem", 50),
    ] {
        let jwt = open(method, "", private).unwrap();
        for n in 0..signatures {
            let token = jwt.sign("alice", n, NOW).unwrap();
            assert!(jwt.verify(&token, NOW).is_ok(), "{token}");
        }
    }
}

#[test]
fn a_member_with_a_public_key_gives_no_tokens() {
    for &(method, public, _) in PAIRS.iter().filter(|(_, public, _)| !public.is_empty()) {
        let jwt = open(method, public, "").unwrap();
        let refused = jwt.sign("alice", 7, NOW);
        assert_eq!(refused, Err(Unsigned::VerifyOnly), "{method}");
    }
}

#[test]
fn claims_decide() {
    use InvalidToken::{Claim, Critical, Expired, NotYet};
    let golden = golden();
    let jwt = open("RS256", "rsa.pub.pem", "").unwrap();
    let cases = [
        ("more-claims", Ok(alice())),
        ("float", Ok(alice())),
        ("spaces", Ok(alice())),
        ("expired", Err(Expired)),
        ("no-exp", Err(Claim("exp"))),
        ("exp-null", Err(Claim("exp"))),
        ("exp-text", Err(Claim("exp"))),
        ("no-username", Err(Claim("username"))),
        ("username-number", Err(Claim("username"))),
        ("username-empty", Err(Claim("username"))),
        ("no-revision", Err(Claim("revision"))),
        ("revision-text", Err(Claim("revision"))),
        ("revision-negative", Err(Claim("revision"))),
        ("nbf-future", Err(NotYet)),
        ("nbf-text", Err(Claim("nbf"))),
        ("crit", Err(Critical)),
        ("claims-list", Err(InvalidToken::NotJson)),
    ];
    for (name, expected) in cases {
        assert_eq!(jwt.verify(&golden[name], NOW), expected, "{name}");
    }
    // Times with a fraction are exact to the millisecond.
    let float = &golden["float"];
    assert!(jwt.verify(float, END + 499).is_ok());
    assert_eq!(jwt.verify(float, END + 500), Err(Expired));
    assert!(jwt.verify(float, 1_600_000_000_500).is_ok());
    assert_eq!(jwt.verify(float, 1_600_000_000_499), Err(NotYet));
}

#[test]
fn forged_tokens_are_refused() {
    use InvalidToken::{WrongMethod, WrongSignature};
    let golden = golden();
    let cases = [
        ("none", WrongMethod),
        ("None", WrongMethod),
        ("none-signed", WrongMethod),
        ("no-alg", WrongMethod),
        ("alg-number", WrongMethod),
        // The public key, which everyone knows, as a secret.
        ("hmac-with-public-key", WrongMethod),
        ("hmac-with-certificate", WrongMethod),
        ("hmac-called-rsa", WrongSignature),
        ("other-key", WrongSignature),
        ("wrong-hash", WrongMethod),
        ("wrong-hash-called-right", WrongSignature),
        ("pss", WrongMethod),
        ("pss-called-right", WrongSignature),
        ("elliptic", WrongMethod),
        ("changed", WrongSignature),
    ];
    for (public, private) in [("rsa.pub.pem", ""), ("", "rsa.key.pem")] {
        let jwt = open("RS256", public, private).unwrap();
        for (name, expected) in cases {
            assert_eq!(jwt.verify(&golden[name], NOW), Err(expected), "{name}");
        }
    }
}

/// No token of one method or key is accepted by a member with another.
#[test]
fn a_token_is_accepted_with_its_own_method_only() {
    let golden = golden();
    let methods = PAIRS.iter().map(|(method, ..)| *method).chain(["none"]);
    for method in methods {
        for &(other, public, private) in PAIRS.iter().filter(|(other, ..)| *other != method) {
            let jwt = open(other, public, private).unwrap();
            let refused = jwt.verify(&golden[method], NOW);
            assert_eq!(refused, Err(InvalidToken::WrongMethod), "{method} {other}");
        }
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    for (method, private) in [
        ("HS256", "secret"),
        ("RS256", "rsa.key.pem"),
        ("PS256", "rsa.key.pem"),
        ("ES256", "p256.key.pem"),
        ("EdDSA", "ed25519.key.pem"),
    ] {
        let jwt = open(method, "", private).unwrap();
        let token = golden().remove(method).unwrap();
        for at in 0..token.len() {
            let (before, after) = token.split_at(at);
            for byte in ["A", "B", ".", "="] {
                let changed = format!("{before}{byte}{}", &after[1..]);
                let is_same = changed == token;
                let accepted = jwt.verify(&changed, NOW).is_ok();
                assert_eq!(accepted, is_same, "{method}: {changed}");
            }
            // Shorter by a byte.
            let cut = format!("{before}{}", &after[1..]);
            assert!(jwt.verify(&cut, NOW).is_err(), "{method}: {cut}");
        }
    }
}

#[test]
fn text_that_is_no_token_is_refused() {
    use InvalidToken::{Malformed, NotJson, TooLong, WrongMethod};
    let jwt = open("HS256", "", "secret").unwrap();
    let good = golden().remove("HS256").unwrap();
    let (header, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let deep = URL_SAFE_NO_PAD.encode("[".repeat(9_000));
    let cases = [
        (String::new(), Malformed),
        ("aaa".to_owned(), Malformed),
        ("..".to_owned(), NotJson),
        ("hTQYyHexzQBHWnqW.28".to_owned(), Malformed),
        (format!("{header}.{claims}"), Malformed),
        (format!("{header}.{claims}."), InvalidToken::WrongSignature),
        (format!("{good}."), InvalidToken::WrongSignature),
        (format!("{good}.{signature}"), InvalidToken::WrongSignature),
        (format!(".{good}"), NotJson),
        (format!("{good}="), Malformed),
        (format!("{good} "), Malformed),
        (format!(" {good}"), Malformed),
        (format!("e30.{claims}.{signature}"), WrongMethod),
        (format!("W10.{claims}.{signature}"), NotJson),
        (format!("{deep}.{claims}.{signature}"), NotJson),
        ("a".repeat(TOKEN_BYTES_MAX + 1), TooLong),
        ("é.é.é".to_owned(), Malformed),
    ];
    for (token, expected) in cases {
        assert_eq!(jwt.verify(&token, NOW), Err(expected), "{token}");
    }
}

/// The files are refused with this text.
#[track_caller]
fn refused(method: &str, public: &str, private: &str, expected: &str) {
    let error = open(method, public, private).expect_err(method);
    assert_eq!(error, format!("--auth-token: {expected}"));
}

#[test]
fn a_missing_key_is_named() {
    for method in ["RS256", "PS512", "ES256", "EdDSA"] {
        let text = format!(
            "auth: missing key data: {method} needs priv-key=FILE to sign tokens, or pub-key=FILE \
             to verify them"
        );
        refused(method, "", "", &text);
    }
    let text = "auth: missing key data: HS256 needs priv-key=FILE, a file with the secret";
    refused("HS256", "", "", text);
    refused("HS256", "rsa.pub.pem", "", text);
}

#[test]
fn a_file_without_a_key_is_named() {
    let private = "has no private key in PEM";
    let public = "has no public key and no certificate in PEM";
    let cases = [
        ("RS256", "", "secret", private),
        ("RS256", "", "rsa.pub.pem", private),
        ("EdDSA", "", "encrypted.key.pem", "is encrypted: decrypt it"),
        ("RS256", "rsa.key.pem", "", public),
        ("ES256", "secret", "", public),
    ];
    for (method, public, private, problem) in cases {
        let (option, name) = match private {
            "" => ("pub-key", public),
            _ => ("priv-key", private),
        };
        let path = file(name);
        let text = format!("auth: invalid key: {option}={} {problem}", path.display());
        refused(method, public, private, &text);
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let rsa = "an RSA key of 2048 to 4096 bits";
    let (p256, p384) = ("a key of the curve P-256", "a key of the curve P-384");
    let p521 = "a key of the curve P-521";
    let ed25519 = "a key of the curve Ed25519";
    let cases = [
        ("RS256", "p256", rsa),
        ("PS256", "ed25519", rsa),
        // It can be broken.
        ("RS256", "short-rsa", rsa),
        ("ES256", "rsa", p256),
        ("ES256", "p384", p256),
        ("ES384", "p256", p384),
        ("ES384", "ed25519", p384),
        ("ES384", "p521", p384),
        ("ES512", "p384", p521),
        ("ES512", "rsa", p521),
        ("EdDSA", "rsa", ed25519),
        ("EdDSA", "p256", ed25519),
    ];
    for (method, name, kind) in cases {
        let text = |option: &str, name: &str| {
            let path = file(name);
            format!(
                "auth: invalid key: {option}={} is not {kind}",
                path.display()
            )
        };
        let (private, public) = (format!("{name}.key.pem"), format!("{name}.pub.pem"));
        refused(method, "", &private, &text("priv-key", &private));
        refused(method, &public, "", &text("pub-key", &public));
    }
}

#[test]
fn keys_must_belong_together() {
    let text = "auth: public and private keys don't match: give the public key of priv-key as \
                pub-key, or leave pub-key out";
    refused("RS256", "other-rsa.pub.pem", "rsa.key.pem", text);
    refused("ES512", "other-p521.pub.pem", "p521.key.pem", text);
}

/// Everyone has a public key, so everyone could sign tokens with it.
#[test]
fn a_public_key_is_no_secret() {
    for name in [
        "rsa.pub.pem",
        "rsa.pkcs1.pub.pem",
        "rsa.cert.pem",
        "p256.pub.pem",
    ] {
        let error = open("HS256", "", name).unwrap_err();
        assert!(
            error.contains("which is no secret: give a file of random bytes"),
            "{error}"
        );
    }
}

/// With an empty secret everyone could sign tokens, too.
#[test]
fn an_empty_secret_is_refused_at_the_start_and_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    let value = format!("jwt,sign-method=HS256,priv-key={}", path.display());
    fs::write(&path, "").unwrap();
    let error = open_value(&value).unwrap_err();
    assert!(
        error.contains("auth: missing key data: HS256 needs priv-key=FILE"),
        "{error}"
    );
    fs::copy(file("secret"), &path).unwrap();
    let mut source = source(&value);
    assert!(matches!(source.check(false), Some(Ok(_))));
    for public in ["", "rsa.pub.pem", "rsa.cert.pem"] {
        let bytes = if public.is_empty() {
            Vec::new()
        } else {
            fs::read(file(public)).unwrap()
        };
        fs::write(&path, bytes).unwrap();
        assert!(matches!(source.check(false), Some(Err(_))), "{public}");
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let values = [
        format!("jwt,sign-method=HS256,pub-key={}", path.display()),
        format!("jwt,sign-method=RS256,priv-key={}", path.display()),
    ];
    for value in &values {
        let error = open_value(value).unwrap_err();
        assert!(
            error.starts_with("--auth-token: auth: invalid auth options: "),
            "{error}"
        );
        assert!(
            error.contains("/key cannot be read: No such file"),
            "{error}"
        );
    }
    fs::write(&path, vec![b'a'; FILE_BYTES_MAX as usize + 1]).unwrap();
    let error = open_value(&values[1]).unwrap_err();
    assert!(
        error.ends_with("/key cannot be read: it is too long for a key"),
        "{error}"
    );
    let error = open_value("jwt,sign-method=HS256,pub-key=/dev/zero").unwrap_err();
    assert!(
        error.ends_with("cannot be read: it is not a regular file"),
        "{error}"
    );
}

/// Files in a folder of their own, to be changed.
struct Changing {
    dir: tempfile::TempDir,
    value: String,
}

impl Changing {
    fn new() -> Changing {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let value = format!("jwt,sign-method=RS256,pub-key={path}/public,priv-key={path}/private");
        let files = Changing { dir, value };
        files.change("public", "rsa.pub.pem");
        files.change("private", "rsa.key.pem");
        files
    }

    fn change(&self, to: &str, from: &str) {
        fs::copy(file(from), self.dir.path().join(to)).unwrap();
    }
}

#[test]
fn a_changed_key_is_used() {
    let files = Changing::new();
    let jwt = open_value(&files.value).unwrap();
    let old = jwt.sign("alice", 7, NOW).unwrap();
    // Also a token that is remembered.
    assert_eq!(jwt.verify(&old, NOW), Ok(alice()));
    files.change("public", "other-rsa.pub.pem");
    files.change("private", "other-rsa.key.pem");
    while jwt.verify(&old, NOW).is_ok() {
        jwt.watched.read_again();
        std::thread::yield_now();
    }
    assert_eq!(jwt.verify(&old, NOW), Err(InvalidToken::WrongSignature));
    let new = jwt.sign("alice", 7, NOW).unwrap();
    assert_eq!(jwt.verify(&new, NOW), Ok(alice()));
    let other = open("RS256", "other-rsa.pub.pem", "").unwrap();
    assert_eq!(other.verify(&new, NOW), Ok(alice()));
}

#[test]
fn a_change_is_read_once_and_a_key_that_cannot_be_used_is_an_error() {
    let files = Changing::new();
    let mut source = source(&files.value);
    let mut check = |must_read| source.check(must_read).map(|keys| keys.is_ok());
    assert_eq!(check(false), Some(true));
    assert_eq!(check(false), None);
    assert_eq!(check(true), Some(true));
    // Only one of two files is new.
    files.change("public", "other-rsa.pub.pem");
    assert_eq!(check(false), Some(false));
    assert_eq!(check(false), None);
    // A file that is half written, of another kind, or not there.
    files.change("private", "secret");
    assert_eq!(check(false), Some(false));
    files.change("private", "p256.key.pem");
    assert_eq!(check(false), Some(false));
    fs::remove_file(files.dir.path().join("private")).unwrap();
    assert_eq!(check(false), Some(false));
    files.change("private", "other-rsa.key.pem");
    assert_eq!(check(false), Some(true));
}
