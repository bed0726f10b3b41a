package client

import (
	"context"
	"errors"
	"sync"
	"time"
)

// DefaultTTL is the life of a session that is not kept alive (S7).
const DefaultTTL = 10 * time.Second

// State is that of a session.
type State string

const (
	// Connected means that the lease is alive.
	Connected State = "CONNECTED"
	// Suspended means that no keep-alive was confirmed for a third of the TTL and a second, or that
	// the connection broke and another did not confirm within a second. The lease may be alive.
	Suspended State = "SUSPENDED"
	// Reconnected means that the same lease was confirmed again after Suspended: nothing was lost. The
	// session is as good as a connected one.
	Reconnected State = "RECONNECTED"
	// Lost means that the lease is gone or must be thought gone. It is final.
	Lost State = "LOST"
)

// Session is a lease that is kept alive, for the keys of locks, of leaders and of members.
//
//	CONNECTED ── no answer ──▶ SUSPENDED ◀── no answer ──┐
//	                             │    └───── answer ──▶ RECONNECTED
//	                             ▼
//	                            LOST   when the TTL is over by the local clock, or the server says so
type Session struct {
	client *Client
	lease  int64
	ttl    time.Duration
	// ctx ends when the session is lost or closed, with the error as its cause.
	ctx    context.Context
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when its goroutine has ended
	closed chan struct{} // closed when Close has done its part

	mu        sync.Mutex
	state     State
	err       error // why the session is over
	lostAt    time.Time
	listeners map[*queue[State]]struct{}
	places    map[string]*place
	numbers   int            // of the semaphores' keys
	copied    map[string]int // how many puts without an answer had the keys that are watched for late copies
	isClosing bool
}

// NewSession opens a session. A ttl of 0 means DefaultTTL; others are rounded up to seconds, and the
// server may grant more. It is kept alive until Close, or until the client is closed.
func (c *Client) NewSession(ctx context.Context, ttl time.Duration) (*Session, error) {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	sent := time.Now()
	granted, err := c.Grant(ctx, ttl)
	if err != nil {
		return nil, err
	}
	s := &Session{
		client: c, lease: granted.ID, ttl: time.Duration(granted.TTL) * time.Second,
		ended: make(chan struct{}), closed: make(chan struct{}),
		state: Connected, listeners: map[*queue[State]]struct{}{}, places: map[string]*place{},
		copied: map[string]int{},
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.lostAt = lossOf(sent, s.ttl)
	c.mu.Lock()
	isClosed := c.isClosed
	if !isClosed {
		c.sessions[s] = struct{}{}
	}
	c.mu.Unlock()
	if isClosed || !c.spawn(func(context.Context) { newKeeper(s, sent).run(s.ctx) }) {
		s.cancel(nil)
		return nil, closed("client")
	}
	return s, nil
}

// lossOf is when a session must be thought lost whose last keep-alive was sent then (S2).
//
// The server counts the TTL from when it executed the request, which is later than when it was sent.
// So it cannot expire the lease earlier than this, unless the clocks run at rates that differ by more
// than the margin.
func lossOf(sent time.Time, ttl time.Duration) time.Time {
	return sent.Add(ttl - max(ttl/20, 100*time.Millisecond))
}

// Lease returns the id of the session's lease.
func (s *Session) Lease() int64 { return s.lease }

// TTL returns what the server granted.
func (s *Session) TTL() time.Duration { return s.ttl }

// Client returns the client that the session belongs to.
func (s *Session) Client() *Client { return s.client }

// State returns the present state. It looks at the clock first.
func (s *Session) State() State {
	s.check()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Done is closed when the session is lost or closed.
func (s *Session) Done() <-chan struct{} { return s.ctx.Done() }

// Err returns nil while the session may be alive, then an error of KindSessionLost or KindClosed.
func (s *Session) Err() error {
	s.check()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Listen calls f with the present state and then with every change, in order, in a goroutine of the
// listener's own. The returned function ends that.
func (s *Session) Listen(f func(State)) (stop func()) {
	q := newQueue(s.client, f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners[q] = struct{}{}
	q.push(s.state)
	return func() {
		s.mu.Lock()
		delete(s.listeners, q)
		s.mu.Unlock()
		q.stop()
	}
}

// Close ends the session and revokes its lease, so that all its keys go at once. If no server answers
// within ctx, which is the client's timeout if it has no deadline, the lease expires by itself.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	if s.isClosing {
		s.mu.Unlock()
		<-s.closed
		return nil
	}
	s.isClosing = true
	wasOver := s.err != nil
	s.mu.Unlock()
	defer close(s.closed)
	s.end(closed("session"))
	<-s.ended
	err := s.client.Revoke(ctx, s.lease)
	if wasOver || errors.Is(err, ErrLeaseNotFound) {
		return nil // there is nothing left to revoke, as far as anyone knows
	}
	return err
}

// check ends the session if its time is over. The keeper does so, too, but may be late after a pause
// of the process (S3).
func (s *Session) check() {
	s.mu.Lock()
	isOver := s.err == nil && !time.Now().Before(s.lostAt)
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		s.end(context.Cause(s.ctx)) // the client is closed
	}
	if isOver {
		s.end(ErrSessionLost.because(nil, "no keep-alive was confirmed within the TTL of %v", s.ttl))
	}
}

// isAlive reports whether the session's lease surely exists.
func (s *Session) isAlive() bool { return s.Err() == nil }

// end makes the session LOST. Holders and waiters learn of it before listeners are notified.
func (s *Session) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	s.cancel(err)
	for _, p := range s.places {
		p.lose()
	}
	s.set(Lost)
}

// set changes the state and notifies the listeners. The caller has the lock.
func (s *Session) set(state State) {
	s.state = state
	for q := range s.listeners {
		q.push(state)
	}
}

// confirmed notes that a keep-alive that was sent then was answered, unless it is too late.
func (s *Session) confirmed(sent time.Time, ttl time.Duration) {
	s.check()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	if loss := lossOf(sent, ttl); loss.After(s.lostAt) {
		s.lostAt = loss
	}
	if s.state == Suspended {
		s.set(Reconnected)
	}
}

// suspect notes that the lease may not be alive.
func (s *Session) suspect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.state != Suspended {
		s.set(Suspended)
	}
}

func (s *Session) lossTime() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lostAt
}

// undo commits a transaction that takes back what a call has left, in the background for as long as the
// session lives, since nothing else would take it back. It waits a moment for that.
func (s *Session) undo(t *Txn) {
	done := make(chan struct{})
	if !s.client.spawn(func(context.Context) {
		defer close(done)
		_, _ = t.settle(s.ctx)
	}) {
		return
	}
	select {
	case <-done:
	case <-time.After(goodbye):
	}
}

// learn ends the session if err says that its lease is gone (S4), and returns the error to return.
func (s *Session) learn(err error) error {
	if errors.Is(err, ErrLeaseNotFound) {
		s.end(ErrSessionLost.because(err, "the server does not know the lease"))
	}
	own := s.Err()
	switch {
	case err == nil, own == nil:
		return err
	case mayBe(err) && errors.Is(own, ErrClosed):
		return afterLoss(own)
	}
	return own
}

// join returns a context that ends with ctx, with the session and with the client.
func (s *Session) join(ctx context.Context) (context.Context, context.CancelFunc) {
	return joinContexts(ctx, s.ctx)
}
