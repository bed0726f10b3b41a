package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxPriority is the largest with five digits.
const maxPriority = 99_999

// Queue delivers items to takers, each at least once (K10). An item is claimed by one taker at a time; a
// taker that is lost before it acknowledges leaves the item to another.
type Queue struct {
	client *Client
	name   string
}

// NewQueue returns the queue of this name.
func NewQueue(c *Client, name string) *Queue { return &Queue{client: c, name: name} }

// Item is one that this session has claimed.
type Item struct {
	// Value is what was put.
	Value string

	session        *Session
	key, claim     string
	created, token int64 // of the item and of its claim
}

func (q *Queue) items() string  { return q.name + "/items/" }
func (q *Queue) claims() string { return q.name + "/claims/" }

// Put adds an item. Those of a lower priority number come first, then those that were due before. A delay
// is rounded up to milliseconds, and counted on this machine's clock.
func (q *Queue) Put(ctx context.Context, value string, priority int, delay time.Duration) error {
	if q.name == "" {
		return invalid("the queue has no name")
	}
	if priority < 0 || priority > maxPriority {
		return invalid("the priority %d is not from 0 to %d", priority, maxPriority)
	}
	if delay < 0 {
		return invalid("the delay %v is negative", delay)
	}
	var due int64
	if delay > 0 {
		due = time.Now().Add(delay + time.Millisecond - 1).UnixMilli()
	}
	key := fmt.Sprintf("%s%05d-%013d-%s", q.items(), priority, due, randomHex())
	ctx, cancel := q.client.bounded(ctx)
	defer cancel()
	// The key is of this item alone, so a put whose answer was lost can be sent again.
	_, err := q.client.Txn().If(Create(key, Equal, 0)).Then(OpPut(key, value)).settle(ctx)
	return err
}

// Take waits for an item that is due, and claims it.
func (q *Queue) Take(ctx context.Context, s *Session) (*Item, error) {
	if q.name == "" {
		return nil, invalid("the queue has no name")
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fromContext(ctx)
	}
	ctx, cancel := s.join(ctx)
	defer cancel()
	item, err := q.take(ctx, s)
	if err != nil {
		return nil, s.learn(afterWaiting(ctx, err))
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return item, nil
}

func (q *Queue) take(ctx context.Context, s *Session) (*Item, error) {
	for {
		due, later, revision, err := q.look(ctx)
		if err != nil {
			return nil, err
		}
		for _, entry := range due {
			item, err := q.claimItem(ctx, s, entry)
			if item != nil || err != nil {
				return item, err
			}
		}
		if len(due) > 0 {
			continue // others were faster: look again
		}
		if err := q.awaitChange(ctx, later, revision+1); err != nil {
			return nil, err
		}
	}
}

// entry is an item that nobody has claimed.
type entry struct {
	rest          string // of the key, behind the prefix
	priority, due int64
	created       int64
}

// look returns the items that nobody has claimed: those that are due, in their order, and when the next of the
// others is, or zero.
func (q *Queue) look(ctx context.Context) (due []entry, later int64, revision int64, err error) {
	response, err := q.client.Txn().Then(
		OpGet(q.items(), WithPrefix(), WithKeysOnly()),
		OpGet(q.claims(), WithPrefix(), WithKeysOnly()),
	).settle(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	claimed := map[string]struct{}{}
	for _, kv := range kvsOf(response, 1) {
		claimed[strings.TrimPrefix(string(kv.Key), q.claims())] = struct{}{}
	}
	now := time.Now().UnixMilli()
	for _, kv := range kvsOf(response, 0) {
		e, ok := parseEntry(strings.TrimPrefix(string(kv.Key), q.items()), kv.CreateRevision)
		if _, isClaimed := claimed[e.rest]; !ok || isClaimed {
			continue
		}
		if e.due <= now {
			due = append(due, e)
		} else if later == 0 || e.due < later {
			later = e.due
		}
	}
	slices.SortFunc(due, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(a.due, b.due), cmp.Compare(a.created, b.created))
	})
	return due, later, response.Header.Revision, nil
}

func parseEntry(rest string, created int64) (entry, bool) {
	parts := strings.Split(rest, "-")
	if len(parts) != 3 {
		return entry{}, false
	}
	priority, err1 := strconv.ParseInt(parts[0], 10, 64)
	due, err2 := strconv.ParseInt(parts[1], 10, 64)
	return entry{rest: rest, priority: priority, due: due, created: created}, err1 == nil && err2 == nil
}

// claimItem claims an item, or returns nil if somebody was faster.
func (q *Queue) claimItem(ctx context.Context, s *Session, e entry) (*Item, error) {
	item := &Item{session: s, key: q.items() + e.rest, claim: q.claims() + e.rest, created: e.created}
	var f fate
	// The claim's value tells it from all others, when an answer was lost.
	own := randomHex()
	response, err := q.client.Txn().
		If(Create(item.claim, Equal, 0), Create(item.key, Equal, e.created)).
		Then(OpPut(item.claim, own, WithLease(s.lease)), OpGet(item.key), OpGet(item.claim)).
		Else(OpGet(item.key), OpGet(item.claim)).
		settleWhile(s.ctx, ctx, &f)
	if err == nil {
		at := 0
		if response.Succeeded {
			at = 1
		}
		kvs, claims := kvsOf(response, at), kvsOf(response, at+1)
		if len(kvs) > 0 && len(claims) > 0 && string(claims[0].Value) == own {
			item.Value, item.token = string(kvs[0].Value), claims[0].CreateRevision
		}
	}
	if f.wasLost.Load() {
		item.deleteCopiesOfClaim(own)
	}
	if err != nil || item.token == 0 {
		return nil, err
	}
	if ctx.Err() != nil {
		// The caller has gone: give the item back.
		s.undo(q.client.Txn().If(Owner(item.claim, item.token)).Then(OpDelete(item.claim)))
		return nil, fromContext(ctx)
	}
	return item, nil
}

// awaitChange returns when something has changed in the queue, or the next item is due.
func (q *Queue) awaitChange(ctx context.Context, due, revision int64) error {
	timed := ctx
	if due != 0 {
		var cancel context.CancelFunc
		timed, cancel = context.WithDeadline(ctx, time.UnixMilli(due))
		defer cancel()
	}
	err := q.client.awaitEvent(timed, q.name+"/", WithPrefix(), WithRevision(revision))
	if ctx.Err() == nil && errors.Is(err, ErrDeadline) {
		return nil
	}
	return err
}

// Ack removes the item from the queue. It returns false if the claim was lost: somebody else has taken the
// item, or will.
func (i *Item) Ack(ctx context.Context) (bool, error) {
	return i.end(ctx, OpDelete(i.key), OpDelete(i.claim))
}

// Release gives the item back, so that it is taken again. It returns false if the claim was lost.
func (i *Item) Release(ctx context.Context) (bool, error) { return i.end(ctx, OpDelete(i.claim)) }

func (i *Item) end(ctx context.Context, operations ...Operation) (bool, error) {
	c := i.session.client
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var f fate
	response, err := c.Txn().If(Owner(i.claim, i.token)).Then(operations...).settleWhile(ctx, ctx, &f)
	switch {
	case err != nil:
		return false, err
	case response.Succeeded || !f.wasLost.Load():
		return response.Succeeded, nil
	}
	// The claim may be gone because this has happened. While the session is alive, nothing else removes it.
	if over := i.session.Err(); over != nil {
		return false, ErrMaybeHappened.because(over, "the session has ended")
	}
	return true, nil
}

func randomHex() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	return hex.EncodeToString(random[:])
}
