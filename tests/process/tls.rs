//! TLS for clients: `etcdctl`, curl and the `etcd-client` crate, with certificates that are
//! replaced while they are in use.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use etcd_client::{Client, ConnectOptions, Identity, TlsOptions};
use harness::certificates::{Authority, Certificate, Validity};
use harness::child::Child;
use harness::process::{READY, address_in, binary, endpoint_in, own_place};
use harness::{Process, eventually, http1};

const LISTEN: &str = "--listen-client-urls=https://127.0.0.1:0";

/// A client's own certificate, and the authority of the member's.
struct Secrets<'a> {
    own: Option<&'a Certificate>,
    trusted: &'a Path,
}

impl<'a> Secrets<'a> {
    fn of(own: &'a Certificate) -> Self {
        Self {
            own: Some(own),
            trusted: own.trusted(),
        }
    }

    /// Without a certificate of its own.
    fn none(trusted: &'a Path) -> Self {
        Self { own: None, trusted }
    }

    fn curl(&self, url: &str) -> Output {
        self.curl_with(url).output().unwrap()
    }

    fn curl_with(&self, url: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", url]);
        curl.arg("--cacert").arg(self.trusted);
        if let Some(own) = self.own {
            curl.arg("--cert").arg(own.cert());
            curl.arg("--key").arg(own.key());
        }
        curl
    }

    fn etcdctl(&self, endpoint: &str, arguments: &[&str]) -> Output {
        let mut etcdctl = Command::new("/usr/bin/etcdctl");
        etcdctl.env("ETCDCTL_API", "3").args(arguments);
        etcdctl.args([
            "--endpoints",
            endpoint,
            "--dial-timeout=1s",
            "--command-timeout=1s",
        ]);
        etcdctl.arg("--cacert").arg(self.trusted);
        if let Some(own) = self.own {
            etcdctl.arg("--cert").arg(own.cert());
            etcdctl.arg("--key").arg(own.key());
        }
        etcdctl.output().unwrap()
    }

    /// Connects and writes a key.
    async fn put(&self, endpoint: &str) -> Result<(), etcd_client::Error> {
        let trusted = fs::read(self.trusted).unwrap();
        let mut tls = TlsOptions::new().ca_certificate(etcd_client::Certificate::from_pem(trusted));
        if let Some(own) = self.own {
            let [cert, key] = [own.cert(), own.key()].map(|path| fs::read(path).unwrap());
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        let options = ConnectOptions::new().with_tls(tls);
        let mut client = Client::connect([endpoint], Some(options)).await?;
        client.put("k", "v", None).await.map(|_| ())
    }
}

fn start(listen: &str, flags: &[String]) -> Process {
    let mut all = vec![listen];
    all.extend(flags.iter().map(String::as_str));
    Process::start(&all)
}

#[track_caller]
fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn clients_with_a_certificate_are_served_and_others_are_not() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let client = authority.issue("client", Validity::Good);
        let mut process = start(LISTEN, &server.client_flags());
        let endpoint = process.endpoint().to_owned();
        assert!(endpoint.starts_with("https://"));
        let known = Secrets::of(&client);
        assert_eq!(said(&known.etcdctl(&endpoint, &["put", "a", "1"])), "OK\n");
        assert_eq!(said(&known.etcdctl(&endpoint, &["get", "a"])), "a\n1\n");
        known.put(&endpoint).await.unwrap();
        for (path, part) in [
            ("/health", r#""health":"true""#),
            ("/version", r#""etcdserver":"3."#),
            ("/metrics", "etcd_server_has_leader 1"),
        ] {
            let text = said(&known.curl(&format!("{endpoint}{path}")));
            assert!(text.contains(part), "{path}: {text}");
        }

        let unknown = Secrets::none(client.trusted());
        assert!(!unknown.curl(&format!("{endpoint}/health")).status.success());
        assert!(!unknown.etcdctl(&endpoint, &["get", "a"]).status.success());
        unknown.put(&endpoint).await.unwrap_err();
        let another = Authority::new("another");
        let stranger = another.issue("stranger", Validity::Good);
        let strange = Secrets {
            own: Some(&stranger),
            trusted: client.trusted(),
        };
        strange.put(&endpoint).await.unwrap_err();
        for reason in ["sent no certificates", "UnknownIssuer"] {
            let line = expect_line(&mut process, reason).await;
            assert!(
                line.contains("rejected connection on client endpoint"),
                "{line}"
            );
        }
        known.put(&endpoint).await.unwrap();
    });
}

/// As in etcd, a member without a CA accepts any client.
#[test]
fn without_a_ca_a_client_needs_no_certificate() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let process = start(LISTEN, &server.client_flags()[..2]);
        let any = Secrets::none(server.trusted());
        any.put(process.endpoint()).await.unwrap();
        said(&any.curl(&format!("{}/health", process.endpoint())));
    });
}

#[test]
fn a_socket_can_be_secure() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("clients.sock");
        let listen = format!("--listen-client-urls=unixs://{}", socket.display());
        let _process = start(&listen, &server.client_flags());
        let get = |secrets: &Secrets<'_>| {
            let mut curl = secrets.curl_with("https://127.0.0.1/health");
            curl.arg("--unix-socket").arg(&socket).output().unwrap()
        };
        said(&get(&Secrets::of(&server)));
        assert!(!get(&Secrets::none(server.trusted())).status.success());
    });
}

/// The certificate is in the data directory, for clients to trust.
#[test]
fn a_certificate_can_be_generated() {
    harness::run(async {
        let process = start(LISTEN, &["--auto-tls".to_owned()]);
        let certificate = process.data_dir().join("tls/client/cert.pem");
        let any = Secrets::none(&certificate);
        said(&any.curl(&format!("{}/health", process.endpoint())));
        assert_eq!(
            said(&any.etcdctl(process.endpoint(), &["put", "a", "1"])),
            "OK\n"
        );
    });
}

#[test]
fn plain_and_secure_urls_are_served_side_by_side() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let mut flags = server.client_flags();
        flags.push("--listen-metrics-urls=https://127.0.0.1:0,http://127.0.0.1:0".to_owned());
        let listen = format!("{LISTEN},http://127.0.0.1:0");
        let mut process = start(&listen, &flags);
        let clients = two_endpoints(process.child(), READY).await;
        let metrics = two_endpoints(process.child(), "ready to serve metrics").await;
        let known = Secrets::of(&server);
        let unknown = Secrets::none(server.trusted());
        known.put(&clients[0]).await.unwrap();
        unknown.put(&clients[0]).await.unwrap_err();
        assert_eq!(said(&unknown.etcdctl(&clients[1], &["get", "k"])), "k\nv\n");
        // curl prefers HTTP/2, which these ports do not serve.
        said(&known.curl(&format!("{}/metrics", metrics[0])));
        assert!(
            !unknown
                .curl(&format!("{}/metrics", metrics[0]))
                .status
                .success()
        );
        said(&unknown.curl(&format!("{}/metrics", metrics[1])));
    });
}

#[test]
fn plain_http_on_a_secure_port_is_closed() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let mut process = start(LISTEN, &server.client_flags());
        let address = process.endpoint().trim_start_matches("https://").to_owned();
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
        let line = expect_line(&mut process, "does not speak TLS").await;
        assert!(
            line.contains("rejected connection on client endpoint"),
            "{line}"
        );
        Secrets::of(&server).put(process.endpoint()).await.unwrap();
    });
}

/// The list is read again, too.
#[test]
fn a_revoked_client_is_refused() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let (one, other) = (
            authority.issue("one", Validity::Good),
            authority.issue("other", Validity::Good),
        );
        let list = authority.revoke(&[&one]);
        let mut flags = server.client_flags();
        flags.push(format!("--client-crl-file={}", list.display()));
        let process = start(LISTEN, &flags);
        Secrets::of(&one).put(process.endpoint()).await.unwrap_err();
        Secrets::of(&other).put(process.endpoint()).await.unwrap();
        authority.revoke(&[&one, &other]);
        eventually("the new list", || async {
            Secrets::of(&other).put(process.endpoint()).await.err()
        })
        .await;
        Secrets::of(&server).put(process.endpoint()).await.unwrap();
    });
}

#[test]
fn a_client_must_have_an_allowed_name() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        for (names, is_allowed) in [("a.example", false), ("a.example,127.0.0.1", true)] {
            let mut flags = server.client_flags();
            flags.push(format!("--client-cert-allowed-hostname={names}"));
            let process = start(LISTEN, &flags);
            let put = Secrets::of(&server).put(process.endpoint()).await;
            assert_eq!(put.is_ok(), is_allowed, "{put:?}");
        }
    });
}

#[test]
fn versions_and_cipher_suites_can_be_restricted() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let known = Secrets::of(&server);
        let may = |flags: &[&str], options: &[&str]| {
            let mut all = server.client_flags();
            all.extend(flags.iter().map(|&flag| flag.to_owned()));
            let process = start(LISTEN, &all);
            let mut curl = known.curl_with(&format!("{}/version", process.endpoint()));
            curl.args(options).output().unwrap().status.success()
        };
        let (old, new) = (["--tls-max", "1.2"], ["--tlsv1.3"]);
        let suite = |name: &'static str| [&old[..], &["--ciphers", name]].concat();
        assert!(may(&[], &old) && may(&[], &new));
        assert!(!may(&["--tls-min-version=TLS1.3"], &old));
        assert!(!may(&["--tls-max-version=TLS1.2"], &new));
        let chosen = ["--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"];
        assert!(may(&[], &suite("ECDHE-ECDSA-AES256-GCM-SHA384")));
        assert!(!may(&chosen, &suite("ECDHE-ECDSA-AES256-GCM-SHA384")));
        assert!(may(&chosen, &suite("ECDHE-ECDSA-AES128-GCM-SHA256")));
        assert!(may(&chosen, &new));
    });
}

#[test]
fn suites_that_do_not_work_with_the_key_are_warned_of() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let mut flags = server.client_flags();
        flags.push("--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned());
        let mut process = start(LISTEN, &flags);
        let line = expect_line(&mut process, "no suite of --cipher-suites works").await;
        assert!(line.contains("--key-file, which is ECDSA"), "{line}");
        // TLS 1.3 does not depend on it.
        Secrets::of(&server).put(process.endpoint()).await.unwrap();
    });
}

/// A limit of 1,024 open files leaves 349 places for clients.
#[test]
fn connections_that_never_open_keep_no_client_out() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let dir = tempfile::tempdir().unwrap();
        let mut arguments = vec![
            "--nofile=1024:1024".to_owned(),
            binary().display().to_string(),
        ];
        arguments.extend(own_place(dir.path(), "http://127.0.0.1:0"));
        arguments.push(format!("{LISTEN},http://127.0.0.1:0"));
        arguments.extend(server.client_flags());
        let child = Child::spawn("prlimit", &arguments, &[]);
        let [secure, plain] = two_endpoints(&child, READY).await;
        let address = |endpoint: &str| endpoint.split_once("://").unwrap().1.to_owned();
        let mut earlier = TcpStream::connect(address(&plain)).unwrap();
        expect_alive(&mut earlier);
        let silent: Vec<_> = (0..400)
            .map(|_| TcpStream::connect(address(&secure)).unwrap())
            .collect();
        eventually("connections to be evicted", || async {
            let answer = http1::get(&address(&plain), "/metrics").await;
            let refused = answer.metric("conclave_client_connections_refused_total");
            (refused >= Some(200.0)).then_some(())
        })
        .await;
        Secrets::of(&server).put(&secure).await.unwrap();
        expect_alive(&mut earlier);
        drop(silent);
    });
}

/// Sends a request on a connection that stays open, and expects the answer.
fn expect_alive(stream: &mut TcpStream) {
    write!(stream, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    while !answer.ends_with("ok\n") {
        let mut part = [0; 1024];
        let length = stream.read(&mut part).unwrap();
        assert_ne!(length, 0, "the connection is closed: {answer:?}");
        answer.push_str(&String::from_utf8_lossy(&part[..length]));
    }
}

/// Every file is replaced while clients connect, and no request fails. An unusable file leaves the
/// former certificate in use.
#[test]
fn certificates_are_replaced_while_clients_connect() {
    harness::run(async {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let server = old.issue("server", Validity::Good);
        let renewed = new.issue("renewed", Validity::Good);
        let (first, second) = (
            old.issue("client", Validity::Good),
            new.issue("client", Validity::Good),
        );
        // Clients and the member trust both authorities during the replacement.
        let of_old = fs::read_to_string(server.trusted()).unwrap();
        let of_new = fs::read_to_string(renewed.trusted()).unwrap();
        fs::write(server.trusted(), format!("{of_old}{of_new}")).unwrap();
        let mut flags = server.client_flags();
        flags.push("--listen-metrics-urls=http://127.0.0.1:0".to_owned());
        let mut process = start(LISTEN, &flags);
        let endpoint = process.endpoint().to_owned();
        let metrics = address_in(&process.child().line("ready to serve metrics").unwrap());
        let expect_failed = async |failed: f64| {
            let gauge = r#"conclave_tls_reload_failed{connections="clients"}"#;
            let answer = expect_metric(&metrics, gauge, failed).await;
            for flag in ["cert-file", "trusted-ca-file"] {
                let days = format!(r#"conclave_tls_certificate_expiry_days{{flag="{flag}"}}"#);
                assert!(answer.metric(&days).unwrap() > 365.0, "{flag}");
            }
        };
        let load = Load::start(&endpoint, &first);
        load.goes_on().await;
        Secrets::of(&second).put(&endpoint).await.unwrap_err();
        server.replace_by(&renewed);
        // This client trusts the new authority alone.
        eventually("the new certificate", || async {
            Secrets::of(&second).put(&endpoint).await.ok()
        })
        .await;
        load.goes_on().await;

        expect_failed(0.0).await;
        fs::write(server.cert(), "no certificate").unwrap();
        expect_failed(1.0).await;
        Secrets::of(&second).put(&endpoint).await.unwrap();
        load.goes_on().await;
        let line = expect_line(&mut process, "cannot be used").await;
        assert!(line.contains("it has no certificate in PEM"), "{line}");
        server.replace_by(&renewed);
        expect_failed(0.0).await;
        load.stop().await;

        fs::write(server.trusted(), &of_new).unwrap();
        let of_old = Secrets {
            own: Some(&first),
            trusted: renewed.trusted(),
        };
        eventually("the old authority to be gone", || async {
            of_old.put(&endpoint).await.err()
        })
        .await;
        Secrets::of(&second).put(&endpoint).await.unwrap();
    });
}

/// Reading it would never end.
#[test]
fn a_pipe_instead_of_a_certificate_stops_nobody() {
    harness::run(async {
        let authority = Authority::new("the authority");
        let server = authority.issue("server", Validity::Good);
        let renewed = authority.issue("renewed", Validity::Good);
        let mut flags = server.client_flags();
        flags.push("--listen-metrics-urls=http://127.0.0.1:0".to_owned());
        let mut process = start(LISTEN, &flags);
        let metrics = address_in(&process.child().line("ready to serve metrics").unwrap());
        let gauge = r#"conclave_tls_reload_failed{connections="clients"}"#;
        let trusted = tempfile::NamedTempFile::new().unwrap();
        fs::copy(server.trusted(), trusted.path()).unwrap();
        let known = Secrets {
            own: Some(&renewed),
            trusted: trusted.path(),
        };
        for file in [server.cert(), server.key(), server.trusted()] {
            let text = fs::read(file).unwrap();
            fs::remove_file(file).unwrap();
            make_pipe(file);
            expect_metric(&metrics, gauge, 1.0).await;
            known.put(process.endpoint()).await.unwrap();
            fs::remove_file(file).unwrap();
            fs::write(file, text).unwrap();
            expect_metric(&metrics, gauge, 0.0).await;
        }
        fs::remove_file(server.cert()).unwrap();
        make_pipe(server.cert());
        let line = expect_line(&mut process, "it is a pipe").await;
        assert!(line.contains("the former ones stay"), "{line}");
        process.child().terminate();
        assert!(process.child().wait().success());
    });
}

/// The process ends with a text, and does not wait.
#[test]
fn a_file_that_would_hang_is_an_error_at_start() {
    let authority = Authority::new("the authority");
    let server = authority.issue("server", Validity::Good);
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    make_pipe(&pipe);
    for (flag, text) in [
        ("cert-file", "it is a pipe"),
        ("key-file", "it is a pipe"),
        ("trusted-ca-file", "it is a pipe"),
        ("client-crl-file", "it is a pipe"),
        ("log-outputs", "does anything read it?"),
    ] {
        let mut arguments = own_place(dir.path(), "https://127.0.0.1:0");
        let name = format!("--{flag}=");
        let others = server.client_flags().into_iter();
        arguments.extend(others.filter(|other| !other.starts_with(&name)));
        arguments.push(format!("{name}{}", pipe.display()));
        let output = Command::new(binary()).args(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let named = pipe.display().to_string();
        assert!(
            said.contains(text) && said.contains(&named),
            "{flag}: {said}"
        );
    }
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Waits until a metric has a value, and returns the answer that has it.
async fn expect_metric(address: &str, metric: &str, value: f64) -> http1::Answer {
    eventually(&format!("{metric} to be {value}"), || async {
        let answer = http1::get(address, "/metrics").await;
        (answer.metric(metric) == Some(value)).then_some(answer)
    })
    .await
}

/// Connections that are made one after the other, each with a request.
struct Load {
    count: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(endpoint: &str, client: &Certificate) -> Self {
        let (endpoint, client) = (endpoint.to_owned(), client.clone());
        let (count, stop) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (counted, stopped) = (Arc::clone(&count), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            // Both authorities, whatever the file says later.
            let trusted = tempfile::NamedTempFile::new().unwrap();
            fs::copy(client.trusted(), trusted.path()).unwrap();
            let secrets = Secrets {
                own: Some(&client),
                trusted: trusted.path(),
            };
            while !stopped.load(Ordering::Relaxed) {
                secrets.put(&endpoint).await.expect("no request fails");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { count, stop, task }
    }

    /// Waits for ten more requests.
    async fn goes_on(&self) {
        let goal = self.count.load(Ordering::Relaxed) + 10;
        eventually("ten requests", || {
            assert!(!self.task.is_finished(), "a request failed");
            let done = self.count.load(Ordering::Relaxed) >= goal;
            async move { done.then_some(()) }
        })
        .await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no request failed");
    }
}

/// The URLs of two listeners, from the lines that announce them.
pub(crate) async fn two_endpoints(child: &Child, announced: &str) -> [String; 2] {
    eventually("two listeners", || {
        let lines = child.lines();
        let found = lines.iter().filter(|line| line.contains(announced));
        let endpoints: Vec<String> = found.map(|line| endpoint_in(line)).collect();
        async move { <[String; 2]>::try_from(endpoints).ok() }
    })
    .await
}

async fn expect_line(process: &mut Process, part: &str) -> String {
    let child = process.child();
    eventually(&format!("a line with {part:?}"), || {
        let lines = child.lines();
        let found = lines.into_iter().find(|line| line.contains(part));
        async move { found }
    })
    .await
}
