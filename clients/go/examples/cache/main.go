// Command cache reads from a copy that follows the store.
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
	cache, err := client.OpenCache(ctx, c, "example/cache/")
	if err != nil {
		return err
	}
	defer cache.Close()
	written, err := c.Put(ctx, "example/cache/a", "1")
	if err != nil {
		return err
	}
	// Reading needs no server; waiting for the revision makes sure that the write is seen.
	if err := cache.AtLeast(ctx, written.Header.Revision); err != nil {
		return err
	}
	fmt.Println("cached:", string(cache.Get("example/cache/a").Value))
	return nil
}
