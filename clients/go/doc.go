// Package client is a client of Conclave and of etcd, for coordination: sessions that report their
// loss at once, locks with fencing tokens, elections, watches that miss nothing, and the other
// recipes of a coordination service.
//
//	c, err := client.New(client.Options{Endpoints: []string{"10.0.0.1:2379", "10.0.0.2:2379"}})
//	session, err := c.NewSession(ctx, 10*time.Second)
//	lock, err := client.NewMutex(session, "/locks/report").Lock(ctx)
//	defer lock.Unlock(ctx)
//
// A Client and everything made from it can be used by any number of goroutines. Contexts bound and
// cancel everything; a call whose context has no deadline gets Options.Timeout, and waiting for a
// lock or the like has no bound of its own. All errors are of type *Error.
//
// The rules that the comments refer to by letter and number (C1, R2, …) are those of Conclave's
// clients in all languages, in clients/README.md of Conclave's repository.
package client
