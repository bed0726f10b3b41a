package main

import (
	"context"
	"errors"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

type other struct{ *clientv3.Client }

func openOther(endpoint string) (library, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	return other{c}, err
}

func (o other) put(ctx context.Context, key, value string) error {
	_, err := o.Put(ctx, key, value)
	return err
}

func (o other) count(ctx context.Context, prefix string) (int64, error) {
	response, err := o.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, err
	}
	return response.Count, nil
}

// watch uses that Watch returns after the server's answer to the creation. All watches share one stream, since their
// contexts have the same metadata.
func (o other) watch(ctx context.Context, key string) (func() (int, error), error) {
	responses := o.Watch(ctx, key)
	return func() (int, error) {
		response, ok := <-responses
		if !ok {
			return 0, errors.New("the watch has ended")
		}
		return len(response.Events), response.Err()
	}, nil
}

func (o other) close() error { return o.Close() }

type otherContender struct {
	session *concurrency.Session
	mutex   *concurrency.Mutex
}

func (o other) contend(_ context.Context, mutex string) (contender, error) {
	session, err := concurrency.NewSession(o.Client)
	if err != nil {
		return nil, err
	}
	return otherContender{session, concurrency.NewMutex(session, mutex)}, nil
}

func (c otherContender) lock(ctx context.Context) error { return c.mutex.Lock(ctx) }

func (c otherContender) unlock(ctx context.Context) error { return c.mutex.Unlock(ctx) }

func (c otherContender) closeSession(context.Context) error { return c.session.Close() }
