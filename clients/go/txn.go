package client

import (
	"context"
	"sync/atomic"

	"conclave.dev/client/api"
)

// Compare is a condition of a transaction. Create, Mod, Version, Value and Owner make one.
type Compare = *api.Compare

// Operation is a step of a transaction. OpPut, OpGet and OpDelete make one.
type Operation struct {
	request *api.RequestOp
	// err is for Commit to return: the key or the options are wrong.
	err error
}

// Relation is how a transaction compares.
type Relation = api.Compare_CompareResult

// Relations of what a key has to the operand of a comparison.
const (
	Equal    Relation = api.Compare_EQUAL
	NotEqual Relation = api.Compare_NOT_EQUAL
	Less     Relation = api.Compare_LESS
	Greater  Relation = api.Compare_GREATER
)

// Create compares the revision at which a key was created: 0 if there is no such key.
func Create(key string, is Relation, revision int64) Compare {
	return &api.Compare{
		Key: []byte(key), Target: api.Compare_CREATE, Result: is,
		TargetUnion: &api.Compare_CreateRevision{CreateRevision: revision},
	}
}

// Mod compares the revision at which a key was last written: 0 if there is no such key.
func Mod(key string, is Relation, revision int64) Compare {
	return &api.Compare{
		Key: []byte(key), Target: api.Compare_MOD, Result: is,
		TargetUnion: &api.Compare_ModRevision{ModRevision: revision},
	}
}

// Version compares how often a key was written since its creation: 0 if there is no such key.
func Version(key string, is Relation, version int64) Compare {
	return &api.Compare{
		Key: []byte(key), Target: api.Compare_VERSION, Result: is,
		TargetUnion: &api.Compare_Version{Version: version},
	}
}

// Value compares a key's value. It does not hold if there is no such key.
func Value(key string, is Relation, value string) Compare {
	return &api.Compare{
		Key: []byte(key), Target: api.Compare_VALUE, Result: is, TargetUnion: &api.Compare_Value{Value: []byte(value)},
	}
}

// Owner holds as long as the key of a lock or of a leader still is the one with this fencing token
// (K1). A transaction with it takes effect only while the lock is held.
func Owner(key string, token int64) Compare { return Create(key, Equal, token) }

// overPrefix makes a comparison one of every key with the prefix; without any key, it is one of a key
// that does not exist.
func overPrefix(c Compare) Compare {
	c.RangeEnd = prefixEnd(c.Key)
	return c
}

// leaseIs compares the lease that a key is attached to: 0 for none.
func leaseIs(key string, is Relation, lease int64) Compare {
	return &api.Compare{
		Key: []byte(key), Target: api.Compare_LEASE, Result: is, TargetUnion: &api.Compare_Lease{Lease: lease},
	}
}

// OpPut is Put in a transaction.
func OpPut(key, value string, options ...Option) Operation {
	o, err := operate(callPut, key, options)
	return Operation{&api.RequestOp{Request: &api.RequestOp_RequestPut{RequestPut: o.putRequest(value)}}, err}
}

// OpGet is Get in a transaction.
func OpGet(key string, options ...Option) Operation {
	o, err := operate(callGet, key, options)
	return Operation{&api.RequestOp{Request: &api.RequestOp_RequestRange{RequestRange: o.rangeRequest()}}, err}
}

// OpDelete is Delete in a transaction.
func OpDelete(key string, options ...Option) Operation {
	o, err := operate(callDelete, key, options)
	request := &api.RequestOp_RequestDeleteRange{RequestDeleteRange: o.deleteRequest()}
	return Operation{&api.RequestOp{Request: request}, err}
}

// Txn is a transaction: if all comparisons hold, one list of operations runs, else the other. All of
// it is one step.
type Txn struct {
	client  *Client
	request api.TxnRequest
	err     error // of the first operation that is wrong
}

// Txn begins a transaction. Nothing is sent before Commit.
func (c *Client) Txn() *Txn { return &Txn{client: c} }

// If adds comparisons.
func (t *Txn) If(compares ...Compare) *Txn {
	t.request.Compare = append(t.request.Compare, compares...)
	return t
}

// Then adds operations to run if all comparisons hold.
func (t *Txn) Then(operations ...Operation) *Txn {
	t.request.Success = t.add(t.request.Success, operations)
	return t
}

// Else adds operations to run otherwise.
func (t *Txn) Else(operations ...Operation) *Txn {
	t.request.Failure = t.add(t.request.Failure, operations)
	return t
}

func (t *Txn) add(list []*api.RequestOp, operations []Operation) []*api.RequestOp {
	for _, operation := range operations {
		if t.err == nil {
			t.err = operation.err
		}
		list = append(list, operation.request)
	}
	return list
}

// Commit sends the transaction.
func (t *Txn) Commit(ctx context.Context) (*api.TxnResponse, error) { return t.commit(ctx, false) }

func (t *Txn) commit(ctx context.Context, isRepeated bool) (*api.TxnResponse, error) {
	for _, compare := range t.request.Compare {
		if len(compare.Key) == 0 {
			return nil, invalid("a comparison's key is empty")
		}
	}
	if t.err != nil {
		return nil, t.err
	}
	of := callOf{method: api.KV_Txn_FullMethodName, isRead: onlyReads(&t.request), isRepeated: isRepeated}
	response := &api.TxnResponse{}
	if err := t.client.call(ctx, of, &t.request, response); err != nil {
		return nil, err
	}
	return response, nil
}

// settle commits a transaction again and again until there is an answer: an answer that was lost is no
// reason to fail. A copy that is executed after the answer must do no harm (R8).
func (t *Txn) settle(ctx context.Context) (*api.TxnResponse, error) {
	return t.settleWhile(ctx, ctx, &fate{})
}

// settleWhile is settle, but begins no new attempt after want has ended. It notes in f what becomes of the attempts.
// After one of unknown fate, which may be of an earlier transaction, an error says that it may have happened.
func (t *Txn) settleWhile(ctx, want context.Context, f *fate) (*api.TxnResponse, error) {
	following := context.WithValue(ctx, fateKey{}, f)
	for pause := roundPauseMin; ; pause = min(2*pause, roundPauseMax) {
		response, err := t.commit(following, true)
		if mayBe(err) {
			f.wasLost.Store(true)
		}
		f.attempt.Store(nil)
		if err == nil {
			f.isAnswered.Store(true)
			return response, nil
		}
		isLast := !isWorthAnother(err)
		if f.wasLost.Load() {
			err = afterLoss(err)
		}
		if isLast || ctx.Err() != nil || t.client.ctx.Err() != nil || !pausing(want, pause, t.client.ctx.Done()) {
			return nil, err
		}
	}
}

// fate is what is known of the attempts to execute transactions. Other goroutines may ask for it meanwhile.
type fate struct {
	// wasLost says that the answer to an attempt was lost, which may then be executed at any later time.
	wasLost atomic.Bool
	// isAnswered says that an attempt was answered.
	isAnswered atomic.Bool
	attempt    atomic.Pointer[sending] // the present one
}

type fateKey struct{}

// isUnknown reports whether an attempt may have been executed, or be executed later, without an answer.
func (f *fate) isUnknown() bool {
	attempt := f.attempt.Load()
	return (attempt != nil && attempt.sent.Load()) || f.wasLost.Load()
}

// kvsOf returns the keys that the operation number i of a transaction has read.
func kvsOf(response *api.TxnResponse, i int) []*api.KeyValue {
	return response.Responses[i].GetResponseRange().GetKvs()
}
