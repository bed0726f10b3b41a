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
	key, value string
	// blockers is the prefix of the keys that come before this one, if they are older.
	blockers string
	// ignores is a key that does not block this one though it is one of them.
	ignores string
	// wait returns when it is the turn of the key with this token; nil is waitForFormer.
	wait func(ctx context.Context, p *place) error
	// remove deletes the key; nil is deleteKey.
	remove func(ctx context.Context, p *place) error
	// isUnwatched says that the held key is not watched: it is no lock, whose loss somebody waits for.
	isUnwatched bool
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
	if err != nil {
		p.isLeaving = true // whoever comes now waits for another place
	}
	p.session.mu.Unlock()
	if err == nil {
		if !p.rules.isUnwatched {
			p.hold()
		}
		<-p.ctx.Done()
	}
	if p.session.isAlive() {
		// It cannot fail while the session lives, but for a permission that was revoked.
		if err := p.rules.remove(p.session.ctx, p); err != nil && p.session.isAlive() {
			p.session.client.logger.Error("conclave: a key could not be deleted; it goes with its session",
				"key", p.rules.key, "error", err)
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

// enqueue puts the key, or finds the one of an attempt whose answer was lost. It reports whether no older
// key is in the way. A transaction that was sent is not cancelled when the users give up, so that the key is
// not put after its deletion.
//
// Each attempt is guarded by the key's last change, so that one of them is executed, and a late copy changes
// nothing while the key exists. Late copies after its deletion are deleted.
func (p *place) enqueue() (isFirst bool, err error) {
	key, lease := p.rules.key, p.session.lease
	p.token = 0
	reads := []Operation{OpGet(key)}
	if p.rules.blockers != "" {
		oldest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_ASCEND)
		reads = append(reads, OpGet(p.rules.blockers, WithPrefix(), oldest, WithLimit(1), WithKeysOnly()))
	}
	var mod int64 // there is no key, as far as is known
	for {
		response, wasLost, err := p.session.client.Txn().
			If(Mod(key, Equal, mod)).
			Then(append([]Operation{OpPut(key, p.rules.value, WithLease(lease))}, reads...)...).
			Else(reads...).
			settleWhile(p.session.ctx, p.ctx)
		if wasLost {
			p.session.deleteCopies(key)
		}
		if err != nil {
			return false, err
		}
		at := 0
		if response.Succeeded {
			at = 1
		}
		found := kvsOf(response, at)
		if len(found) == 0 {
			mod = 0 // the key that was to be replaced is gone
			continue
		}
		own := found[0]
		// A key of ours is that of an attempt whose answer was lost, or a late copy. Another one is replaced.
		if !response.Succeeded && (own.Lease != lease || string(own.Value) != p.rules.value) {
			mod = own.ModRevision
			continue
		}
		p.token = own.CreateRevision
		p.setMod(own.ModRevision)
		if p.rules.blockers == "" {
			return false, nil
		}
		oldest := kvsOf(response, at+1)
		return len(oldest) == 0 || oldest[0].CreateRevision >= p.token, nil
	}
}

// deleteKey deletes the key of a place.
func deleteKey(ctx context.Context, p *place) error {
	if p.token == 0 {
		return nil // nothing was put, or there are only copies that deleteCopies deletes
	}
	return p.session.deleteKey(ctx, p.rules.key, p.token)
}

// deleteKey deletes a key of the session that was created at a revision.
func (s *Session) deleteKey(ctx context.Context, key string, token int64) error {
	_, err := s.client.Txn().If(s.owns(key, token)...).Then(OpDelete(key)).settle(ctx)
	return err
}

// owns holds while the key with this token is the session's. A session that replaces the key of another one
// keeps its create revision.
func (s *Session) owns(key string, token int64) []Compare {
	return []Compare{Owner(key, token), leaseIs(key, Equal, s.lease)}
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
	s.mu.Lock()
	mod := p.mod
	s.mu.Unlock()
	for {
		response, err := s.client.Txn().
			If(append(s.owns(key, p.token), Mod(key, Equal, mod))...).
			Then(OpPut(key, value, WithLease(s.lease))).
			Else(OpGet(key)).
			settle(ctx)
		if err != nil {
			return s.learn(err)
		}
		if response.Succeeded {
			p.setMod(response.Header.Revision)
			return nil
		}
		found := kvsOf(response, 0)
		if len(found) == 0 || found[0].CreateRevision != p.token || found[0].Lease != s.lease {
			s.mu.Lock()
			defer s.mu.Unlock()
			p.lose()
			s.forget(p)
			return ErrSessionLost.because(nil, "the key %q was deleted, or another session has it", key)
		}
		mod = found[0].ModRevision
		if string(found[0].Value) == value {
			p.setMod(mod) // of an attempt whose answer was lost
			return nil
		}
	}
}

func (p *place) setMod(revision int64) {
	p.session.mu.Lock()
	defer p.session.mu.Unlock()
	p.mod = revision
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
