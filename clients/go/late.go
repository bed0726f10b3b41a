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
	_, isWatched := s.copied[key]
	s.copied[key] = struct{}{}
	s.mu.Unlock()
	if !isWatched {
		s.watchCopies(key, s.deleteUnlessHeld)
	}
}

// deleteCopiesOfClaim deletes late copies of a claim in the background until the session ends. The claim has a
// mark that no other one has, and was made once, at the revision that is its token, or not at all: 0.
func (s *Session) deleteCopiesOfClaim(key, mark string, token int64) {
	s.watchCopies(key, func(kv *api.KeyValue) error {
		if string(kv.Value) != mark || kv.CreateRevision == token {
			return nil
		}
		return s.deleteKey(s.ctx, key, kv.CreateRevision)
	})
}

// watchCopies calls look with the key whenever it has changed and has the session's lease.
func (s *Session) watchCopies(key string, look func(kv *api.KeyValue) error) {
	s.client.spawn(func(context.Context) {
		m, err := s.client.followWith(s.ctx, nil, key)
		for isWorthAnother(err) && pausing(s.ctx, roundPauseMax, nil) {
			m, err = s.client.followWith(s.ctx, nil, key)
		}
		if err != nil {
			return // the session has ended, or its user may not read the key
		}
		defer m.close()
		for range m.changed {
			if kv := m.oldest(); kv != nil && kv.Lease == s.lease {
				if err := look(kv); err != nil {
					return
				}
			}
		}
	})
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
			s.places[key] = p
			s.mu.Unlock()
			defer p.end()
			return s.deleteKey(s.ctx, key, kv.CreateRevision)
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
