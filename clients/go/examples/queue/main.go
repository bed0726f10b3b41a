// Command queue puts items and takes them, each at least once.
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
	queue := client.NewQueue(c, "example/queue")
	for _, value := range []string{"first", "second"} {
		if err := queue.Put(ctx, value, 0, 0); err != nil {
			return err
		}
	}
	for range 2 {
		item, err := queue.Take(ctx, session)
		if err != nil {
			return err
		}
		fmt.Println("taken:", item.Value)
		// Without this it would be taken again when the session ends.
		if _, err := item.Ack(ctx); err != nil {
			return err
		}
	}
	return nil
}
