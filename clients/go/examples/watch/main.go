// Command watch prints the changes of keys.
package main

import (
	"context"
	"fmt"
	"log"

	"conclave.dev/client"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	c, err := client.FromEnv()
	if err != nil {
		return err
	}
	defer c.Close()
	// It ends with ctx. Broken connections are no end: it goes on where it was.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := c.Watch(ctx, "example/watch/", client.WithPrefix())
	if err != nil {
		return err
	}
	for _, value := range []string{"1", "2"} {
		if _, err := c.Put(ctx, "example/watch/a", value); err != nil {
			return err
		}
	}
	for batch := range watch.Batches() {
		for _, event := range batch.Events {
			fmt.Println(event.Type, string(event.Kv.Key), string(event.Kv.Value))
			if string(event.Kv.Value) == "2" {
				cancel()
			}
		}
	}
	if err := watch.Err(); err != nil {
		return err
	}
	return nil
}
