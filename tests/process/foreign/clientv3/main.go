// Uses a member as programs do that were built with etcd's clientv3 3.5.0, which sends the
// `:authority` `#initially=[host:port]`.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
)

func main() {
	for _, compressed := range []bool{false, true} {
		if err := use(os.Args[1], compressed); err != nil {
			fmt.Fprintf(os.Stderr, "compressed: %v: %v\n", compressed, err)
			os.Exit(1)
		}
	}
	fmt.Println("all done")
}

func use(endpoint string, compressed bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	config := clientv3.Config{Endpoints: []string{endpoint}, Context: ctx}
	if compressed {
		gzipped := grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name))
		config.DialOptions = []grpc.DialOption{gzipped}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer client.Close()

	key := fmt.Sprintf("clientv3/%v", compressed)
	watching := client.Watch(ctx, key, clientv3.WithCreatedNotify())
	if created := <-watching; !created.Created {
		return fmt.Errorf("not watching: %v", created.Err())
	}
	lease, err := client.Grant(ctx, 60)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	if _, err := client.KeepAliveOnce(ctx, lease.ID); err != nil {
		return fmt.Errorf("keep alive: %w", err)
	}
	if _, err := client.Put(ctx, key, "value", clientv3.WithLease(lease.ID)); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	changed := <-watching
	if len(changed.Events) != 1 || string(changed.Events[0].Kv.Value) != "value" {
		return fmt.Errorf("watched: %v, %v", changed.Events, changed.Err())
	}
	got, err := client.Get(ctx, key)
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "value" {
		return fmt.Errorf("get: %v, %w", got, err)
	}
	exists := clientv3.Compare(clientv3.Version(key), "=", 1)
	txn, err := client.Txn(ctx).If(exists).Then(clientv3.OpDelete(key)).Commit()
	if err != nil || !txn.Succeeded {
		return fmt.Errorf("txn: %v, %w", txn, err)
	}
	if _, err := client.Status(ctx, endpoint); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	return nil
}
