package client

import (
	"context"
	"strconv"
)

// change replaces the number in a key by what f makes of it, by a transaction on the key's revision. An
// absent key is given to f as nil. It returns the number that is there afterwards, which is the former one
// if f returns false.
func (c *Client) change(ctx context.Context, key string, f func(now *int64) (int64, bool, error)) (int64, bool, error) {
	if key == "" {
		return 0, false, invalid("the name is empty")
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	for {
		response, err := c.Get(ctx, key)
		if err != nil {
			return 0, false, err
		}
		var now *int64
		var revision int64
		if len(response.Kvs) > 0 {
			number, err := parseNumber(key, string(response.Kvs[0].Value))
			if err != nil {
				return 0, false, err
			}
			now, revision = &number, response.Kvs[0].ModRevision
		}
		next, isChange, err := f(now)
		if err != nil {
			return 0, false, err
		}
		if !isChange {
			return next, false, nil
		}
		txn, err := c.Txn().
			If(Mod(key, Equal, revision)).
			Then(OpPut(key, strconv.FormatInt(next, 10), withIgnoreLeaseIf(revision != 0)...)).
			Commit(ctx)
		if err != nil {
			return 0, false, err
		}
		if txn.Succeeded {
			return next, true, nil
		}
	}
}

func parseNumber(key, text string) (int64, error) {
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, invalid("the value of %q is %q, and not a number of 64 bits", key, text)
	}
	return number, nil
}
