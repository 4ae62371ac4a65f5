package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// netlinkXfrm is NETLINK_XFRM of linux/netlink.h, the kernel's IPsec interface.
const netlinkXfrm = 6

// hostProbes are the capabilities of a Linux host.
func hostProbes() []probe {
	return []probe{
		{
			name: "root",
			what: forNetns,
			cure: "run as root, or in a user namespace: unshare --map-root-user --net",
			try: func(context.Context) (string, error) {
				if uid := os.Geteuid(); uid != 0 {
					return "", fmt.Errorf("user id is %d", uid)
				}
				return "user id is 0", nil
			},
		},
		{
			name: "network-namespaces",
			what: forNetns,
			cure: "as root, or with user namespaces allowed (sysctl kernel.unprivileged_userns_clone=1; not in a container that drops CAP_SYS_ADMIN)",
			try: func(ctx context.Context) (string, error) {
				if err := inNamespace(ctx, "true"); err != nil {
					return "", err
				}
				return "a new one was made and left", nil
			},
		},
		{
			name: "tun",
			what: forNetns + ": the userspace data plane",
			cure: "modprobe tun; in a container: --device /dev/net/tun",
			try: func(context.Context) (string, error) {
				f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
				if err != nil {
					return "", err
				}
				return "/dev/net/tun opens", f.Close()
			},
		},
		{
			name: "xfrm",
			what: forNetns + `: dataplane = "kernel"`,
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
			what: forNetns + `: dataplane = "kernel"`,
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
	}
}

// inNamespace runs a program in a network namespace of its own, which ends with it. Without root it is made inside
// a user namespace.
func inNamespace(ctx context.Context, name string, args ...string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		// Debian keeps ip and tc where only root's PATH looks.
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			return fmt.Errorf("no %s in PATH", name)
		}
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
