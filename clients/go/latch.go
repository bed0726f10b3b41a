package client

import (
	"context"
	"strconv"
)

// Latch is a number that is counted down, and awaited at zero (K9).
type Latch struct {
	client *Client
	name   string
}

// NewLatch returns the latch of this name.
func NewLatch(c *Client, name string) *Latch { return &Latch{client: c, name: name} }

// Create sets the latch to count, unless it exists. It reports whether it did.
func (l *Latch) Create(ctx context.Context, count int64) (bool, error) {
	if l.name == "" || count < 0 {
		return false, invalid("a latch has a name and a count that is not negative, not %q and %d", l.name, count)
	}
	response, err := l.client.Txn().
		If(Create(l.name, Equal, 0)).
		Then(OpPut(l.name, strconv.FormatInt(count, 10))).
		Commit(ctx)
	return response.GetSucceeded(), err
}

// CountDown counts down by one, not below zero, and returns what is left. A latch that does not exist is an
// error of KindInvalid.
func (l *Latch) CountDown(ctx context.Context) (int64, error) {
	left, _, err := l.client.change(ctx, l.name, func(now *int64) (int64, bool, error) {
		switch {
		case now == nil:
			return 0, false, invalid("there is no latch %q: create it first", l.name)
		case *now <= 0:
			return 0, false, nil
		}
		return *now - 1, true, nil
	})
	return left, err
}

// Wait returns when the count is zero. It waits for a latch that does not exist yet, too.
func (l *Latch) Wait(ctx context.Context) error {
	if l.name == "" {
		return invalid("the latch has no name")
	}
	return afterWaiting(ctx, l.wait(ctx))
}

func (l *Latch) wait(ctx context.Context) error {
	for {
		response, err := l.client.Txn().Then(OpGet(l.name)).settle(ctx)
		if err != nil {
			return err
		}
		if kvs := kvsOf(response, 0); len(kvs) > 0 {
			if left, err := parseNumber(l.name, string(kvs[0].Value)); err != nil || left <= 0 {
				return err
			}
		}
		if err := l.client.awaitEvent(ctx, l.name, WithRevision(response.Header.Revision+1)); err != nil {
			return err
		}
	}
}
