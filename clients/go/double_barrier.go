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

// Enter waits until count sessions have entered. Giving up takes this one back.
func (b *DoubleBarrier) Enter(ctx context.Context) error {
	if err := b.check(); err != nil {
		return err
	}
	ctx, cancel := b.session.join(ctx)
	defer cancel()
	err := b.enter(ctx)
	if err != nil && b.session.isAlive() {
		b.session.undo(b.session.client.Txn().Then(OpDelete(b.own())))
	}
	return b.session.learn(afterWaiting(ctx, err))
}

func (b *DoubleBarrier) enter(ctx context.Context) error {
	c := b.session.client
	put := OpPut(b.own(), "", WithLease(b.session.lease))
	// The first of a round removes what one has left behind whose sessions were all lost.
	_, err := c.Txn().
		If(overPrefix(Create(b.waiters(), Equal, 0))).
		Then(OpDelete(b.ready()), put).
		Else(put).
		settle(ctx)
	if err != nil {
		return err
	}
	for {
		response, err := c.Txn().
			Then(OpGet(b.ready(), WithKeysOnly()), OpGet(b.waiters(), WithPrefix(), WithCountOnly())).
			settle(ctx)
		if err != nil || len(kvsOf(response, 0)) > 0 {
			return err
		}
		if response.Responses[1].GetResponseRange().Count >= int64(b.count) {
			// Only if we are still in: else this round may have ended, and others begin the next.
			if _, err := c.Txn().If(Create(b.own(), Greater, 0)).Then(OpPut(b.ready(), "")).settle(ctx); err != nil {
				return err
			}
			continue
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
	c := b.session.client
	// The last one ends the round in the same step, so that nobody enters the next one by its sign.
	isLast := leaseIs(b.waiters(), Equal, b.session.lease)
	_, err := c.Txn().
		If(overPrefix(isLast)).
		Then(OpDelete(b.own()), OpDelete(b.ready())).
		Else(OpDelete(b.own())).
		settle(ctx)
	if err != nil {
		return err
	}
	for {
		oldest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_ASCEND)
		response, err := c.Txn().Then(OpGet(b.waiters(), WithPrefix(), oldest, WithLimit(1), WithKeysOnly())).settle(ctx)
		if err != nil {
			return err
		}
		left := kvsOf(response, 0)
		if len(left) == 0 {
			return nil
		}
		if err := c.awaitDelete(ctx, string(left[0].Key), response.Header.Revision+1); err != nil {
			return err
		}
	}
}
