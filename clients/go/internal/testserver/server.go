// Package testserver starts real servers for tests: the binary named by CONCLAVE_BIN.
package testserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Patience bounds everything that tests wait for.
const Patience = 90 * time.Second

// Member is the process of one server.
type Member struct {
	t       testing.TB
	args    []string
	process *exec.Cmd
	log     string
	// Address is "127.0.0.1:port", for clients.
	Address string
}

// Start starts a cluster of n members, which ends with the test.
func Start(t testing.TB, n int, flags ...string) []*Member {
	t.Helper()
	for {
		members := start(t, "http", n, flags...)
		isTaken := false
		for _, m := range members {
			isTaken = isTaken || !m.awaitHealthy()
		}
		if !isTaken {
			return members
		}
		// Somebody else has got one of the ports in the meantime: begin again with others.
		for _, m := range members {
			m.Kill()
		}
	}
}

// StartTLS starts one member whose clients use TLS; the flags name the files. It may not serve yet.
func StartTLS(t testing.TB, flags ...string) *Member {
	t.Helper()
	return start(t, "https", 1, flags...)[0]
}

func start(t testing.TB, scheme string, n int, flags ...string) []*Member {
	t.Helper()
	ports := freePorts(t, 2*n)
	var cluster []string
	for i := range n {
		cluster = append(cluster, fmt.Sprintf("m%d=http://127.0.0.1:%d", i, ports[n+i]))
	}
	members := make([]*Member, n)
	for i := range n {
		dir := t.TempDir()
		client, peer := fmt.Sprintf("%s://127.0.0.1:%d", scheme, ports[i]), fmt.Sprintf("http://127.0.0.1:%d", ports[n+i])
		members[i] = &Member{t: t, log: filepath.Join(dir, "log"), Address: strings.TrimPrefix(client, scheme+"://"), args: append([]string{
			fmt.Sprintf("--name=m%d", i), "--data-dir=" + filepath.Join(dir, "data"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=" + strings.Join(cluster, ","),
		}, flags...)}
		members[i].Restart()
	}
	return members
}

// Addresses returns those of all members.
func Addresses(members []*Member) []string {
	addresses := make([]string, len(members))
	for i, m := range members {
		addresses[i] = m.Address
	}
	return addresses
}

// Restart starts the process, with the data of the former one.
func (m *Member) Restart() {
	m.t.Helper()
	binary := os.Getenv("CONCLAVE_BIN")
	_ = os.Getenv("CONCLAVE_BIN_ID") // so that Go runs the tests again with another binary
	if binary == "" {
		m.t.Fatal("set CONCLAVE_BIN to the server's binary")
	}
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	process := exec.Command(binary, m.args...)
	process.Stdout, process.Stderr = log, log
	// The server ends with the test, even if that is killed.
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := process.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.process = process
	end := sync.OnceFunc(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	m.t.Cleanup(func() {
		end()
		if m.t.Failed() {
			if content, err := os.ReadFile(m.log); err == nil {
				m.t.Logf("%s logged:\n%s", m.Address, last(string(content), 20))
			}
		}
	})
}

func last(text string, lines int) string {
	all := strings.Split(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// AwaitHealthy returns when the member serves.
func (m *Member) AwaitHealthy() {
	m.t.Helper()
	if !m.awaitHealthy() {
		m.t.Fatalf("a port of %s is taken", m.Address)
	}
}

// awaitHealthy returns false if one of the member's ports is taken.
func (m *Member) awaitHealthy() bool {
	m.t.Helper()
	conn, err := grpc.NewClient(m.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	health := grpc_health_v1.NewHealthClient(conn)
	for deadline := time.Now().Add(Patience); ; {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		answer, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
		cancel()
		if err == nil && answer.Status == grpc_health_v1.HealthCheckResponse_SERVING {
			return true
		}
		if content, err := os.ReadFile(m.log); err == nil && strings.Contains(string(content), "Address already in use") {
			return false
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s is not healthy: %v", m.Address, err)
		}
		conn.ResetConnectBackoff()
	}
}

// Kill ends the process at once.
func (m *Member) Kill() {
	_ = m.process.Process.Kill()
	_, _ = m.process.Process.Wait()
}

// Pause stops the process, which keeps its connections and answers nothing.
func (m *Member) Pause() { m.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (m *Member) Resume() { m.signal(syscall.SIGCONT) }

func (m *Member) signal(s os.Signal) {
	m.t.Helper()
	if err := m.process.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
}

func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after all are known, so that they differ
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
