//! Verification of a chain of certificates: from one that the other end presents to a trusted CA.
//!
//! The chain is built and its signatures, dates and extensions are checked by webpki, the library
//! that rustls uses too. For webpki a trusted CA is a name and a key. Here it is the certificate in
//! the operator's file as well, as in etcd: out of its dates it vouches for nobody, and there are
//! no more CAs below it than it permits.
//!
//! # Revocation
//!
//! Each certificate of the chain is looked up in the lists of its issuer. One that no list is about
//! counts as not revoked. webpki takes one list of an issuer, so the lists are kept in *layers*, of
//! which each has at most one list of an issuer, and a chain must pass them all.
//!
//! For webpki a list belongs to an issuer's name, and a CA that was renewed with another key often
//! keeps its name. So a list of a trusted CA is kept with the key that signed it ([`List`]), and is
//! used only for chains with this key. Which key that is, is known when a chain has been found, so
//! webpki first builds a chain without lists. A list of an intermediate CA is used by its name
//! alone: that CA's certificate is known only in a handshake.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, DistinguishedName, Error, OtherError, RootCertStore};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, SubjectPublicKeyInfoDer, TrustAnchor, UnixTime,
};
use time::OffsetDateTime;
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RawPublicKeyEntity,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
    spki_for_anchor,
};

use conclave_core::limits::TLS_ISSUER_LISTS_MAX;

use super::verify::refused;
use super::x509::{Facts, facts, name_in, signed};

/// The CAs that are trusted, and what they have revoked.
#[derive(Debug)]
pub(super) struct Chain {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    /// The certificates of the roots, in their order.
    authorities: Vec<Authority>,
    layers: Vec<Vec<List>>,
}

/// A list of revoked certificates.
#[derive(Debug)]
struct List {
    content: CertRevocationList<'static>,
    /// The key of the trusted CA that signed it. `None` if no trusted CA has the issuer's name.
    signer: Option<SubjectPublicKeyInfoDer<'static>>,
}

impl List {
    /// Parses a list and finds its signer among `roots`. Returns the problem with it, if there is
    /// one.
    fn read(
        der: &CertificateRevocationListDer<'_>,
        roots: &[TrustAnchor<'_>],
        provider: &CryptoProvider,
    ) -> Result<List, String> {
        let content = OwnedCertRevocationList::from_der(der).map_err(|error| {
            let problem = match error {
                // Printed with the name of a type.
                webpki::Error::TrailingData(_) => "it is not DER, or goes on after its end".into(),
                error => error.to_string(),
            };
            format!(
                "a list of revoked certificates in it cannot be used: {problem}; give lists of \
                 version 2, in PEM or DER"
            )
        })?;
        let content = CertRevocationList::from(content);
        let namesakes = roots
            .iter()
            .filter(|root| *root.subject == *content.issuer());
        let mut keys = namesakes.map(spki_for_anchor).peekable();
        let has_namesake = keys.peek().is_some();
        let signer = keys.find(|key| has_signed(key, der, provider));
        if has_namesake && signer.is_none() {
            // It would refuse all certificates of these CAs.
            let name = name_in(content.issuer()).unwrap_or_default();
            return Err(format!(
                "no trusted CA with the name {name:?} has signed its list of revoked certificates \
                 of that name: give the list that fits the CA's key"
            ));
        }
        Ok(List { content, signer })
    }

    /// True if both lists are of one issuer and one key. Such lists cannot share a layer.
    fn is_like(&self, other: &List) -> bool {
        self.content.issuer() == other.content.issuer() && self.signer == other.signer
    }

    fn concerns(&self, path: &VerifiedPath<'_>) -> bool {
        let Some(signer) = &self.signer else {
            return true;
        };
        let mut between = path.intermediate_certificates();
        // An intermediate CA can have the key of a trusted one, which is being renewed.
        *signer == spki_for_anchor(path.anchor())
            || between.any(|between| *signer == between.subject_public_key_info())
    }
}

/// True if this key has signed the list.
fn has_signed(
    key: &SubjectPublicKeyInfoDer<'_>,
    list: &CertificateRevocationListDer<'_>,
    provider: &CryptoProvider,
) -> bool {
    let (Some(signed), Ok(key)) = (signed(list), RawPublicKeyEntity::try_from(key)) else {
        return false;
    };
    let all = provider.signature_verification_algorithms.all.iter();
    let mut fitting = all.filter(|one| *one.signature_alg_id() == *signed.algorithm);
    fitting.any(|one| {
        let verified = key.verify_signature(*one, signed.message, signed.signature);
        verified.is_ok()
    })
}

/// The certificate of a trusted CA.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    /// Its common name, for log lines.
    pub(super) name: String,
    pub(super) begins: OffsetDateTime,
    pub(super) ends: OffsetDateTime,
    path_len: Option<usize>,
}

impl Authority {
    /// Reads the certificate. Returns the problem with one that is not a CA's.
    pub(super) fn read(der: &CertificateDer<'_>) -> Result<Authority, String> {
        let Facts {
            common_name,
            begins,
            ends,
            is_ca,
            path_len,
        } = facts(der);
        let name = common_name.unwrap_or_default();
        if !is_ca {
            return Err(format!(
                "the certificate {name:?} in it is not of a CA (CA:TRUE in its basic constraints)"
            ));
        }
        let (Some(begins), Some(ends)) = (begins, ends) else {
            return Err(format!(
                "the dates of the certificate {name:?} in it are unreadable"
            ));
        };
        Ok(Authority {
            name,
            begins,
            ends,
            path_len,
        })
    }

    /// Returns why it does not vouch for a chain with this many CAs below it, if so.
    fn objection(&self, now: UnixTime, below: usize) -> Option<String> {
        let name = &self.name;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now > self.ends.unix_timestamp() {
            return Some(format!("its CA {name:?} has expired"));
        }
        if now < self.begins.unix_timestamp() {
            return Some(format!("its CA {name:?} is not valid yet"));
        }
        let most = self.path_len.filter(|&most| below > most)?;
        Some(format!(
            "its CA {name:?} permits {most} CAs below it, and there are {below}"
        ))
    }
}

impl Chain {
    /// `authorities` are the certificates of `roots`, in their order. Returns the problem with the
    /// lists, if there is one.
    pub(super) fn new(
        provider: Arc<CryptoProvider>,
        roots: RootCertStore,
        authorities: Vec<Authority>,
        lists: &[CertificateRevocationListDer<'_>],
    ) -> Result<Chain, String> {
        let mut layers: Vec<Vec<List>> = Vec::new();
        for list in lists {
            let list = List::read(list, &roots.roots, &provider)?;
            let is_free = |layer: &&mut Vec<List>| !layer.iter().any(|other| other.is_like(&list));
            match layers.iter_mut().find(is_free) {
                Some(layer) => layer.push(list),
                None => layers.push(vec![list]),
            }
        }
        if layers.len() > TLS_ISSUER_LISTS_MAX {
            return Err(format!(
                "it has {} lists of one issuer, and at most {TLS_ISSUER_LISTS_MAX} can be used: \
                 give the latest",
                layers.len()
            ));
        }
        Ok(Chain {
            provider,
            roots,
            authorities,
            layers,
        })
    }

    /// Names of the trusted CAs, for clients that have several certificates.
    pub(super) fn subjects(&self) -> Vec<DistinguishedName> {
        self.roots.subjects()
    }

    /// Checks that a trusted CA vouches for this certificate.
    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(invalid)?;
        let search = Search {
            chain: self,
            now,
            usage,
            objection: RefCell::default(),
        };
        let found = search.run(&certificate, intermediates);
        found.map_err(|error| match search.objection.take() {
            // What is wrong with the certificate itself comes first.
            Some(text) if error != webpki::Error::CertRevoked => refused(text),
            _ => invalid(error),
        })
    }

    fn certificates_of<'a>(
        &'a self,
        root: &'a TrustAnchor<'_>,
    ) -> impl Iterator<Item = &'a Authority> {
        let all = self.roots.roots.iter().zip(&self.authorities);
        all.filter(move |(other, _)| *other == root)
            .map(|(_, authority)| authority)
    }
}

/// Judges a chain that webpki has found.
type Accept<'a> = dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error> + 'a;

/// The search for one valid chain.
struct Search<'a> {
    chain: &'a Chain,
    now: UnixTime,
    usage: KeyUsage,
    /// Why a CA at the end of an otherwise valid chain did not vouch for it.
    objection: RefCell<Option<String>>,
}

impl Search<'_> {
    fn run(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), webpki::Error> {
        let accept = |path: &VerifiedPath<'_>| {
            self.ask_root(path)?;
            let mut layers = self.chain.layers.iter();
            layers.try_for_each(|layer| self.pass(layer, path))
        };
        let roots = &self.chain.roots.roots;
        self.verify(certificate, roots, intermediates, None, Some(&accept))
    }

    /// Verifies a chain again, with the lists of one layer.
    fn pass(&self, layer: &[List], path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        let lists = layer.iter().filter(|list| list.concerns(path));
        let lists: Vec<_> = lists.map(|list| &list.content).collect();
        let Ok(lists) = RevocationOptionsBuilder::new(&lists) else {
            // No list of this layer is about this chain.
            return Ok(());
        };
        let lists = lists.with_status_policy(UnknownStatusPolicy::Allow).build();
        // The same chain, so that it is not another one that passes the lists.
        let root = [path.anchor().clone()];
        let between = path.intermediate_certificates();
        let between: Vec<_> = between.map(|between| between.der()).collect();
        self.verify(path.end_entity(), &root, &between, Some(lists), None)
    }

    fn verify(
        &self,
        certificate: &EndEntityCert<'_>,
        roots: &[TrustAnchor<'_>],
        intermediates: &[CertificateDer<'_>],
        lists: Option<RevocationOptions<'_>>,
        accept: Option<&Accept<'_>>,
    ) -> Result<(), webpki::Error> {
        let algorithms = self.chain.provider.signature_verification_algorithms.all;
        let (now, usage) = (self.now, self.usage);
        let found = certificate.verify_for_usage(
            algorithms,
            roots,
            intermediates,
            now,
            usage,
            lists,
            accept,
        );
        found.map(|_| ())
    }

    /// Asks the CA at the end of a chain. It is enough if one of its certificates is good, as after
    /// a renewal with the same key.
    fn ask_root(&self, path: &VerifiedPath<'_>) -> Result<(), webpki::Error> {
        let below = path.intermediate_certificates().count();
        let mut objection = None;
        for authority in self.chain.certificates_of(path.anchor()) {
            objection = authority.objection(self.now, below);
            if objection.is_none() {
                return Ok(());
            }
        }
        self.objection.replace(objection);
        Err(webpki::Error::UnknownIssuer)
    }
}

/// The error of rustls, whose alerts and texts are then those of its own verifiers.
pub(super) fn invalid(error: webpki::Error) -> Error {
    use webpki::Error as Bad;
    Error::InvalidCertificate(match error {
        Bad::BadDer | Bad::BadDerTime | Bad::TrailingData(_) => CertificateError::BadEncoding,
        Bad::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        Bad::CertExpired { time, not_after } => {
            CertificateError::ExpiredContext { time, not_after }
        }
        Bad::UnknownIssuer => CertificateError::UnknownIssuer,
        Bad::CertRevoked => CertificateError::Revoked,
        Bad::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Bad::RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        Bad::InvalidCrlSignatureForPublicKey => {
            let text = "the list of revoked certificates with the name of its CA is of another key";
            return refused(text.to_owned());
        }
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
        ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams,
        date_time_ymd,
    };
    use rustls::crypto::ring;

    use super::*;

    /// 2024-01-01.
    const NOW: u64 = 1_704_067_200;
    const YEAR: u64 = 366 * 86_400;

    /// A CA, or an intermediate one.
    struct Ca {
        issuer: Issuer<'static, KeyPair>,
        der: CertificateDer<'static>,
    }

    fn params(name: &str, serial: u64) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    /// A CA that is valid from 2023 to the end of 2025.
    fn ca_params(name: &str, serial: u64, constraints: BasicConstraints) -> CertificateParams {
        let mut params = params(name, serial);
        params.extended_key_usages.clear();
        params.not_before = date_time_ymd(2023, 1, 1);
        params.not_after = date_time_ymd(2026, 1, 1);
        params.is_ca = IsCa::Ca(constraints);
        params
    }

    impl Ca {
        fn root(name: &str, constraints: BasicConstraints) -> Ca {
            let (params, key) = (ca_params(name, 1, constraints), key());
            let der = params.self_signed(&key).expect("signed").der().clone();
            let issuer = Issuer::new(params, key);
            Ca { issuer, der }
        }

        fn below(&self, name: &str, serial: u64) -> Ca {
            let params = ca_params(name, serial, BasicConstraints::Unconstrained);
            let key = key();
            let signed = params.signed_by(&key, &self.issuer).expect("signed");
            let der = signed.der().clone();
            let issuer = Issuer::new(params, key);
            Ca { issuer, der }
        }

        fn end(&self, serial: u64) -> CertificateDer<'static> {
            let params = params("an end", serial);
            let signed = params.signed_by(&key(), &self.issuer).expect("signed");
            signed.der().clone()
        }

        fn list(&self, serials: &[u64]) -> CertificateRevocationListDer<'static> {
            let at = date_time_ymd(2023, 1, 1);
            let revoked = serials.iter().map(|&serial| RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: at,
                reason_code: None,
                invalidity_date: None,
            });
            let list = CertificateRevocationListParams {
                this_update: at,
                next_update: date_time_ymd(2100, 1, 1),
                crl_number: 1.into(),
                issuing_distribution_point: None,
                revoked_certs: revoked.collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let list = list.signed_by(&self.issuer).expect("signed");
            list.der().clone()
        }
    }

    fn key() -> KeyPair {
        KeyPair::generate().expect("a key")
    }

    fn chain(
        roots: &[&Ca],
        lists: Vec<CertificateRevocationListDer<'static>>,
    ) -> Result<Chain, String> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.der.clone()).expect("a CA");
        }
        let authorities = roots.iter().map(|root| Authority::read(&root.der));
        let authorities: Result<Vec<_>, _> = authorities.collect();
        let provider = Arc::new(ring::default_provider());
        Chain::new(provider, store, authorities.expect("CAs"), &lists)
    }

    /// Returns what is wrong with a client's certificate at `time`.
    fn wrong(chain: &Chain, end: &CertificateDer<'_>, below: &[&Ca], time: u64) -> Option<String> {
        let below: Vec<_> = below.iter().map(|ca| ca.der.clone()).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(time));
        let verified = chain.verify(end, &below, time, KeyUsage::client_auth());
        verified.err().map(|error| error.to_string())
    }

    #[test]
    fn a_ca_out_of_its_dates_vouches_for_nobody() {
        let ca = Ca::root("the CA", BasicConstraints::Unconstrained);
        let chain = chain(&[&ca], Vec::new()).expect("no lists");
        let end = ca.end(10);
        assert_eq!(wrong(&chain, &end, &[], NOW), None);
        let ended = wrong(&chain, &end, &[], NOW + 3 * YEAR).expect("it has expired");
        assert!(ended.contains("has expired"), "{ended}");
        let early = wrong(&chain, &end, &[], NOW - 2 * YEAR).expect("it is not valid yet");
        assert!(early.contains("is not valid yet"), "{early}");
    }

    /// A CA that was renewed with its key is in the file twice.
    #[test]
    fn one_good_certificate_of_a_ca_is_enough() {
        let old = Ca::root("the CA", BasicConstraints::Unconstrained);
        let mut params = ca_params("the CA", 2, BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(2060, 1, 1);
        let renewed = params.self_signed(old.issuer.key()).expect("signed");
        let renewed = Ca {
            der: renewed.der().clone(),
            issuer: Issuer::new(params, key()),
        };
        let end = old.end(10);
        for roots in [[&old, &renewed], [&renewed, &old]] {
            let chain = chain(&roots, Vec::new()).expect("no lists");
            assert_eq!(wrong(&chain, &end, &[], NOW + 3 * YEAR), None);
        }
    }

    #[test]
    fn there_are_no_more_cas_below_a_ca_than_it_permits() {
        let ca = Ca::root("the CA", BasicConstraints::Constrained(1));
        let chain = chain(&[&ca], Vec::new()).expect("no lists");
        let one = ca.below("one", 2);
        let two = one.below("two", 3);
        assert_eq!(wrong(&chain, &ca.end(10), &[], NOW), None);
        assert_eq!(wrong(&chain, &one.end(10), &[&one], NOW), None);
        let text = wrong(&chain, &two.end(10), &[&one, &two], NOW).expect("too many");
        assert!(
            text.contains("permits 1 CAs below it, and there are 2"),
            "{text}"
        );
    }

    #[test]
    fn who_is_not_a_ca_is_not_trusted_as_one() {
        for constraints in [IsCa::NoCa, IsCa::ExplicitNoCa] {
            let mut params = params("an end", 1);
            params.is_ca = constraints;
            let der = params.self_signed(&key()).expect("signed").der().clone();
            let text = Authority::read(&der).expect_err("no CA");
            assert!(
                text.contains(r#""an end""#) && text.contains("CA:TRUE"),
                "{text}"
            );
        }
    }

    #[test]
    fn below_a_revoked_intermediate_ca_all_are_refused() {
        let ca = Ca::root("the CA", BasicConstraints::Unconstrained);
        let (revoked, good) = (ca.below("revoked", 2), ca.below("good", 3));
        let lowest = revoked.below("lowest", 4);
        let chain = chain(&[&ca], vec![ca.list(&[2])]).expect("a list");
        assert_eq!(wrong(&chain, &ca.end(10), &[], NOW), None);
        // There is no list of this intermediate CA, and that is no reason to refuse.
        assert_eq!(wrong(&chain, &good.end(10), &[&good], NOW), None);
        for (end, below) in [
            (revoked.end(10), vec![&revoked]),
            (lowest.end(10), vec![&lowest, &revoked]),
        ] {
            let text = wrong(&chain, &end, &below, NOW).expect("revoked");
            assert!(text.contains("Revoked"), "{text}");
        }
    }

    #[test]
    fn all_lists_of_an_issuer_count() {
        let ca = Ca::root("the CA", BasicConstraints::Unconstrained);
        let between = ca.below("between", 2);
        let other = Ca::root("another", BasicConstraints::Unconstrained);
        let lists = || {
            let lists = [&[10][..], &[], &[11, 2], &[12]].map(|serials| ca.list(serials));
            let mut lists = Vec::from(lists);
            lists.insert(1, other.list(&[13]));
            lists
        };
        let chain = |lists| chain(&[&ca, &other], lists);
        let all = chain(lists()).expect("some lists");
        for serial in [10, 11, 12] {
            let text = wrong(&all, &ca.end(serial), &[], NOW).expect("revoked");
            assert!(text.contains("Revoked"), "{text}");
        }
        assert!(wrong(&all, &between.end(20), &[&between], NOW).is_some());
        assert!(wrong(&all, &other.end(13), &[], NOW).is_some());
        assert_eq!(wrong(&all, &ca.end(13), &[], NOW), None);
        assert_eq!(wrong(&all, &other.end(10), &[], NOW), None);
        let many = (0..9).map(|_| ca.list(&[10])).collect();
        let text = chain(many).expect_err("too many");
        assert!(text.contains("9 lists of one issuer"), "{text}");
    }

    fn expect_revoked(chain: &Chain, end: &CertificateDer<'_>, below: &[&Ca]) {
        let text = wrong(chain, end, below, NOW).expect("revoked");
        assert!(text.contains("Revoked"), "{text}");
    }

    /// A CA that was renewed with another key.
    #[test]
    fn lists_of_cas_with_one_name_count_for_the_key_that_signed_them() {
        let [old, new] = [(); 2].map(|()| Ca::root("the CA", BasicConstraints::Unconstrained));
        let (below_old, below_new) = (old.below("between", 2), new.below("between", 2));
        for roots in [[&old, &new], [&new, &old]] {
            let both = chain(&roots, vec![old.list(&[10]), new.list(&[11, 2])]).expect("lists");
            for (good, revoked) in [(old.end(11), old.end(10)), (new.end(10), new.end(11))] {
                assert_eq!(wrong(&both, &good, &[], NOW), None);
                expect_revoked(&both, &revoked, &[]);
            }
            assert_eq!(wrong(&both, &below_old.end(20), &[&below_old], NOW), None);
            expect_revoked(&both, &below_new.end(20), &[&below_new]);

            // With a list of one of them, the other has revoked nothing.
            for (with, without) in [(&old, &new), (&new, &old)] {
                let one = chain(&roots, vec![with.list(&[10])]).expect("a list");
                assert_eq!(wrong(&one, &with.end(11), &[], NOW), None);
                expect_revoked(&one, &with.end(10), &[]);
                assert_eq!(wrong(&one, &without.end(10), &[], NOW), None);
            }
        }
        // Up to eight lists of each.
        let lists = [&old, &new].map(|ca| (0..8).map(|_| ca.list(&[10])));
        let many = chain(&[&old, &new], lists.into_iter().flatten().collect());
        expect_revoked(&many.expect("not too many"), &new.end(10), &[]);
    }

    /// The new CA vouches for the old one, whose own certificate has expired.
    #[test]
    fn the_list_of_a_trusted_ca_counts_when_another_vouches_for_it() {
        let new = Ca::root("new", BasicConstraints::Unconstrained);
        let mut params = ca_params("old", 1, BasicConstraints::Unconstrained);
        let key = key();
        let across = params.signed_by(&key, &new.issuer).expect("signed");
        params.not_after = date_time_ymd(2023, 6, 1);
        let old = Ca {
            der: params.self_signed(&key).expect("signed").der().clone(),
            issuer: Issuer::new(params, key),
        };
        let across = Ca {
            der: across.der().clone(),
            issuer: Issuer::new(CertificateParams::default(), super::tests::key()),
        };
        let chain = chain(&[&old, &new], vec![old.list(&[10])]).expect("a list");
        assert_eq!(wrong(&chain, &old.end(11), &[&across], NOW), None);
        expect_revoked(&chain, &old.end(10), &[&across]);
    }

    #[test]
    fn a_list_that_its_issuer_did_not_sign_is_an_error() {
        let [ca, other] = [(); 2].map(|()| Ca::root("the CA", BasicConstraints::Unconstrained));
        let text = chain(&[&ca], vec![ca.list(&[]), other.list(&[])]).expect_err("not signed");
        assert!(
            text.contains("no trusted CA with the name \"the CA\""),
            "{text}"
        );
        let mut changed = ca.list(&[10]).to_vec();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        let text = chain(&[&ca], vec![changed.into()]).expect_err("not signed");
        assert!(text.contains("no trusted CA"), "{text}");
        // The keys of intermediate CAs are not known before a handshake.
        let [below, namesake] = [2, 3].map(|serial| ca.below("between", serial));
        let chain = chain(&[&ca], vec![below.list(&[10])]).expect("a list");
        assert_eq!(wrong(&chain, &below.end(11), &[&below], NOW), None);
        expect_revoked(&chain, &below.end(10), &[&below]);
        let text = wrong(&chain, &namesake.end(10), &[&namesake], NOW).expect("refused");
        assert!(text.contains("of another key"), "{text}");
    }
}
