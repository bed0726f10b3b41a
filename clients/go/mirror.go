package client

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"conclave.dev/client/api"
)

// mirror is a copy of all keys with a prefix: listed at a revision, then watched from the next (K15). It
// is under the cache, the observer of elections and all listeners.
type mirror struct {
	client *Client
	// key and options are what is read and watched: a prefix, or one key.
	key     string
	options []Option
	// changed has something after each change, and is closed when the mirror has ended.
	changed chan struct{}
	cancel  context.CancelFunc
	ended   chan struct{}
	// onChange gets every change after the first list, in order.
	onChange func(Change)

	mu       sync.Mutex
	kvs      map[string]*api.KeyValue
	revision int64
	seen     chan struct{} // closed and replaced when revision grows
	watch    *Watch
	failure  error
}

// follow returns a mirror of all keys with a prefix when it has the present state.
func (c *Client) follow(ctx context.Context, prefix string) (*mirror, error) {
	return c.followWith(ctx, nil, prefix, WithPrefix())
}

func (c *Client) followWith(ctx context.Context, onChange func(Change), key string, options ...Option) (*mirror, error) {
	lifetime, cancel := c.join(ctx)
	m := &mirror{
		client: c, key: key, options: options, changed: make(chan struct{}, 1), cancel: cancel,
		ended: make(chan struct{}), kvs: map[string]*api.KeyValue{}, seen: make(chan struct{}),
	}
	w, err := m.list(lifetime)
	if err != nil {
		cancel()
		return nil, err
	}
	m.onChange = onChange
	if !c.spawn(func(context.Context) { m.run(lifetime, w) }) {
		cancel()
		return nil, closed("client")
	}
	return m, nil
}

// list reads the state, notes the differences to the former one, and watches from the next revision.
func (m *mirror) list(ctx context.Context) (*Watch, error) {
	for {
		response, err := m.client.Get(ctx, m.key, m.options...)
		if err != nil {
			return nil, err
		}
		w, err := m.client.watch(ctx, true, m.key, append(slices.Clone(m.options), WithRevision(response.Header.Revision+1))...)
		if errors.Is(err, ErrCompacted) {
			continue
		}
		if err != nil {
			return nil, err
		}
		former := m.snapshot()
		for _, kv := range response.Kvs {
			key := string(kv.Key)
			if old := former[key]; old == nil || old.ModRevision != kv.ModRevision {
				m.put(key, kv)
			}
			delete(former, key)
		}
		for key := range former {
			m.put(key, nil)
		}
		m.advance(response.Header.Revision, w)
		return w, nil
	}
}

// run follows the changes until ctx ends.
func (m *mirror) run(ctx context.Context, w *Watch) {
	defer close(m.ended)
	defer close(m.changed)
	defer m.cancel()
	for {
		for batch := range w.Batches() {
			for _, event := range batch.Events {
				kv := event.Kv
				if event.Type == api.Event_DELETE {
					kv = nil
				}
				m.put(string(event.Kv.Key), kv)
			}
			m.advance(batch.Revision, w)
		}
		err := w.Err()
		for ctx.Err() == nil && (errors.Is(err, ErrCompacted) || isWorthAnother(err)) {
			if w, err = m.list(ctx); err != nil && !pausing(ctx, roundPauseMax, nil) {
				break
			}
		}
		if err != nil || ctx.Err() != nil {
			m.mu.Lock()
			if ctx.Err() == nil || errors.Is(err, ErrClosed) {
				m.failure = err
			}
			m.mu.Unlock()
			return
		}
	}
}

// put notes a change of a key.
func (m *mirror) put(key string, now *api.KeyValue) {
	m.mu.Lock()
	former := m.kvs[key]
	if now == nil {
		delete(m.kvs, key)
	} else {
		m.kvs[key] = now
	}
	m.mu.Unlock()
	if m.onChange != nil && (now != nil || former != nil) {
		m.onChange(Change{Key: key, Now: now, Former: former})
	}
}

// advance notes that everything up to a revision was seen.
func (m *mirror) advance(revision int64, w *Watch) {
	m.mu.Lock()
	m.watch = w
	if revision > m.revision {
		m.revision = revision
		close(m.seen)
		m.seen = make(chan struct{})
	}
	m.mu.Unlock()
	poke(m.changed)
}

// snapshot returns a copy of the keys.
func (m *mirror) snapshot() map[string]*api.KeyValue {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.kvs)
}

// oldest returns the key that was created first, or nil.
func (m *mirror) oldest() *api.KeyValue {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first *api.KeyValue
	for _, kv := range m.kvs {
		if first == nil || kv.CreateRevision < first.CreateRevision {
			first = kv
		}
	}
	return first
}

// err returns why the mirror has ended; nil if its user ended it. It waits for the end.
func (m *mirror) err() error {
	<-m.ended
	return m.failure
}

func (m *mirror) close() {
	m.cancel()
	<-m.ended
}

// listen calls f with the state, now and after each change, until ctx ends or stop is called. States that
// come while f runs are merged.
func (c *Client) listen(ctx context.Context, f func(map[string]*api.KeyValue), key string, options ...Option) (stop func(), err error) {
	m, err := c.followWith(ctx, nil, key, options...)
	if err != nil {
		return nil, err
	}
	q := newQueue(c, f)
	if !c.spawn(func(context.Context) {
		for range m.changed {
			q.replace(m.snapshot())
		}
	}) {
		m.close()
		return nil, closed("client")
	}
	return func() {
		q.stop()
		m.close()
	}, nil
}
