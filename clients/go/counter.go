package client

import (
	"context"
	"math"
)

// Counter is a number of 64 bits, 0 if it does not exist (K11).
type Counter struct {
	client *Client
	name   string
}

// NewCounter returns the counter of this name.
func NewCounter(c *Client, name string) *Counter { return &Counter{client: c, name: name} }

// Add adds delta, and returns the sum. An overflow is an error of KindInvalid and changes nothing.
func (c *Counter) Add(ctx context.Context, delta int64) (int64, error) {
	sum, _, err := c.client.change(ctx, c.name, func(now *int64) (int64, bool, error) {
		value := orZero(now)
		if (delta > 0 && value > math.MaxInt64-delta) || (delta < 0 && value < math.MinInt64-delta) {
			return 0, false, invalid("%d and %d are more than a counter has room for", value, delta)
		}
		return value + delta, true, nil
	})
	return sum, err
}

// Get returns the number.
func (c *Counter) Get(ctx context.Context) (int64, error) {
	value, _, err := c.client.change(ctx, c.name, func(now *int64) (int64, bool, error) { return orZero(now), false, nil })
	return value, err
}

// CompareAndSet replaces the number if it is the expected one. It returns the number that is there now, and
// whether it was replaced.
func (c *Counter) CompareAndSet(ctx context.Context, expected, value int64) (int64, bool, error) {
	return c.client.change(ctx, c.name, func(now *int64) (int64, bool, error) {
		if orZero(now) != expected {
			return orZero(now), false, nil
		}
		return value, true, nil
	})
}

func orZero(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
