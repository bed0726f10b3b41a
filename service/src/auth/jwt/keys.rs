//! Keys that sign and verify tokens, read from PEM files.
//!
//! | method | key | `priv-key` | `pub-key` |
//! |---|---|---|---|
//! | `HS256`, `HS384`, `HS512` | a secret | any bytes | ignored |
//! | `RS256` to `RS512`, `PS256` to `PS512` | RSA | PKCS #1, #8 | SPKI, PKCS #1, certificate |
//! | `ES256`, `ES384`, `ES512` | P-256, P-384, P-521 | SEC 1, PKCS #8 | SPKI, certificate |
//! | `EdDSA` | Ed25519 | PKCS #8 | SPKI, certificate |
//!
//! A private key of RSA has 2048 to 4096 bits, a public one up to 8192.
//!
//! With a private key a member signs and verifies tokens, with a public key alone it verifies them.
//! If both are given they must belong together. A key of another kind than the method's is refused,
//! and so is a public key or certificate as the secret of a method with a secret: everyone knows
//! them, so everyone could make tokens.
//!
//! The cryptography is that of TLS here: *ring*, with the keys of rustls and webpki. Crates for JWT
//! bring a second implementation of everything (in C, or an implementation of RSA with a known
//! weakness: RUSTSEC-2023-0071), and none of them has `ES512`. *ring* lacks its curve, which the
//! crate `p521` has ([`es512`]).

use std::path::Path;

use ring::{hmac, signature};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::server::ParsedCertificate;
use rustls::sign::{Signer, public_key_to_spki};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, alg_id,
};
use webpki::RawPublicKeyEntity;

use super::es512;
use super::options::{AuthTokenError, JwtOptions};

/// The names of the methods.
pub(super) const METHODS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "ES512", "EdDSA",
];

/// A secret should be as long as the shortest hash (RFC 7518, section 3.2).
const SECRET_BYTES_ADVISED: usize = 32;

/// Length of a public key of RSA with 2048 bits in SPKI, and the smallest exponent. *ring* refuses
/// shorter keys, but only when it verifies.
const RSA_SPKI_BYTES_MIN: usize = 292;

/// A way to sign tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method {
    /// The value of `sign-method`, and of `alg` in the header of a token.
    pub(super) name: &'static str,
    kind: Kind,
}

impl PartialEq for Method {
    fn eq(&self, other: &Method) -> bool {
        self.name == other.name
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Secret(hmac::Algorithm),
    Pair(Scheme, Option<Curve>),
    Es512,
}

/// An algorithm with a pair of keys, for rustls and for webpki.
#[derive(Clone, Copy, Debug)]
struct Scheme {
    sign: SignatureScheme,
    verify: &'static dyn SignatureVerificationAlgorithm,
    /// The name of such a key, for errors.
    key: &'static str,
    /// For a curve the length with an uncompressed point, the only kind that *ring* reads.
    spki_bytes_min: usize,
}

/// The form of a signature in a token: two numbers of a fixed length, one after the other. (TLS has
/// them in ASN.1.)
#[derive(Clone, Copy, Debug)]
struct Curve {
    number_bytes: usize,
    verify: &'static signature::EcdsaVerificationAlgorithm,
}

impl Curve {
    /// Length of a public key at the end of its SPKI: a byte, and two coordinates.
    fn point_bytes(self) -> usize {
        1 + 2 * self.number_bytes
    }
}

const P256: Curve = Curve {
    number_bytes: 32,
    verify: &signature::ECDSA_P256_SHA256_FIXED,
};
const P384: Curve = Curve {
    number_bytes: 48,
    verify: &signature::ECDSA_P384_SHA384_FIXED,
};

impl Method {
    /// Returns `None` for a method that is not supported.
    pub(super) fn find(name: &str) -> Option<Method> {
        use SignatureScheme as Sign;
        use webpki::ring as verify;
        let rsa = |sign, verify| {
            let scheme = Scheme {
                sign,
                verify,
                key: "an RSA key of 2048 to 4096 bits",
                spki_bytes_min: RSA_SPKI_BYTES_MIN,
            };
            Kind::Pair(scheme, None)
        };
        let pair = |sign, verify, key, spki_bytes_min| Scheme {
            sign,
            verify,
            key,
            spki_bytes_min,
        };
        let name = METHODS.iter().find(|known| **known == name)?;
        let kind = match *name {
            "HS256" => Kind::Secret(hmac::HMAC_SHA256),
            "HS384" => Kind::Secret(hmac::HMAC_SHA384),
            "HS512" => Kind::Secret(hmac::HMAC_SHA512),
            "RS256" => rsa(Sign::RSA_PKCS1_SHA256, verify::RSA_PKCS1_2048_8192_SHA256),
            "RS384" => rsa(Sign::RSA_PKCS1_SHA384, verify::RSA_PKCS1_2048_8192_SHA384),
            "RS512" => rsa(Sign::RSA_PKCS1_SHA512, verify::RSA_PKCS1_2048_8192_SHA512),
            "PS256" => rsa(
                Sign::RSA_PSS_SHA256,
                verify::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            ),
            "PS384" => rsa(
                Sign::RSA_PSS_SHA384,
                verify::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
            ),
            "PS512" => rsa(
                Sign::RSA_PSS_SHA512,
                verify::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
            ),
            "ES256" => Kind::Pair(
                pair(
                    Sign::ECDSA_NISTP256_SHA256,
                    verify::ECDSA_P256_SHA256,
                    "a key of the curve P-256",
                    91,
                ),
                Some(P256),
            ),
            "ES384" => Kind::Pair(
                pair(
                    Sign::ECDSA_NISTP384_SHA384,
                    verify::ECDSA_P384_SHA384,
                    "a key of the curve P-384",
                    120,
                ),
                Some(P384),
            ),
            "ES512" => Kind::Es512,
            "EdDSA" => Kind::Pair(
                pair(
                    Sign::ED25519,
                    verify::ED25519,
                    "a key of the curve Ed25519",
                    44,
                ),
                None,
            ),
            other => unreachable!("{other} is in the list of methods"),
        };
        Some(Method { name, kind })
    }
}

/// The contents of the files of keys.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyFiles {
    pub(super) public: Option<Vec<u8>>,
    pub(super) private: Option<Vec<u8>>,
}

/// The keys of a member.
pub(super) struct Keys {
    signing: Option<Signing>,
    verifying: Verifying,
}

enum Signing {
    Secret(hmac::Key),
    Private(Box<dyn Signer>, Option<Curve>),
    Es512(p521::ecdsa::SigningKey),
}

enum Verifying {
    Secret(hmac::Key),
    Public(SubjectPublicKeyInfoDer<'static>, Scheme, Option<Curve>),
    Es512(p521::ecdsa::VerifyingKey),
}

impl Keys {
    pub(super) fn new(options: &JwtOptions, files: &KeyFiles) -> Result<Keys, AuthTokenError> {
        let name = options.method.name;
        let private = options.private_key.as_deref().zip(files.private.as_deref());
        let public = options.public_key.as_deref().zip(files.public.as_deref());
        match options.method.kind {
            Kind::Secret(algorithm) => {
                let (file, secret) =
                    private
                        .filter(|(_, bytes)| !bytes.is_empty())
                        .ok_or_else(|| {
                            AuthTokenError::missing_key(format!(
                                "{name} needs priv-key=FILE, a file with the secret"
                            ))
                        })?;
                let secret = hmac::Key::new(algorithm, check_secret(file, secret)?);
                Ok(Keys {
                    signing: Some(Signing::Secret(secret.clone())),
                    verifying: Verifying::Secret(secret),
                })
            }
            Kind::Pair(scheme, curve) => {
                let read = |der: &PrivateKeyDer<'_>| scheme.private_key(der);
                let private = private_key(private, scheme.key, read)?;
                let public = public_key(public, scheme.key, |spki| scheme.public_key(spki))?;
                let (signer, public) = pair(name, private, public)?;
                Ok(Keys {
                    signing: signer.map(|signer| Signing::Private(signer, curve)),
                    verifying: Verifying::Public(public, scheme, curve),
                })
            }
            Kind::Es512 => {
                let private = private_key(private, es512::KEY, es512::private_key)?;
                let public = public_key(public, es512::KEY, es512::public_key)?;
                let (signing, verifying) = pair(name, private, public)?;
                Ok(Keys {
                    signing: signing.map(Signing::Es512),
                    verifying: Verifying::Es512(verifying),
                })
            }
        }
    }

    /// Signs a message. Returns `None` if there is no private key.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Result<Vec<u8>, rustls::Error>> {
        Some(match self.signing.as_ref()? {
            Signing::Secret(secret) => Ok(hmac::sign(secret, message).as_ref().to_vec()),
            Signing::Private(signer, None) => signer.sign(message),
            Signing::Private(signer, Some(curve)) => signer.sign(message).map(|asn1| {
                let fixed = fixed_length(&asn1, curve.number_bytes);
                fixed.expect("the library writes two numbers of the curve")
            }),
            Signing::Es512(key) => Ok(es512::sign(key, message)),
        })
    }

    /// Returns whether the signature is one of the message.
    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.verifying {
            Verifying::Secret(secret) => hmac::verify(secret, message, signature).is_ok(),
            Verifying::Public(key, scheme, None) => verify(key, scheme, message, signature).is_ok(),
            Verifying::Public(key, _, Some(curve)) => {
                let point = &key[key.len() - curve.point_bytes()..];
                signature::UnparsedPublicKey::new(curve.verify, point)
                    .verify(message, signature)
                    .is_ok()
            }
            Verifying::Es512(key) => es512::verify(key, message, signature),
        }
    }
}

fn check_secret<'a>(file: &Path, secret: &'a [u8]) -> Result<&'a [u8], AuthTokenError> {
    let file = file.display();
    let is_public = |tag: &str| tag == "CERTIFICATE" || tag.ends_with("PUBLIC KEY");
    let blocks = pem::parse_many(secret).unwrap_or_default();
    if blocks.iter().any(|block| is_public(block.tag())) {
        return Err(AuthTokenError::key(format!(
            "priv-key={file} is a public key or a certificate, which is no secret: give a file of \
             random bytes"
        )));
    }
    if secret.len() < SECRET_BYTES_ADVISED {
        tracing::warn!(
            "--auth-token: the secret in {file} has {} bytes: use at least {SECRET_BYTES_ADVISED} \
             random bytes, because a short secret can be guessed from any token",
            secret.len()
        );
    }
    Ok(secret)
}

/// Returns what `read` makes of the first PEM block that it knows by its tag.
fn first_block<T>(text: &[u8], read: impl Fn(&str, Vec<u8>) -> Option<T>) -> Option<T> {
    let blocks = pem::parse_many(text).unwrap_or_default();
    blocks.into_iter().find_map(|block| {
        let tag = block.tag().to_owned();
        read(&tag, block.into_contents())
    })
}

/// A file and what is in it.
type Contents<'a> = Option<(&'a Path, &'a [u8])>;

/// Returns the two halves of a pair of keys, of which one may be missing.
fn pair<S, P: PartialEq>(
    method: &str,
    private: Option<(S, P)>,
    public: Option<P>,
) -> Result<(Option<S>, P), AuthTokenError> {
    match (private, public) {
        (None, None) => Err(AuthTokenError::missing_key(format!(
            "{method} needs priv-key=FILE to sign tokens, or pub-key=FILE to verify them"
        ))),
        (None, Some(public)) => Ok((None, public)),
        (Some((_, own)), Some(public)) if own != public => Err(AuthTokenError::mismatch(
            "give the public key of priv-key as pub-key, or leave pub-key out",
        )),
        (Some((signing, own)), _) => Ok((Some(signing), own)),
    }
}

/// Reads a private key of this kind.
fn private_key<T>(
    contents: Contents<'_>,
    kind: &str,
    read: impl FnOnce(&PrivateKeyDer<'_>) -> Option<T>,
) -> Result<Option<T>, AuthTokenError> {
    let Some((file, bytes)) = contents else {
        return Ok(None);
    };
    let problem = |text: &str| {
        let file = file.display();
        AuthTokenError::key(format!("priv-key={file} {text}"))
    };
    let key = first_block(bytes, |tag, der| match tag {
        "PRIVATE KEY" => Some(Ok(PrivateKeyDer::Pkcs8(der.into()))),
        "RSA PRIVATE KEY" => Some(Ok(PrivateKeyDer::Pkcs1(der.into()))),
        "EC PRIVATE KEY" => Some(Ok(PrivateKeyDer::Sec1(der.into()))),
        "ENCRYPTED PRIVATE KEY" => Some(Err(problem("is encrypted: decrypt it"))),
        _ => None,
    });
    let key = key.ok_or_else(|| problem("has no private key in PEM"))??;
    let key = read(&key).ok_or_else(|| problem(&format!("is not {kind}")))?;
    Ok(Some(key))
}

/// Reads a public key of this kind.
fn public_key<T>(
    contents: Contents<'_>,
    kind: &str,
    read: impl FnOnce(&SubjectPublicKeyInfoDer<'static>) -> Option<T>,
) -> Result<Option<T>, AuthTokenError> {
    let Some((file, bytes)) = contents else {
        return Ok(None);
    };
    let problem = |text: &str| {
        let file = file.display();
        AuthTokenError::key(format!("pub-key={file} {text}"))
    };
    let key = first_block(bytes, |tag, der| match tag {
        "PUBLIC KEY" => Some(Ok(SubjectPublicKeyInfoDer::from(der))),
        "RSA PUBLIC KEY" => Some(Ok(public_key_to_spki(&alg_id::RSA_ENCRYPTION, der))),
        "CERTIFICATE" => {
            let certificate = CertificateDer::from(der);
            let parsed = ParsedCertificate::try_from(&certificate);
            let key = parsed.map(|parsed| parsed.subject_public_key_info());
            Some(key.map_err(|error| problem(&format!("cannot be read: {error}"))))
        }
        _ => None,
    });
    let key = key.ok_or_else(|| problem("has no public key and no certificate in PEM"))??;
    let key = read(&key).ok_or_else(|| problem(&format!("is not {kind}")))?;
    Ok(Some(key))
}

impl Scheme {
    /// Returns the public key as well. `None` for a key of another kind.
    fn private_key(
        &self,
        der: &PrivateKeyDer<'_>,
    ) -> Option<(Box<dyn Signer>, SubjectPublicKeyInfoDer<'static>)> {
        // The text of the error is about TLS.
        let key = any_supported_type(der).ok()?;
        let signer = key.choose_scheme(&[self.sign])?;
        Some((signer, key.public_key()?.into_owned()))
    }

    /// Returns `None` for a key of another kind.
    fn public_key(
        &self,
        spki: &SubjectPublicKeyInfoDer<'static>,
    ) -> Option<SubjectPublicKeyInfoDer<'static>> {
        // Nothing is no signature of nothing. Any other error is about the key.
        let found = verify(spki, self, b"", b"");
        let fits = matches!(found, Err(webpki::Error::InvalidSignatureForPublicKey));
        (fits && spki.len() >= self.spki_bytes_min).then(|| spki.clone())
    }
}

fn verify(
    key: &SubjectPublicKeyInfoDer<'_>,
    scheme: &Scheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), webpki::Error> {
    RawPublicKeyEntity::try_from(key)?.verify_signature(scheme.verify, message, signature)
}

/// Converts the ASN.1 of a signature, `SEQUENCE { r INTEGER, s INTEGER }`, to two numbers of a
/// fixed length. Returns `None` if that is not what it is.
fn fixed_length(asn1: &[u8], number_bytes: usize) -> Option<Vec<u8>> {
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 0x02;
    let [SEQUENCE, length, rest @ ..] = asn1 else {
        return None;
    };
    // Lengths above 127 have another form. The numbers of these curves are shorter.
    let mut rest = (usize::from(*length) == rest.len()).then_some(rest)?;
    let mut fixed = Vec::with_capacity(2 * number_bytes);
    for _ in 0..2 {
        let [INTEGER, length, after @ ..] = rest else {
            return None;
        };
        let (number, after) = after.split_at_checked(usize::from(*length))?;
        // A zero before a number whose highest bit is set keeps it positive.
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        let padding = number_bytes.checked_sub(number.len())?;
        fixed.resize(fixed.len() + padding, 0);
        fixed.extend_from_slice(number);
        rest = after;
    }
    rest.is_empty().then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_signature_get_a_fixed_length() {
        let cases: [(&[u8], Option<&[u8]>); 8] = [
            (&[0x30, 6, 2, 1, 1, 2, 1, 2], Some(&[0, 0, 1, 0, 0, 2])),
            (
                &[0x30, 9, 2, 3, 0x7f, 1, 2, 2, 2, 0x7f, 3],
                Some(&[0x7f, 1, 2, 0, 0x7f, 3]),
            ),
            // The zero is part of the ASN.1, not of the number.
            (
                &[0x30, 10, 2, 4, 0, 0x80, 1, 2, 2, 2, 0, 0xff],
                Some(&[0x80, 1, 2, 0, 0, 0xff]),
            ),
            // Too long for the curve; not two numbers; lengths that are wrong; bytes that are left.
            (&[0x30, 9, 2, 4, 1, 1, 1, 1, 2, 1, 2], None),
            (&[0x30, 3, 2, 1, 1], None),
            (&[0x30, 7, 2, 1, 1, 2, 1, 2], None),
            (&[0x30, 6, 2, 1, 1, 2, 2, 2], None),
            (&[0x30, 7, 2, 1, 1, 2, 1, 2, 0], None),
        ];
        for (asn1, expected) in cases {
            assert_eq!(fixed_length(asn1, 3).as_deref(), expected, "{asn1:?}");
        }
    }
}
