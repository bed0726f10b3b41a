package main

import (
	"context"
	"errors"

	"conclave.dev/client"
)

type ours struct{ *client.Client }

func openOurs(endpoint string) (library, error) {
	c, err := client.New(client.Options{Endpoints: []string{endpoint}})
	return ours{c}, err
}

func (o ours) put(ctx context.Context, key, value string) error {
	_, err := o.Put(ctx, key, value)
	return err
}

func (o ours) count(ctx context.Context, prefix string) (int64, error) {
	response, err := o.Get(ctx, prefix, client.WithPrefix(), client.WithCountOnly())
	return response.GetCount(), err
}

func (o ours) watch(ctx context.Context, key string) (func() (int, error), error) {
	w, err := o.Watch(ctx, key)
	if err != nil {
		return nil, err
	}
	return func() (int, error) {
		batch, ok := <-w.Batches()
		if !ok {
			return 0, errors.Join(errors.New("the watch has ended"), w.Err())
		}
		return len(batch.Events), nil
	}, nil
}

func (o ours) close() error { return o.Close() }

type ourContender struct {
	session *client.Session
	mutex   *client.Mutex
	held    *client.Lock
}

func (o ours) contend(ctx context.Context, mutex string) (contender, error) {
	session, err := o.NewSession(ctx, client.DefaultTTL)
	if err != nil {
		return nil, err
	}
	return &ourContender{session: session, mutex: client.NewMutex(session, mutex)}, nil
}

func (c *ourContender) lock(ctx context.Context) (err error) {
	c.held, err = c.mutex.Lock(ctx)
	return err
}

func (c *ourContender) unlock(ctx context.Context) error { return c.held.Unlock(ctx) }

func (c *ourContender) closeSession(ctx context.Context) error { return c.session.Close(ctx) }
