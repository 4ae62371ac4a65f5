package daemon

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// listed is what swanctl lists for an SA that is being made and for one with two children, one of them on its way
// out. Identities hold what a configuration may hold.
const listed = `list-sa event {
  office {
    uniqueid = 7
    version = 2
    state = CONNECTING
    local-host = 192.0.2.1
    local-port = 500
    local-id = %any
    remote-host = %any
    remote-port = 500
    initiator = yes
    initiator-spi = 00a1b2c3d4e5f607
    responder-spi = 0000000000000000
    tasks-active = [
      IKE_VENDOR
      IKE_INIT
    ]
  }
}
list-sa event {
  site {
    uniqueid = 8
    version = 2
    state = ESTABLISHED
    local-host = 2001:db8::1
    local-port = 4500
    local-id = C=DE, O=A = B {, CN=gw
    remote-host = 2001:db8::2
    remote-port = 4501
    remote-id = gw-b.example.org
    initiator-spi = ffeeddccbbaa9988
    responder-spi = 1122334455667788
    encr-alg = AES_CBC
    encr-keysize = 128
    integ-alg = HMAC_SHA2_256_128
    prf-alg = PRF_HMAC_SHA2_256
    dh-group = ECP_256
    child-sas {
      net-3 {
        name = net
        uniqueid = 3
        state = INSTALLED
        encap = yes
        spi-in = c0000001
        spi-out = 0000ffff
        bytes-in = 18446744073709551615
        packets-in = 12
        local-ts = [
          10.1.0.0/16
          10.3.0.1/32[tcp/http]
        ]
        remote-ts = [
          0.0.0.0/0
        ]
      }
      net-4 {
        name = net
        uniqueid = 4
        state = DELETING
      }
    }
  }
}
list-sas reply {
}
`

func TestParseSAs(t *testing.T) {
	got, err := parseSAs(listed)
	if err != nil {
		t.Fatal(err)
	}
	want := []SA{
		{
			Connection: "office", ID: 7, State: "CONNECTING", Initiator: true, SPIi: 0x00a1b2c3d4e5f607,
			Local: netip.MustParseAddrPort("192.0.2.1:500"),
		},
		{
			Connection: "site", ID: 8, State: "ESTABLISHED", SPIi: 0xffeeddccbbaa9988, SPIr: 0x1122334455667788,
			Local:    netip.MustParseAddrPort("[2001:db8::1]:4500"),
			Remote:   netip.MustParseAddrPort("[2001:db8::2]:4501"),
			Proposal: []string{"AES_CBC-128", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "ECP_256"},
			Children: []Child{
				{
					Name: "net", ID: 3, State: "INSTALLED", Encapsulated: true, SPIIn: 0xc0000001, SPIOut: 0xffff,
					BytesIn: 1<<64 - 1, PacketsIn: 12,
					LocalTS: []string{"10.1.0.0/16", "10.3.0.1/32[tcp/http]"}, RemoteTS: []string{"0.0.0.0/0"},
				},
				{Name: "net", ID: 4, State: "DELETING"},
			},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{}), cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if got, err := parseSAs("list-sas reply {\n}\n"); err != nil || len(got) != 0 {
		t.Errorf("no SAs: %v, %v", got, err)
	}
}

// TestParseSAsRefuses: an answer that is not what it was known to be is an error, never an SA less.
func TestParseSAsRefuses(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"spi-in = c0000001", "spi-in = 1c0000001", "spi-in"},
		{"uniqueid = 7", "uniqueid = seven", "uniqueid"},
		{"local-host = 192.0.2.1", "local-host = here", "local-host"},
		{"packets-in = 12", "packets-in twelve", "packets-in twelve"},
		{"list-sas reply {\n}", "}", "nothing is open"},
		{"list-sas reply {\n}", "list-sas reply {", "too early"},
		{"          0.0.0.0/0\n        ]", "", "too early"},
	} {
		text := strings.Replace(listed, c.old, c.new, 1)
		if text == listed {
			t.Fatalf("the list does not hold %q", c.old)
		}
		if got, err := parseSAs(text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: got %v, %v; want an error that says %q", c.new, c.old, got, err, c.want)
		}
	}
}

// TestDistribution: the cache's folder is called what .ci/daemons calls it.
func TestDistribution(t *testing.T) {
	for _, c := range []struct{ release, want string }{
		{"PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n", "debian-12-x86_64"},
		{"ID=debian\nVERSION_CODENAME=sid\n", "debian-sid-x86_64"},
		{"ID='arch'\n", "arch-rolling-x86_64"},
		{"", "unknown-rolling-x86_64"},
	} {
		if got := distribution(strings.NewReader(c.release), "x86_64"); got != c.want {
			t.Errorf("%q: %s, want %s", c.release, got, c.want)
		}
	}
}
