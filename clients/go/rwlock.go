package client

import "context"

// RWLock is a lock with many readers or one writer (K4). A reader waits for the writers before it, a
// writer for everybody before it. A session that has the write lock can take the read lock, too, and
// then release the write lock: a downgrade, during which no other writer comes in.
type RWLock struct {
	session *Session
	name    string
}

// NewRWLock returns the read-write lock of this name.
func NewRWLock(s *Session, name string) *RWLock { return &RWLock{session: s, name: name} }

func (l *RWLock) readKey() string  { return l.name + "/read/" + leaseName(l.session.lease) }
func (l *RWLock) writeKey() string { return l.name + "/write/" + leaseName(l.session.lease) }

func (l *RWLock) readRules() rules {
	return rules{
		kind: "reader", key: l.readKey(), isRevocable: true, blockers: l.name + "/write/", ignores: l.writeKey(),
		wait: func(ctx context.Context, p *place) error {
			if l.grantToWriter(p) {
				return nil
			}
			return waitForFormer(ctx, p)
		},
	}
}

func (l *RWLock) writeRules() rules {
	return rules{kind: "writer", key: l.writeKey(), isRevocable: true, blockers: l.name + "/", remove: l.removeWriter}
}

// RLock waits for the read lock.
func (l *RWLock) RLock(ctx context.Context) (*Lock, error) {
	if l.name == "" {
		return nil, invalid("the lock has no name")
	}
	return l.session.lock(ctx, l.readRules())
}

// TryRLock returns false if another session has the write lock or waits for it.
func (l *RWLock) TryRLock(ctx context.Context) (*Lock, bool, error) {
	if l.name == "" {
		return nil, false, invalid("the lock has no name")
	}
	return l.session.tryLock(ctx, l.readRules())
}

// Lock waits for the write lock. A session with the read lock cannot get it: two that tried would wait
// for each other.
func (l *RWLock) Lock(ctx context.Context) (*Lock, error) {
	if err := l.checkWriter(); err != nil {
		return nil, err
	}
	return l.session.lock(ctx, l.writeRules())
}

// TryLock returns false if another session has either lock or waits for one.
func (l *RWLock) TryLock(ctx context.Context) (*Lock, bool, error) {
	if err := l.checkWriter(); err != nil {
		return nil, false, err
	}
	return l.session.tryLock(ctx, l.writeRules())
}

func (l *RWLock) checkWriter() error {
	if l.name == "" {
		return invalid("the lock has no name")
	}
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	writer := s.places[l.writeKey()]
	if reader := s.places[l.readKey()]; reader != nil && reader.isHeld() && (writer == nil || writer.isLeaving) {
		return invalid("the session has the read lock: release it before asking for the write lock")
	}
	return nil
}

// grantToWriter lets a reader in at once if its session has the write lock.
func (l *RWLock) grantToWriter(reader *place) bool {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	writer := s.places[l.writeKey()]
	if writer == nil || !writer.isHeld() || writer.isRemoving {
		return false
	}
	reader.isGranted = true
	return true
}

// removeWriter deletes the writer's key. If the session has the read lock, that is a downgrade: a writer
// that waits has a key older than the reader's, and waits only for ours, so it would come in beside the
// reader. In this case our key stays until the reader's is gone.
func (l *RWLock) removeWriter(ctx context.Context, p *place) error {
	for {
		reader := l.readerBeside(p)
		if reader == nil {
			return deleteKey(ctx, p)
		}
		// Alone: there is no key of another writer.
		isGone, err := p.deleteIf(ctx, overPrefix(Create(l.name+"/write/", Less, p.token+1)))
		if err != nil || isGone {
			return err
		}
		p.setReleased()
		select {
		case <-reader.gone:
		case <-ctx.Done():
			return fromContext(ctx)
		}
	}
}

// readerBeside returns the reader of the same session, or nil; then no reader is granted any more.
func (l *RWLock) readerBeside(p *place) *place {
	s := l.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if reader := s.places[l.readKey()]; reader != nil && (reader.isGranted || reader.isHeld()) {
		return reader
	}
	p.isRemoving = true
	return nil
}
