package daemon_test

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ikelab/ikelab/node/daemon"
)

// TestTwoCharons: two daemons side by side set a tunnel up, real packets cross it, what they say about it is read,
// and each end can take it down.
func TestTwoCharons(t *testing.T) {
	t.Parallel()
	strongswan := tree(t)
	a, b := pair(t, false)
	charonA, charonB := a.charon(strongswan, connections(a, b)), b.charon(strongswan, connections(b, a))
	ctx := deadline(t)

	if err := charonA.Initiate(ctx, "net"); err != nil {
		t.Fatal(err)
	}
	a.ping(b, 3)

	mine, hers := one(t, charonA), one(t, charonB)
	if !mine.Initiator || hers.Initiator {
		t.Errorf("charon a initiated, but %v and %v say so", mine.Initiator, hers.Initiator)
	}
	if mine.SPIi == 0 || mine.SPIr == 0 || mine.SPIi != hers.SPIi || mine.SPIr != hers.SPIr {
		t.Errorf("SPIs of the IKE SA are %#x, %#x at one end and %#x, %#x at the other", mine.SPIi, mine.SPIr, hers.SPIi, hers.SPIr)
	}
	if want := netip.AddrPortFrom(b.outer, 4500); mine.Remote != want || hers.Local != want {
		t.Errorf("b is at %v for a and at %v for itself, want %v", mine.Remote, hers.Local, want)
	}
	if want := []string{"AES_GCM_16-256", "PRF_HMAC_SHA2_384", "CURVE_25519"}; !slices.Equal(mine.Proposal, want) {
		t.Errorf("proposal is %v, want %v", mine.Proposal, want)
	}
	if len(mine.Children) != 1 || len(hers.Children) != 1 {
		t.Fatalf("%d and %d children, want one at each end", len(mine.Children), len(hers.Children))
	}
	in, out := mine.Children[0], hers.Children[0]
	if in.SPIIn == 0 || in.SPIIn != out.SPIOut || in.SPIOut != out.SPIIn {
		t.Errorf("SPIs of the child are %#x in, %#x out at one end and %#x, %#x at the other", in.SPIIn, in.SPIOut, out.SPIIn, out.SPIOut)
	}
	if !in.Encapsulated {
		t.Error("kernel-libipsec made an SA that is not encapsulated in UDP")
	}
	// 28 octets of headers and 56 of ping's data each.
	if in.PacketsIn != 3 || in.PacketsOut != 3 || in.BytesOut != 3*84 || out.PacketsIn != 3 {
		t.Errorf("3 pings were counted as %d in, %d out (%d octets), and %d in at the other end", in.PacketsIn, in.PacketsOut, in.BytesOut, out.PacketsIn)
	}
	if want := []string{b.inner.String() + "/32"}; !slices.Equal(in.RemoteTS, want) || !slices.Equal(out.LocalTS, want) {
		t.Errorf("b's selectors are %v for a and %v for itself, want %v", in.RemoteTS, out.LocalTS, want)
	}

	// The responder takes the child down, the initiator the rest.
	if err := charonB.TerminateChild(ctx, "net"); err != nil {
		t.Error(err)
	}
	for _, c := range []*daemon.Charon{charonA, charonB} {
		await(t, "the child is gone at both ends, the IKE SA is not", func() bool {
			sas := list(t, c)
			return len(sas) == 1 && len(sas[0].Children) == 0
		})
	}
	if err := charonA.TerminateIKE(ctx, "site"); err != nil {
		t.Error(err)
	}
	await(t, "the IKE SA is gone at the other end", func() bool { return len(list(t, charonB)) == 0 })
}

// TestCloseTellsThePeer: a daemon that is ended in order deletes its SAs; one that is killed does not.
func TestCloseTellsThePeer(t *testing.T) {
	t.Parallel()
	strongswan := tree(t)
	a, b := pair(t, false)
	charonB := b.charon(strongswan, connections(b, a))
	ctx := deadline(t)

	charonA := a.charon(strongswan, connections(a, b))
	if err := charonA.Initiate(ctx, "net"); err != nil {
		t.Fatal(err)
	}
	if err := charonA.Kill(); err != nil {
		t.Fatal(err)
	}
	<-charonA.Done()
	killed := one(t, charonB)
	if _, err := charonA.SAs(ctx); err == nil {
		t.Error("a daemon that was killed answers")
	}
	if err := charonA.Close(); err != nil {
		t.Errorf("ending a daemon twice: %v", err)
	}

	// The same namespace takes the next one, whose INITIAL_CONTACT replaces what was left at the peer.
	charonA = a.charon(strongswan, connections(a, b))
	if err := charonA.Initiate(ctx, "net"); err != nil {
		t.Fatal(err)
	}
	a.ping(b, 1)
	if again := one(t, charonB); again.SPIi == killed.SPIi {
		t.Error("the peer still has the SA with the daemon that was killed")
	}
	if err := charonA.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the peer has heard of the end", func() bool { return len(list(t, charonB)) == 0 })
}

// TestErrorsSayWhatCharonSays: what swanctl or the log says about a mistake is in the error.
func TestErrorsSayWhatCharonSays(t *testing.T) {
	t.Parallel()
	strongswan := tree(t)
	a, b := pair(t, false)

	mistaken := strings.Replace(connections(a, b), "aes256gcm16-prfsha384-x25519", "rot13", 1)
	_, err := daemon.Start(deadline(t), daemon.Config{Tree: strongswan, Namespace: a.net, Dir: t.TempDir(), Connections: mistaken})
	if err == nil || !strings.Contains(err.Error(), "rot13") && !strings.Contains(err.Error(), "proposals") {
		t.Errorf("a wrong proposal: error is %v", err)
	}

	charonA := a.charon(strongswan, strings.Replace(connections(a, b), "four tulips", "four roses", 1))
	b.charon(strongswan, connections(b, a))
	err = charonA.Initiate(deadline(t), "net")
	if err == nil || !strings.Contains(err.Error(), "AUTHENTICATION_FAILED") {
		t.Errorf("a wrong secret: error is %v", err)
	}

	// Nobody answers here, and the wait ends with its context.
	lonely, _ := pair(t, false)
	c := lonely.charon(strongswan, connections(a, b))
	ctx, cancel := context.WithTimeout(deadline(t), 200*time.Millisecond)
	defer cancel()
	if err := c.Initiate(ctx, "net"); err == nil || ctx.Err() == nil {
		t.Errorf("initiating to nobody: error is %v", err)
	}
}

// TestNothingIsLeft: a daemon mounts nothing on the host, and takes its device with it.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	strongswan := tree(t)
	a, b := pair(t, false)
	c := a.charon(strongswan, connections(a, b))
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 && slices.Contains([]string{"/usr/lib", "/usr/lib/ipsec", "/run/strongswan", "/run/conf"}, fields[1]) {
			t.Errorf("mounted on the host with a daemon: %s", line)
		}
	}
	if out, err := a.run("ip", "-o", "link", "show"); err != nil || !strings.Contains(out, "ipsec0") {
		t.Errorf("with a daemon the namespace has %s, %v", out, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if out, err := a.run("ip", "-o", "link", "show"); err != nil || strings.Contains(out, "ipsec0") {
		t.Errorf("what is left in the namespace: %s, %v", out, err)
	}
}

// list is what a daemon lists now.
func list(t *testing.T, c *daemon.Charon) []daemon.SA {
	t.Helper()
	sas, err := c.SAs(deadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return sas
}

// one is the daemon's only IKE SA, established.
func one(t *testing.T, c *daemon.Charon) daemon.SA {
	t.Helper()
	var sas []daemon.SA
	await(t, "there is one IKE SA", func() bool {
		sas = list(t, c)
		return len(sas) == 1 && sas[0].State == "ESTABLISHED"
	})
	return sas[0]
}

// await waits for a condition.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx := deadline(t)
	for !condition() {
		select {
		case <-ctx.Done():
			t.Fatalf("this did not come about: %s", what)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
