package topology

import (
	"errors"
	"math/big"
	"net" // go-cidr's interface is net.IPNet; values only, nothing here touches a network
	"net/netip"

	"github.com/apparentlymart/go-cidr/cidr"
)

// cidrHost answers the n-th address of a prefix, from the end when n is negative.
func cidrHost(prefix string, n *big.Int) (string, error) {
	_, network, err := net.ParseCIDR(prefix)
	if err != nil {
		return "", err
	}
	ip, err := cidr.HostBig(network, n)
	if err != nil {
		return "", err
	}
	return ip.String(), nil
}

// cidrSubnet answers the n-th prefix of newBits more bits in a prefix.
func cidrSubnet(prefix string, newBits int, n *big.Int) (string, error) {
	_, network, err := net.ParseCIDR(prefix)
	if err != nil {
		return "", err
	}
	subnet, err := cidr.SubnetBig(network, newBits, n)
	if err != nil {
		return "", err
	}
	return subnet.String(), nil
}

// cidrNetmask answers the mask of an IPv4 prefix.
func cidrNetmask(prefix string) (string, error) {
	_, network, err := net.ParseCIDR(prefix)
	if err != nil {
		return "", err
	}
	if p, err := netip.ParsePrefix(prefix); err != nil || !p.Addr().Is4() {
		return "", errors.New("a netmask is for IPv4; IPv6 has prefix lengths only")
	}
	return net.IP(network.Mask).String(), nil
}
