package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc/credentials"
)

// TLSFiles are the files of a client that uses TLS, all in PEM. They are read again for every new
// connection, so renewed ones are used without a restart; if they cannot be used at that time, the
// former ones are (C5).
type TLSFiles struct {
	// CA has the certificates of the CAs whose servers are trusted. The system's are not.
	CA string
	// Cert and Key are presented to servers that ask for a certificate. Both or neither.
	Cert, Key string
	// ServerName is what servers' certificates must be for; the endpoint's host if it is empty.
	ServerName string
}

// load reads the files.
func (f TLSFiles) load() (*tls.Config, error) {
	if f.CA == "" {
		return nil, invalid("TLS without a CA trusts no server: set TLSFiles.CA (or ETCDCTL_CACERT)")
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, invalid("a client certificate needs two files, the certificate and its key: only %q is set", f.Cert+f.Key)
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, invalid("the CA file cannot be read: %v", err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, invalid("the CA file %s has no certificate in PEM", f.CA)
	}
	if f.Cert != "" {
		own, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, invalid("the certificate %s and its key %s cannot be used: %v", f.Cert, f.Key, err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// reloading are gRPC's credentials with files that are read for every handshake.
type reloading struct {
	files TLSFiles
	state *reloadingState
}

type reloadingState struct {
	mu   sync.Mutex
	last *tls.Config
}

func newReloading(files TLSFiles) (*reloading, error) {
	config, err := files.load()
	if err != nil {
		return nil, err
	}
	return &reloading{files: files, state: &reloadingState{last: config}}, nil
}

func (r *reloading) present() credentials.TransportCredentials {
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	if config, err := r.files.load(); err == nil {
		r.state.last = config
	}
	return credentials.NewTLS(r.state.last)
}

func (r *reloading) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	if r.files.ServerName != "" {
		authority = r.files.ServerName // which gRPC prefers to the name in a tls.Config
	}
	return r.present().ClientHandshake(ctx, authority, raw)
}

func (r *reloading) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, invalid("these are the credentials of a client")
}

func (r *reloading) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

func (r *reloading) Clone() credentials.TransportCredentials {
	return &reloading{files: r.files, state: r.state}
}

// OverrideServerName exists for the interface, which has deprecated it.
func (r *reloading) OverrideServerName(name string) error {
	r.files.ServerName = name
	return nil
}
