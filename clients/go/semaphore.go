package client

import (
	"context"
	"strconv"

	"conclave.dev/client/api"
)

// Semaphore lets a number of holders in at the same time (K5): those with the oldest keys. Every Acquire
// is another holder, also in the same session.
type Semaphore struct {
	session *Session
	name    string
	permits int
}

// NewSemaphore returns the semaphore of this name. All its users must give the same number of permits.
func NewSemaphore(s *Session, name string, permits int) *Semaphore {
	return &Semaphore{session: s, name: name, permits: permits}
}

// Acquire waits for a permit, which is released by Unlock. It fails with KindInvalid if the holders have
// another number of permits.
func (m *Semaphore) Acquire(ctx context.Context) (*Lock, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	return m.session.lock(ctx, m.rules())
}

// TryAcquire returns false if all permits are taken.
func (m *Semaphore) TryAcquire(ctx context.Context) (*Lock, bool, error) {
	if err := m.check(); err != nil {
		return nil, false, err
	}
	return m.session.tryLock(ctx, m.rules())
}

func (m *Semaphore) check() error {
	if m.name == "" {
		return invalid("the semaphore has no name")
	}
	if m.permits <= 0 {
		return invalid("a semaphore of %d permits lets nobody in", m.permits)
	}
	return nil
}

func (m *Semaphore) rules() rules {
	s := m.session
	s.mu.Lock()
	defer s.mu.Unlock()
	s.numbers++
	return rules{
		kind:        "permit",
		key:         m.name + "/" + leaseName(s.lease) + "/" + strconv.Itoa(s.numbers),
		value:       strconv.Itoa(m.permits),
		isRevocable: true,
		wait:        m.wait,
	}
}

// wait returns when fewer keys than there are permits are before that of the place. It watches deletions
// among all of them, and not of one: whichever of the holders releases its permit, the first waiter gets
// it. It reads once, and counts down with the deletions.
func (m *Semaphore) wait(ctx context.Context, p *place) error {
	for {
		oldest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_ASCEND)
		response, err := p.session.client.Txn().
			Then(OpGet(m.name+"/", WithPrefix(), oldest, withMaxCreate(p.token))).
			settle(ctx)
		if err != nil {
			return err
		}
		kvs := kvsOf(response, 0)
		last := len(kvs) - 1
		if last < 0 || string(kvs[last].Key) != p.rules.key {
			return errKeyGone
		}
		for _, holder := range kvs[:min(last, m.permits)] {
			// A holder that was asked for its permit has another value there.
			if value := string(holder.Value); value != p.rules.value && value != revokeValue {
				return invalid("the semaphore %q has %s permits, and not %s", m.name, value, p.rules.value)
			}
		}
		if last < m.permits {
			return nil
		}
		if isTry(ctx) {
			return errTaken
		}
		before := map[string]struct{}{}
		for _, kv := range kvs[:last] {
			before[string(kv.Key)] = struct{}{}
		}
		if err := m.countDown(ctx, p, before, response.Header.Revision+1); err != nil {
			return err
		}
	}
}

// countDown returns when fewer than the permits are left of the keys before, or when that may be so.
func (m *Semaphore) countDown(ctx context.Context, p *place, before map[string]struct{}, revision int64) error {
	return p.session.client.awaitEvents(ctx, func(events []*api.Event) bool {
		for _, event := range events {
			delete(before, string(event.Kv.Key))
		}
		return len(before) < m.permits
	}, m.name+"/", WithPrefix(), WithRevision(revision), WithoutPuts())
}
