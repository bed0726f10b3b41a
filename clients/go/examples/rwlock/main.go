// Command rwlock writes alone, and reads together with others.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

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
	session, err := c.NewSession(ctx, 10*time.Second)
	if err != nil {
		return err
	}
	lock := client.NewRWLock(session, "example/rwlock")
	write, err := lock.Lock(ctx)
	if err != nil {
		return err
	}
	// A writer may become a reader, without another writer between.
	read, err := lock.RLock(ctx)
	if err != nil {
		return err
	}
	if err := write.Unlock(ctx); err != nil {
		return err
	}
	fmt.Println("reading:", read.Held())
	if err := read.Unlock(ctx); err != nil {
		return err
	}
	return nil
}
