// Command value changes a value, if nobody else has.
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
	shared := client.NewSharedValue(c, "example/value")
	now, err := shared.Get(ctx)
	if err != nil {
		return err
	}
	_, isSet, err := shared.CompareAndSet(ctx, now.Revision, "new")
	if err != nil {
		return err
	}
	fmt.Println("set:", isSet)
	return nil
}
