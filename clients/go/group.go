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
	session *Session
	key     string
}

// Join makes a member, with any value. A member of the same name is replaced: it may be of a former process
// whose session has not expired yet.
func (g *Group) Join(ctx context.Context, s *Session, member, value string) (*Membership, error) {
	if g.name == "" || member == "" {
		return nil, invalid("a group and a member have a name, not %q and %q", g.name, member)
	}
	m := &Membership{session: s, key: g.name + "/" + member}
	return m, m.Set(ctx, value)
}

// Set replaces the member's value.
func (m *Membership) Set(ctx context.Context, value string) error {
	if err := m.session.Err(); err != nil {
		return err
	}
	ctx, cancel := m.session.client.bounded(ctx)
	defer cancel()
	_, err := m.session.client.Txn().Then(OpPut(m.key, value, WithLease(m.session.lease))).settle(ctx)
	return m.session.learn(err)
}

// Leave removes the member, unless another session has replaced it.
func (m *Membership) Leave(ctx context.Context) error {
	ctx, cancel := m.session.client.bounded(ctx)
	defer cancel()
	_, err := m.session.client.Txn().
		If(leaseIs(m.key, Equal, m.session.lease)).
		Then(OpDelete(m.key)).
		settle(ctx)
	if errors.Is(m.session.Err(), ErrSessionLost) {
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
