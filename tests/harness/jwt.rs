//! JSON Web Tokens made outside of any server, with the keys of the server's unit tests.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p521::ecdsa::SigningKey;
use p521::ecdsa::signature::Signer as _;
use p521::pkcs8::DecodePrivateKey as _;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use ring::{hmac, signature::RsaEncoding};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};

/// A method, with the file of its public key, empty if there is none, and of its private key.
pub const METHODS: &[(&str, &str, &str)] = &[
    ("HS256", "", "secret"),
    ("HS384", "", "secret"),
    ("HS512", "", "secret"),
    ("RS256", "rsa.pub.pem", "rsa.key.pem"),
    ("RS384", "rsa.cert.pem", "rsa.key.pem"),
    ("RS512", "rsa.pkcs1.pub.pem", "rsa.key.pem"),
    ("PS256", "rsa.pub.pem", "rsa.key.pem"),
    ("PS384", "rsa.cert.pem", "rsa.key.pem"),
    ("PS512", "rsa.pub.pem", "rsa.key.pem"),
    ("ES256", "p256.pub.pem", "p256.key.pem"),
    ("ES384", "p384.pub.pem", "p384.key.pem"),
    ("ES512", "p521.cert.pem", "p521.key.pem"),
    ("EdDSA", "ed25519.pub.pem", "ed25519.key.pem"),
];

/// A file of these keys.
pub fn key_file(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.join("../service/src/auth/jwt/tests").join(name)
}

/// The value of `--auth-token` for a method, with these files of keys, and a TTL of ten minutes.
pub fn flag(method: &str, public: Option<&Path>, private: Option<&Path>) -> String {
    let option = |name, file: Option<&Path>| match file {
        Some(file) => format!(",{name}={}", file.display()),
        None => String::new(),
    };
    let (public, private) = (option("pub-key", public), option("priv-key", private));
    format!("--auth-token=jwt,sign-method={method},ttl=10m{public}{private}")
}

/// The claims of a user at a revision of users and roles, good for this long.
pub fn claims(user: &str, revision: u64, good_for: Duration) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let end = now.expect("after 1970") + good_for;
    json!({"username": user, "revision": revision, "exp": end.as_secs()})
}

/// Signs claims by a method, with a key of this file.
pub fn sign(method: &str, key: &Path, claims: &Value) -> String {
    sign_as(method, method, key, claims)
}

/// Signs by one method and names another one in the header.
pub fn sign_as(named: &str, method: &str, key: &Path, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(&json!({"alg": named, "typ": "JWT"}));
    let message = format!("{header}.{}", encode(claims));
    let signature = signature(method, key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The claims in a token.
pub fn claims_in(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn signature(method: &str, key: &Path, message: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let pkcs8 = || PrivatePkcs8KeyDer::from_pem_file(key).expect("a key in PKCS #8");
    let secret = |algorithm| {
        let secret = std::fs::read(key).expect("a file with a secret");
        let secret = hmac::Key::new(algorithm, &secret);
        hmac::sign(&secret, message).as_ref().to_vec()
    };
    let rsa = |encoding: &'static dyn RsaEncoding| {
        let pair = RsaKeyPair::from_pkcs8(pkcs8().secret_pkcs8_der()).expect("a key of RSA");
        let mut signature = vec![0; pair.public().modulus_len()];
        let signed = pair.sign(encoding, &random, message, &mut signature);
        signed.expect("random numbers");
        signature
    };
    let curve = |algorithm| {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8().secret_pkcs8_der(), &random);
        let signature = pair.expect("a key of the curve").sign(&random, message);
        signature.expect("random numbers").as_ref().to_vec()
    };
    match method {
        "HS256" => secret(hmac::HMAC_SHA256),
        "HS384" => secret(hmac::HMAC_SHA384),
        "HS512" => secret(hmac::HMAC_SHA512),
        "RS256" => rsa(&signature::RSA_PKCS1_SHA256),
        "RS384" => rsa(&signature::RSA_PKCS1_SHA384),
        "RS512" => rsa(&signature::RSA_PKCS1_SHA512),
        "PS256" => rsa(&signature::RSA_PSS_SHA256),
        "PS384" => rsa(&signature::RSA_PSS_SHA384),
        "PS512" => rsa(&signature::RSA_PSS_SHA512),
        "ES256" => curve(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        "ES384" => curve(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
        "ES512" => {
            let secret = p521::SecretKey::from_pkcs8_der(pkcs8().secret_pkcs8_der());
            let key = SigningKey::from(secret.expect("a key of the curve"));
            let signature: p521::ecdsa::Signature = key.sign(message);
            signature.to_bytes().to_vec()
        }
        "EdDSA" => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8().secret_pkcs8_der());
            pair.expect("a key of Ed25519")
                .sign(message)
                .as_ref()
                .to_vec()
        }
        other => panic!("{other} is none of the methods"),
    }
}
