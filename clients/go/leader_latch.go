package client

import (
	"context"
	"sync"
)

// LeaderLatch campaigns in the background, and stays in the election until it is closed (K6).
type LeaderLatch struct {
	election *Election
	value    string
	cancel   context.CancelFunc
	ended    chan struct{}

	mu      sync.Mutex
	leading *Leadership
	changed chan struct{} // closed and replaced when leading or err changes
	err     error
}

// NewLeaderLatch begins to campaign, with a value to proclaim.
func NewLeaderLatch(s *Session, name, value string) (*LeaderLatch, error) {
	if name == "" {
		return nil, invalid("the election has no name")
	}
	ctx, cancel := context.WithCancel(s.ctx)
	l := &LeaderLatch{
		election: NewElection(s, name), value: value, cancel: cancel,
		ended: make(chan struct{}), changed: make(chan struct{}),
	}
	if !s.client.spawn(func(context.Context) { l.run(ctx) }) {
		cancel()
		return nil, closed("client")
	}
	return l, nil
}

// run campaigns again whenever the leadership is lost but the session is not.
func (l *LeaderLatch) run(ctx context.Context) {
	defer close(l.ended)
	defer l.cancel()
	for {
		leading, err := l.election.Campaign(ctx, l.value)
		if err != nil {
			if l.election.session.isAlive() && ctx.Err() != nil {
				err = closed("latch")
			}
			l.set(nil, err)
			return
		}
		l.set(leading, nil)
		select {
		case <-leading.Lost():
			l.set(nil, nil)
			_ = leading.Resign(context.WithoutCancel(ctx)) // of a place that is lost
		case <-ctx.Done():
			l.set(nil, closed("latch"))
			_ = leading.Resign(context.WithoutCancel(ctx)) // or it goes with the session
			return
		}
	}
}

func (l *LeaderLatch) set(leading *Leadership, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leading, l.err = leading, err
	close(l.changed)
	l.changed = make(chan struct{})
}

// IsLeader reports whether the session leads. It looks at the clock.
func (l *LeaderLatch) IsLeader() bool {
	l.mu.Lock()
	leading := l.leading
	l.mu.Unlock()
	return leading != nil && leading.Held()
}

// Await waits until the session leads. The leadership must not be resigned but by Close.
func (l *LeaderLatch) Await(ctx context.Context) (*Leadership, error) {
	for {
		l.mu.Lock()
		leading, err, changed := l.leading, l.err, l.changed
		l.mu.Unlock()
		if err != nil || (leading != nil && leading.Held()) {
			return leading, err
		}
		select {
		case <-changed:
		case <-l.election.session.Done():
			return nil, l.election.session.Err()
		case <-ctx.Done():
			return nil, fromContext(ctx)
		}
	}
}

// Close leaves the election. It can be called twice.
func (l *LeaderLatch) Close() {
	l.cancel()
	<-l.ended
}
