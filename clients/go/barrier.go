package client

import "context"

// Barrier holds back everybody who waits for it, as long as its key exists (K7).
type Barrier struct {
	client *Client
	name   string
}

// NewBarrier returns the barrier of this name.
func NewBarrier(c *Client, name string) *Barrier { return &Barrier{client: c, name: name} }

// Hold sets the barrier up. It stays until Release, whatever becomes of this process. If the answer is lost, it
// is not sent again: the first attempt could be executed after a release.
func (b *Barrier) Hold(ctx context.Context) error {
	if b.name == "" {
		return invalid("the barrier has no name")
	}
	_, err := b.client.Txn().If(Create(b.name, Equal, 0)).Then(OpPut(b.name, "")).Commit(ctx)
	return err
}

// Release takes the barrier down.
func (b *Barrier) Release(ctx context.Context) error {
	_, err := b.client.Delete(ctx, b.name)
	return err
}

// Wait returns when there is no barrier.
func (b *Barrier) Wait(ctx context.Context) error {
	if b.name == "" {
		return invalid("the barrier has no name")
	}
	return afterWaiting(ctx, b.wait(ctx))
}

func (b *Barrier) wait(ctx context.Context) error {
	for {
		response, err := b.client.Txn().Then(OpGet(b.name, WithKeysOnly())).settle(ctx)
		if err != nil || len(kvsOf(response, 0)) == 0 {
			return err
		}
		if err := b.client.awaitDelete(ctx, b.name, response.Header.Revision+1); err != nil {
			return err
		}
	}
}
