//! The method `ES512`: ECDSA with the curve P-521 and SHA-512.

use p521::SecretKey;
use p521::ecdsa::signature::{Signer as _, Verifier as _};
use p521::ecdsa::{Signature, SigningKey, VerifyingKey};
use p521::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};

/// The name of such a key, for errors.
pub(super) const KEY: &str = "a key of the curve P-521";

/// Reads a private key, and returns its public key as well. `None` if it is of another kind.
pub(super) fn private_key(der: &PrivateKeyDer<'_>) -> Option<(SigningKey, VerifyingKey)> {
    let secret = match der {
        PrivateKeyDer::Pkcs8(der) => SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Sec1(der) => SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
        _ => None,
    };
    let signing = SigningKey::from(&secret?);
    let verifying = VerifyingKey::from(&signing);
    Some((signing, verifying))
}

/// Reads a public key. `None` if it is of another kind.
pub(super) fn public_key(spki: &SubjectPublicKeyInfoDer<'_>) -> Option<VerifyingKey> {
    VerifyingKey::from_public_key_der(spki).ok()
}

/// Signs a message. The signature is in the form that tokens have, and the same each time (RFC
/// 6979).
pub(super) fn sign(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let signature: Signature = key.sign(message);
    signature.to_bytes().to_vec()
}

pub(super) fn verify(key: &VerifyingKey, message: &[u8], signature: &[u8]) -> bool {
    let signature = Signature::from_slice(signature);
    signature.is_ok_and(|signature| key.verify(message, &signature).is_ok())
}
