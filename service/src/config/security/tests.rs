//! A second set of flags, under the names that etcd has for clients.

use super::*;

/// Names of etcd's flags for clients, which are refused before they get here.
static CLIENT_FLAGS: TlsFlags = TlsFlags {
    users: "clients",
    verifiers: "clients",
    dir: "client",
    cert_file: "cert-file",
    key_file: "key-file",
    auto_tls: "auto-tls",
    client_cert_file: "client-cert-file",
    client_key_file: "client-key-file",
    client_cert_auth: "client-cert-auth",
    trusted_ca_file: "trusted-ca-file",
    crl_file: "client-crl-file",
    allowed_cn: "client-cert-allowed-cn",
    allowed_hostname: "client-cert-allowed-hostname",
    skip_client_san_verification: "client-skip-client-san-verification",
};

const COMMON: Common = Common {
    min_version: TlsVersion::Tls12,
    max_version: TlsVersion::Tls13,
    validity_years: 1,
};

const NONE: TlsArguments<'static> = TlsArguments {
    flags: &CLIENT_FLAGS,
    listen_urls: "listen-client-urls",
    cert_file: None,
    key_file: None,
    auto_tls: false,
    client_cert_file: None,
    client_key_file: None,
    client_cert_auth: false,
    trusted_ca_file: None,
    crl_file: None,
    allowed_cn: "",
    allowed_hostname: "",
    skip_client_san_verification: false,
};

fn error(arguments: &TlsArguments<'_>) -> String {
    let checked = check_tls(arguments, &COMMON, &[], &mut Vec::new());
    checked.expect_err("a conflict").to_string()
}

#[test]
fn a_second_set_of_flags_is_checked_by_the_same_code() {
    assert_eq!(
        error(&TlsArguments {
            cert_file: Some("c"),
            ..NONE
        }),
        "--cert-file is given and --key-file is not: give both"
    );
    assert_eq!(
        error(&TlsArguments {
            crl_file: Some("l"),
            ..NONE
        }),
        "--client-crl-file is given and --cert-file is not: give --cert-file and --key-file, \
         and https:// URLs to --listen-client-urls"
    );
    let whole = TlsArguments {
        cert_file: Some("c"),
        key_file: Some("k"),
        trusted_ca_file: Some("ca"),
        ..NONE
    };
    let settings = check_tls(&whole, &COMMON, &[], &mut Vec::new());
    let settings = settings.expect("no conflict").expect("there are files");
    assert_eq!(settings.flags, &CLIENT_FLAGS);
    assert_eq!(settings.trusted_ca_file, Some("ca".into()));
}
