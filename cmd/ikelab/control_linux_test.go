package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/standing"
)

// TestControlSocket: what comes over the socket is judged before anything is done, and no client harms the lab.
func TestControlSocket(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.good("up", p.lab(id("control")))
	socket := filepath.Join(p.state, id("control")+".lab", "control")
	say := func(text string) string {
		t.Helper()
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(time.Now().Add(processTimeout)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(conn) // a connection that breaks is an answer
		return string(answer)
	}
	hello := fmt.Sprintf(`{"version":%d}`+"\n", standing.Version)
	for _, c := range []struct{ text, want string }{
		{"\x00\xff nonsense\n", ""},
		{hello + "nonsense\n", "cannot be read"},
		{hello + `{"command":"fly"}` + "\n", `there is no command \"fly\"`},
		{`{"version":99}` + "\n" + `{"command":"status"}` + "\n", "another version of ikelab"},
		{hello + `{"command":"exec","exec":{"node":"ha","path":"/bin/true","args":["true"]}}` + "\n", "3 files"},
		{hello + `{"command":"exec"}` + "\n", "3 files"},
		{hello + `{"command":"capture","capture":{"links":["x"]}}` + "\n", "there is no link"},
		{hello + `{"command":"do"}` + "\n", "no step"},
		{hello + `{"command":"status"}` + "\n", `"lab":"` + id("control") + `"`},
	} {
		if got := say(c.text); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q is answered with %q, want %q", c.text, got, c.want)
		}
	}
	// Clients that say nothing keep nobody else from being heard.
	for range 20 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	p.status()

	// The file system lets only its owner in.
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) {
		t.Errorf("the socket is %v (%v)", info, err)
	}

	// A capture whose reader takes nothing holds neither the lab nor down up.
	slow := p.command("capture", "-w", "-")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = read.Close() }()
	slow.Stdout = write
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	defer func() {
		_ = slow.Process.Kill()
		_ = slow.Wait()
	}()
	p.tunnel("ga")
	if out := p.good("exec", "ha", "--", "ping", "-q", "-c", "100", "-i", "0.002", "-s", "1400", "-w", "600", "10.2.0.2"); !strings.Contains(out, "100 received") {
		t.Errorf("ping beside a slow reader: %s", out)
	}
	p.good("down")
}

// TestManyClients: commands and captures are bounded, who is one too many is told so, and nobody else is locked out.
func TestManyClients(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	p.good("up", p.lab(id("clients")))
	const most = 64
	socket := filepath.Join(p.state, id("clients")+".lab", "control")
	capture := func() string {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(processTimeout)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "{\"version\":%d}\n{\"command\":\"capture\"}\n", standing.Version); err != nil {
			t.Fatal(err)
		}
		first, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return first
	}
	for range most {
		if got := capture(); !strings.Contains(got, `"started":true`) {
			t.Fatalf("a capture is answered with %s", got)
		}
	}
	want := "64 commands and captures under way"
	if got := capture(); !strings.Contains(got, want) {
		t.Errorf("one capture more is answered with %s", got)
	}
	p.refused(exitInternal, want, "exec", "ha", "--", "true")
	p.refused(exitInternal, want, "capture", "-w", filepath.Join(t.TempDir(), "x"))
	p.good("status")
	p.good("do", "cut")
	p.good("down")
	p.nothing(id("clients"), before)
}

// TestIdleClients: however many connections say nothing, and also where the holder has no descriptor left for another one,
// who asks for something is answered.
func TestIdleClients(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	before := hostState(t)
	p.good("up", p.lab(id("idle")))
	holder := p.status().Holder
	socket := filepath.Join(p.state, id("idle")+".lab", "control")
	idle := func(n int) (over func()) {
		var conns []net.Conn
		for range n {
			conn, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		return func() {
			for _, conn := range conns {
				_ = conn.Close() // the holder may have closed it
			}
		}
	}
	descriptors := func() map[int]bool {
		open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", holder))
		if err != nil || len(open) == 0 {
			t.Fatalf("the holder's descriptors: %v, %v", open, err)
		}
		all := map[int]bool{}
		for _, path := range open {
			if n, err := strconv.Atoi(filepath.Base(path)); err == nil {
				all[n] = true
			}
		}
		return all
	}
	before400 := len(descriptors())
	over := idle(400)
	p.status()
	p.good("do", "cut")
	over()
	await(t, "the holder to close 400 connections", func() bool { return len(descriptors()) <= before400 })
	// The limit bounds the numbers: this one leaves ten free.
	limit, open := 0, descriptors()
	for free := 0; free < 10; limit++ {
		if !open[limit] {
			free++
		}
	}
	few := unix.Rlimit{Cur: uint64(limit), Max: 4096}
	if err := unix.Prlimit(holder, unix.RLIMIT_NOFILE, &few, nil); err != nil {
		t.Fatal(err)
	}
	over = idle(200)
	p.status()
	p.good("do", "link_up(node.ga.interface.wan)")
	over()
	await(t, "the holder to lack descriptors", func() bool {
		log, err := os.ReadFile(filepath.Join(p.folder(id("idle")), "log"))
		return err == nil && strings.Contains(string(log), "too many open files")
	})
	p.good("down")
	p.nothing(id("idle"), before)
}
