package client

import (
	"context"
	"errors"
	"strings"

	"conclave.dev/client/api"
)

// Group is a set of members, each for as long as its session lives (K13).
type Group struct {
	client *Client
	name   string
}

// NewGroup returns the group of this name.
func NewGroup(c *Client, name string) *Group { return &Group{client: c, name: name} }

// Membership is one member of a group, or one address of a service.
type Membership struct {
	lock *Lock
}

// Join makes a member, with any value. A member of the same name is replaced: it may be of a former process
// whose session has not expired yet. One of the same session gets the new value, and has to leave as often.
func (g *Group) Join(ctx context.Context, s *Session, member, value string) (*Membership, error) {
	if g.name == "" || member == "" {
		return nil, invalid("a group and a member have a name, not %q and %q", g.name, member)
	}
	return s.become(ctx, "member", g.name+"/"+member, value)
}

// become makes the session a member.
func (s *Session) become(ctx context.Context, kind, key, value string) (*Membership, error) {
	ctx, cancel := s.client.bounded(ctx)
	defer cancel()
	isTurn := func(context.Context, *place) error { return nil }
	for {
		p, err := s.take(ctx, rules{kind: kind, key: key, value: value, wait: isTurn, isMember: true}, false)
		if err != nil {
			return nil, err
		}
		m := &Membership{newLock(p)}
		if !p.isShared() {
			return m, nil
		}
		if err = m.Set(ctx, value); err == nil {
			return m, nil
		}
		p.release()
		if !errors.Is(err, ErrSessionLost) || !s.isAlive() {
			return nil, err
		}
		// The former membership was lost, and its session did not know.
	}
}

// Set replaces the member's value. It fails with KindSessionLost if the session is no member any more: another
// one has replaced it, or the key was deleted.
func (m *Membership) Set(ctx context.Context, value string) error {
	if m.lock.isReleased.Load() {
		return closed("membership")
	}
	return m.lock.place.set(ctx, value)
}

// Leave removes the member, unless another session has replaced it.
func (m *Membership) Leave(ctx context.Context) error {
	err := m.lock.Unlock(ctx)
	if errors.Is(m.lock.place.session.Err(), ErrSessionLost) {
		return nil // the member is gone with it
	}
	return err
}

// Members returns the members and their values.
func (g *Group) Members(ctx context.Context) (map[string]string, error) {
	if g.name == "" {
		return nil, invalid("the group has no name")
	}
	response, err := g.client.Get(ctx, g.name+"/", WithPrefix())
	if err != nil {
		return nil, err
	}
	kvs := map[string]*api.KeyValue{}
	for _, kv := range response.Kvs {
		kvs[string(kv.Key)] = kv
	}
	return g.members(kvs), nil
}

// Listen calls f with the members now, and after each change, of which those are merged that come while f
// runs. It ends with ctx, or by stop.
func (g *Group) Listen(ctx context.Context, f func(map[string]string)) (stop func(), err error) {
	if g.name == "" {
		return nil, invalid("the group has no name")
	}
	return g.client.listen(ctx, func(kvs map[string]*api.KeyValue) { f(g.members(kvs)) }, g.name+"/", WithPrefix())
}

func (g *Group) members(kvs map[string]*api.KeyValue) map[string]string {
	members := make(map[string]string, len(kvs))
	for key, kv := range kvs {
		members[strings.TrimPrefix(key, g.name+"/")] = string(kv.Value)
	}
	return members
}
