package client

import (
	"context"
	"errors"
	"time"

	"conclave.dev/client/api"
)

// goodbye is how long a waiter that gives up waits for its key to be deleted.
const goodbye = 250 * time.Millisecond

// place is what a session has in the queue of one lock: its key, from before it is created until it is
// known to be deleted. A session has one place per key, so users of the same lock share it.
//
//	enqueue ──▶ wait for the key before ──▶ hold ──▶ delete the key
//	    └──────────────────┴── given up ──────────────▶
type place struct {
	session *Session
	rules   rules
	ctx     context.Context // ends with the session, and when nobody uses the place any more
	cancel  context.CancelFunc

	ready    chan struct{} // closed when the place is held, or err says why it is not
	lost     chan struct{} // closed when it is held no longer, but was not given up
	revoked  chan struct{} // closed when the holder was asked to give it up
	released chan struct{} // closed when the key is deleted, or when that must wait for another place
	gone     chan struct{} // closed when the session has no place here any more

	// Written before ready is closed.
	token int64
	err   error
	// isAsked says that the key that was found had the value revoke.
	isAsked bool
	// leaveErr is why the key was not deleted. Written before released is closed.
	leaveErr error

	entry, removal fate // of the key's put and of its deletion

	// Guarded by the session's lock.
	mod       int64 // the key's mod revision, as far as is known
	users     int
	isLeaving bool
	isLost    bool
	// isGranted says that a reader was let in because its session has the write lock, and isRemoving that
	// a writer's key is being deleted, so that no more readers are.
	isGranted, isRemoving bool
}

// rules are what is different from lock to lock.
type rules struct {
	// kind is the recipe, and what the key is in it. Recipes of the same name may have the same key.
	kind       string
	key, value string
	// isRevocable says that the value revoke asks for the key, and is kept.
	isRevocable bool
	// blockers is the prefix of the keys that come before this one, if they are older.
	blockers string
	// ignores is a key that does not block this one though it is one of them.
	ignores string
	// wait returns when it is the turn of the key with this token; nil is waitForFormer.
	wait func(ctx context.Context, p *place) error
	// remove deletes the key; nil is deleteKey.
	remove func(ctx context.Context, p *place) error
	// isMember says that the key is that of a member. Nobody waits for its loss, so it is not watched. Joining is a
	// write and no waiting, so its error says whether it may have happened.
	isMember bool
}

// errTaken ends an attempt that does not wait.
var errTaken = errors.New("taken")

// take returns the session's place for a key when it is held. With try, it fails with errTaken instead
// of waiting. The place must be released.
func (s *Session) take(ctx context.Context, r rules, try bool) (*place, error) {
	if ctx.Err() != nil {
		return nil, fromContext(ctx)
	}
	for {
		p, err := s.enter(r, try)
		if err != nil {
			return nil, err
		}
		if p.isLeavingNow() {
			// The former key must be deleted before there can be a new one.
			select {
			case <-p.gone:
				continue
			case <-ctx.Done():
				return nil, fromContext(ctx)
			case <-s.Done():
				return nil, s.Err()
			}
		}
		select {
		case <-p.ready:
			err = p.err
		case <-ctx.Done():
			err = fromContext(ctx)
		case <-s.Done():
			err = s.Err()
		}
		if over := s.Err(); over != nil {
			err = over
		}
		if err == errTaken && !try {
			p.release()
			continue // it was the place of somebody who did not want to wait
		}
		if err != nil {
			p.release()
			select {
			case <-p.released:
			case <-time.After(goodbye):
			case <-s.Done():
			}
			if r.isMember && !errors.Is(err, ErrSessionLost) && p.mayHaveKey() {
				err = afterLoss(err)
			}
			return nil, err
		}
		return p, nil
	}
}

// enter returns the session's place, with one more user unless it is leaving.
func (s *Session) enter(r rules, try bool) (*place, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.places[r.key]
	if p != nil {
		if p.isLeaving {
			return p, nil
		}
		if p.rules.kind != r.kind {
			return nil, invalid("the session uses the key %q for a %s, so a %s needs another name or session",
				r.key, p.rules.kind, r.kind)
		}
		if try && !isClosedChan(p.ready) {
			return nil, errTaken
		}
		p.users++
		return p, nil
	}
	p = newPlace(s, r)
	p.users = 1
	if p.rules.wait == nil {
		p.rules.wait = waitForFormer
	}
	if try {
		p.rules.wait = tryOnce(p.rules.wait)
	}
	if p.rules.remove == nil {
		p.rules.remove = deleteKey
	}
	p.ctx, p.cancel = context.WithCancel(s.ctx)
	if !s.client.spawn(func(context.Context) { p.run() }) {
		p.cancel()
		return nil, closed("client")
	}
	s.places[r.key] = p
	return p, nil
}

func newPlace(s *Session, r rules) *place {
	return &place{
		session: s, rules: r,
		ready: make(chan struct{}), lost: make(chan struct{}), revoked: make(chan struct{}),
		released: make(chan struct{}), gone: make(chan struct{}),
	}
}

func (p *place) isLeavingNow() bool {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	return p.isLeaving
}

// mayHaveKey reports whether the key of a place that was given up may be there.
func (p *place) mayHaveKey() bool {
	return p.entry.isUnknown() || (p.entry.isAnswered.Load() && !isClosedChan(p.released))
}

// isHeld reports whether the place was acquired and is not lost. The caller has the session's lock.
func (p *place) isHeld() bool { return isClosedChan(p.ready) && p.err == nil && !p.isLost }

// release notes that one user is gone. After the last one the key is deleted, in the background, for
// as long as the session lives.
func (p *place) release() {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	p.releaseLocked()
}

// releaseLocked is release for a caller that has the session's lock.
func (p *place) releaseLocked() {
	if p.users--; p.users == 0 {
		p.isLeaving = true
		p.cancel()
	}
}

// isShared reports whether the place has other users, too.
func (p *place) isShared() bool {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	return p.users > 1
}

// run is the life of the place.
func (p *place) run() {
	defer p.cancel()
	err := p.acquire()
	p.session.mu.Lock()
	p.err = err
	close(p.ready)
	switch {
	case err != nil:
		p.isLeaving = true // whoever comes now waits for another place
	case p.isAsked:
		close(p.revoked)
	}
	p.session.mu.Unlock()
	if err == nil {
		if !p.rules.isMember {
			p.hold()
		}
		<-p.ctx.Done()
	}
	p.leaveErr = p.session.Err()
	if p.leaveErr == nil {
		// It cannot fail while the session lives, but for a permission that was revoked.
		p.leaveErr = p.session.learn(p.rules.remove(p.session.ctx, p))
		if p.leaveErr != nil && p.session.isAlive() {
			p.session.client.logger.Error("conclave: a key could not be deleted; it goes with its session",
				"key", p.rules.key, "error", p.leaveErr)
		}
	}
	p.setReleased()
	p.end()
}

// end makes room for another place with the same key.
func (p *place) end() {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	p.session.forget(p)
	close(p.gone)
}

func (p *place) setReleased() {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	if !isClosedChan(p.released) {
		close(p.released)
	}
}

// forget lets the session have another place with the same key. The caller has the lock.
func (s *Session) forget(p *place) {
	if s.places[p.rules.key] == p {
		delete(s.places, p.rules.key)
	}
}

// acquire creates the key and waits for its turn.
func (p *place) acquire() error {
	for {
		isFirst, err := p.enqueue()
		if err != nil {
			return p.session.learn(err)
		}
		if isFirst {
			return p.session.Err()
		}
		err = p.rules.wait(p.ctx, p)
		if errors.Is(err, errKeyGone) && p.ctx.Err() == nil {
			continue // somebody has deleted our key: queue again
		}
		if err != nil {
			return p.session.learn(err)
		}
		return p.session.Err()
	}
}

// enqueue puts the key, and reports whether no older key is in the way. A transaction that was sent is not cancelled
// when the users give up, so that the key is not put after its deletion.
//
// Each attempt is guarded by the key's last change, so that one of them is executed, and a late copy changes
// nothing while the key exists. Late copies after its deletion are deleted.
//
// A key that is found is put once more. If it has the session's lease, it may be left from a release that has failed,
// whose deletion may still be executed; the deletion is guarded by the last change, too, and this put is a later one.
func (p *place) enqueue() (isFirst bool, err error) {
	key := p.rules.key
	p.token, p.isAsked = 0, false
	reads := []Operation{OpGet(key)}
	if p.rules.blockers != "" {
		oldest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_ASCEND)
		reads = append(reads, OpGet(p.rules.blockers, WithPrefix(), oldest, WithLimit(1), WithKeysOnly()))
	}
	var mod int64 // there is no key, as far as is known
	for {
		put := OpPut(key, p.rules.value, WithLease(p.session.lease))
		if p.isAsked {
			put = OpPut(key, "", WithLease(p.session.lease), withIgnoreValue())
		}
		response, err := p.session.client.Txn().
			If(Mod(key, Equal, mod)).
			Then(append([]Operation{put}, reads...)...).
			Else(reads...).
			settleWhile(p.session.ctx, p.ctx, &p.entry)
		if p.entry.wasLost.Load() {
			p.session.deleteCopies(key)
		}
		if err != nil {
			return false, err
		}
		at := 0
		if response.Succeeded {
			at = 1
		}
		p.note(kvsOf(response, at))
		if !response.Succeeded {
			mod = modOf(kvsOf(response, 0))
			continue
		}
		if p.rules.blockers == "" {
			return false, nil
		}
		oldest := kvsOf(response, at+1)
		return len(oldest) == 0 || oldest[0].CreateRevision >= p.token, nil
	}
}

// note takes over what is known of the key from what was read of it.
func (p *place) note(found []*api.KeyValue) {
	p.token, p.isAsked = 0, false
	if len(found) == 0 || found[0].Lease != p.session.lease {
		return // that of another session, which will be replaced
	}
	p.token = found[0].CreateRevision
	p.isAsked = p.rules.isRevocable && string(found[0].Value) == revokeValue
	p.setMod(found[0].ModRevision)
}

// deleteKey deletes the key of a place.
func deleteKey(ctx context.Context, p *place) error {
	_, err := p.deleteIf(ctx)
	return err
}

// deleteIf deletes the key of a place if some comparisons hold. It reports whether the key is gone. Each attempt is
// guarded by the key's last change, so that one that is executed late spares the key of a later entry (R8).
func (p *place) deleteIf(ctx context.Context, compares ...Compare) (isGone bool, err error) {
	s, key := p.session, p.rules.key
	if p.token == 0 {
		return true, nil // nothing was put, or there are only copies that deleteCopies deletes
	}
	for {
		mod := p.lastMod()
		response, err := s.client.Txn().
			If(append(append(s.owns(key, p.token), Mod(key, Equal, mod)), compares...)...).
			Then(OpDelete(key)).
			Else(OpGet(key)).
			settleWhile(ctx, ctx, &p.removal)
		if err != nil || response.Succeeded {
			return err == nil, err
		}
		found := kvsOf(response, 0)
		switch {
		case !s.isOwn(found, p.token):
			return true, nil
		case found[0].ModRevision == mod:
			return false, nil
		case !p.isCurrent():
			return true, nil // the key is that of a later place
		}
		p.setMod(found[0].ModRevision)
	}
}

// owns holds while the key with this token is the session's. A session that replaces the key of another one
// keeps its create revision.
func (s *Session) owns(key string, token int64) []Compare {
	return []Compare{Owner(key, token), leaseIs(key, Equal, s.lease)}
}

// isOwn is owns for a key that was read.
func (s *Session) isOwn(found []*api.KeyValue, token int64) bool {
	return len(found) > 0 && found[0].CreateRevision == token && found[0].Lease == s.lease
}

// isCurrent reports whether the place is the session's for its key.
func (p *place) isCurrent() bool {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	return p.session.places[p.rules.key] == p
}

// set changes the value of the key of a held place, within ctx or the client's timeout. Each attempt is
// guarded by the last change, so that one that is executed late does not undo a later one (R8).
func (p *place) set(ctx context.Context, value string) error {
	s, key := p.session, p.rules.key
	if err := s.Err(); err != nil {
		return err
	}
	ctx, leave := s.join(ctx)
	defer leave()
	ctx, cancel := s.client.bounded(ctx)
	defer cancel()
	var f fate // of all attempts
	for mod := p.lastMod(); ; {
		response, err := s.client.Txn().
			If(append(s.owns(key, p.token), Mod(key, Equal, mod))...).
			Then(OpPut(key, value, WithLease(s.lease))).
			Else(OpGet(key)).
			settleWhile(ctx, ctx, &f)
		if err != nil {
			return s.learn(err)
		}
		if response.Succeeded {
			p.setMod(response.Header.Revision)
			return nil
		}
		found := kvsOf(response, 0)
		if !s.isOwn(found, p.token) || !p.isCurrent() {
			s.mu.Lock()
			defer s.mu.Unlock()
			p.lose()
			s.forget(p)
			return ErrSessionLost.because(nil, "the key %q was deleted, or another session has it", key)
		}
		mod = found[0].ModRevision
	}
}

// setMod notes a change of the key. Answers to concurrent calls may come in another order than their changes.
func (p *place) setMod(revision int64) {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	p.mod = max(p.mod, revision)
}

func (p *place) lastMod() int64 {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	return p.mod
}

// lose marks the place as held no longer. The caller has the session's lock.
func (p *place) lose() {
	if !p.isLost {
		p.isLost = true
		close(p.lost)
	}
}

func isClosedChan(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
