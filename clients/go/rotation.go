package client

import (
	"slices"
	"sync/atomic"
	"time"
)

const (
	// Pauses after every endpoint in the rotation has failed a call (R2).
	roundPauseMin = 25 * time.Millisecond
	roundPauseMax = 500 * time.Millisecond
)

// rotation spreads calls over the endpoints (C2).
type rotation struct {
	endpoints []*endpoint
	next      atomic.Uint32
}

// round is the attempts of one call, each at another endpoint, and the pauses between rounds.
type round struct {
	rotation *rotation
	// tried says by which number of renewals an endpoint was tried: 0 if not, otherwise one more.
	tried []int64
	pause time.Duration
}

func (r *rotation) begin() *round {
	return &round{rotation: r, tried: make([]int64, len(r.endpoints)), pause: roundPauseMin}
}

// beginAfter begins with the other endpoints, since this one has failed, or will have.
func (r *rotation) beginAfter(e *endpoint) *round {
	begun := r.begin()
	begun.tried[slices.Index(r.endpoints, e)] = e.renewals.Load() + 1
	return begun
}

// pick returns the next endpoint: one in the rotation, or any if none is. It returns nil if all have
// been tried.
func (r *round) pick() *endpoint {
	all := r.rotation.endpoints
	start := int(r.rotation.next.Add(1) % uint32(len(all)))
	// One that has a new connection since it was tried comes first: the others may be as silent as it was.
	for n, e := range all {
		if now := e.renewals.Load() + 1; r.tried[n] != 0 && r.tried[n] < now && !e.isOut.Load() {
			r.tried[n] = now
			return e
		}
	}
	hasIn := false
	for _, wantsOut := range []bool{false, true} {
		for i := range all {
			n := (start + i) % len(all)
			isOut := all[n].isOut.Load()
			hasIn = hasIn || !isOut
			if isOut == wantsOut && r.tried[n] == 0 {
				r.tried[n] = all[n].renewals.Load() + 1
				return all[n]
			}
		}
		if hasIn {
			return nil
		}
	}
	return nil
}

// again begins the next round, and returns the pause before it.
func (r *round) again() time.Duration {
	pause := r.pause
	clear(r.tried)
	r.pause = min(2*r.pause, roundPauseMax)
	return pause
}
