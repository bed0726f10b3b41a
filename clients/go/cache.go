package client

import (
	"context"
	"time"

	"conclave.dev/client/api"
)

// progressEvery is how often a cache asks how far it is, while somebody waits for that.
const progressEvery = 100 * time.Millisecond

// Cache is a copy of all keys with a prefix, which follows the store (K15).
type Cache struct {
	mirror *mirror
	queues []*queue[Change]
}

// Change is one of a key.
type Change struct {
	Key string
	// Now is the key after the change, or nil if it was deleted; Former is the key before, or nil.
	Now, Former *api.KeyValue
}

// OpenCache returns a cache that has the present state. Each listener gets every later change, in order, in
// a goroutine of its own. If changes are compacted before the cache has read them, it lists the keys again
// and reports the differences. It ends with ctx, or by Close.
func OpenCache(ctx context.Context, c *Client, prefix string, listeners ...func(Change)) (*Cache, error) {
	cache := &Cache{}
	for _, f := range listeners {
		cache.queues = append(cache.queues, newQueue(c, f))
	}
	m, err := c.followWith(ctx, func(change Change) {
		for _, q := range cache.queues {
			q.push(change)
		}
	}, prefix, WithPrefix())
	if err != nil {
		return nil, err
	}
	cache.mirror = m
	return cache, nil
}

// Get returns a key, or nil.
func (c *Cache) Get(key string) *api.KeyValue {
	c.mirror.mu.Lock()
	defer c.mirror.mu.Unlock()
	return c.mirror.kvs[key]
}

// List returns all keys.
func (c *Cache) List() map[string]*api.KeyValue { return c.mirror.snapshot() }

// Revision returns the one up to which the cache has seen everything.
func (c *Cache) Revision() int64 {
	c.mirror.mu.Lock()
	defer c.mirror.mu.Unlock()
	return c.mirror.revision
}

// AtLeast returns when the cache has seen everything up to a revision, for example that of a write that must
// be in it.
func (c *Cache) AtLeast(ctx context.Context, revision int64) error {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		m := c.mirror
		m.mu.Lock()
		hasSeen, seen, watch := m.revision >= revision, m.seen, m.watch
		m.mu.Unlock()
		if hasSeen {
			return nil
		}
		// The revision may be that of a key without this prefix, so no event would tell.
		watch.requestProgress()
		select {
		case <-seen:
		case <-ticker.C:
		case <-ctx.Done():
			return fromContext(ctx)
		case <-m.ended:
			if err := m.err(); err != nil {
				return err
			}
			return closed("cache")
		}
	}
}

// Done is closed when the cache has ended.
func (c *Cache) Done() <-chan struct{} { return c.mirror.ended }

// Err returns why the cache has ended: nil if its user ended it. It waits for that end.
func (c *Cache) Err() error { return c.mirror.err() }

// Close ends the cache. It keeps what it has.
func (c *Cache) Close() {
	c.mirror.close()
	for _, q := range c.queues {
		q.stop()
	}
}
