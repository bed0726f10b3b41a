package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"conclave.dev/client/internal/testserver"
)

// The module is packed as it is published, and a new module without anything else runs the tour of the README
// with it.
func TestTheTourRunsWithThePackedModule(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tour, found := strings.Cut(string(readme), "```go\n")
	tour, _, closed := strings.Cut(tour, "```")
	if !found || !closed {
		t.Fatal("the README has no tour")
	}
	proxy, scratch := t.TempDir(), t.TempDir()
	run(t, "../tools", nil, "go", "run", "./modzip", "-module=..", "-version=v0.1.0", "-out="+proxy)
	if err := os.WriteFile(filepath.Join(scratch, "main.go"), []byte(tour), 0o644); err != nil {
		t.Fatal(err)
	}
	member := testserver.Start(t, 1)[0]
	// The packed module comes from its file, and is in no public list of sums; all else is as usual. It is
	// unpacked in a folder of its own, whose files can be deleted.
	usual := strings.TrimSpace(run(t, scratch, nil, "go", "env", "GOPROXY"))
	cache := strings.TrimSpace(run(t, scratch, nil, "go", "env", "GOMODCACHE"))
	env := []string{
		"GOPROXY=file://" + proxy + ",file://" + cache + "/cache/download," + usual, "GONOSUMDB=conclave.dev", "GOWORK=off",
		"GOMODCACHE=" + t.TempDir(), "GOFLAGS=-mod=mod -modcacherw -trimpath", "ETCDCTL_ENDPOINTS=" + member.Address,
	}
	run(t, scratch, env, "go", "mod", "init", "example.com/tour")
	run(t, scratch, env, "go", "get", "conclave.dev/client@v0.1.0")
	out := run(t, scratch, env, "go", "run", ".")
	for _, line := range []string{
		"session: CONNECTED", "written: true held: true", "leading with token ", "changed: tour/report", "wrong arguments: true",
	} {
		if !strings.Contains(out, line) {
			t.Fatalf("no %q in\n%s", line, out)
		}
	}
}

func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), env...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}
