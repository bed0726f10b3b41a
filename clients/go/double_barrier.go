package client

import (
	"context"

	"conclave.dev/client/api"
)

// DoubleBarrier lets a number of sessions begin together and end together (K8).
type DoubleBarrier struct {
	session *Session
	name    string
	count   int
}

// NewDoubleBarrier returns the double barrier of this name, for count sessions.
func NewDoubleBarrier(s *Session, name string, count int) *DoubleBarrier {
	return &DoubleBarrier{session: s, name: name, count: count}
}

func (b *DoubleBarrier) waiters() string { return b.name + "/waiters/" }
func (b *DoubleBarrier) own() string     { return b.waiters() + leaseName(b.session.lease) }
func (b *DoubleBarrier) ready() string   { return b.name + "/ready" }

func (b *DoubleBarrier) check() error {
	if b.name == "" || b.count <= 0 {
		return invalid("a double barrier has a name and a positive count, not %q and %d", b.name, b.count)
	}
	return b.session.Err()
}

// Enter waits until count sessions have entered. Giving up takes this one back. A session that has entered and
// not left is in already.
func (b *DoubleBarrier) Enter(ctx context.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	_, err := b.session.take(ctx, rules{kind: "waiter", key: b.own(), wait: b.waitForAll}, false)
	return err
}

// waitForAll returns when all have entered. The last one writes ready, whose mod revision is then greater
// than those of all keys that have entered. So a ready of an earlier round lets nobody in.
func (b *DoubleBarrier) waitForAll(ctx context.Context, p *place) error {
	c := b.session.client
	for {
		response, err := c.Txn().
			Then(OpGet(b.ready(), WithKeysOnly()), OpGet(b.waiters(), WithPrefix(), WithCountOnly())).
			settle(ctx)
		if err != nil {
			return err
		}
		ready := modOf(kvsOf(response, 0))
		if ready > p.token {
			return nil
		}
		if response.Responses[1].GetResponseRange().Count >= int64(b.count) {
			// A copy that is executed late must not let in the next round: there, our key is another one.
			put, err := c.Txn().
				If(Mod(b.ready(), Equal, ready), Owner(b.own(), p.token)).
				Then(OpPut(b.ready(), "")).
				Else(OpGet(b.own(), WithKeysOnly())).
				settle(ctx)
			if err != nil || put.Succeeded {
				return err
			}
			if own := kvsOf(put, 0); len(own) == 0 || own[0].CreateRevision != p.token {
				return errKeyGone
			}
			continue // another one has let in all
		}
		if err := c.awaitEvent(ctx, b.ready(), WithRevision(response.Header.Revision+1), WithoutDeletes()); err != nil {
			return err
		}
	}
}

// Leave waits until all have left.
func (b *DoubleBarrier) Leave(ctx context.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	ctx, cancel := b.session.join(ctx)
	defer cancel()
	return b.session.learn(afterWaiting(ctx, b.leave(ctx)))
}

func (b *DoubleBarrier) leave(ctx context.Context) error {
	s, c := b.session, b.session.client
	s.mu.Lock()
	p := s.places[b.own()]
	if p != nil && !p.isLeaving && p.isHeld() {
		p.users = 1 // however often the session has entered
		p.releaseLocked()
	}
	isLeaving := p != nil && p.isLeaving
	s.mu.Unlock()
	if isLeaving {
		select {
		case <-p.released:
			if p.leaveErr != nil {
				return p.leaveErr
			}
		case <-ctx.Done():
			return fromContext(ctx)
		}
	}
	for {
		oldest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_ASCEND)
		response, err := c.Txn().
			Then(OpGet(b.ready(), WithKeysOnly()), OpGet(b.waiters(), WithPrefix(), oldest, WithLimit(1), WithKeysOnly())).
			settle(ctx)
		if err != nil {
			return err
		}
		ready, left := modOf(kvsOf(response, 0)), kvsOf(response, 1)
		// A key that is later than ready, or without a ready, is of the next round.
		if len(left) > 0 && left[0].CreateRevision < ready {
			if err := c.awaitDelete(ctx, string(left[0].Key), response.Header.Revision+1); err != nil {
				return err
			}
			continue
		}
		if ready == 0 || len(left) > 0 {
			return nil
		}
		_, err = c.Txn().
			If(Mod(b.ready(), Equal, ready), overPrefix(Create(b.waiters(), Equal, 0))).
			Then(OpDelete(b.ready())).
			settle(ctx)
		return err
	}
}

// modOf returns the mod revision of a key that was read, or 0.
func modOf(kvs []*api.KeyValue) int64 {
	if len(kvs) == 0 {
		return 0
	}
	return kvs[0].ModRevision
}
