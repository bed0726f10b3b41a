package client

import (
	"context"

	"conclave.dev/client/api"
)

// SharedValue is one key's value, with its revision (K12).
type SharedValue struct {
	client *Client
	name   string
}

// Versioned is a value at a revision.
type Versioned struct {
	// Found says whether there is a value.
	Found bool
	Value string
	// Revision is that of the last write: 0 if there is no value.
	Revision int64
}

// NewSharedValue returns the value of this name.
func NewSharedValue(c *Client, name string) *SharedValue { return &SharedValue{client: c, name: name} }

// Get returns the value.
func (v *SharedValue) Get(ctx context.Context) (Versioned, error) {
	response, err := v.client.Get(ctx, v.name)
	if err != nil || len(response.Kvs) == 0 {
		return Versioned{}, err
	}
	return versioned(response.Kvs[0]), nil
}

func versioned(kv *api.KeyValue) Versioned {
	if kv == nil {
		return Versioned{}
	}
	return Versioned{Found: true, Value: string(kv.Value), Revision: kv.ModRevision}
}

// Set replaces the value, and returns its revision.
func (v *SharedValue) Set(ctx context.Context, value string) (int64, error) {
	response, err := v.client.Put(ctx, v.name, value)
	return response.GetHeader().GetRevision(), err
}

// CompareAndSet replaces the value if it has the revision: 0 if there must be none. It returns the revision
// that the value has now, and whether it was replaced.
func (v *SharedValue) CompareAndSet(ctx context.Context, revision int64, value string) (int64, bool, error) {
	if v.name == "" || revision < 0 {
		return 0, false, invalid("a value has a name and a revision that is not negative, not %q and %d", v.name, revision)
	}
	response, err := v.client.Txn().
		If(Mod(v.name, Equal, revision)).
		Then(OpPut(v.name, value)).
		Else(OpGet(v.name, WithKeysOnly())).
		Commit(ctx)
	if err != nil {
		return 0, false, err
	}
	if response.Succeeded {
		return response.Header.Revision, true, nil
	}
	if kvs := kvsOf(response, 0); len(kvs) > 0 {
		return kvs[0].ModRevision, false, nil
	}
	return 0, false, nil
}

// Listen calls f with the value now, and after each change, of which those are merged that come while f
// runs. It ends with ctx, or by stop.
func (v *SharedValue) Listen(ctx context.Context, f func(Versioned)) (stop func(), err error) {
	return v.client.listen(ctx, func(kvs map[string]*api.KeyValue) { f(versioned(kvs[v.name])) }, v.name)
}
