package client

import (
	"context"
	"errors"
	"maps"
	"slices"

	"conclave.dev/client/api"
)

// STM is the view of one attempt of a transaction in memory (K16): all reads are of one revision, and writes
// are kept back until the end.
type STM struct {
	client   *Client
	ctx      context.Context
	revision int64 // of the reads; 0 before the first
	reads    map[string]*api.KeyValue
	writes   map[string]*string // nil deletes
}

// STM runs f and commits what it has written, if what it has read is unchanged; else it runs f again. f must
// have no other effects. An error of f ends it and commits nothing. The revision of the commit is returned, or
// that of the reads if nothing was written.
func (c *Client) STM(ctx context.Context, f func(tx *STM) error) (revision int64, err error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	for {
		tx := &STM{client: c, ctx: ctx, reads: map[string]*api.KeyValue{}, writes: map[string]*string{}}
		if err := f(tx); errors.Is(err, ErrCompacted) {
			continue // the revision of the reads is too old by now
		} else if err != nil {
			return 0, err
		}
		if len(tx.writes) == 0 {
			return tx.revision, nil
		}
		response, err := tx.commit()
		if err != nil || response.Succeeded {
			return response.GetHeader().GetRevision(), err
		}
	}
}

// Get returns a key's value as the transaction sees it, and whether there is one.
func (tx *STM) Get(key string) (string, bool, error) {
	if value, isWritten := tx.writes[key]; isWritten {
		if value == nil {
			return "", false, nil
		}
		return *value, true, nil
	}
	kv, isRead := tx.reads[key]
	if !isRead {
		response, err := tx.client.Get(tx.ctx, key, WithRevision(tx.revision))
		if err != nil {
			return "", false, err
		}
		if tx.revision == 0 {
			tx.revision = response.Header.Revision
		}
		if len(response.Kvs) > 0 {
			kv = response.Kvs[0]
		}
		tx.reads[key] = kv
	}
	if kv == nil {
		return "", false, nil
	}
	return string(kv.Value), true, nil
}

// Put writes a key.
func (tx *STM) Put(key, value string) { tx.writes[key] = &value }

// Delete deletes a key.
func (tx *STM) Delete(key string) { tx.writes[key] = nil }

func (tx *STM) commit() (*api.TxnResponse, error) {
	t := tx.client.Txn()
	for _, key := range slices.Sorted(maps.Keys(tx.reads)) {
		t.If(Mod(key, Equal, tx.reads[key].GetModRevision()))
	}
	for _, key := range slices.Sorted(maps.Keys(tx.writes)) {
		if value := tx.writes[key]; value != nil {
			t.Then(OpPut(key, *value))
		} else {
			t.Then(OpDelete(key))
		}
	}
	return t.Commit(tx.ctx)
}
