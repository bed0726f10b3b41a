package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"conclave.dev/client/internal/testserver"
)

// driver talks to a subject's process.
type driver struct {
	t      *testing.T
	stdin  io.WriteCloser
	lines  chan map[string]any
	ids    int
	events []map[string]any
	others map[string]map[string]any
	wait   func() error
	signal func(os.Signal) error
	pid    int
}

func start(t *testing.T) *driver {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "subject")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	process := exec.Command(binary)
	stdin, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	d := &driver{t: t, stdin: stdin, lines: make(chan map[string]any, 100), others: map[string]map[string]any{}, wait: process.Wait, signal: process.Process.Signal, pid: process.Process.Pid}
	go func() {
		defer close(d.lines)
		for scanner := bufio.NewScanner(stdout); scanner.Scan(); {
			var line map[string]any
			if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
				line = map[string]any{"garbage": scanner.Text()}
			}
			d.lines <- line
		}
	}()
	return d
}

// send begins a request.
func (d *driver) send(op string, args map[string]any) string {
	d.t.Helper()
	d.ids++
	line, err := json.Marshal(map[string]any{"id": d.ids, "op": op, "args": args})
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := d.stdin.Write(append(line, '\n')); err != nil {
		d.t.Fatal(err)
	}
	return fmt.Sprint(d.ids)
}

// next reads a line.
func (d *driver) next() {
	d.t.Helper()
	select {
	case line, ok := <-d.lines:
		if !ok {
			d.t.Fatal("the subject has ended")
		}
		if line["on"] != nil {
			d.events = append(d.events, line)
			return
		}
		d.others[fmt.Sprint(line["id"])] = line
	case <-time.After(testserver.Patience):
		d.t.Fatal("no reply")
	}
}

// pause stops the process, and returns when each of its threads is stopped.
func (d *driver) pause() {
	d.t.Helper()
	if err := d.signal(syscall.SIGSTOP); err != nil {
		d.t.Fatal(err)
	}
	for deadline := time.Now().Add(testserver.Patience); ; {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.pid))
		if err != nil || len(threads) == 0 || time.Now().After(deadline) {
			d.t.Fatal("the process is not stopped: ", err)
		}
		running := 0
		for _, thread := range threads {
			if stat, err := os.ReadFile(thread); err == nil && !strings.Contains(string(stat), ") T ") {
				running++
			}
		}
		if running == 0 {
			return
		}
	}
}

// reply waits for that of a request.
func (d *driver) reply(id string) map[string]any {
	d.t.Helper()
	for d.others[id] == nil {
		d.next()
	}
	return d.others[id]
}

// do sends a request that must succeed.
func (d *driver) do(op string, args map[string]any) map[string]any {
	d.t.Helper()
	reply := d.reply(d.send(op, args))
	ok, is := reply["ok"].(map[string]any)
	if !is {
		d.t.Fatalf("%s: %v", op, reply)
	}
	return ok
}

// event waits for the next one.
func (d *driver) event() string {
	d.t.Helper()
	for len(d.events) == 0 {
		d.next()
	}
	first := d.events[0]
	d.events = d.events[1:]
	text, _ := json.Marshal(first)
	return string(text)
}

type o = map[string]any

func TestTheSubjectSpeaksTheDriversProtocol(t *testing.T) {
	member := testserver.Start(t, 1)[0]
	d := start(t)
	d.do("client.open", o{"as": "c", "endpoints": []string{"http://" + member.Address}})
	d.do("session.open", o{"client": "c", "as": "s", "ttl": 5})
	if event := d.event(); event != `{"event":{"state":"CONNECTED","type":"state"},"on":"s"}` {
		t.Fatal(event)
	}
	d.do("watch.open", o{"client": "c", "as": "w", "prefix": "a"})
	put := d.do("put", o{"client": "c", "key": "a", "value": "1"})
	if event := d.event(); event != fmt.Sprintf(`{"event":{"key":"a","revision":%v,"type":"put","value":"1"},"on":"w"}`, put["revision"]) {
		t.Fatal(event)
	}
	txn := d.do("txn", o{
		"client": "c", "if": []o{{"key": "a", "target": "value", "is": "=", "than": "1"}},
		"then": []o{{"put": o{"key": "b", "value": "2"}}, {"delete": o{"key": "a"}}},
	})
	if txn["succeeded"] != true {
		t.Fatal(txn)
	}
	d.event()
	got := d.do("get", o{"client": "c", "key": "b", "deadline": 2.5})
	if got["found"] != true || got["value"] != "2" {
		t.Fatal(got)
	}
	d.do("mutex.lock", o{"session": "s", "as": "m", "name": "x"})
	d.do("session.open", o{"client": "c", "as": "s2", "ttl": 5})
	d.event()
	waiting := d.send("mutex.lock", o{"session": "s2", "as": "m2", "name": "x"})
	for len(d.do("mutex.contenders", o{"client": "c", "name": "x"})["keys"].([]any)) < 2 {
	}
	d.do("cancel", o{"id": json.RawMessage(waiting)})
	if reply := d.reply(waiting); reply["error"].(o)["kind"] != "cancelled" {
		t.Fatal(reply)
	}
	if reply := d.reply(d.send("no.such", o{})); reply["error"].(o)["kind"] != "unsupported" {
		t.Fatal(reply)
	}
	d.do("watch.close", o{"watch": "w"})
	if event := d.event(); event != `{"event":{"type":"end"},"on":"w"}` {
		t.Fatal(event)
	}
	d.do("client.close", o{"client": "c"})
	if left := d.do("leftovers", nil); left["count"] != 0.0 {
		t.Fatal(left)
	}
	_ = d.stdin.Close()
	for range d.lines {
	}
	if err := d.wait(); err != nil {
		t.Fatal(err)
	}
}

// A process that was stopped for longer than its TTL holds nothing when it goes on, even at the first look.
func TestAfterAPauseOfTheProcessNothingIsHeld(t *testing.T) {
	member := testserver.Start(t, 1)[0]
	d, other := start(t), start(t)
	d.do("client.open", o{"as": "c", "endpoints": []string{member.Address}})
	d.do("session.open", o{"client": "c", "as": "s", "ttl": 2})
	d.do("mutex.lock", o{"session": "s", "as": "m", "name": "x"})
	other.do("client.open", o{"as": "c", "endpoints": []string{member.Address}})
	other.do("session.open", o{"client": "c", "as": "s", "ttl": 20})
	d.pause()
	id := d.send("mutex.state", o{"mutex": "m"})
	other.do("mutex.lock", o{"session": "s", "as": "m", "name": "x"}) // when the lease has expired
	if err := d.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if state := d.reply(id)["ok"].(o); state["held"] != false {
		t.Fatal(state)
	}
	for _, want := range []string{`"CONNECTED"`, `LOST|lost`, `LOST|lost`} {
		if event := d.event(); !regexp.MustCompile(want).MatchString(event) {
			t.Fatal(event)
		}
	}
}
