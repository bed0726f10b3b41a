package client

import (
	"context"

	"conclave.dev/client/api"
)

// Election is one leader among candidates (K6): the one with the oldest key. It is shared with etcd's Go
// client and the Election calls of the API.
type Election struct {
	session *Session
	name    string
}

// NewElection returns the election of this name.
func NewElection(s *Session, name string) *Election { return &Election{session: s, name: name} }

// Leadership is that of a session which leads. Its methods are those of a Lock, and more.
type Leadership struct {
	*Lock
}

// Leader is who leads an election.
type Leader struct {
	// Key and Token are those of Leadership.
	Key   string
	Token int64
	// Value is what the leader has proclaimed.
	Value string
}

// Campaign waits until the session leads, and proclaims value. A session that campaigns or leads already
// shares that, and replaces the value when it leads.
func (e *Election) Campaign(ctx context.Context, value string) (*Leadership, error) {
	if e.name == "" {
		return nil, invalid("the election has no name")
	}
	prefix := e.name + "/"
	r := rules{kind: "candidate", key: prefix + leaseName(e.session.lease), value: value, blockers: prefix}
	p, err := e.session.take(ctx, r, false)
	if err != nil {
		return nil, err
	}
	l := &Leadership{newLock(p)}
	if p.rules.value != value {
		if err := l.Proclaim(ctx, value); err != nil {
			_ = l.Resign(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	return l, nil
}

// Proclaim replaces the leader's value. It fails with KindSessionLost if the session leads no longer.
func (l *Leadership) Proclaim(ctx context.Context, value string) error {
	if l.isReleased.Load() {
		return closed("leadership")
	}
	return l.place.set(ctx, value)
}

// Resign ends the leadership, so that the next candidate leads. It is Unlock.
func (l *Leadership) Resign(ctx context.Context) error { return l.Unlock(ctx) }

// Run campaigns, runs f while the session leads, and resigns. The context of f ends when ctx does, and
// when the leadership is lost. Run returns the error of f, or the one for which f was not run.
func (e *Election) Run(ctx context.Context, value string, f func(ctx context.Context, l *Leadership) error) error {
	l, err := e.Campaign(ctx, value)
	if err != nil {
		return err
	}
	leading, cancel := l.Context(ctx)
	defer cancel()
	defer func() {
		// The work is done, whatever ctx says by now: let the next one lead.
		_ = l.Resign(context.WithoutCancel(ctx))
	}()
	return f(leading, l)
}

// CurrentLeader returns the leader of an election, or nil if there is none.
func CurrentLeader(ctx context.Context, c *Client, name string) (*Leader, error) {
	kvs, err := contenders(ctx, c, name, WithLimit(1))
	if err != nil || len(kvs) == 0 {
		return nil, err
	}
	return leaderOf(kvs[0]), nil
}

// ElectionContenders returns the values of an election's candidates, the leader's first.
func ElectionContenders(ctx context.Context, c *Client, name string) ([]string, error) {
	kvs, err := contenders(ctx, c, name)
	values := make([]string, len(kvs))
	for i, kv := range kvs {
		values[i] = string(kv.Value)
	}
	return values, err
}

func leaderOf(kv *api.KeyValue) *Leader {
	return &Leader{Key: string(kv.Key), Token: kv.CreateRevision, Value: string(kv.Value)}
}

// Observer delivers the leaders of an election: the present one first, then every new one and every new
// value. The latest replaces those that were not received in time.
type Observer struct {
	mirror  *mirror
	leaders chan *Leader
}

// ObserveLeader opens an observer, which ends with ctx or by Close.
func ObserveLeader(ctx context.Context, c *Client, name string) (*Observer, error) {
	if name == "" {
		return nil, invalid("the election has no name")
	}
	m, err := c.follow(ctx, name+"/")
	if err != nil {
		return nil, err
	}
	o := &Observer{mirror: m, leaders: make(chan *Leader)}
	if !c.spawn(func(context.Context) { o.run() }) {
		m.close()
		return nil, closed("client")
	}
	return o, nil
}

// Leaders returns the channel of leaders, which is closed at the end.
func (o *Observer) Leaders() <-chan *Leader { return o.leaders }

// Err returns why the observer has ended: nil if its user ended it. It waits for that end.
func (o *Observer) Err() error { return o.mirror.err() }

// Close ends the observer.
func (o *Observer) Close() { o.mirror.close() }

func (o *Observer) run() {
	defer close(o.leaders)
	var last, next *Leader
	for {
		if first := o.mirror.oldest(); first != nil {
			next = leaderOf(first)
		}
		var to chan *Leader
		if next != nil && (last == nil || *next != *last) {
			to = o.leaders
		}
		select {
		case to <- next:
			last = next
		case _, ok := <-o.mirror.changed:
			if !ok {
				return
			}
		}
	}
}
