package client

import (
	"context"
	"sync/atomic"
)

// Lock is a held lock: a mutex, one side of a read-write lock, or a permit of a semaphore.
type Lock struct {
	place      *place
	isReleased atomic.Bool
	released   chan struct{}
}

func newLock(p *place) *Lock { return &Lock{place: p, released: make(chan struct{})} }

// Key returns the owner's key, which exists while the lock is held.
func (l *Lock) Key() string { return l.place.rules.key }

// Token returns the fencing token: it grows with every owner (K1).
func (l *Lock) Token() int64 { return l.place.token }

// Owner returns the comparison that makes a transaction take effect only while the lock is held.
func (l *Lock) Owner() Compare { return Owner(l.Key(), l.Token()) }

// Held reports whether the lock is held. It looks at the clock, so it is right even after a pause of
// the process (S3).
func (l *Lock) Held() bool {
	if l.isReleased.Load() || !l.place.session.isAlive() {
		return false
	}
	return !isClosedChan(l.place.lost)
}

// Lost is closed when the lock is lost: the session is, or somebody has deleted the key.
func (l *Lock) Lost() <-chan struct{} { return l.place.lost }

// Context returns a context for work under the lock: it ends with ctx, and with KindSessionLost as its cause
// when the lock is lost. The caller must cancel it.
func (l *Lock) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	held, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-l.Lost():
			err := l.place.session.Err()
			if err == nil {
				err = ErrSessionLost.because(nil, "the key of the lock was deleted")
			}
			cancel(err)
		case <-held.Done():
		}
	}()
	return held, func() { cancel(nil) }
}

// Revoked is closed when somebody has asked for the lock, by AskForMutex. Its owner may unlock it, or
// not.
func (l *Lock) Revoked() <-chan struct{} { return l.place.revoked }

// Released is closed by Unlock.
func (l *Lock) Released() <-chan struct{} { return l.released }

// Unlock releases the lock. A session that has locked it several times holds it until it has unlocked
// it as often. It waits until the lock is free for others, within ctx, or the client's timeout; after
// that the key is deleted in the background. If the server refuses the deletion, the lock stays taken until the
// session ends or locks it again.
func (l *Lock) Unlock(ctx context.Context) error {
	if l.isReleased.Swap(true) {
		return closed("lock")
	}
	close(l.released)
	p := l.place
	over := p.session.Err()
	p.release()
	if over != nil {
		return over
	}
	p.session.mu.Lock()
	isLast := p.isLeaving
	p.session.mu.Unlock()
	if !isLast {
		return nil
	}
	ctx, cancel := p.session.client.bounded(ctx)
	defer cancel()
	select {
	case <-p.released:
		return p.leaveErr
	case <-ctx.Done():
		var err error = fromContext(ctx).because(ctx.Err(), "unlocking goes on in the background")
		if p.removal.isUnknown() {
			err = afterLoss(err)
		}
		return err
	}
}

// lock is take for users.
func (s *Session) lock(ctx context.Context, r rules) (*Lock, error) {
	p, err := s.take(ctx, r, false)
	if err != nil {
		return nil, err
	}
	return newLock(p), nil
}

// tryLock is lock without waiting; it returns false if the lock is taken.
func (s *Session) tryLock(ctx context.Context, r rules) (*Lock, bool, error) {
	ctx, cancel := s.client.bounded(ctx)
	defer cancel()
	p, err := s.take(ctx, r, true)
	switch {
	case err == errTaken:
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return newLock(p), true, nil
}
