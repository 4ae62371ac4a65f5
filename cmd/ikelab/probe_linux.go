package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/containernetworking/plugins/pkg/ns"
	"github.com/spf13/cobra"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ikelab/ikelab/cmd/ikelab/internal/rootless"
	"github.com/ikelab/ikelab/node/host"
)

// trial is something that labs in namespaces need of the kernel, and that is tried inside a new network namespace.
type trial struct {
	name, what, cure string
	try              func() (found string, err error)
}

// trials are tried one after the other in one namespace, which ends with them.
func trials() []trial {
	return []trial{
		{"veth", "links without a model", "a kernel with CONFIG_VETH: modprobe veth", tryVeth},
		{"bridge", "networks without a model and with more than two interfaces", "a kernel with CONFIG_BRIDGE: modprobe bridge", tryBridge},
		{"tun", "the userspace data plane", tunCure, tryTUN},
		{"tap-carrier", "links with a model", "a kernel from 5.0 on, whose TAP has a carrier that can be pulled; " + tunCure, tryTAP},
		{"nftables", "dropping what comes in clear and should not", "a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET: modprobe nf_tables nft_fib_inet nft_log", tryNftables},
		{"ip-rules", "policies as routes", "a kernel with CONFIG_IP_MULTIPLE_TABLES", tryRules},
		{"packet-socket", "showing a run what passes links without a model", "a kernel with CONFIG_PACKET: modprobe af_packet", func() (string, error) {
			return trySocket(unix.AF_PACKET, unix.SOCK_DGRAM, 0, "a packet socket opens")
		}},
		{"raw-esp", "ESP without UDP", "the right CAP_NET_RAW: run as root, or in a container with --cap-add NET_RAW", func() (string, error) {
			return trySocket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ESP, "a raw ESP socket opens")
		}},
		{"udp-segmentation", "throughput: packets in batches", "a kernel from 5.0 on", tryUDP},
		{"ping-sockets", "flows of echo requests", "a kernel with net.ipv4.ping_group_range", tryPing},
		{"ipv6", "labs with IPv6", "a kernel with CONFIG_IPV6, and without ipv6.disable=1 on its command line", tryIPv6},
	}
}

const tunCure = "modprobe tun; chmod 666 /dev/net/tun where others than root use it; in a container: --device /dev/net/tun"

func tryVeth() (string, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "va"
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "vb"}); err != nil {
		return "", fmt.Errorf("veth pair: %w", err)
	}
	return "a veth pair was made", nil
}

func tryBridge() (string, error) {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return "", fmt.Errorf("bridge: %w", err)
	}
	return "a bridge was made", nil
}

// openTUN makes a TUN or TAP device.
func openTUN(name string, flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("/dev/net/tun: %w", err)
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("/dev/net/tun: new device: %w", err)
	}
	return fd, nil
}

func tryTUN() (string, error) {
	fd, err := openTUN("tun", unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }() // the device goes with it
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6); err != nil {
		return "", fmt.Errorf("TUN device: offloads: %w", err)
	}
	return "a TUN device with offloads was made", nil
}

// tunSetCarrier is TUNSETCARRIER of linux/if_tun.h.
const tunSetCarrier = 0x400454e2

func tryTAP() (string, error) {
	fd, err := openTUN("tap", unix.IFF_TAP|unix.IFF_NO_PI)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }() // the device goes with it
	if err := unix.IoctlSetPointerInt(fd, tunSetCarrier, 0); err != nil {
		return "", fmt.Errorf("TAP device: carrier: %w", err)
	}
	return "a TAP device lost its carrier", nil
}

func tryNftables() (string, error) {
	return "the filter of a node was made", withThisNamespace(host.ProbeFilter)
}

func tryRules() (string, error) {
	return "the rules and routes of a node were made", withThisNamespace(host.ProbeRules)
}

// withThisNamespace gives try the namespace that the process is in.
func withThisNamespace(try func(ns.NetNS) error) error {
	here, err := ns.GetCurrentNS()
	if err != nil {
		return fmt.Errorf("the namespace at hand: %w", err)
	}
	return errors.Join(try(here), here.Close())
}

func trySocket(family, kind, protocol int, found string) (string, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return "", err
	}
	return found, unix.Close(fd)
}

func tryUDP() (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was sent
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1400); err != nil {
		return "", fmt.Errorf("UDP segmentation (UDP_SEGMENT): %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
		return "", fmt.Errorf("UDP aggregation (UDP_GRO): %w", err)
	}
	return "UDP_SEGMENT and UDP_GRO are taken", nil
}

func tryPing() (string, error) {
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		return "", err
	}
	return trySocket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP, "a ping socket opens")
}

func tryIPv6() (string, error) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil {
		return "", errors.New("the kernel has no IPv6")
	}
	return "the kernel has it", nil
}

// tried is what came of a trial.
type tried struct {
	Found string `json:"found,omitempty"`
	Error string `json:"error,omitempty"`
}

func newProbeCommand(std stdio) *cobra.Command {
	return &cobra.Command{
		Use:    probeCommand,
		Short:  "Try what doctor asks about, in a new namespace; no command for people",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if os.Getenv(probeVariable) == "" {
				return usageError("this is no command for people; see ikelab doctor")
			}
			found := map[string]tried{}
			for _, t := range trials() {
				text, err := t.try()
				came := tried{Found: text}
				if err != nil {
					came.Error = err.Error()
				}
				found[t.name] = came
			}
			return json.NewEncoder(std.out).Encode(found)
		},
	}
}

// probeVariable keeps the probe from being called where it would change somebody's namespace.
const probeVariable = "IKELAB_PROBE"

// tryInside tries all trials in a new network namespace, without root in a new user namespace. An error says that
// there is none.
func tryInside(ctx context.Context) (map[string]tried, error) {
	var cmd *exec.Cmd
	if rootless.Needed() {
		cmd = rootless.Command(rootlessCommand, probeCommand)
	} else {
		cmd = exec.CommandContext(ctx, rootless.Self, probeCommand)
		cmd.Args[0], cmd.SysProcAttr = "ikelab", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	}
	cmd.Env = append(os.Environ(), probeVariable+"=1")
	out, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return nil, fmt.Errorf("in a new namespace: %s", firstLine(exit.Stderr))
	case err != nil:
		return nil, rootless.StartError(fmt.Errorf("new namespaces: %w", err))
	}
	var found map[string]tried
	return found, json.Unmarshal(out, &found)
}
