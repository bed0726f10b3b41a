package client

import (
	"context"
	"errors"

	"conclave.dev/client/api"
)

// errKeyGone says that the key of a waiter was deleted by somebody else.
var errKeyGone = errors.New("the key is gone")

// revokeValue in the key of a mutex asks its owner to give it up (K3).
const revokeValue = "revoke"

// waitForFormer returns when no key is before that of the place. It waits for the deletion of exactly
// the one before it, so that a release wakes one waiter and not all.
func waitForFormer(ctx context.Context, p *place) error {
	for {
		former, revision, err := p.former(ctx)
		if err != nil || former == "" {
			return err
		}
		if err := p.session.client.awaitDelete(ctx, former, revision+1); err != nil {
			return err
		}
	}
}

// tryOnce is an order of waiting that fails with errTaken instead.
func tryOnce(wait func(context.Context, *place) error) func(context.Context, *place) error {
	return func(ctx context.Context, p *place) error {
		return wait(context.WithValue(ctx, tryKey{}, true), p)
	}
}

type tryKey struct{}

func isTry(ctx context.Context) bool { return ctx.Value(tryKey{}) != nil }

// former returns the key before that of the place, or "" if there is none, and the revision at which
// that is so.
func (p *place) former(ctx context.Context) (string, int64, error) {
	latest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_DESCEND)
	response, err := p.session.client.Txn().Then(
		OpGet(p.rules.key, WithKeysOnly()),
		OpGet(p.rules.blockers, WithPrefix(), latest, WithLimit(2), WithKeysOnly(), withMaxCreate(p.token-1)),
	).settle(ctx)
	if err != nil {
		return "", 0, err
	}
	if own := kvsOf(response, 0); len(own) == 0 || own[0].CreateRevision != p.token {
		return "", 0, errKeyGone
	}
	for _, kv := range kvsOf(response, 1) {
		if key := string(kv.Key); key != p.rules.ignores {
			if isTry(ctx) {
				return "", 0, errTaken
			}
			return key, response.Header.Revision, nil
		}
	}
	return "", 0, nil
}

// afterWaiting returns the error of a recipe that waits and has taken back what it did: if ctx has ended, that
// is the reason, whatever call was on its way.
func afterWaiting(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fromContext(ctx)
	}
	return err
}

// awaitDelete returns when a key may have been deleted at this revision or later.
func (c *Client) awaitDelete(ctx context.Context, key string, revision int64) error {
	return c.awaitEvent(ctx, key, WithRevision(revision), WithoutPuts())
}

// awaitEvent returns when there was an event, or may have been.
func (c *Client) awaitEvent(ctx context.Context, key string, options ...Option) error {
	return c.awaitEvents(ctx, func([]*api.Event) bool { return true }, key, options...)
}

// awaitEvents returns when isEnough says so of some events, or when it cannot know: then the caller reads
// the state and begins again.
func (c *Client) awaitEvents(ctx context.Context, isEnough func([]*api.Event) bool, key string, options ...Option) error {
	w, err := c.Watch(ctx, key, options...)
	if err == nil {
		defer w.Close()
		for batch := range w.Batches() {
			if isEnough(batch.Events) {
				return nil
			}
		}
		err = w.Err()
	}
	switch {
	case ctx.Err() != nil:
		return fromContext(ctx)
	case errors.Is(err, ErrCompacted), isWorthAnother(err):
		return nil
	}
	return err
}

// hold watches the key of a held place: its value may ask for the lock, and somebody may delete it.
func (p *place) hold() {
	p.session.client.spawn(func(context.Context) {
		for from := p.token + 1; p.ctx.Err() == nil; {
			w, err := p.session.client.Watch(p.ctx, p.rules.key, WithRevision(from))
			if err == nil {
				for batch := range w.Batches() {
					for _, event := range batch.Events {
						p.see(event)
					}
				}
				err = w.Err()
			}
			switch {
			case p.ctx.Err() != nil:
				return
			case errors.Is(err, ErrCompacted):
				from = p.reread()
			case err != nil && !isWorthAnother(err):
				// For example, a permission that was revoked: the lock is held, but nobody watches it.
				p.session.client.logger.Warn("conclave: the key of a lock cannot be watched",
					"key", p.rules.key, "error", err)
				return
			}
		}
	})
}

// see notes a change of the held key.
func (p *place) see(event *api.Event) {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	switch {
	case p.isLeaving:
	case event.Type == api.Event_DELETE:
		p.lose()
		p.session.forget(p) // the session may queue again
	default:
		p.mod = max(p.mod, event.Kv.ModRevision)
		if string(event.Kv.Value) == revokeValue && !isClosedChan(p.revoked) {
			close(p.revoked)
		}
	}
}

// reread looks at the held key, of which some changes are compacted, and returns the revision from which
// to watch it.
func (p *place) reread() int64 {
	response, err := p.session.client.Get(p.ctx, p.rules.key)
	if err != nil {
		return p.token + 1
	}
	event := &api.Event{Type: api.Event_DELETE}
	if len(response.Kvs) > 0 && response.Kvs[0].CreateRevision == p.token {
		event = &api.Event{Type: api.Event_PUT, Kv: response.Kvs[0]}
	}
	p.see(event)
	return response.Header.Revision + 1
}
