//! The flags of TLS for clients, and the URLs that need them.

use super::*;

/// URLs for clients, one with TLS.
const URLS: &str = "--listen-client-urls=https://10.0.0.1:1,http://127.0.0.1:2 \
                    --advertise-client-urls=https://a:1";

fn error_of(arguments: &str) -> String {
    error(arguments, "").0
}

#[test]
fn tls_for_clients_is_read() {
    let (config, notices) = run(
        &format!(
            "{URLS} --cert-file=c --key-file=k --trusted-ca-file=ca --client-cert-auth \
             --client-crl-file=l --client-cert-allowed-hostname=a,b --client-cert-file=cc \
             --client-key-file=ck --tls-max-version=TLS1.2 \
             --listen-metrics-urls=https://127.0.0.1:3"
        ),
        "",
    );
    assert_eq!(notices, []);
    assert_eq!(config.peer_tls, None);
    let tls = config.client_tls.expect("configured");
    let files = |cert: &str, key: &str| TlsFiles {
        cert: cert.into(),
        key: key.into(),
    };
    assert_eq!(tls.identity, TlsIdentity::Files(files("c", "k")));
    assert_eq!(tls.client_identity, Some(files("cc", "ck")));
    assert_eq!(tls.trusted_ca_file, Some("ca".into()));
    assert_eq!(tls.crl_file, Some("l".into()));
    assert_eq!(tls.allowed_hostnames, ["a", "b"]);
    assert!(tls.skip_client_san_verification);
    assert_eq!(tls.max_version, TlsVersion::Tls12);
}

#[test]
fn cipher_suites_have_their_names_in_go() {
    let suites = |text: &str| {
        let flags = format!("{URLS} --auto-tls --peer-auto-tls --cipher-suites={text}");
        let config = config(&flags);
        let [peers, clients] = [config.peer_tls, config.client_tls].map(Option::unwrap);
        assert_eq!(peers.cipher_suites, clients.cipher_suites);
        clients.cipher_suites
    };
    assert_eq!(suites(""), []);
    let one =
        suites("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305");
    let names: Vec<String> = one.iter().map(|suite| format!("{suite:?}")).collect();
    assert_eq!(
        names,
        [
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
        ]
    );
    let unknown = "TLS_RSA_WITH_AES_128_CBC_SHA";
    let text = error_of(&format!("--cipher-suites={unknown}"));
    let start = format!(
        "--cipher-suites is {unknown:?}: {unknown} is not available: choose from \
         TLS_AES_256_GCM_SHA384, "
    );
    assert!(text.starts_with(&start), "{text}");
    let text = error_of("--cipher-suites=TLS_AES_128_GCM_SHA256 --tls-min-version=TLS1.3");
    assert!(
        text.starts_with("--cipher-suites is given and --tls-min-version"),
        "{text}"
    );
    let text = error_of("--cipher-suites=TLS_AES_128_GCM_SHA256 --tls-max-version=TLS1.2");
    assert!(
        text.contains("no suite of --cipher-suites is for it"),
        "{text}"
    );
}

/// As in etcd, only members must authenticate each other.
#[test]
fn clients_need_no_ca() {
    let tls = config(&format!("{URLS} --cert-file=c --key-file=k")).client_tls;
    assert_eq!(tls.expect("configured").trusted_ca_file, None);
    let explicit = "--client-cert-auth=false --trusted-ca-file= --auto-tls=false";
    assert_eq!(config(explicit).client_tls, None);
}

#[test]
fn a_generated_certificate_names_the_hosts_of_the_urls() {
    let tls = config(&format!("{URLS} --auto-tls --self-signed-cert-validity=3")).client_tls;
    let identity = TlsIdentity::SelfSigned {
        validity_years: 3,
        hosts: vec!["10.0.0.1".to_owned(), "a".to_owned()],
    };
    assert_eq!(tls.expect("configured").identity, identity);
}

#[test]
fn clients_without_tls_are_warned_of() {
    let files = "--cert-file=c --key-file=k";
    let (_, notices) = run(files, "");
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0]
            .text
            .contains("no URL of --listen-client-urls begins with https://")
    );
    let urls = "--listen-client-urls=https://10.0.0.1:1,http://10.0.0.1:2,unix://a \
                --advertise-client-urls=https://a:1";
    let (_, notices) = run(&format!("{urls} {files}"), "");
    assert_eq!(notices.len(), 1);
    let text = &notices[0].text;
    assert!(
        text.contains("--listen-client-urls has http://10.0.0.1:2: "),
        "{text}"
    );
    // A certificate elsewhere, such as in front of this member, needs none here.
    let (config, notices) = run("--advertise-client-urls=https://a:1", "");
    assert_eq!((config.client_tls, notices), (None, vec![]));
}

#[test]
fn tls_for_clients_must_be_whole() {
    for (arguments, text) in [
        (
            URLS,
            "https://10.0.0.1:1 begins with https:// and there is no certificate: give \
             --cert-file and --key-file, or --auto-tls",
        ),
        (
            "--listen-metrics-urls=https://127.0.0.1:3",
            "https://127.0.0.1:3 begins with https:// and there is no certificate: give \
             --cert-file and --key-file, or --auto-tls",
        ),
        (
            "--cert-file=c",
            "--cert-file is given and --key-file is not: give both",
        ),
        (
            "--client-key-file=k",
            "--client-key-file is given and --client-cert-file is not: give both",
        ),
        (
            "--cert-file=c --key-file=k --client-cert-auth",
            "--client-cert-auth is given and --trusted-ca-file is not: give the CA that signs \
             the clients' certificates",
        ),
        (
            "--cert-file=c --key-file=k --client-cert-allowed-hostname=a",
            "--client-cert-allowed-hostname is given and --trusted-ca-file is not: give the CA \
             that signs the clients' certificates",
        ),
        (
            "--auto-tls --client-cert-auth",
            "--client-cert-auth is given and --auto-tls makes certificates that clients cannot \
             check: give --cert-file and --key-file instead",
        ),
        (
            "--client-crl-file=l",
            "--client-crl-file is given and --cert-file is not: give --cert-file and --key-file, \
             and https:// URLs to --listen-client-urls",
        ),
    ] {
        assert_eq!(error_of(arguments), text);
    }
}
