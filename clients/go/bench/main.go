// Command bench measures this client or etcd's clientv3 against one running server.
//
//	../bench.sh WORKLOAD LIBRARY ENDPOINT
//
// LIBRARY is "ours" or "other" (clientv3), ENDPOINT a server's client URL. WORKLOAD is one of:
//
//   - puts: 64 puts in flight, values of 256 bytes. An operation is an answered put.
//   - handovers: 32 contenders of one mutex, each with its own session. An operation is a lock acquired.
//   - watches: 10,000 watches, each of its own key. An operation is a watch created.
//
// It prints one line, with tabs between the fields: operations, seconds, CPU seconds of this process, bytes, and the
// library with its version. puts and handovers are measured for 10 s after 2 s of warm-up, and bytes is the resident
// memory at the end. For watches the times are those of the creation, and bytes is the growth of the resident memory
// from before the first watch until every watch has received one event. A failed operation ends the program with exit
// code 1, wrong arguments with 2.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	warmUp     = 2 * time.Second
	duration   = 10 * time.Second
	patience   = 60 * time.Second // for all events of the watches
	limit      = 3 * time.Minute  // for the whole program, in case a lock is never granted
	inFlight   = 64
	contenders = 32
	watches    = 10_000
)

// library is what the workloads need of a client. Each call uses the library as its documentation says.
type library interface {
	put(ctx context.Context, key, value string) error
	count(ctx context.Context, prefix string) (int64, error)
	// contend returns a contender of a mutex, with its own session.
	contend(ctx context.Context, mutex string) (contender, error)
	// watch returns when the watch of a key is created. The function it returns waits for the next events, and
	// returns their number.
	watch(ctx context.Context, key string) (next func() (int, error), err error)
	close() error
}

type contender interface {
	lock(ctx context.Context) error
	unlock(ctx context.Context) error
	closeSession(ctx context.Context) error
}

// result is what the program prints.
type result struct {
	operations   int64
	seconds, cpu float64
	bytes        int64
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	workloads := map[string]func(context.Context, library) result{"puts": puts, "handovers": handovers, "watches": watch}
	libraries := map[string]struct {
		open         func(endpoint string) (library, error)
		name, module string
	}{
		"ours":  {openOurs, "conclave-client", "conclave.dev/client"},
		"other": {openOther, "clientv3", "go.etcd.io/etcd/client/v3"},
	}
	if len(os.Args) != 4 || workloads[os.Args[1]] == nil || libraries[os.Args[2]].open == nil {
		log.Print("usage: bench puts|handovers|watches ours|other ENDPOINT")
		os.Exit(2)
	}
	time.AfterFunc(limit, func() { log.Fatalf("not finished after %v", limit) })
	chosen := libraries[os.Args[2]]
	l, err := chosen.open(os.Args[3])
	check(err)
	r := workloads[os.Args[1]](context.Background(), l)
	check(l.close())
	fmt.Printf("%d\t%.3f\t%.3f\t%d\t%s %s\n", r.operations, r.seconds, r.cpu, r.bytes, chosen.name, versionOf(chosen.module))
}

// puts keeps a number of puts in flight.
func puts(ctx context.Context, l library) result {
	keys, value := keysOf("bench/puts/%04d", 1000), strings.Repeat("v", 256)
	var next atomic.Int64
	return measure(inFlight, func(_ int, done *atomic.Int64) {
		check(l.put(ctx, keys[next.Add(1)%int64(len(keys))], value))
		done.Add(1)
	})
}

// handovers passes a mutex around its contenders.
func handovers(ctx context.Context, l library) result {
	const mutex = "bench/handovers"
	all := make([]contender, contenders)
	for i := range all {
		c, err := l.contend(ctx, mutex)
		check(err)
		all[i] = c
	}
	var holders atomic.Int64
	r := measure(contenders, func(worker int, done *atomic.Int64) {
		check(all[worker].lock(ctx))
		if n := holders.Add(1); n != 1 {
			log.Fatalf("%d contenders hold the mutex", n)
		}
		done.Add(1)
		holders.Add(-1)
		check(all[worker].unlock(ctx))
	})
	for _, c := range all {
		check(c.closeSession(ctx))
	}
	if n, err := l.count(ctx, mutex+"/"); err != nil || n != 0 {
		log.Fatalf("%d keys of the mutex are left, %v", n, err)
	}
	return r
}

// watch opens many watches and sends one event to each.
func watch(ctx context.Context, l library) result {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys := keysOf("bench/watches/%05d", watches)
	_, err := l.count(ctx, "bench/watches/") // connects
	check(err)
	received := make([]atomic.Int64, watches)
	before, start := collected(), now()
	var missing sync.WaitGroup
	missing.Add(watches)
	forEach(watches, func(i int) {
		next, err := l.watch(ctx, keys[i])
		check(err)
		go func() {
			for {
				n, err := next()
				if ctx.Err() != nil {
					return
				}
				check(err)
				if received[i].Add(int64(n)) != 1 {
					log.Fatalf("the watch of %s has received %d events", keys[i], received[i].Load())
				}
				missing.Done()
			}
		}()
	})
	r := start.until(now(), watches)
	forEach(watches, func(i int) { check(l.put(ctx, keys[i], "v")) })
	late := time.AfterFunc(patience, func() { log.Fatalf("some watches have no event after %v", patience) })
	missing.Wait()
	late.Stop()
	r.bytes = collected() - before
	return r
}

// measure runs workers that repeat an operation, and returns what was done after the warm-up.
func measure(workers int, operation func(worker int, done *atomic.Int64)) result {
	var done atomic.Int64
	var isOver atomic.Bool
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			for !isOver.Load() {
				operation(worker, &done)
			}
		})
	}
	time.Sleep(warmUp)
	start, before := now(), done.Load()
	time.Sleep(duration)
	r := start.until(now(), done.Load()-before)
	r.bytes = resident()
	isOver.Store(true)
	running.Wait()
	return r
}

// forEach calls f for 0 to n - 1, several at a time.
func forEach(n int, f func(i int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range inFlight {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				f(int(i))
			}
		})
	}
	running.Wait()
}

// instant is a point in time, on the wall and on the CPU clock of the process.
type instant struct {
	wall time.Time
	cpu  time.Duration
}

func now() instant {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return instant{time.Now(), time.Duration(usage.Utime.Nano() + usage.Stime.Nano())}
}

func (i instant) until(end instant, operations int64) result {
	return result{operations: operations, seconds: end.wall.Sub(i.wall).Seconds(), cpu: (end.cpu - i.cpu).Seconds()}
}

// collected returns the resident memory after garbage has been returned to the system.
func collected() int64 {
	debug.FreeOSMemory()
	return resident()
}

// resident returns VmRSS in bytes.
func resident() int64 {
	status, err := os.ReadFile("/proc/self/status")
	check(err)
	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	kilobytes, err := strconv.ParseInt(string(bytes.Fields(after)[0]), 10, 64)
	check(err)
	return kilobytes * 1024
}

// keysOf returns n keys, made beforehand so that the formatting is not measured.
func keysOf(format string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(format, i)
	}
	return keys
}

// versionOf returns the version of a module that the program was built with.
func versionOf(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return "unknown"
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
