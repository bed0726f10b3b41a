// Command mutex does something that one process at a time may do, and fences its write.
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
	lock, err := client.NewMutex(session, "example/mutex").Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock(ctx)
	// The write takes effect only while the lock is held, even if this process was stopped in between.
	response, err := c.Txn().If(lock.Owner()).Then(client.OpPut("example/data", "mine")).Commit(ctx)
	if err != nil {
		return err
	}
	fmt.Println("written under the lock:", response.Succeeded)
	return nil
}
