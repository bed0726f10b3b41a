package client

import (
	"context"

	"conclave.dev/client/api"
)

// The put of a session's key is sent again if its answer is lost. The first attempt may hang in a connection,
// and be executed when the key was deleted, because the lock was released or the wait for it given up: then the
// key exists again, and nobody knows of it. No comparison prevents that, because the store keeps nothing of a
// deleted key. But such a copy can be seen (R8): after a put whose answer was lost, the key is watched until the
// session ends, and deleted if nobody holds it.

// deleteCopies deletes late copies of the put of a place's key, in the background until the session ends.
func (s *Session) deleteCopies(key string) {
	s.mu.Lock()
	s.copied[key]++
	isWatched := s.copied[key] > 1
	s.mu.Unlock()
	if isWatched {
		return
	}
	s.client.spawn(func(context.Context) {
		for seen := 1; ; {
			s.watchCopies(key, func(kv *api.KeyValue) (isDone bool, err error) {
				if kv == nil || kv.Lease != s.lease {
					return false, nil
				}
				return false, s.deleteUnlessHeld(kv)
			})
			s.mu.Lock()
			now := s.copied[key]
			if now == seen || s.err != nil {
				delete(s.copied, key) // the next put without an answer begins another watch
				s.mu.Unlock()
				return
			}
			s.mu.Unlock()
			seen = now
		}
	})
}

// deleteCopiesOfClaim deletes late copies of the claim of an item in the background, until the session ends or the
// item is done. The claim has a mark that no other one has, and was made once, at the revision that is the item's
// token, or not at all: 0.
func (i *Item) deleteCopiesOfClaim(mark string) {
	s := i.session
	s.client.spawn(func(context.Context) {
		s.watchCopies(i.claim, func(kv *api.KeyValue) (isDone bool, err error) {
			switch {
			case kv == nil:
				// A claim is deleted with its item, and a copy is not executed without the item.
				response, err := s.client.Txn().Then(OpGet(i.key, WithKeysOnly())).settle(s.ctx)
				if err != nil {
					return false, err
				}
				items := kvsOf(response, 0)
				return len(items) == 0 || items[0].CreateRevision != i.created, nil
			case string(kv.Value) != mark || kv.CreateRevision == i.token:
				return false, nil
			}
			_, err = s.client.Txn().
				If(append(s.owns(i.claim, kv.CreateRevision), Mod(i.claim, Equal, kv.ModRevision))...).
				Then(OpDelete(i.claim)).
				settle(s.ctx)
			return false, err
		})
	})
}

// watchCopies calls look with a key, or nil if there is none, now and whenever that has changed, until look is done
// or fails, or the session ends, or its user may not read the key.
func (s *Session) watchCopies(key string, look func(kv *api.KeyValue) (isDone bool, err error)) {
	m, err := s.client.followWith(s.ctx, nil, key)
	for isWorthAnother(err) && pausing(s.ctx, roundPauseMax, nil) {
		m, err = s.client.followWith(s.ctx, nil, key)
	}
	if err == nil {
		defer m.close()
		for range m.changed {
			isDone, lookErr := look(m.oldest())
			if isDone {
				return
			}
			if err = lookErr; err != nil {
				break
			}
		}
		if err == nil {
			err = m.err()
		}
	}
	if err != nil && s.isAlive() {
		s.client.logger.Warn("conclave: late copies of a key cannot be watched for", "key", key, "error", err)
	}
}

// deleteUnlessHeld deletes the key of a place if it is a late copy.
func (s *Session) deleteUnlessHeld(kv *api.KeyValue) error {
	key := string(kv.Key)
	for {
		s.mu.Lock()
		p := s.places[key]
		var change <-chan struct{} // of the place
		switch {
		case p == nil:
			// While this place is leaving there is no other one, which could find the copy before its
			// deletion and take it for its own.
			p = newPlace(s, rules{key: key})
			p.isLeaving = true
			p.token, p.mod = kv.CreateRevision, kv.ModRevision
			s.places[key] = p
			s.mu.Unlock()
			defer p.end()
			return deleteKey(s.ctx, p)
		case p.isLeaving:
			change = p.gone
		case !isClosedChan(p.ready):
			change = p.ready // it may have taken the copy for its own
		case p.token < kv.CreateRevision:
			// The held key was deleted by somebody else.
			p.lose()
			s.forget(p)
		default:
			s.mu.Unlock()
			return nil // it is held, or gone already
		}
		s.mu.Unlock()
		if change == nil {
			continue
		}
		select {
		case <-change:
		case <-s.Done():
			return s.Err()
		}
	}
}
