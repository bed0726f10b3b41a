// Package examples runs every example.
package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"conclave.dev/client/internal/testserver"
)

var outputs = map[string]string{
	"session":        "keys that are left: 0",
	"mutex":          "written under the lock: true",
	"rwlock":         "reading: true",
	"semaphore":      "holding a permit: true",
	"election":       "the leader is me",
	"barrier":        "the barrier is down",
	"double_barrier": "both have entered\nboth have entered",
	"latch":          "left: 1\nleft: 0",
	"queue":          "taken: first\ntaken: second",
	"counter":        "the counter is positive: true",
	"value":          "set: true",
	"group":          "members: map[me:ready]",
	"discovery":      `127.0.0.1:8080 {"weight":1}`,
	"cache":          "cached: 1",
	"stm":            "moved: 10",
	"once":           "the result of all: initialized",
	"watch":          "PUT example/watch/a 1\nPUT example/watch/a 2",
}

func TestExamples(t *testing.T) {
	member := testserver.Start(t, 1)[0]
	folders, err := filepath.Glob("*/main.go")
	if err != nil || len(folders) != len(outputs) {
		t.Fatal(folders, err)
	}
	binaries := t.TempDir()
	if out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", binaries, "./...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range outputs {
		t.Run(name, func(t *testing.T) {
			example := exec.Command(filepath.Join(binaries, name))
			example.Env = append(os.Environ(), "ETCDCTL_ENDPOINTS="+member.Address)
			out, err := example.CombinedOutput()
			if err != nil || !strings.Contains(string(out), want) {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
