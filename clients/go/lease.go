package client

import (
	"context"
	"math"
	"strconv"
	"time"

	"conclave.dev/client/api"
)

// Grant makes a lease that expires after ttl, which is rounded up to seconds, unless it is kept alive.
// Most users want NewSession, which does that.
func (c *Client) Grant(ctx context.Context, ttl time.Duration) (*api.LeaseGrantResponse, error) {
	if ttl <= 0 {
		return nil, invalid("the TTL %v is not positive", ttl)
	}
	seconds := int64(math.Ceil(ttl.Seconds()))
	return api.NewLeaseClient(c.Conn()).LeaseGrant(ctx, &api.LeaseGrantRequest{TTL: seconds})
}

// Revoke ends a lease and deletes its keys.
func (c *Client) Revoke(ctx context.Context, lease int64) error {
	_, err := api.NewLeaseClient(c.Conn()).LeaseRevoke(ctx, &api.LeaseRevokeRequest{ID: lease})
	return err
}

// TimeToLive returns what is left of a lease, with its keys. Its TTL is -1 if there is no such lease.
func (c *Client) TimeToLive(ctx context.Context, lease int64) (*api.LeaseTimeToLiveResponse, error) {
	return api.NewLeaseClient(c.Conn()).LeaseTimeToLive(ctx, &api.LeaseTimeToLiveRequest{ID: lease, Keys: true})
}

// leaseName is how keys name a lease.
func leaseName(lease int64) string { return strconv.FormatInt(lease, 16) }
