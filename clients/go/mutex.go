package client

import (
	"context"

	"conclave.dev/client/api"
)

// Mutex is a lock with one owner (K2). It is fair, and shared with etcd's Go client and the Lock calls of
// the API. Handles of the same session share it, too: a session that has locked it locks it again at
// once, and must unlock it as often.
type Mutex struct {
	session *Session
	name    string
}

// NewMutex returns the mutex of this name.
func NewMutex(s *Session, name string) *Mutex { return &Mutex{session: s, name: name} }

func (m *Mutex) rules() rules {
	prefix := m.name + "/"
	return rules{kind: "mutex", key: prefix + leaseName(m.session.lease), isRevocable: true, blockers: prefix}
}

// Lock waits for the mutex, until ctx ends or the session does.
func (m *Mutex) Lock(ctx context.Context) (*Lock, error) {
	if m.name == "" {
		return nil, invalid("the mutex has no name")
	}
	return m.session.lock(ctx, m.rules())
}

// TryLock returns false if another session has the mutex or waits for it.
func (m *Mutex) TryLock(ctx context.Context) (*Lock, bool, error) {
	if m.name == "" {
		return nil, false, invalid("the mutex has no name")
	}
	return m.session.tryLock(ctx, m.rules())
}

// MutexContenders returns the keys of a mutex in the order in which they get it; the first is the
// owner's.
func MutexContenders(ctx context.Context, c *Client, name string) ([]string, error) {
	kvs, err := contenders(ctx, c, name, WithKeysOnly())
	keys := make([]string, len(kvs))
	for i, kv := range kvs {
		keys[i] = string(kv.Key)
	}
	return keys, err
}

// AskForMutex asks the owner of a mutex to unlock it (K3): its Lock.Revoked is closed. It returns false
// if there is no owner. Nothing is taken by force.
func AskForMutex(ctx context.Context, c *Client, name string) (bool, error) {
	for {
		kvs, err := contenders(ctx, c, name, WithLimit(1))
		if err != nil || len(kvs) == 0 {
			return false, err
		}
		key, token := string(kvs[0].Key), kvs[0].CreateRevision
		response, err := c.Txn().If(Owner(key, token)).Then(OpPut(key, revokeValue, withIgnoreLease())).Commit(ctx)
		if err != nil || response.Succeeded {
			return response.GetSucceeded(), err
		}
		// The owner has changed: ask the new one.
	}
}

// contenders returns the keys under a name, the oldest first.
func contenders(ctx context.Context, c *Client, name string, options ...Option) ([]*api.KeyValue, error) {
	if name == "" {
		return nil, invalid("the name is empty")
	}
	oldest := WithSort(api.RangeRequest_CREATE, api.RangeRequest_ASCEND)
	response, err := c.Get(ctx, name+"/", append([]Option{WithPrefix(), oldest}, options...)...)
	return response.GetKvs(), err
}
