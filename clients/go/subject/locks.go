package main

import (
	"context"

	"conclave.dev/client"
)

func init() {
	for name, do := range map[string]operation{
		"mutex.lock":          lockMutex,
		"mutex.state":         mutexState,
		"mutex.unlock":        unlock(func(a *args) string { return a.Mutex }),
		"mutex.contenders":    mutexContenders,
		"mutex.revoke":        revokeMutex,
		"election.campaign":   campaign,
		"election.proclaim":   proclaim,
		"election.resign":     resign,
		"election.leader":     leader,
		"election.observe":    observe,
		"election.contenders": electionContenders,
		"observe.close":       closeObserve,
	} {
		operations[name] = do
	}
}

// locked names a lock that a request has got, or says that it is taken, and reports what happens to it.
func (s *subject) locked(as string, l *client.Lock, ok bool, err error) (result, error) {
	if err != nil {
		return result{}, err
	}
	if !ok {
		return result{ok: map[string]any{"held": false}}, nil
	}
	s.name(as, l)
	return result{
		ok:    map[string]any{"token": l.Token(), "key": l.Key(), "held": true},
		after: func() { s.report(as, l) },
	}, nil
}

// report reports what happens to a lock: its loss at most once, and that it was asked for.
func (s *subject) report(as string, l *client.Lock) {
	revoked := l.Revoked()
	for {
		select {
		case <-revoked:
			revoked = nil
			s.event(as, map[string]any{"type": "revoke"})
		case <-l.Lost():
			s.event(as, map[string]any{"type": "lost"})
			return
		case <-l.Released():
			return
		}
	}
}

func unlock(which func(*args) string) operation {
	return func(s *subject, ctx context.Context, a *args) (result, error) {
		l, err := find[*client.Lock](s, which(a))
		if err != nil {
			return result{}, err
		}
		return result{}, l.Unlock(ctx)
	}
}

func lockMutex(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	m := client.NewMutex(session, a.Name)
	if a.Try {
		l, ok, err := m.TryLock(ctx)
		return s.locked(a.As, l, ok, err)
	}
	l, err := m.Lock(ctx)
	return s.locked(a.As, l, true, err)
}

func mutexState(s *subject, _ context.Context, a *args) (result, error) {
	l, err := find[*client.Lock](s, a.Mutex)
	if err != nil {
		return result{}, err
	}
	return result{ok: map[string]any{"held": l.Held(), "token": l.Token()}}, nil
}

func mutexContenders(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	keys, err := client.MutexContenders(ctx, c, a.Name)
	return result{ok: map[string]any{"keys": keys}}, err
}

func revokeMutex(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	asked, err := client.AskForMutex(ctx, c, a.Name)
	return result{ok: map[string]any{"asked": asked}}, err
}

func campaign(s *subject, ctx context.Context, a *args) (result, error) {
	session, err := find[*client.Session](s, a.Session)
	if err != nil {
		return result{}, err
	}
	l, err := client.NewElection(session, a.Name).Campaign(ctx, a.Value)
	if err != nil {
		return result{}, err
	}
	s.name(a.As, l)
	return result{ok: map[string]any{"token": l.Token(), "key": l.Key()}, after: func() { s.report(a.As, l.Lock) }}, nil
}

func proclaim(s *subject, ctx context.Context, a *args) (result, error) {
	l, err := find[*client.Leadership](s, a.Election)
	if err != nil {
		return result{}, err
	}
	return result{}, l.Proclaim(ctx, a.Value)
}

func resign(s *subject, ctx context.Context, a *args) (result, error) {
	l, err := find[*client.Leadership](s, a.Election)
	if err != nil {
		return result{}, err
	}
	return result{}, l.Resign(ctx)
}

func leader(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	l, err := client.CurrentLeader(ctx, c, a.Name)
	if err != nil || l == nil {
		return result{ok: map[string]any{"found": false}}, err
	}
	return result{ok: map[string]any{"found": true, "value": l.Value, "token": l.Token}}, nil
}

func observe(s *subject, _ context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	o, err := client.ObserveLeader(context.Background(), c, a.Name)
	if err != nil {
		return result{}, err
	}
	s.name(a.As, o)
	return result{after: func() {
		for l := range o.Leaders() {
			s.event(a.As, map[string]any{"type": "leader", "value": l.Value, "token": l.Token})
		}
	}}, nil
}

func closeObserve(s *subject, _ context.Context, a *args) (result, error) {
	o, err := find[*client.Observer](s, a.Observe)
	if err == nil {
		o.Close()
	}
	return result{}, err
}

func electionContenders(s *subject, ctx context.Context, a *args) (result, error) {
	c, err := find[*client.Client](s, a.Client)
	if err != nil {
		return result{}, err
	}
	values, err := client.ElectionContenders(ctx, c, a.Name)
	return result{ok: map[string]any{"values": values}}, err
}
