package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/rootless"
	"github.com/ikelab/ikelab/node/daemon"
	"github.com/ikelab/ikelab/sim/netns"
)

// netlinkXfrm is NETLINK_XFRM of linux/netlink.h, the kernel's IPsec interface.
const netlinkXfrm = 6

// What doctor calls the right to have namespaces, and how one gets it.
const (
	rightsCapability = "rights"
	rightsCure       = "run as root, or allow user namespaces: sysctl -w user.max_user_namespaces=10000, " +
		"kernel.unprivileged_userns_clone=1 on Debian's older kernels, kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu; " +
		"a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN"
)

// netnsProbes are what labs in namespaces need.
func netnsProbes() []probe {
	inside := sync.OnceValues(func() (map[string]tried, error) {
		ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
		defer cancel()
		return tryInside(ctx)
	})
	all := []probe{
		{
			name: rightsCapability,
			what: forNetns,
			cure: rightsCure,
			try: func(context.Context) (string, error) {
				if _, err := inside(); err != nil {
					return "", fmt.Errorf("user id is %d: %w", os.Geteuid(), err)
				}
				if rootless.Needed() {
					return fmt.Sprintf("user id is %d, and a user namespace can be had", os.Geteuid()), nil
				}
				return "user id is 0, and a new network namespace was made", nil
			},
		},
		{
			name: "state-folder",
			what: forNetns + ": where labs leave what has to be cleared away",
			cure: "set IKELAB_STATE_DIR, or for others than root XDG_RUNTIME_DIR, to a folder that is yours",
			try:  tryStateFolder,
		},
	}
	for _, t := range trials() {
		all = append(all, probe{
			name: t.name, what: forNetns + ": " + t.what, cure: t.cure,
			try: func(context.Context) (string, error) {
				found, err := inside()
				switch {
				case err != nil:
					return "", errors.New("cannot be tried without " + rightsCapability)
				case found[t.name].Error != "":
					return "", errors.New(found[t.name].Error)
				}
				return found[t.name].Found, nil
			},
		})
	}
	return all
}

// tryStateFolder looks whether the folder of labs' state can be written to, or made.
func tryStateFolder(context.Context) (string, error) {
	if err := netns.CheckState(); err != nil {
		return "", err
	}
	for dir := netns.StateDir(); ; dir = filepath.Dir(dir) {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		switch {
		case err == nil && dir == netns.StateDir():
			return dir + " can be written to", nil
		case err == nil:
			return dir + " can be written to, where " + netns.StateDir() + " will be", nil
		case errors.Is(err, unix.ENOENT) && dir != filepath.Dir(dir):
		default:
			return "", fmt.Errorf("%s: %w", dir, err)
		}
	}
}

// hostProbes are the capabilities of a Linux host.
func hostProbes() []probe {
	return append(netnsProbes(), []probe{
		{
			name: "neighbour-table",
			what: forNetns + ": all labs and everything else on this host share it; ikelab's own entries do not count there",
			cure: neighbourCure(),
			try:  tryNeighbourTable,
		},
		{
			name: "strongswan",
			what: forTests + ": a real peer",
			cure: "make daemons (Debian and its kin; needs no root)",
			try: func(context.Context) (string, error) {
				tree, err := daemon.Find()
				if err != nil {
					return "", err
				}
				return "unpacked in " + tree.Root, nil
			},
		},
		{
			name: "xfrm",
			what: `dataplane = "kernel", which comes with a later version`,
			cure: "a kernel with CONFIG_XFRM_USER: modprobe xfrm_user",
			try: func(context.Context) (string, error) {
				fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, netlinkXfrm)
				if err != nil {
					return "", fmt.Errorf("netlink socket for XFRM: %w", err)
				}
				return "the kernel speaks XFRM", syscall.Close(fd)
			},
		},
		{
			name: "esp",
			what: `dataplane = "kernel", which comes with a later version`,
			cure: "a kernel with CONFIG_INET_ESP and CONFIG_CRYPTO_GCM: modprobe esp4; and apt-get install iproute2",
			try: func(ctx context.Context) (string, error) {
				// Documentation addresses and a key of zeroes, in a namespace that ends with the command.
				err := inNamespace(ctx, "ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp",
					"spi", "0x100", "mode", "tunnel", "aead", "rfc4106(gcm(aes))", "0x0000000000000000000000000000000000000000", "128")
				if err != nil {
					return "", err
				}
				return "the kernel took an AES-GCM security association", nil
			},
		},
		{
			name: "netem",
			what: "comparing our links with the kernel's, which comes with a later version",
			cure: "a kernel with CONFIG_NET_SCH_NETEM: modprobe sch_netem; and apt-get install iproute2",
			try: func(ctx context.Context) (string, error) {
				if err := inNamespace(ctx, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"); err != nil {
					return "", err
				}
				return "the kernel took a netem queue", nil
			},
		},
		toolProbe("ip", "looking into a lab: ip netns, ikelab exec NODE -- ip", "apt-get install iproute2", "-V"),
		toolProbe("ping", "looking into a lab", "apt-get install iputils-ping", "-V"),
		toolProbe("tcpdump", forTests+"; looking into a lab", "apt-get install tcpdump", "--version"),
		toolProbe("iperf3", forTests+"; measuring in a lab", "apt-get install iperf3", "--version"),
		toolProbe("nft", forTests+"; looking into a lab", "apt-get install nftables", "--version"),
	}...)
}

// tryNeighbourTable looks whether the host's neighbour tables have been full.
func tryNeighbourTable(context.Context) (string, error) {
	tables, err := netns.NeighbourTables()
	if err != nil {
		return "", err
	}
	var texts []string
	full := false
	for _, t := range tables {
		full = full || t.Full()
		texts = append(texts, fmt.Sprintf("%s: learns at most %d, was full %d times since the host started", t.Family, t.Limit, t.Overflows))
	}
	text := strings.Join(texts, "; ")
	if full {
		return "", errors.New(text)
	}
	return text, nil
}

// neighbourCure is how the tables that were full get more room.
func neighbourCure() string {
	tables, err := netns.NeighbourTables()
	if err != nil {
		return ""
	}
	var cures []string
	for _, t := range tables {
		if t.Full() {
			cures = append(cures, t.Cure())
		}
	}
	return strings.Join(cures, "; ")
}

// netnsError gives a reason for which a lab cannot be had in namespaces its exit status: where the host lacks
// something that doctor knows, that is the reason.
func netnsError(ctx context.Context, err error) error {
	var need *netns.NeedError
	if errors.As(err, &need) {
		return capabilityError("%w", err)
	}
	for _, c := range examine(ctx, netnsProbes()) {
		if !c.OK && c.Name != "udp-segmentation" && c.Name != "ipv6" {
			return capabilityError("this host lacks %s: %s; cure: %s (%w)", c.Name, c.Found, c.Cure, err)
		}
	}
	return internalError("%w", err)
}

// inNamespace runs a program in a network namespace of its own, which ends with it. Without root it is made inside
// a user namespace.
func inNamespace(ctx context.Context, name string, args ...string) error {
	path, err := lookUp(name)
	if err != nil {
		return fmt.Errorf("no %s in PATH", name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Errorf("%s: %s", name, firstLine(out))
	case err != nil:
		return fmt.Errorf("new network namespace: %w", err)
	}
	return nil
}
