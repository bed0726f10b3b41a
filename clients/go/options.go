package client

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// DefaultTimeout bounds a call whose context has no deadline (R1).
const DefaultTimeout = 5 * time.Second

// Options are those of New.
type Options struct {
	// Endpoints of the cluster's members: "http://host:port", "https://host:port", "unix:///path",
	// "unixs:///path", or "host:port", which is https if TLS is set and http otherwise. Blanks around one
	// and a slash at its end do not matter.
	Endpoints []string
	// TLS has the files for endpoints that use it.
	TLS *TLSFiles
	// User and Password log the client in, if User is not empty. The password is kept in memory, to
	// log in again, and is in no log line or error.
	User, Password string
	// Timeout bounds a call whose context has no deadline; DefaultTimeout if it is 0.
	Timeout time.Duration
	// Logger gets what no caller can be told, such as panics of listeners; slog.Default if nil.
	Logger *slog.Logger
}

// OptionsFromEnv reads the variables of etcdctl (C4): ETCDCTL_ENDPOINTS (separated by commas),
// ETCDCTL_CACERT, ETCDCTL_CERT, ETCDCTL_KEY, ETCDCTL_USER ("name" or "name:password"),
// ETCDCTL_PASSWORD and ETCDCTL_COMMAND_TIMEOUT ("5s", "1m30s", "500ms"). Without endpoints it is
// 127.0.0.1:2379. ETCDCTL_INSECURE_SKIP_TLS_VERIFY is refused. An empty variable counts as not set.
func OptionsFromEnv() (Options, error) {
	var o Options
	if skip := os.Getenv("ETCDCTL_INSECURE_SKIP_TLS_VERIFY"); skip != "" {
		if on, err := strconv.ParseBool(skip); err != nil || on {
			return o, invalid("ETCDCTL_INSECURE_SKIP_TLS_VERIFY=%s: a connection to an unknown server is not secure; "+
				"unset it, and set ETCDCTL_CACERT to the file of the CA", skip)
		}
	}
	o.Endpoints = []string{"127.0.0.1:2379"}
	if list := os.Getenv("ETCDCTL_ENDPOINTS"); list != "" {
		o.Endpoints = strings.Split(list, ",")
	}
	ca, cert, key := os.Getenv("ETCDCTL_CACERT"), os.Getenv("ETCDCTL_CERT"), os.Getenv("ETCDCTL_KEY")
	if ca != "" || cert != "" || key != "" {
		o.TLS = &TLSFiles{CA: ca, Cert: cert, Key: key}
	}
	o.User, o.Password, _ = strings.Cut(os.Getenv("ETCDCTL_USER"), ":")
	if password := os.Getenv("ETCDCTL_PASSWORD"); password != "" {
		o.Password = password
	}
	if text := os.Getenv("ETCDCTL_COMMAND_TIMEOUT"); text != "" {
		timeout, err := time.ParseDuration(text)
		if err != nil || timeout <= 0 {
			return o, invalid("ETCDCTL_COMMAND_TIMEOUT=%s is not a positive duration with its unit, like 5s", text)
		}
		o.Timeout = timeout
	}
	return o, nil
}

// FromEnv returns a client with the options of OptionsFromEnv.
func FromEnv() (*Client, error) {
	options, err := OptionsFromEnv()
	if err != nil {
		return nil, err
	}
	return New(options)
}
