package client

import (
	"context"
	"errors"
	"sync"
	"time"

	"conclave.dev/client/api"
)

const (
	// loginTimeout bounds a login. One with bcrypt's cost 10 takes a twentieth of a second, and some
	// dozens may wait at a server.
	loginTimeout = 10 * time.Second
	// Pauses after failed logins. 20 wrong passwords a minute make a server refuse the address.
	loginPauseMin = 100 * time.Millisecond
	loginPauseMax = 10 * time.Second
	// loginPauseDown is the longest pause while no server answers, which no password can help.
	loginPauseDown = 500 * time.Millisecond
	// resendsMax is how often a call is sent again that was refused for its token.
	resendsMax = 2
)

// login is the token that all calls of a client share (C6). Calls that need one at the same time wait
// for the same login:
//
//	call A ── refused ──┐
//	call B ── refused ──┼── one login ──┬── A again
//	call C (new) ───────┘               ├── B again
//	                                    └── C
//
// A call names the token it was refused with (forget), so a late refusal of a former token does not
// end the present one.
type login struct {
	client         *Client
	user, password string

	mu      sync.Mutex
	token   *string // "" if the cluster has no authentication
	running chan struct{}
	err     error
	pause   time.Duration
	until   time.Time
}

// get returns the token, after a login if there is none.
func (l *login) get(ctx context.Context) (string, error) {
	for {
		l.mu.Lock()
		if l.token != nil {
			defer l.mu.Unlock()
			return *l.token, nil
		}
		if l.running == nil {
			if l.err != nil && time.Now().Before(l.until) {
				defer l.mu.Unlock()
				return "", l.err
			}
			running := make(chan struct{})
			if !l.client.spawn(func(ctx context.Context) { l.run(ctx, running) }) {
				l.mu.Unlock()
				return "", closed("client")
			}
			l.running = running
		}
		running := l.running
		l.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return "", fromContext(ctx)
		}
		l.mu.Lock()
		token, err := l.token, l.err
		l.mu.Unlock()
		if token == nil && err != nil {
			return "", err
		}
	}
}

// forget drops a token that a server has refused, unless there is another one already.
func (l *login) forget(refused string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token != nil && *l.token == refused {
		l.token = nil
	}
}

func (l *login) run(ctx context.Context, running chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	request := &api.AuthenticateRequest{Name: l.user, Password: l.password}
	answer := &api.AuthenticateResponse{}
	// A login changes nothing, so it is sent again like a read.
	err := l.client.call(ctx, callOf{method: api.Auth_Authenticate_FullMethodName, isRead: true, isLogin: true}, request, answer)

	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(running)
	l.running = nil
	if errors.Is(err, ErrAuthNotEnabled) {
		err = nil // and the token is empty: calls need none, until authentication is enabled
	}
	if err == nil {
		l.token, l.err, l.pause = &answer.Token, nil, 0
		return
	}
	longest := loginPauseMax
	var e *Error
	if errors.As(err, &e) && e.Kind == KindAPI {
		err = ErrLogin.because(err, "%s", e.Text).named(e.Name, e.Code)
	} else {
		longest = loginPauseDown
		if errors.Is(err, ErrDeadline) {
			// The time of the login was up, not that of the calls that need it.
			err = ErrUnavailable.because(err, "the login was not answered in time")
		}
	}
	l.err = err
	l.pause = min(max(2*l.pause, loginPauseMin), longest)
	l.until = time.Now().Add(l.pause)
}
