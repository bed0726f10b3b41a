package client

import (
	"context"

	"conclave.dev/client/api"
)

// Option changes what a call reads, writes or watches. An option that means nothing for a call is an
// error of KindInvalid, and so is a second range.
type Option func(*operation)

// calls is a set of those that options are for.
type calls uint8

const (
	callGet calls = 1 << iota
	callPut
	callDelete
	callWatch
)

func (c calls) String() string {
	return map[calls]string{callGet: "get", callPut: "put", callDelete: "delete", callWatch: "watch"}[c]
}

// operation has what the options of all calls can set.
type operation struct {
	call                calls // one of them
	key, end            []byte
	isRange             bool
	lease               int64
	revision            int64
	limit               int64
	order               api.RangeRequest_SortOrder
	target              api.RangeRequest_SortTarget
	maxCreate           int64
	serializable        bool
	keysOnly, countOnly bool
	withPrevious        bool
	noPuts, noDeletes   bool
	ignoreLease         bool
	ignoreValue         bool
	err                 error // of the first option that is wrong
}

// operate applies the options of a call. The operation is usable, and not to be sent, if it fails.
func operate(call calls, key string, options []Option) (*operation, error) {
	o := &operation{call: call, key: []byte(key)}
	for _, option := range options {
		option(o)
	}
	return o, o.check()
}

// fail notes the first error.
func (o *operation) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

// option makes an option that has a meaning for some calls.
func option(name string, meaningful calls, set func(*operation)) Option {
	return func(o *operation) {
		if meaningful&o.call == 0 {
			o.fail(invalid("%s means nothing for a %v: leave it out", name, o.call))
		}
		set(o)
	}
}

// rangeOption makes an option that says which keys are meant.
func rangeOption(name string, set func(*operation)) Option {
	return option(name, callGet|callDelete|callWatch, func(o *operation) {
		if o.isRange {
			o.fail(invalid("%s is a second range: give one WithPrefix or WithRange", name))
		}
		o.isRange = true
		set(o)
	})
}

// WithPrefix means all keys that begin with the key, which may be empty: all keys.
func WithPrefix() Option {
	return rangeOption("WithPrefix", func(o *operation) {
		o.end = prefixEnd(o.key)
		if len(o.key) == 0 {
			o.key = []byte{0}
		}
	})
}

// WithRange means the keys from the key to end, exclusive.
func WithRange(end string) Option {
	return rangeOption("WithRange", func(o *operation) {
		if end == "" {
			// The API takes this for the key alone.
			o.fail(invalid("the end of the range is empty"))
		}
		o.end = []byte(end)
	})
}

// WithRevision reads the state as of a revision, or begins a watch at it.
func WithRevision(revision int64) Option {
	return option("WithRevision", callGet|callWatch, func(o *operation) { o.revision = revision })
}

// WithSerializable lets one member answer from its own, possibly older, state.
func WithSerializable() Option {
	return option("WithSerializable", callGet, func(o *operation) { o.serializable = true })
}

// WithLimit bounds the number of keys that are read.
func WithLimit(n int64) Option {
	return option("WithLimit", callGet, func(o *operation) { o.limit = n })
}

// WithSort orders the keys that are read.
func WithSort(target api.RangeRequest_SortTarget, order api.RangeRequest_SortOrder) Option {
	return option("WithSort", callGet, func(o *operation) { o.target, o.order = target, order })
}

// WithKeysOnly leaves out the values.
func WithKeysOnly() Option {
	return option("WithKeysOnly", callGet, func(o *operation) { o.keysOnly = true })
}

// WithCountOnly leaves out everything but the number of keys.
func WithCountOnly() Option {
	return option("WithCountOnly", callGet, func(o *operation) { o.countOnly = true })
}

// WithLease attaches the key that is put to a lease.
func WithLease(lease int64) Option {
	return option("WithLease", callPut, func(o *operation) { o.lease = lease })
}

// WithPrevious asks for the values before a put, a deletion or an event.
func WithPrevious() Option {
	return option("WithPrevious", callPut|callDelete|callWatch, func(o *operation) { o.withPrevious = true })
}

// WithoutPuts leaves puts out of a watch.
func WithoutPuts() Option {
	return option("WithoutPuts", callWatch, func(o *operation) { o.noPuts = true })
}

// WithoutDeletes leaves deletions out of a watch.
func WithoutDeletes() Option {
	return option("WithoutDeletes", callWatch, func(o *operation) { o.noDeletes = true })
}

func withMaxCreate(revision int64) Option {
	return option("withMaxCreate", callGet, func(o *operation) { o.maxCreate = revision })
}

// withIgnoreLease keeps the lease that the key is attached to.
func withIgnoreLease() Option {
	return option("withIgnoreLease", callPut, func(o *operation) { o.ignoreLease = true })
}

// withIgnoreValue keeps the value of the key.
func withIgnoreValue() Option {
	return option("withIgnoreValue", callPut, func(o *operation) { o.ignoreValue = true })
}

func withIgnoreLeaseIf(condition bool) []Option {
	if condition {
		return []Option{withIgnoreLease()}
	}
	return nil
}

// prefixEnd returns the end of the range of all keys with a prefix.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := append([]byte{}, prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return []byte{0} // there is no key after all of them
}

func (o *operation) rangeRequest() *api.RangeRequest {
	return &api.RangeRequest{
		Key: o.key, RangeEnd: o.end, Limit: o.limit, Revision: o.revision, SortOrder: o.order, SortTarget: o.target,
		Serializable: o.serializable, KeysOnly: o.keysOnly, CountOnly: o.countOnly, MaxCreateRevision: o.maxCreate,
	}
}

func (o *operation) putRequest(value string) *api.PutRequest {
	return &api.PutRequest{
		Key: o.key, Value: []byte(value), Lease: o.lease, PrevKv: o.withPrevious, IgnoreLease: o.ignoreLease,
		IgnoreValue: o.ignoreValue,
	}
}

func (o *operation) deleteRequest() *api.DeleteRangeRequest {
	return &api.DeleteRangeRequest{Key: o.key, RangeEnd: o.end, PrevKv: o.withPrevious}
}

// check refuses what has no meaning, or no server accepts, before it is sent.
func (o *operation) check() error {
	switch {
	case o.err != nil:
		return o.err
	case len(o.key) == 0:
		return invalid("the key is empty")
	case o.revision < 0:
		return invalid("the revision %d is negative", o.revision)
	case o.limit < 0:
		return invalid("the limit %d is negative", o.limit)
	case o.noPuts && o.noDeletes:
		return invalid("a watch without puts and without deletes has nothing to deliver")
	}
	return nil
}

// Get reads a key, or more with WithPrefix or WithRange.
func (c *Client) Get(ctx context.Context, key string, options ...Option) (*api.RangeResponse, error) {
	o, err := operate(callGet, key, options)
	if err != nil {
		return nil, err
	}
	return api.NewKVClient(c.Conn()).Range(ctx, o.rangeRequest())
}

// Put writes a key.
func (c *Client) Put(ctx context.Context, key, value string, options ...Option) (*api.PutResponse, error) {
	o, err := operate(callPut, key, options)
	if err != nil {
		return nil, err
	}
	return api.NewKVClient(c.Conn()).Put(ctx, o.putRequest(value))
}

// Delete deletes a key, or more with WithPrefix or WithRange.
func (c *Client) Delete(ctx context.Context, key string, options ...Option) (*api.DeleteRangeResponse, error) {
	o, err := operate(callDelete, key, options)
	if err != nil {
		return nil, err
	}
	return api.NewKVClient(c.Conn()).DeleteRange(ctx, o.deleteRequest())
}

// Compact removes the history before a revision.
func (c *Client) Compact(ctx context.Context, revision int64) error {
	if revision <= 0 {
		return invalid("the revision %d to compact at is not positive", revision)
	}
	_, err := api.NewKVClient(c.Conn()).Compact(ctx, &api.CompactionRequest{Revision: revision})
	return err
}
