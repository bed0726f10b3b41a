package client

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"conclave.dev/client/internal/testserver"
)

func TestEndpointsAreOfFourForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]target{
		"http://h:1":      {network: "tcp", address: "h:1"},
		"https://h:1/":    {network: "tcp", address: "h:1", isTLS: true},
		"h:1":             {network: "tcp", address: "h:1", isTLS: true},
		" h:1/\t":         {network: "tcp", address: "h:1", isTLS: true},
		"HTTP://h:1":      {network: "tcp", address: "h:1"},
		" Https://h:1/ ":  {network: "tcp", address: "h:1", isTLS: true},
		"[::1]:2379":      {network: "tcp", address: "[::1]:2379", isTLS: true},
		"unix:///run/c":   {network: "unix", address: "/run/c"},
		"unixs:///run/c/": {network: "unix", address: "/run/c", isTLS: true},
		"UNIX:///run/c":   {network: "unix", address: "/run/c"},
	} {
		want.text = strings.TrimSpace(text)
		if got, err := parseTarget(text, true); err != nil || got != want {
			t.Fatal(text, got, err)
		}
	}
	if got, err := parseTarget("h:1", false); err != nil || got.isTLS {
		t.Fatal(got, err)
	}
	for _, text := range []string{
		"", "h", ":1", "http://h", "http://:1", "http://h:0", "http://h:65536", "http://h:x", "http://h:1/path", "ftp://h:1",
		"http://u:p@h:1", "http://h:1?q", "http://h:1?", "http://h:1#", "unix://run/c", "unix:///", "https://h:1", "unixs:///run/c",
		"http://%zz:1", "/", "http://", "unix://", "unix:/", "unix:/run/c", "h:1//", "h :1", "http:///", "http:h:1",
	} {
		_, err := parseTarget(text, false)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Fatal(text, err)
		}
	}
}

func TestWrongOptionsAreErrorsAtCreation(t *testing.T) {
	t.Parallel()
	ca := testserver.NewCA(t)
	cert, key := ca.Issue("client")
	_, otherKey := ca.Issue("other")
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	some := []string{"https://h:1"}
	for name, o := range map[string]Options{
		"endpoints":  {},
		"h:x":        {Endpoints: []string{"h:1", "h:x"}},
		"CA":         {Endpoints: some, TLS: &TLSFiles{}},
		"/no/file":   {Endpoints: some, TLS: &TLSFiles{CA: "/no/file"}},
		garbage:      {Endpoints: some, TLS: &TLSFiles{CA: garbage}},
		cert:         {Endpoints: some, TLS: &TLSFiles{CA: ca.File, Cert: cert}},
		otherKey:     {Endpoints: some, TLS: &TLSFiles{CA: ca.File, Cert: cert, Key: otherKey}},
		"negative":   {Endpoints: []string{"h:1"}, Timeout: -1},
		"a password": {Endpoints: []string{"h:1"}, Password: "p"},
	} {
		if _, err := New(o); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Fatal(name, err)
		}
	}
	connect(t, Options{Endpoints: some, TLS: &TLSFiles{CA: ca.File, Cert: cert, Key: key}})
}

func TestTheEnvironmentIsEtcdctls(t *testing.T) {
	for _, name := range []string{"ENDPOINTS", "CACERT", "CERT", "KEY", "USER", "PASSWORD", "COMMAND_TIMEOUT", "INSECURE_SKIP_TLS_VERIFY"} {
		t.Setenv("ETCDCTL_"+name, "")
	}
	o := must(OptionsFromEnv())(t)
	if len(o.Endpoints) != 1 || o.Endpoints[0] != "127.0.0.1:2379" || o.TLS != nil {
		t.Fatal(o)
	}
	t.Setenv("ETCDCTL_ENDPOINTS", "a:1,b:2")
	t.Setenv("ETCDCTL_CACERT", "ca")
	t.Setenv("ETCDCTL_CERT", "cert")
	t.Setenv("ETCDCTL_KEY", "key")
	t.Setenv("ETCDCTL_USER", "alice:a:b")
	t.Setenv("ETCDCTL_COMMAND_TIMEOUT", "1.5s")
	t.Setenv("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "false")
	o = must(OptionsFromEnv())(t)
	if len(o.Endpoints) != 2 || *o.TLS != (TLSFiles{CA: "ca", Cert: "cert", Key: "key"}) || o.User != "alice" ||
		o.Password != "a:b" || o.Timeout != 1500*time.Millisecond {
		t.Fatal(o)
	}
	t.Setenv("ETCDCTL_USER", "alice")
	t.Setenv("ETCDCTL_PASSWORD", "secret")
	if o = must(OptionsFromEnv())(t); o.User != "alice" || o.Password != "secret" {
		t.Fatal(o)
	}
	t.Setenv("ETCDCTL_ENDPOINTS", " http://a:1, b:2/ ")
	t.Setenv("ETCDCTL_CACERT", "")
	t.Setenv("ETCDCTL_CERT", "")
	t.Setenv("ETCDCTL_KEY", "")
	for text, want := range map[string]time.Duration{"": 0, "5s": 5 * time.Second, "1m30s": 90 * time.Second, "500ms": time.Second / 2} {
		t.Setenv("ETCDCTL_COMMAND_TIMEOUT", text)
		if o = must(OptionsFromEnv())(t); o.Timeout != want {
			t.Fatal(text, o.Timeout)
		}
		connect(t, o)
	}
	for _, bad := range []string{"0s", "-1s", "soon", "5", "1.5", "0", " "} {
		t.Setenv("ETCDCTL_COMMAND_TIMEOUT", bad)
		if _, err := FromEnv(); !errors.Is(err, ErrInvalid) {
			t.Fatal(bad, err)
		}
	}
	t.Setenv("ETCDCTL_COMMAND_TIMEOUT", "")
	t.Setenv("ETCDCTL_INSECURE_SKIP_TLS_VERIFY", "true")
	if _, err := FromEnv(); !errors.Is(err, ErrInvalid) {
		t.Fatal(err)
	}
}

func TestFilesAreReadForEveryConnection(t *testing.T) {
	t.Parallel()
	ca := testserver.NewCA(t)
	cert, key := ca.Issue("server")
	member := testserver.StartTLS(t, "--cert-file="+cert, "--key-file="+key, "--client-cert-auth", "--trusted-ca-file="+ca.File)
	clientCert, clientKey := ca.Issue("client")
	files := &TLSFiles{CA: ca.File, Cert: clientCert, Key: clientKey}
	c := connect(t, Options{Endpoints: []string{"https://" + member.Address}, TLS: files})
	must(c.Put(patient(t), "a", "1"))(t)

	// A certificate without its key is being written: the former ones are used.
	if err := os.WriteFile(clientKey, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	member.Kill()
	member.Restart()
	must(c.Get(patient(t), "a"))(t)

	stranger := testserver.NewCA(t)
	other := connect(t, Options{
		Endpoints: []string{"https://" + member.Address}, TLS: &TLSFiles{CA: stranger.File}, Timeout: 300 * time.Millisecond,
	})
	if _, err := other.Put(t.Context(), "a", "3"); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Fatal(err)
	}
	named := connect(t, Options{
		Endpoints: []string{"https://" + member.Address}, Timeout: 300 * time.Millisecond,
		TLS: &TLSFiles{CA: ca.File, Cert: cert, Key: key, ServerName: "server"},
	})
	must(named.Put(patient(t), "a", "4"))(t)
	named = connect(t, Options{
		Endpoints: []string{"https://" + member.Address}, Timeout: 300 * time.Millisecond,
		TLS: &TLSFiles{CA: ca.File, Cert: cert, Key: key, ServerName: "nobody"},
	})
	if _, err := named.Put(t.Context(), "a", "5"); !errors.Is(err, ErrUnavailable) {
		t.Fatal(err)
	}
}

func TestSocketsOfUnix(t *testing.T) {
	t.Parallel()
	member := testserver.Start(t, 1)[0]
	socket := filepath.Join(t.TempDir(), "s")
	testserver.StartProxyAt(t, "unix", socket, member.Address)
	c := connect(t, Options{Endpoints: []string{"unix://" + socket}})
	must(c.Put(patient(t), "a", "1"))(t)
}
