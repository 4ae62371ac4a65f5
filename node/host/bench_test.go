//go:build linux

package host

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/ikelab/ikelab/ike"
	"github.com/ikelab/ikelab/node/host/hosttest"
	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/curve25519"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// BenchmarkDataPlane moves data between two gateways: over the bare link, through
// wireguard-go, and through the tunnels of this package, one after the other. Each is
// measured for a second of TCP and one of UDP, in one process with two ends.
func BenchmarkDataPlane(b *testing.B) {
	hosttest.Program(b, "iperf3")
	for _, kind := range []string{"veth", "wireguard-go", "in UDP", "bare"} {
		b.Run(kind+"/TCP", func(b *testing.B) {
			w, address := benchWorld(b, kind)
			for b.Loop() {
				r := w.iperf(b, address, "-t", benchSeconds())
				b.ReportMetric(r.End.Received.BitsPerSecond/1e9, "Gbit/s")
				b.ReportMetric(r.cpu/(r.End.Received.BitsPerSecond*r.End.Received.Seconds/1e9), "cpu-s/Gbit")
			}
		})
		b.Run(kind+"/UDP", func(b *testing.B) {
			w, address := benchWorld(b, kind)
			for b.Loop() {
				rate, cpu := w.udpRate(b, address)
				b.ReportMetric(rate/1000, "kpps")
				b.ReportMetric(cpu, "udp-cpu")
			}
		})
	}
}

func benchSeconds() string {
	if s := os.Getenv("IKELAB_BENCH_SECONDS"); s != "" {
		return s
	}
	return "1"
}

// benchWorld makes two gateways with what is to be measured between them, and answers
// the far end's address.
func benchWorld(b *testing.B, kind string) (*world, string) {
	w := newWorld(b, startAction(ike.StartTrap))
	w.seen[0].quiet, w.seen[1].quiet = true, true
	switch kind {
	case "veth":
		return w, "198.51.100.2"
	case "wireguard-go":
		w.wireguard()
		return w, "10.77.0.2"
	case "in UDP":
		for i := range 2 {
			encap()(i, &w.config[i])
		}
	}
	w.start(1)
	w.start(0)
	w.ping(w.gateway[0], "10.2.0.1", 1)
	return w, "10.2.0.1"
}

// wireguard puts wireguard-go between the gateways.
func (w *world) wireguard() {
	var private, public [2][32]byte
	for i := range 2 {
		_, _ = (&stream{label: fmt.Sprint("wireguard", i)}).Read(private[i][:])
		private[i][0] &= 248
		private[i][31] = private[i][31]&127 | 64
		p, err := curve25519.X25519(private[i][:], curve25519.Basepoint)
		if err != nil {
			w.t.Fatal(err)
		}
		public[i] = [32]byte(p)
	}
	for i := range 2 {
		in(w.t, w.gateway[i], func() error {
			t, err := tun.CreateTUN("wg0", 1420)
			if err != nil {
				return err
			}
			d := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
			w.t.Cleanup(d.Close)
			if err := d.IpcSet(fmt.Sprintf("private_key=%s\nlisten_port=51820\npublic_key=%s\nendpoint=198.51.100.%d:51820\nallowed_ip=10.77.0.0/24\n",
				hex.EncodeToString(private[i][:]), hex.EncodeToString(public[1-i][:]), 2-i)); err != nil {
				return err
			}
			if err := d.Up(); err != nil {
				return err
			}
			l, err := netlink.LinkByName("wg0")
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(l); err != nil {
				return err
			}
			return netlink.AddrAdd(l, &netlink.Addr{IPNet: ipNet(prefix(fmt.Sprintf("10.77.0.%d/24", i+1)))})
		})
	}
	w.ping(w.gateway[0], "10.77.0.2", 1)
}

// iperfResult is what iperf3 -J says of a run.
type iperfResult struct {
	End struct {
		Received struct {
			BitsPerSecond float64 `json:"bits_per_second"`
			Seconds       float64 `json:"seconds"`
		} `json:"sum_received"`
		Sum struct {
			Packets     int     `json:"packets"`
			LostPercent float64 `json:"lost_percent"`
			Seconds     float64 `json:"seconds"`
		} `json:"sum"`
	} `json:"end"`
	Error string `json:"error"`
	cpu   float64
}

func (w *world) iperf(b *testing.B, address string, options ...string) iperfResult {
	b.Helper()
	server := make(chan string, 1)
	go func() {
		out, _ := run(b, w.gateway[1], "iperf3", "-s", "-1", "-J")
		server <- out
	}()
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(10 * time.Millisecond) {
		if out, _ := run(b, w.gateway[1], "ss", "-Hltn", "sport", "=", ":5201"); strings.Contains(out, ":5201") {
			break
		}
	}
	before := processCPU()
	out, err := run(b, w.gateway[0], append([]string{"iperf3", "-c", address, "-J"}, options...)...)
	after := processCPU()
	<-server
	var r iperfResult
	if json.Unmarshal([]byte(out), &r) != nil || err != nil || r.Error != "" {
		b.Fatalf("iperf3: %v %s", err, out)
	}
	r.cpu = after - before
	return r
}

// processCPU is the CPU time of this process and its children, in seconds.
func processCPU() float64 {
	total := 0.0
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			total += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		}
	}
	return total
}

const (
	trafficEnv   = "IKELAB_HOST_TEST_TRAFFIC"
	trafficBytes = 1350
	trafficPort  = 7007
)

// udpRate searches the highest rate in packets per second of which less than 1 % is
// lost, and says what CPU this process needed for it.
func (w *world) udpRate(b *testing.B, address string) (rate, cpu float64) {
	low, high := 0.0, 400e3
	for high-low > 4e3 {
		try := (low + high) / 2
		before := selfCPU()
		sent, got := w.udpFlow(b, address, try)
		used := (selfCPU() - before) / trafficSeconds
		b.Logf("%.0f kpps asked: %.1f sent, %.2f %% lost, cpu %.2f", try/1000, sent/1000, 100*(1-got/sent), used)
		if sent > 0.97*try && got > 0.99*sent {
			low, cpu = try, used
		} else {
			high = try
		}
	}
	return low, cpu
}

const trafficSeconds = 1

func selfCPU() float64 {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// udpFlow sends at a rate for a second and counts, in packets per second.
func (w *world) udpFlow(b *testing.B, address string, rate float64) (sent, got float64) {
	b.Helper()
	process := func(mode string) *exec.Cmd {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), trafficEnv+"="+mode, "GOMAXPROCS=1")
		c.Stderr = os.Stderr
		return c
	}
	receiver := process("receive")
	out, err := receiver.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	in(b, w.gateway[1], receiver.Start)
	lines := bufio.NewScanner(out)
	lines.Scan() // it is ready
	var sentOut strings.Builder
	sender := process(fmt.Sprintf("send %s %f", address, rate))
	sender.Stdout = &sentOut
	in(b, w.gateway[0], sender.Start)
	if err := sender.Wait(); err != nil {
		b.Fatal(err)
	}
	lines.Scan()
	if err := receiver.Wait(); err != nil {
		b.Fatal(err)
	}
	_, _ = fmt.Sscan(sentOut.String(), &sent)
	_, _ = fmt.Sscan(lines.Text(), &got)
	return sent / trafficSeconds, got / trafficSeconds
}

// trafficMain is this binary as an end of a flow.
func trafficMain() bool {
	mode := strings.Fields(os.Getenv(trafficEnv))
	if len(mode) == 0 {
		return false
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		panic(err)
	}
	const batch = 64
	messages, pieces := make([]message, batch), make([]unix.Iovec, batch)
	buffer := make([]byte, batch*2048)
	for i := range messages {
		pieces[i].Base = &buffer[i*2048]
		pieces[i].SetLen(trafficBytes)
		messages[i].header.Iov = &pieces[i]
		messages[i].header.SetIovlen(1)
	}
	if mode[0] == "receive" {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: trafficPort}); err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString("ready\n")
		// The first packet starts the count, half a second of silence ends it.
		got := 0
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5})
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&messages[0])), batch, unix.MSG_WAITFORONE, 0, 0)
			if errno == unix.EINTR {
				continue
			}
			if errno != 0 {
				break
			}
			if got == 0 {
				_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 500_000})
			}
			got += int(n)
		}
		_, _ = fmt.Fprintln(os.Stdout, got)
		return true
	}
	var rate float64
	_, _ = fmt.Sscan(mode[2], &rate)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: trafficPort, Addr: addr(mode[1]).As4()}); err != nil {
		panic(err)
	}
	start, sent := time.Now(), 0
	for time.Since(start) < trafficSeconds*time.Second {
		due := int(rate*time.Since(start).Seconds()) - sent
		for due > 0 {
			n, errno := sendMessages(uintptr(fd), messages[:min(due, batch)])
			if errno != 0 {
				break
			}
			sent += n
			due -= n
		}
		time.Sleep(200 * time.Microsecond)
	}
	_, _ = fmt.Fprintln(os.Stdout, sent)
	return true
}
