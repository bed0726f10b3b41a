package client

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// queue calls a listener of the user with one value after another, in a goroutine of its own that
// lives while there are values. So a listener that blocks delays only its own later values, and one
// that panics, or exits its goroutine, is logged and called with the next value (R6).
type queue[T any] struct {
	client *Client
	f      func(T)

	mu        sync.Mutex
	values    []T
	isRunning bool
	isStopped bool
}

func newQueue[T any](c *Client, f func(T)) *queue[T] { return &queue[T]{client: c, f: f} }

func (q *queue[T]) push(value T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(value)
}

// replace puts a value in the place of all that wait.
func (q *queue[T]) replace(value T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.values = nil
	q.add(value)
}

func (q *queue[T]) add(value T) {
	if q.isStopped {
		return
	}
	q.values = append(q.values, value)
	if !q.isRunning {
		q.isRunning = true
		go q.run()
	}
}

// stop drops what was not delivered yet.
func (q *queue[T]) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.isStopped = true
	q.values = nil
}

func (q *queue[T]) run() {
	isDone := false
	defer func() {
		if !isDone {
			go q.run() // the listener has ended this goroutine
		}
	}()
	for {
		q.mu.Lock()
		if len(q.values) == 0 {
			q.isRunning = false
			q.mu.Unlock()
			isDone = true
			return
		}
		value := q.values[0]
		q.values = q.values[1:]
		q.mu.Unlock()
		q.call(value)
	}
}

func (q *queue[T]) call(value T) {
	hasReturned := false
	defer func() {
		if p := recover(); p != nil {
			q.client.logger.Error("conclave: a listener panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		} else if !hasReturned {
			q.client.logger.Error("conclave: a listener exited its goroutine", "stack", string(debug.Stack()))
		}
	}()
	q.f(value)
	hasReturned = true
}
