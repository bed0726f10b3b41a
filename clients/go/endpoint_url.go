package client

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// target is an endpoint, taken apart (C1).
type target struct {
	// text is the endpoint as it was given.
	text string
	// network and address are for net.Dial: "tcp" and "host:port", or "unix" and a path.
	network, address string
	isTLS            bool
}

// parseTarget takes an endpoint apart. An endpoint without a scheme uses TLS if hasTLS.
func parseTarget(text string, hasTLS bool) (target, error) {
	text = strings.TrimSpace(text)
	t := target{text: text, network: "tcp"}
	full := text
	if !strings.Contains(text, "://") {
		scheme := "http://"
		if hasTLS {
			scheme = "https://"
		}
		full = scheme + text
	}
	u, err := url.Parse(full)
	if err != nil {
		return t, invalid("endpoint %q is not a URL: write http://host:port", text)
	}
	if u.User != nil || strings.ContainsAny(text, "?#") {
		return t, invalid("endpoint %q has more than a host and a port: write http://host:port", text)
	}
	path := strings.TrimSuffix(u.Path, "/")
	switch u.Scheme {
	case "http", "https":
		t.isTLS = u.Scheme == "https"
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 || u.Hostname() == "" || path != "" {
			return t, invalid("endpoint %q is not of the form %s://host:port", text, u.Scheme)
		}
		t.address = net.JoinHostPort(u.Hostname(), u.Port())
	case "unix", "unixs":
		t.network, t.isTLS = "unix", u.Scheme == "unixs"
		if u.Host != "" || path == "" {
			return t, invalid("endpoint %q is not of the form %s:///path", text, u.Scheme)
		}
		t.address = path
	default:
		return t, invalid("endpoint %q does not begin with http://, https://, unix:// or unixs://", text)
	}
	if t.isTLS && !hasTLS {
		return t, invalid("endpoint %q needs TLS: set Options.TLS with the file of a CA", text)
	}
	return t, nil
}

// authority is the name by which the client addresses the server, and which a certificate must have.
func (t target) authority() string {
	if t.network == "unix" {
		return "localhost"
	}
	return t.address
}

func (t target) dial(ctx context.Context, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, t.network, t.address)
}
